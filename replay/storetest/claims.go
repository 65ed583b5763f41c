package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// claims: who gets a delivery, and for how long.
var claims = map[string]func(*testing.T, Subject){
	"a new delivery is ours": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.states(replay.Free, replay.Free)
		d.claim(replay.Ours)
		d.states(replay.Claimed, replay.Claimed)
	},

	"a delivery without keys is refused": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 0, 0)
		if _, err := store.Claim(t.Context(), d.keys, d.owner, lease); !errors.Is(err, replay.ErrNoKeys) {
			t.Errorf("Claim without keys: %v, want ErrNoKeys", err)
		}
		if err := store.Commit(t.Context(), d.keys, d.owner, window, 200); err == nil {
			t.Error("Commit without keys succeeded")
		}
	},

	"verdicts follow Judge": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).handle()
		arrival(t, store, 2, 2).claim(replay.Ours)
		for _, test := range []struct {
			name       string
			id, digest int
			want       replay.Verdict
		}{
			{"the same again", 1, 1, replay.Duplicate},
			{"a handled ID with another content", 1, 9, replay.Duplicate},
			{"a handled ID with a content in progress", 1, 2, replay.Duplicate},
			{"a handled ID alone", 1, 0, replay.Duplicate},
			{"a handled content under a new ID", 9, 1, replay.Replayed},
			{"a handled content under an ID in progress", 2, 1, replay.Replayed},
			{"a handled content without an ID", 0, 1, replay.Duplicate},
			{"in progress", 2, 2, replay.InProgress},
			{"an ID in progress with another content", 2, 9, replay.InProgress},
			{"a content in progress under a new ID", 9, 2, replay.InProgress},
		} {
			t.Log(test.name)
			arrival(t, store, test.id, test.digest).claim(test.want)
		}
		arrival(t, store, 9, 9).states(replay.Free, replay.Free)
	},

	"keys are claimed together or not at all": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 0).claim(replay.Ours)
		arrival(t, store, 0, 2).claim(replay.Ours)
		arrival(t, store, 0, 3).handle()
		for range 3 {
			arrival(t, store, 1, 5).claim(replay.InProgress)
			arrival(t, store, 5, 2).claim(replay.InProgress)
			arrival(t, store, 5, 3).claim(replay.Replayed)
		}
		arrival(t, store, 5, 5).claim(replay.Ours)
	},

	"several IDs and digests of one delivery are all claimed": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 0, 0)
		for n := 1; n <= 5; n++ {
			d.keys.IDs = append(d.keys.IDs, key(replay.KindID, n))
			d.keys.Digests = append(d.keys.Digests, key(replay.KindDigest, n))
		}
		d.claim(replay.Ours)
		for n := 1; n <= 5; n++ {
			arrival(t, store, n, 0).claim(replay.InProgress)
			arrival(t, store, 0, n).claim(replay.InProgress)
		}
		d.commit(200)
		for n := 1; n <= 5; n++ {
			arrival(t, store, n, 0).claim(replay.Duplicate)
			arrival(t, store, n+10, n).claim(replay.Replayed)
		}
	},

	"one key named twice is one key": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 0)
		d.keys.IDs = append(d.keys.IDs, d.keys.IDs[0])
		d.claim(replay.Ours)
		d.commit(200)
		arrival(t, store, 1, 0).claim(replay.Duplicate)
		if got := store.Stats(); got.Remembered > 1 || got.Claimed > 0 {
			t.Errorf("Stats = %+v, want at most 1 remembered, 0 claimed", got)
		}
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

	"of many copies at once exactly one is ours": func(t *testing.T, s Subject) {
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
				t.Fatalf("delivery %d was given to %d owners", n, got)
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
					id, digest := (worker+round)%keys+1, (worker*3+round*5)%keys+1
					d := arrival(t, store, 0, 0)
					d.keys.Digests = []replay.Key{key(replay.KindDigest, id), key(replay.KindDigest, digest)}
					v, err := store.Claim(t.Context(), d.keys, d.owner, lease)
					if err != nil {
						t.Errorf("Claim: %v", err)
						return
					}
					if v != replay.Ours {
						continue
					}
					if id != digest {
						enter(t, &holders[digest])
					}
					enter(t, &holders[id])
					holders[id].Add(-1)
					if id != digest {
						holders[digest].Add(-1)
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

	"renewing prolongs a claim": func(t *testing.T, s Subject) {
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

	"a lease may be of any length": func(t *testing.T, s Subject) {
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
		t.Error("two claims hold one key")
	}
}
