package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// claims tests which caller gets a claim, and for how long.
var claims = map[string]func(*testing.T, Subject){
	"a new delivery is ours": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.states(replay.Free, replay.Free)
		d.claim(replay.Ours)
		d.states(replay.Claimed, replay.Free)
	},

	"a delivery without blocking keys is rejected": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		for _, d := range []delivery{arrival(t, store, 0, 0), arrival(t, store, 0, 1)} {
			if _, err := store.Claim(t.Context(), d.keys, d.owner, lease); !errors.Is(err, replay.ErrNoKeys) {
				t.Errorf("Claim: %v, want ErrNoKeys", err)
			}
			if err := store.Renew(t.Context(), d.keys, d.owner, lease); !errors.Is(err, replay.ErrNoKeys) {
				t.Errorf("Renew: %v, want ErrNoKeys", err)
			}
			if err := store.Commit(t.Context(), d.keys, d.owner, window, 200); !errors.Is(err, replay.ErrNoKeys) {
				t.Errorf("Commit: %v, want ErrNoKeys", err)
			}
			d.release(500)
			if got := d.wait(t.Context())(); got != (replay.Resolution{State: replay.Free}) {
				t.Errorf("Wait = %+v, want free", got)
			}
		}
		arrival(t, store, 0, 1).states(replay.Free)
	},

	"verdicts follow Judge": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).handle()
		arrival(t, store, 2, 2).claim(replay.Ours)
		arrival(t, store, 3, 0).handle()
		for _, test := range []struct {
			name string
			d    delivery
			want replay.Verdict
		}{
			{"the same keys", arrival(t, store, 1, 1), replay.Duplicate},
			{"a handled key without a note", arrival(t, store, 1, 0), replay.Duplicate},
			{"a handled key under a new note", arrival(t, store, 1, 9), replay.Replayed},
			{"a handled key under a note in progress", arrival(t, store, 1, 2), replay.Replayed},
			{"a handled key with one handled note of two", arrival(t, store, 1, 9).noted(1), replay.Duplicate},
			{"a key handled without a note, under a note", arrival(t, store, 3, 9), replay.Replayed},
			{"a key handled without a note, under another's note", arrival(t, store, 3, 1), replay.Duplicate},
			{"in progress", arrival(t, store, 2, 2), replay.InProgress},
			{"in progress under a new note", arrival(t, store, 2, 9), replay.InProgress},
			{"in progress under a handled note", arrival(t, store, 2, 1), replay.InProgress},
			{"in progress without a note", arrival(t, store, 2, 0), replay.InProgress},
			{"a handled key and one in progress", wide(t, store, 2, 1), replay.Duplicate},
			{"a free key and one in progress", wide(t, store, 9, 2), replay.InProgress},
			{"a free key and a handled one, under a new note", wide(t, store, 9, 1).noted(9), replay.Replayed},
			{"a new key under a handled note", arrival(t, store, 4, 1), replay.Ours},
			{"a new key under a note in progress", arrival(t, store, 5, 2), replay.Ours},
		} {
			t.Log(test.name)
			test.d.claim(test.want)
		}
		arrival(t, store, 9, 9).states(replay.Free, replay.Free)
	},

	"keys are claimed together or not at all": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 0).claim(replay.Ours)
		arrival(t, store, 2, 0).handle()
		for range 3 {
			wide(t, store, 1, 5).claim(replay.InProgress)
			wide(t, store, 5, 1).claim(replay.InProgress)
			wide(t, store, 5, 2).claim(replay.Duplicate)
			wide(t, store, 2, 5).noted(5).claim(replay.Replayed)
		}
		arrival(t, store, 5, 5).states(replay.Free, replay.Free)
		arrival(t, store, 5, 5).claim(replay.Ours)
	},

	"several blocking keys of one delivery are all claimed": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := wide(t, store, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10).noted(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		d.claim(replay.Ours)
		for n := 1; n <= 10; n++ {
			arrival(t, store, n, 0).claim(replay.InProgress)
		}
		d.commit(200)
		for n := 1; n <= 10; n++ {
			arrival(t, store, n, 11-n).claim(replay.Duplicate)
			arrival(t, store, n, n+10).claim(replay.Replayed)
		}
	},

	"a duplicate key counts once": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := wide(t, store, 1, 1).noted(1, 1)
		d.claim(replay.Ours)
		d.claim(replay.Ours)
		if err := store.Renew(t.Context(), d.keys, d.owner, lease); err != nil {
			t.Errorf("Renew: %v", err)
		}
		d.commit(200)
		arrival(t, store, 1, 1).claim(replay.Duplicate)
		if got := store.Stats(); got.Remembered > 2 || got.Claimed > 0 {
			t.Errorf("Stats = %+v, want at most 2 remembered, 0 claimed", got)
		}
		released := wide(t, store, 2, 2)
		released.claim(replay.Ours)
		released.release(500)
		released.states(replay.Free, replay.Free)
	},

	"a claim repeated by its owner is still ours": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.claimFor(lease, replay.Ours)
		d.claimFor(3*lease, replay.Ours)
		store.Advance(t, 2*lease)
		arrival(t, store, 1, 1).claim(replay.InProgress)
		d.commit(200)
	},

	"exactly one of many concurrent copies is ours": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		for n := 1; n <= 50; n++ {
			var ours atomic.Int32
			var all sync.WaitGroup
			for range 32 {
				d := arrival(t, store, n, n)
				all.Go(func() {
					v, err := store.Claim(t.Context(), d.keys, d.owner, lease)
					if err != nil {
						t.Errorf("Claim: %v", err)
					}
					if v != replay.Ours {
						return
					}
					ours.Add(1)
					if err := store.Commit(t.Context(), d.keys, d.owner, window, 200); err != nil {
						t.Errorf("Commit: %v", err)
					}
				})
			}
			all.Wait()
			if got := ours.Load(); got != 1 {
				t.Fatalf("delivery %d was claimed by %d owners", n, got)
			}
		}
	},

	"deliveries that overlap never share a key": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		const keys = 8
		var holders [keys + 1]atomic.Int32
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for round := range 100 {
					first, second := (worker+round)%keys+1, (worker*3+round*5)%keys+1
					d := arrival(t, store, 0, 0)
					d.keys.Blocking = []replay.Key{key(replay.KindContent, first), key(replay.KindContent, second)}
					v, err := store.Claim(t.Context(), d.keys, d.owner, lease)
					if err != nil {
						t.Errorf("Claim: %v", err)
						return
					}
					if v != replay.Ours {
						continue
					}
					if first != second {
						enter(t, &holders[second])
					}
					enter(t, &holders[first])
					holders[first].Add(-1)
					if first != second {
						holders[second].Add(-1)
					}
					if err := store.Release(t.Context(), d.keys, d.owner, 500); err != nil {
						t.Errorf("Release: %v", err)
					}
				}
			})
		}
		all.Wait()
	},

	"a claim ends with its lease": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).claimFor(lease, replay.Ours)
		store.Advance(t, lease-time.Minute)
		arrival(t, store, 1, 1).claim(replay.InProgress)
		store.Advance(t, 2*time.Minute)
		arrival(t, store, 1, 1).states(replay.Free, replay.Free)
		arrival(t, store, 1, 1).claim(replay.Ours)
	},

	"renewing extends a claim": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.claimFor(lease, replay.Ours)
		for range 3 {
			store.Advance(t, lease-time.Minute)
			if err := store.Renew(t.Context(), d.keys, d.owner, lease); err != nil {
				t.Fatalf("Renew: %v", err)
			}
		}
		store.Advance(t, lease-time.Minute)
		arrival(t, store, 1, 1).claim(replay.InProgress)
		store.Advance(t, 2*time.Minute)
		arrival(t, store, 1, 1).claim(replay.Ours)
	},

	"a lease can have any length": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 0).claimFor(90*time.Second, replay.Ours)
		arrival(t, store, 2, 0).claimFor(90*time.Minute, replay.Ours)
		store.Advance(t, 2*time.Minute)
		arrival(t, store, 1, 0).claim(replay.Ours)
		arrival(t, store, 2, 0).claim(replay.InProgress)
	},
}

func enter(t *testing.T, holders *atomic.Int32) {
	t.Helper()
	if holders.Add(1) != 1 {
		t.Error("two claims have the same key")
	}
}
