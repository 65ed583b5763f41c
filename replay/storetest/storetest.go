// Package storetest is the conformance suite of replay stores: what
// [replay.Store] and the optional interfaces promise, written as tests that
// every store runs.
package storetest

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Subject is a kind of store that is put to the test.
type Subject struct {
	// Open returns a store that knows nothing yet and is closed with t. A
	// limit other than 0 is the most keys that it may hold.
	Open func(t *testing.T, limit int64) Instance
	// Bubble runs every test with the fake time of testing/synctest. A store
	// that talks over the network cannot be tested in it.
	Bubble bool
	// Unbounded: the store keeps no limit of its own.
	Unbounded bool
}

// Store is a store with the optional interfaces, by which the suite checks what
// the others have done.
type Store interface {
	replay.Store
	replay.Lookuper
	replay.Forgetter
	replay.StatsReporter
}

// Instance is one store and what the tests need to do to it.
type Instance struct {
	Store
	// Advance makes d pass for the store.
	Advance func(t *testing.T, d time.Duration)
	// SetLimit changes the limit; nil if Subject.Unbounded.
	SetLimit func(limit int64)
	// Reopen closes the store as a crash would and opens it again; nil if
	// what it knows ends with the process.
	Reopen func(t *testing.T) Instance
	// StepWallClock makes the wall clock jump; nil if the store cannot see it.
	StepWallClock func(d time.Duration)
}

// Times used throughout: long enough that none of them runs out unless a test
// lets it, whatever the machine does meanwhile.
const (
	lease  = time.Hour
	window = 24 * time.Hour
)

// patience bounds waiting for something that is certain to happen.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, subject Subject) {
	suites := []map[string]func(*testing.T, Subject){claims, resolutions, notes, sequences, agreement, waits, limits, durability}
	for _, suite := range suites {
		for name, test := range suite {
			t.Run(name, func(t *testing.T) {
				if subject.Bubble {
					synctest.Test(t, func(t *testing.T) { test(t, subject) })
					return
				}
				test(t, subject)
			})
		}
	}
}

// delivery is a delivery as a test sees it: its keys, and one owner's view.
type delivery struct {
	t     *testing.T
	store Store
	keys  replay.Keys
	owner replay.Owner
}

// key returns the nth key: all keys with different n are different, and
// spread as digests are.
func key(kind replay.Kind, n int) replay.Key {
	return replay.NewKey("storetest", []byte("secret"), kind, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// arrival is a delivery with the nth blocking key and the mth note that has
// just arrived, with an owner of its own. 0 leaves out the key or the note.
func arrival(t *testing.T, store Store, n, m int) delivery {
	d := delivery{t: t, store: store, owner: replay.NewOwner()}
	if n != 0 {
		d.keys.Blocking = []replay.Key{key(replay.KindContent, n)}
	}
	if m != 0 {
		d.keys.Notes = []replay.Key{key(replay.KindID, m)}
	}
	return d
}

// wide is a delivery with several blocking keys.
func wide(t *testing.T, store Store, keys ...int) delivery {
	d := arrival(t, store, 0, 0)
	for _, n := range keys {
		d.keys.Blocking = append(d.keys.Blocking, key(replay.KindContent, n))
	}
	return d
}

// noted returns d with more notes.
func (d delivery) noted(notes ...int) delivery {
	d.keys.Notes = slices.Clone(d.keys.Notes)
	for _, m := range notes {
		d.keys.Notes = append(d.keys.Notes, key(replay.KindID, m))
	}
	return d
}

func (d delivery) claim(want replay.Verdict) {
	d.t.Helper()
	d.claimFor(lease, want)
}

func (d delivery) claimFor(lease time.Duration, want replay.Verdict) {
	d.t.Helper()
	got, err := d.store.Claim(d.t.Context(), d.keys, d.owner, lease)
	if err != nil || got != want {
		d.t.Fatalf("Claim = %v, %v; want %v", got, err, want)
	}
}

func (d delivery) commit(status int) {
	d.t.Helper()
	d.commitFor(window, status)
}

func (d delivery) commitFor(window time.Duration, status int) {
	d.t.Helper()
	if err := d.store.Commit(d.t.Context(), d.keys, d.owner, window, status); err != nil {
		d.t.Fatalf("Commit: %v", err)
	}
}

func (d delivery) release(status int) {
	d.t.Helper()
	if err := d.store.Release(d.t.Context(), d.keys, d.owner, status); err != nil {
		d.t.Fatalf("Release: %v", err)
	}
}

// handle claims and commits.
func (d delivery) handle() {
	d.t.Helper()
	d.claim(replay.Ours)
	d.commit(200)
}

// states checks the states of all keys, blocking ones first.
func (d delivery) states(want ...replay.State) {
	d.t.Helper()
	got, err := d.store.Lookup(d.t.Context(), d.keys.All())
	if err != nil {
		d.t.Fatalf("Lookup: %v", err)
	}
	if len(got) != len(want) {
		d.t.Fatalf("Lookup returned %d states for %d keys", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			d.t.Errorf("key %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// wait waits in the background.
func (d delivery) wait(ctx context.Context) (result func() replay.Resolution) {
	var resolution replay.Resolution
	var err error
	var done sync.WaitGroup
	done.Go(func() { resolution, err = d.store.Wait(ctx, d.keys) })
	return func() replay.Resolution {
		d.t.Helper()
		done.Wait()
		if err != nil {
			d.t.Fatalf("Wait: %v", err)
		}
		return resolution
	}
}
