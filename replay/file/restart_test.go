package file

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// A store and its file must agree after any sequence of operations: each step
// is followed by a crash.
func TestTheFileAgreesWithTheStore(t *testing.T) {
	type step func(*testing.T, *Store)
	commit := func(blocking, note byte, window time.Duration) step {
		return func(t *testing.T, store *Store) {
			t.Helper()
			keys := replay.Keys{Blocking: []replay.Key{{blocking}}}
			if note != 0 {
				keys.Notes = []replay.Key{{note}}
			}
			owner := replay.NewOwner()
			if v, err := store.Claim(t.Context(), keys, owner, time.Minute); v != replay.Ours || err != nil {
				t.Fatalf("Claim = %v, %v", v, err)
			}
			if err := store.Commit(t.Context(), keys, owner, window, 200); err != nil {
				t.Fatalf("Commit: %v", err)
			}
		}
	}
	forget := func(key byte) step {
		return func(t *testing.T, store *Store) {
			t.Helper()
			if n, err := store.Forget(t.Context(), []replay.Key{{key}}); n != 1 || err != nil {
				t.Fatalf("Forget = %d, %v", n, err)
			}
		}
	}
	claimed := func(key byte, during step) step {
		return func(t *testing.T, store *Store) {
			t.Helper()
			keys, owner := replay.Keys{Blocking: []replay.Key{{key}}}, replay.NewOwner()
			if v, err := store.Claim(t.Context(), keys, owner, time.Minute); v != replay.Ours || err != nil {
				t.Fatalf("Claim = %v, %v", v, err)
			}
			during(t, store)
			if err := store.Release(t.Context(), keys, owner, 500); err != nil {
				t.Fatalf("Release: %v", err)
			}
		}
	}
	wait := func(d time.Duration) step { return func(*testing.T, *Store) { time.Sleep(d) } }

	const note = 9
	for name, steps := range map[string][]step{
		"forgotten, then handled with a longer window":            {commit(1, 0, time.Hour), forget(1), commit(1, 0, 5*time.Hour), wait(2 * time.Hour)},
		"forgotten, then handled with a shorter window":           {commit(1, 0, 5*time.Hour), forget(1), commit(1, 0, 2*time.Hour), wait(time.Hour)},
		"forgotten, then handled in the same second":              {commit(1, 0, time.Hour), forget(1), commit(1, 0, time.Hour)},
		"forgotten twice in one second":                           {commit(1, 0, time.Hour), forget(1), commit(1, 0, time.Hour), forget(1)},
		"a note written again later":                              {commit(1, note, 2*time.Hour), wait(time.Hour), commit(2, note, 2*time.Hour), wait(90 * time.Minute)},
		"a note written again with a shorter window":              {commit(1, note, 5*time.Hour), commit(2, note, time.Hour), wait(2 * time.Hour)},
		"a note written again, then forgotten":                    {commit(1, note, 2*time.Hour), wait(time.Hour), commit(2, note, 2*time.Hour), forget(note)},
		"a note written again in the same period, then forgotten": {commit(1, note, 2*time.Hour), wait(time.Second), commit(2, note, 2*time.Hour), forget(note)},
		"a note whose key is claimed":                             {claimed(note, commit(1, note, time.Hour))},
		"a note forgotten, then written":                          {commit(1, note, 2*time.Hour), forget(note), commit(2, note, time.Hour)},
		"a note forgotten, then written with a longer window":     {commit(1, note, time.Hour), forget(note), commit(2, note, 4*time.Hour), wait(2 * time.Hour), forget(note)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "replay.db")
				store := mustOpen(t, Options{Path: path})
				for n, step := range steps {
					step(t, store)
					agree(t, store, mustOpen(t, Options{Path: crash(t, path)}), n)
				}
			})
		})
	}
}

// agree checks that two stores have the same keys with the same expiries.
func agree(t *testing.T, store, after *Store, step int) {
	t.Helper()
	keys := []replay.Key{{1}, {2}, {3}, {4}, {9}}
	want, got := store.ledger.Entries(keys), after.ledger.Entries(keys)
	for i := range keys {
		if got[i] != want[i] {
			t.Errorf("after step %d key %d is %+v, after a crash %+v", step, keys[i][0], want[i], got[i])
		}
	}
}

// Several commits with the same note, and requests to forget it, can be in one
// group.
func TestTheFileAgreesWithTheStoreAfterOneGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "replay.db")
		store := mustOpen(t, Options{Path: path})
		note := replay.Key{9}
		var group []*request
		add := func(blocking byte, window time.Duration) {
			r := newRequest()
			r.keys = replay.Keys{Blocking: []replay.Key{{blocking}}, Notes: []replay.Key{note}}
			r.owner, r.window, r.status = replay.NewOwner(), window, 200
			if v, err := store.Claim(t.Context(), r.keys, r.owner, time.Minute); v != replay.Ours || err != nil {
				t.Fatalf("Claim = %v, %v", v, err)
			}
			if _, err := store.ledger.Pin(r.keys, r.owner); err != nil {
				t.Fatalf("Pin: %v", err)
			}
			group = append(group, r)
		}
		add(1, 2*time.Hour)
		add(2, 5*time.Hour)
		add(3, time.Hour)
		for _, key := range []replay.Key{{1}, note} {
			r := newRequest()
			r.forget = []replay.Key{key}
			group = append(group, r)
		}
		add(4, 90*time.Minute)

		store.mu.Lock()
		store.pending = group
		store.signal()
		store.mu.Unlock()
		for n, r := range group {
			if err := r.wait(t.Context()); err != nil {
				t.Errorf("request %d: %v", n, err)
			}
		}
		if group[3].forgotten != 1 || group[4].forgotten != 1 {
			t.Errorf("%d and %d keys were forgotten, want 1 and 1", group[3].forgotten, group[4].forgotten)
		}
		agree(t, store, mustOpen(t, Options{Path: crash(t, path)}), len(group))
		if states, _ := store.Lookup(t.Context(), []replay.Key{{1}, {2}, {3}, {4}, note}); states[0] != replay.Free || states[4] != replay.Handled {
			t.Errorf("states = %v, want the first free and the note handled", states)
		}
	})
}
