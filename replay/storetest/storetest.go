// Package storetest is the conformance suite of replay stores. Every store runs
// its tests of [replay.Store] and the optional interfaces.
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

// Subject is a kind of store to test.
type Subject struct {
	// Open returns an empty store that is closed with t. A limit other than 0
	// is the maximum number of its keys.
	Open func(t *testing.T, limit int64) Instance
	// Bubble runs every test with the fake time of testing/synctest. A store
	// that uses the network cannot be tested in it.
	Bubble bool
	// Unbounded: the store has no limit.
	Unbounded bool
}

// Store is a store with the optional interfaces, which the suite uses to check
// the effects of the other methods.
type Store interface {
	replay.Store
	replay.Lookuper
	replay.Forgetter
	replay.StatsReporter
}

// Instance is one store with the operations that the tests need.
type Instance struct {
	Store
	// Advance advances the store's time by d.
	Advance func(t *testing.T, d time.Duration)
	// SetLimit changes the limit; nil if Subject.Unbounded.
	SetLimit func(limit int64)
	// Reopen reopens the store without closing it, as after a crash; nil if its
	// contents do not survive the process.
	Reopen func(t *testing.T) Instance
	// StepWallClock changes the wall clock; nil if the store does not use it.
	StepWallClock func(d time.Duration)
}

// Times used in all tests. They are so long that none of them expires on a slow
// machine unless a test advances the time.
const (
	lease  = time.Hour
	window = 24 * time.Hour
)

// patience is the maximum wait for an event that is certain to occur.
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

// delivery is a delivery in a test: its keys and one owner.
type delivery struct {
	t     *testing.T
	store Store
	keys  replay.Keys
	owner replay.Owner
}

// key returns the nth key. Keys with different n are different, and distributed
// like digests.
func key(kind replay.Kind, n int) replay.Key {
	return replay.NewKey("storetest", []byte("secret"), kind, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// arrival is a new delivery with the nth blocking key, the mth note and a new
// owner. 0 omits the key or the note.
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

// noted returns d with additional notes.
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

// states checks the states of all keys, blocking keys first.
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

// wait calls Wait in the background.
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
