package storetest

import (
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// notes tests keys that are written with a commit and never block a claim.
var notes = map[string]func(*testing.T, Subject){
	"only a commit writes a note": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.claim(replay.Ours)
		d.states(replay.Claimed, replay.Free)
		if err := store.Renew(t.Context(), d.keys, d.owner, lease); err != nil {
			t.Fatalf("Renew: %v", err)
		}
		d.states(replay.Claimed, replay.Free)
		d.release(500)
		d.states(replay.Free, replay.Free)
		d.claim(replay.Ours)
		d.commit(200)
		d.states(replay.Handled, replay.Handled)
	},

	"a note never blocks another delivery": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		first, second := arrival(t, store, 1, 1), arrival(t, store, 2, 1)
		first.claim(replay.Ours)
		second.claim(replay.Ours)
		first.commit(200)
		second.commit(200)
		arrival(t, store, 3, 1).handle()
		for n := 1; n <= 3; n++ {
			arrival(t, store, n, 1).claim(replay.Duplicate)
		}
	},

	"a note needs no claim": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 0)
		d.claim(replay.Ours)
		d = d.noted(1, 2)
		d.commit(200)
		d.states(replay.Handled, replay.Handled, replay.Handled)
		d.commit(200)
	},

	"a note remains until its window ends": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).handle()
		store.Advance(t, window-time.Minute)
		arrival(t, store, 1, 1).states(replay.Handled, replay.Handled)
		store.Advance(t, 2*time.Minute)
		arrival(t, store, 1, 1).states(replay.Free, replay.Free)
	},

	"a note keeps the later of its expiries": func(t *testing.T, s Subject) {
		for name, windows := range map[string][2]time.Duration{
			"the first commit's":  {window, time.Hour},
			"the second commit's": {time.Hour, window},
		} {
			store := s.Open(t, 0)
			for n, w := range windows {
				d := arrival(t, store, n+1, 1)
				d.claim(replay.Ours)
				d.commitFor(w, 200)
			}
			store.Advance(t, window-time.Minute)
			t.Log(name)
			arrival(t, store, 0, 1).states(replay.Handled)
			store.Advance(t, 2*time.Minute)
			arrival(t, store, 0, 1).states(replay.Free)
		}
	},

	"a repeated commit needs the blocking keys alone": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.handle()
		if _, err := store.Forget(t.Context(), d.keys.Notes); err != nil {
			t.Fatalf("Forget: %v", err)
		}
		d.commit(200)
		d.noted(2).commit(200)
	},

	"a note can be forgotten alone": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.handle()
		for i, want := range []int{1, 0} {
			if n, err := store.Forget(t.Context(), d.keys.Notes); n != want || err != nil {
				t.Fatalf("Forget, time %d = %d, %v; want %d", i+1, n, err, want)
			}
		}
		d.states(replay.Handled, replay.Free)
		arrival(t, store, 1, 1).claim(replay.Replayed)
	},

	"a commit does not change a note that is claimed by another delivery": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		claimed := arrival(t, store, 1, 0)
		claimed.claim(replay.Ours)
		other := arrival(t, store, 2, 0)
		other.keys.Notes = claimed.keys.Blocking
		other.handle()
		claimed.states(replay.Claimed)
		claimed.release(500)
		claimed.states(replay.Free)
	},

	"a note that is also a blocking key of its delivery is one key": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 0)
		d.keys.Notes = d.keys.Blocking
		d.claim(replay.Ours)
		d.commit(200)
		d.states(replay.Handled, replay.Handled)
		if got := store.Stats(); got.Remembered > 1 || got.Claimed > 0 {
			t.Errorf("Stats = %+v, want at most 1 remembered, 0 claimed", got)
		}
	},

	"a note of a former owner is not written": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		former := arrival(t, store, 1, 1)
		former.claim(replay.Ours)
		store.Advance(t, lease+time.Minute)
		arrival(t, store, 1, 0).claim(replay.Ours)
		former.refused()
		former.states(replay.Claimed, replay.Free)
	},
}
