package caddymodule

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// haltingForget is a store that blocks in one call of Forget until a test sends
// its result.
type haltingForget struct {
	Store
	passing int // number of calls before the one that blocks
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

// forgotten opens a trial that has handled a delivery and forgotten it. Its store
// blocks while the pass is used: before the content is forgotten or, if spent,
// after the delivery is claimed and before the pass is removed.
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

func TestCopiesWaitWhileAPassIsUsed(t *testing.T) {
	for when, test := range map[string]struct {
		spent bool
		other Outcome // of the same content with another ID meanwhile
	}{
		"before the content is forgotten": {false, Replayed},
		"before the pass is removed":      {true, InProgress},
	} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, store := forgotten(t, test.spent)
				collect := b.inFlight(github("1", content), github("1", content), github("9", content))
				store.fate <- nil
				got := collect()
				if got[0].Outcome != Verified || got[0].Status != 200 {
					t.Errorf("the first got %s, status %d", got[0].Outcome, got[0].Status)
				}
				if got[1].Outcome != InProgress && got[1].Outcome != Duplicate || got[1].Status != 200 || got[1].Reached {
					t.Errorf("the copy got %s, status %d, reached %t", got[1].Outcome, got[1].Status, got[1].Reached)
				}
				if got[2].Outcome != Replayed || got[2].Status != 200 || got[2].Reached {
					t.Errorf("the replay under another ID got %s, status %d, reached %t", got[2].Outcome, got[2].Status, got[2].Reached)
				}
				b.expect(t, github("1", content), Duplicate, 200)
				b.expect(t, github("9", content), Replayed, 200)
			})
		})
	}
}

// If the store fails while a pass is used, the delivery that an operator has
// forgotten must not be lost.
func TestPassRemainsValidIfTheStoreFails(t *testing.T) {
	for when, spent := range map[string]bool{"before the content is forgotten": false, "before the pass is removed": true} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, store := forgotten(t, spent)
				collect := b.inFlight(github("1", content))
				store.fate <- errStore
				if got := collect()[0]; got.Outcome != StoreUnavailable || got.Status != 503 {
					t.Errorf("got %s, status %d", got.Outcome, got.Status)
				}
				synctest.Wait() // the claim is released in the background
				b.expect(t, github("1", content), Verified, 200)
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
	}
}

// A handler behind the gate, like webhook_queue, accepts a delivery that it remembers
// without delivering it. If it fails after the pass was used, or while it forgets the
// delivery, the provider's retry must still be delivered.
func TestRedeliveryIsForgottenByHandlersThatRememberIt(t *testing.T) {
	for name, fault := range map[string]string{"no failure": "", "forgetting fails": "forget", "storing fails": "store"} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, config("github", ""))
			remembered, delivered := make(map[string]bool), 0
			b.handler.app.OnForget(func(_ context.Context, key string) error {
				if fault == "forget" {
					fault = ""
					return errStore
				}
				delete(remembered, key)
				return nil
			})
			b.App = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				key := r.Header.Get("Webhook-Verified-Key")
				if fault == "store" {
					fault = ""
					w.WriteHeader(503)
					return
				}
				if !remembered[key] {
					delivered++
				}
				remembered[key] = true
			})
			kept := fault
			fault = ""
			b.expect(t, github("1", content), Verified, 200)
			if _, err := b.handler.forget(t.Context(), "1"); err != nil {
				t.Fatal(err)
			}
			if fault = kept; fault != "" {
				if got := b.Send(github("1", content)); got.Status != 503 {
					t.Fatalf("with the failure: %s, status %d", got.Outcome, got.Status)
				}
			}
			b.expect(t, github("1", content), Verified, 200)
			if delivered != 2 {
				t.Errorf("delivered %d times, want 2", delivered)
			}
		})
	}
}

// A copy, which an attacker can have sent, uses the pass, and the store fails. The
// delivery that the operator has forgotten waits for it, and must not get a success
// without being handled.
func TestWaitingCopyUsesThePassOfOneThatFailed(t *testing.T) {
	for when, spent := range map[string]bool{"before the content is forgotten": false, "before the pass is removed": true} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, store := forgotten(t, spent)
				collect := b.inFlight(github("1", content), github("1", content), github("1", content))
				store.fate <- errStore
				reached, successes := 0, 0
				for _, got := range collect() {
					if got.Reached {
						reached++
					}
					if got.Status == 200 {
						successes++
					} else if got.Status != 503 {
						t.Errorf("a copy got %s, status %d", got.Outcome, got.Status)
					}
				}
				if reached > 1 || reached == 0 && successes > 0 {
					t.Errorf("the delivery reached the app %d times, and %d copies got a success", reached, successes)
				}
				synctest.Wait() // the claim is released in the background
				if reached == 0 {
					b.expect(t, github("1", content), Verified, 200)
				}
				b.expect(t, github("1", content), Duplicate, 200)
				b.expect(t, github("9", content), Replayed, 200)
			})
		})
	}
}

// A process that was killed while it used a pass keeps it claimed until its lease
// expires. Until then the redelivery gets 503, and its retry is forwarded.
func TestRedeliveryIsNotLostIfAPassRemainsClaimed(t *testing.T) {
	for _, onError := range []string{"reject", "allow"} {
		t.Run(onError, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", `"replay":{"on_store_error":"`+onError+`"}`))
				b.expect(t, github("1", content), Verified, 200)
				if _, err := b.handler.forget(t.Context(), "1"); err != nil {
					t.Fatal(err)
				}
				use := replay.Keys{Blocking: []replay.Key{b.handler.idKey(replay.KindPassUse, b.handler.info().Secrets[0], "1")}}
				if verdict, err := b.handler.store.Claim(t.Context(), use, replay.NewOwner(), time.Minute); verdict != replay.Ours || err != nil {
					t.Fatal(verdict, err)
				}
				got := b.expect(t, github("1", content), InProgress, 503)
				if got.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				time.Sleep(time.Minute)
				b.expect(t, github("1", content), Verified, 200)
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
	}
}

func TestPassThatExpiresDuringItsUseLeavesNoClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, store := forgotten(t, false)
		collect := b.inFlight(github("1", content))
		if n, err := store.Store.Forget(t.Context(), []replay.Key{b.handler.named("1")[0].pass}); n != 1 || err != nil {
			t.Fatalf("%d passes, %v", n, err)
		}
		store.fate <- nil
		if got := collect()[0]; got.Outcome != Verified || got.Status != 200 {
			t.Errorf("got %s, status %d", got.Outcome, got.Status)
		}
		if claimed := b.handler.store.Stats().Claimed; claimed != 0 {
			t.Errorf("%d keys are still claimed", claimed)
		}
		b.expect(t, github("1", content), Duplicate, 200)
		b.expect(t, github("9", content), Replayed, 200)
	})
}

// The pass is for the forgotten ID only, and for one delivery.
func TestPassIsForOneDelivery(t *testing.T) {
	for name, provider := range map[string]string{"content unique": unsignedID, "content repeats": unsignedID + "," + repeats} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, acme(provider, ""))
			send := func(id, body string, want Outcome) {
				t.Helper()
				b.expect(t, acmeDelivery(secret, id, body), want, 200)
			}
			send("1", "a", Verified)
			send("1", "a", Duplicate)
			if found, err := b.handler.forget(t.Context(), "1"); err != nil || !found[0].Forgotten {
				t.Fatalf("forgetting: %v, %v", found, err)
			}
			send("1", "a", Verified)
			send("1", "a", Duplicate)
			if found, err := b.handler.seen(t.Context(), "1"); err != nil || found[0].State != "handled" {
				t.Errorf("seen: %v, %v", found, err)
			}
		})
	}
}

// A copy under another ID was handled first, so that the provider's own ID cannot be
// forgotten. The docs say how to let the delivery in.
func TestDeliveryReplayedUnderAnotherIDCanBeLetIn(t *testing.T) {
	b := trial(t, config("github", ""))
	b.expect(t, github("forged", content), Verified, 200)
	b.expect(t, github("1", content), Replayed, 200)
	if found, err := b.handler.forget(t.Context(), "1"); err != nil || found[0].Forgotten {
		t.Fatalf("forgetting: %v, %v", found, err)
	}
	b.expect(t, github("1", content), Replayed, 200)
	other := trial(t, config("github", `"replay":{"content":"repeats"}`))
	other.handler.store = b.handler.store
	other.expect(t, github("1", content), Verified, 200)
	other.expect(t, github("1", content), Duplicate, 200)
	b.expect(t, github("1", content), Duplicate, 200)
}
