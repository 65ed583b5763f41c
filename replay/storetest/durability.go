package storetest

import (
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// durability tests what survives a crash and steps of the wall clock.
var durability = map[string]func(*testing.T, Subject){
	"handled deliveries survive a crash": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.Reopen == nil {
			return
		}
		for n := 1; n <= 100; n++ {
			arrival(t, store, n, n).handle()
		}
		for range 2 {
			store = store.Reopen(t)
			for n := 1; n <= 100; n++ {
				arrival(t, store, n, n).claim(replay.Duplicate)
				arrival(t, store, n, n+1000).claim(replay.Replayed)
			}
		}
		store.Advance(t, window+time.Minute)
		arrival(t, store, 1, 1).claim(replay.Ours)
	},

	"windows continue while the store is closed": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.Reopen == nil {
			return
		}
		short, long := arrival(t, store, 1, 1), arrival(t, store, 2, 2)
		short.claim(replay.Ours)
		short.commitFor(time.Hour, 200)
		long.claim(replay.Ours)
		long.commitFor(3*time.Hour, 200)
		store.Advance(t, 2*time.Hour)
		store = store.Reopen(t)
		arrival(t, store, 1, 1).states(replay.Free, replay.Free)
		arrival(t, store, 2, 2).states(replay.Handled, replay.Handled)
	},

	"after a crash a claim lasts at most until its lease expires": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.Reopen == nil {
			return
		}
		arrival(t, store, 1, 1).claimFor(lease, replay.Ours)
		store = store.Reopen(t)
		store.Advance(t, lease+time.Minute)
		arrival(t, store, 1, 1).handle()
	},

	"a released delivery stays free after a crash": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.Reopen == nil {
			return
		}
		d := arrival(t, store, 1, 1)
		d.claim(replay.Ours)
		d.release(500)
		store = store.Reopen(t)
		arrival(t, store, 1, 1).claim(replay.Ours)
	},

	"a forgotten delivery stays forgotten after a crash": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.Reopen == nil {
			return
		}
		for n := 1; n <= 2; n++ {
			arrival(t, store, n, n).handle()
			if _, err := store.Forget(t.Context(), arrival(t, store, n, n).keys.All()); err != nil {
				t.Fatalf("Forget: %v", err)
			}
		}
		arrival(t, store, 2, 2).handle()
		store = store.Reopen(t)
		arrival(t, store, 1, 1).states(replay.Free, replay.Free)
		arrival(t, store, 2, 2).states(replay.Handled, replay.Handled)
	},

	"steps of the wall clock expire nothing early": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.StepWallClock == nil {
			return
		}
		arrival(t, store, 1, 1).handle()
		for n, step := range []time.Duration{-time.Hour, 48 * time.Hour, -2000 * time.Hour, 4000 * time.Hour} {
			store.StepWallClock(step)
			arrival(t, store, 1, 1).claim(replay.Duplicate)
			arrival(t, store, n+2, n+2).handle()
			arrival(t, store, n+2, n+2).claim(replay.Duplicate)
			held := arrival(t, store, n+100, n+100)
			held.claim(replay.Ours)
			arrival(t, store, n+100, n+100).claim(replay.InProgress)
			held.commit(200)
		}
	},

	"a wall clock set back during a restart expires nothing early": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		if store.StepWallClock == nil || store.Reopen == nil {
			return
		}
		arrival(t, store, 1, 1).handle()
		store.StepWallClock(-10 * time.Hour)
		store = store.Reopen(t)
		arrival(t, store, 1, 1).claim(replay.Duplicate)
		arrival(t, store, 2, 2).handle()
		store.StepWallClock(20 * time.Hour)
		store = store.Reopen(t)
		arrival(t, store, 2, 2).claim(replay.Duplicate)
	},
}
