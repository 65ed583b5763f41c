package caddymodule

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// haltingForget is a store that stops before one call of Forget until it is
// told what becomes of it.
type haltingForget struct {
	replay.Store
	passing int // so many calls do not stop, nor do those after the next
	fate    chan error
}

func (s *haltingForget) Forget(ctx context.Context, keys []replay.Key) (int, error) {
	s.passing--
	if s.passing == -1 {
		if err := <-s.fate; err != nil {
			return 0, err
		}
	}
	return s.Store.Forget(ctx, keys)
}

// forgotten opens a trial that has handled a delivery and forgotten it, and
// stops when the pass is used: before that, or, if spent, right after, before
// the digest is forgotten.
func forgotten(t *testing.T, spent bool) (*bench, *haltingForget) {
	t.Helper()
	b := trial(t, config("github", ""))
	b.expect(t, github("1", content), Verified, 200)
	if found, err := b.handler.forget(t.Context(), "1"); err != nil || len(found) != 1 || !found[0].Forgotten {
		t.Fatalf("forgetting: %v, %v", found, err)
	}
	store := &haltingForget{Store: b.handler.store, fate: make(chan error)}
	if spent {
		store.passing = 1
	}
	b.handler.store = store
	return b, store
}

func TestCopiesOfAForgottenDeliveryWaitWhileItsPassIsUsed(t *testing.T) {
	for when, spent := range map[string]bool{"before the pass is used": false, "before the digest is forgotten": true} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, store := forgotten(t, spent)
				collect := b.inFlight(github("1", content), github("1", content))
				b.expect(t, github("9", content), Replayed, 409)
				store.fate <- nil
				got := collect()
				if got[0].Outcome != Verified || got[0].Status != 200 {
					t.Errorf("the first got %s, status %d", got[0].Outcome, got[0].Status)
				}
				if got[1].Outcome != InProgress || got[1].Status != 200 || got[1].Reached {
					t.Errorf("the copy got %s, status %d, reached %t", got[1].Outcome, got[1].Status, got[1].Reached)
				}
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
	}
}

func TestAPassIsAsGoodAsBeforeWhenTheStoreFails(t *testing.T) {
	for when, spent := range map[string]bool{"before the pass is used": false, "before the digest is forgotten": true} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, store := forgotten(t, spent)
				collect := b.inFlight(github("1", content))
				store.fate <- errStore
				if got := collect()[0]; got.Outcome != StoreUnavailable || got.Status != 503 {
					t.Errorf("got %s, status %d", got.Outcome, got.Status)
				}
				synctest.Wait() // the ID is released in the background
				b.expect(t, github("1", content), Verified, 200)
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
	}
}

func TestAPassThatRunsOutAtTheLastMomentLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, store := forgotten(t, false)
		collect := b.inFlight(github("1", content))
		if n, err := store.Store.Forget(t.Context(), []replay.Key{b.handler.named("1")[0].pardon}); n != 1 || err != nil {
			t.Fatalf("%d passes, %v", n, err)
		}
		store.fate <- nil
		if got := collect()[0]; got.Outcome != Replayed || got.Status != 409 {
			t.Errorf("got %s, status %d", got.Outcome, got.Status)
		}
		synctest.Wait() // the ID is released in the background
		if claimed := b.handler.store.Stats().Claimed; claimed != 0 {
			t.Errorf("%d keys are still claimed", claimed)
		}
		b.expect(t, github("1", content), Replayed, 409)
	})
}
