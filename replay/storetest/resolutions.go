package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// resolutions tests the effects of commit, release and forget, and who can call
// them.
var resolutions = map[string]func(*testing.T, Subject){
	"a committed delivery is handled": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.handle()
		d.states(replay.Handled, replay.Handled)
		store.Advance(t, window-time.Minute)
		d.states(replay.Handled, replay.Handled)
		arrival(t, store, 1, 1).claim(replay.Duplicate)
	},

	"a handled delivery is forgotten after its window": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).handle()
		store.Advance(t, window+time.Minute)
		arrival(t, store, 1, 1).states(replay.Free, replay.Free)
		arrival(t, store, 1, 1).handle()
		arrival(t, store, 1, 1).claim(replay.Duplicate)
	},

	"every delivery has its own window": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		windows := []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour, 30 * 24 * time.Hour, 100 * 24 * time.Hour}
		for n, w := range windows {
			d := arrival(t, store, n+1, n+1)
			d.claim(replay.Ours)
			d.commitFor(w, 200)
		}
		var passed time.Duration
		for n, w := range windows {
			almost := w - w/100 - passed
			store.Advance(t, almost)
			arrival(t, store, n+1, n+1).states(replay.Handled, replay.Handled)
			store.Advance(t, w+w/100-passed-almost)
			passed = w + w/100
			arrival(t, store, n+1, n+1).states(replay.Free, replay.Free)
		}
	},

	"a released delivery is free at once": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.claim(replay.Ours)
		d.release(500)
		d.states(replay.Free, replay.Free)
		arrival(t, store, 1, 1).handle()
	},

	"a commit repeated by its owner succeeds": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.handle()
		d.commit(200)
		d.states(replay.Handled, replay.Handled)
		if got := store.Stats(); got.Remembered > 2 {
			t.Errorf("Stats = %+v, want 2 remembered", got)
		}
	},

	"only the owner can commit, renew and release": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		owner := arrival(t, store, 1, 1)
		owner.claim(replay.Ours)
		other := arrival(t, store, 1, 1)
		other.refused()
		other.release(500)
		owner.states(replay.Claimed, replay.Free)
		owner.commit(200)
		other.refused()
		other.release(500)
		owner.states(replay.Handled, replay.Handled)
	},

	"without a claim there is nothing to commit or renew": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.refused()
		d.release(0)
		d.states(replay.Free, replay.Free)
	},

	"a released claim cannot be committed": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		d.claim(replay.Ours)
		d.release(500)
		d.refused()
		d.states(replay.Free, replay.Free)
	},

	"a former owner changes nothing": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		former := arrival(t, store, 1, 1)
		former.claimFor(lease, replay.Ours)
		store.Advance(t, lease+time.Minute)
		former.refused()
		former.states(replay.Free, replay.Free)

		heir := arrival(t, store, 1, 1)
		heir.claim(replay.Ours)
		former.refused()
		former.release(500)
		heir.states(replay.Claimed, replay.Free)
		heir.commit(200)
		former.refused()
		heir.states(replay.Handled, replay.Handled)
	},

	"a commit without one of its claims changes nothing": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 0)
		d.claim(replay.Ours)
		wider := wide(t, store, 1, 7).noted(7)
		wider.owner = d.owner
		wider.refused()
		wider.states(replay.Claimed, replay.Free, replay.Free)
		arrival(t, store, 7, 0).claim(replay.Ours)
		wider.refused()
		wider.states(replay.Claimed, replay.Claimed, replay.Free)
	},

	"a release frees only the keys that the owner still holds": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 0)
		d.claim(replay.Ours)
		arrival(t, store, 2, 0).claim(replay.Ours)
		arrival(t, store, 3, 3).handle()
		wider := wide(t, store, 1, 2, 3, 4).noted(3, 4)
		wider.owner = d.owner
		wider.release(500)
		wider.states(replay.Free, replay.Claimed, replay.Handled, replay.Free, replay.Handled, replay.Free)
	},

	"a forgotten delivery can be claimed again": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		handled, claimed := arrival(t, store, 1, 1), arrival(t, store, 2, 2)
		handled.handle()
		claimed.claim(replay.Ours)
		keys := append(append(handled.keys.All(), claimed.keys.All()...), key(replay.KindID, 3))
		for i, want := range []int{2, 0} {
			n, err := store.Forget(t.Context(), keys)
			if err != nil || n != want {
				t.Fatalf("Forget, time %d = %d, %v; want %d", i+1, n, err, want)
			}
		}
		handled.states(replay.Free, replay.Free)
		claimed.states(replay.Claimed, replay.Free)
		claimed.commit(200)
		handled.refused()
		again := arrival(t, store, 1, 1)
		again.handle()
		again.states(replay.Handled, replay.Handled)
		store.Advance(t, window-time.Minute)
		again.states(replay.Handled, replay.Handled)
	},

	"a lookup changes nothing": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		for range 3 {
			arrival(t, store, 1, 1).states(replay.Free, replay.Free)
		}
		if states, err := store.Lookup(t.Context(), nil); err != nil || len(states) != 0 {
			t.Errorf("Lookup of nothing = %v, %v", states, err)
		}
		arrival(t, store, 1, 1).claim(replay.Ours)
	},
}

// refused checks that commit and renewal are rejected for a caller that is not
// the owner.
func (d delivery) refused() {
	d.t.Helper()
	if err := d.store.Commit(d.t.Context(), d.keys, d.owner, window, 200); !errors.Is(err, replay.ErrNotOwner) {
		d.t.Errorf("Commit = %v, want ErrNotOwner", err)
	}
	if err := d.store.Renew(d.t.Context(), d.keys, d.owner, lease); !errors.Is(err, replay.ErrNotOwner) {
		d.t.Errorf("Renew = %v, want ErrNotOwner", err)
	}
}
