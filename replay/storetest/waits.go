package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// waits tests the resolutions that waiting copies receive. A copy can start to
// wait before or after the claim has ended: the result must be the same.
var waits = map[string]func(*testing.T, Subject){
	"waiting for an unclaimed delivery ends at once": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		d := arrival(t, store, 1, 1)
		if got := d.wait(t.Context())(); got != (replay.Resolution{State: replay.Free}) {
			t.Errorf("Wait = %+v, want free", got)
		}
		d.handle()
		if got := d.wait(t.Context())(); got != (replay.Resolution{State: replay.Handled, Status: 200}) {
			t.Errorf("Wait = %+v, want handled with 200", got)
		}
	},

	"all waiting copies receive a commit": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		owner := arrival(t, store, 1, 1)
		owner.claim(replay.Ours)
		results := crowd(t, store)
		owner.commit(204)
		for _, result := range results {
			if got := result(); got != (replay.Resolution{State: replay.Handled, Status: 204}) {
				t.Errorf("Wait = %+v, want handled with 204", got)
			}
		}
	},

	"all waiting copies receive a release": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		owner := arrival(t, store, 1, 1)
		owner.claim(replay.Ours)
		results := crowd(t, store)
		owner.release(502)
		for _, result := range results {
			if got := result(); got != (replay.Resolution{State: replay.Free, Status: 502}) {
				t.Errorf("Wait = %+v, want free with 502", got)
			}
		}
	},

	"waiting ends with the lease": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).claimFor(lease, replay.Ours)
		result := arrival(t, store, 1, 1).wait(t.Context())
		store.Advance(t, lease+time.Minute)
		if got := result(); got != (replay.Resolution{State: replay.Free}) {
			t.Errorf("Wait = %+v, want free", got)
		}
	},

	"waiting continues while the lease is renewed": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		owner := arrival(t, store, 1, 1)
		owner.claimFor(lease, replay.Ours)
		result := arrival(t, store, 1, 1).wait(t.Context())
		for range 3 {
			store.Advance(t, lease-time.Minute)
			if err := store.Renew(t.Context(), owner.keys, owner.owner, lease); err != nil {
				t.Fatalf("Renew: %v", err)
			}
		}
		owner.commit(200)
		if got := result(); got != (replay.Resolution{State: replay.Handled, Status: 200}) {
			t.Errorf("Wait = %+v, want handled with 200", got)
		}
	},

	"waiting ends with its context": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).claim(replay.Ours)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if got := arrival(t, store, 1, 1).wait(ctx)(); got != (replay.Resolution{State: replay.Claimed}) {
			t.Errorf("Wait = %+v, want claimed", got)
		}
	},

	"waiting covers every blocking key and returns the resolution of the first": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		first, second := arrival(t, store, 1, 0), arrival(t, store, 2, 0)
		first.claim(replay.Ours)
		second.claim(replay.Ours)
		result := wide(t, store, 1, 2).wait(t.Context())
		first.release(500)
		second.commit(200)
		if got := result(); got != (replay.Resolution{State: replay.Free, Status: 500}) {
			t.Errorf("Wait = %+v, want the resolution of the first key: free with 500", got)
		}
	},

	"a wait for content receives its commit under another ID": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		owner := arrival(t, store, 1, 1)
		owner.claim(replay.Ours)
		result := arrival(t, store, 1, 2).wait(t.Context())
		owner.commit(200)
		if got := result(); got != (replay.Resolution{State: replay.Handled, Status: 200}) {
			t.Errorf("Wait = %+v, want handled with 200", got)
		}
	},

	"waiting ignores notes": func(t *testing.T, s Subject) {
		store := s.Open(t, 0)
		arrival(t, store, 1, 1).handle()
		arrival(t, store, 2, 2).claim(replay.Ours)
		d := arrival(t, store, 3, 1).noted(2)
		d.keys.Notes = append(d.keys.Notes, key(replay.KindContent, 2))
		if got := d.wait(t.Context())(); got != (replay.Resolution{State: replay.Free}) {
			t.Errorf("Wait = %+v, want free", got)
		}
	},
}

// crowd starts many copies that wait for delivery 1.
func crowd(t *testing.T, store Store) (results []func() replay.Resolution) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	for range 50 {
		results = append(results, arrival(t, store, 1, 1).wait(ctx))
	}
	return results
}
