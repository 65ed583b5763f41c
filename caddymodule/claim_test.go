package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// ways lists every way in which an app's handler can return, and whether the
// delivery then counts as handled.
var ways = []struct {
	name    string
	app     caddyhttp.HandlerFunc
	handled bool
}{
	{"200", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(200); return nil }, true},
	{"204", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(204); return nil }, true},
	{"a body without a status", func(w http.ResponseWriter, _ *http.Request) error { _, err := w.Write([]byte("ok")); return err }, true},
	{"a body by ReadFrom", func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("ok"))
		return err
	}, true},
	{"a flush without a status", func(w http.ResponseWriter, _ *http.Request) error {
		_ = http.NewResponseController(w).Flush()
		return errors.New("too late")
	}, true},
	{"no response", func(http.ResponseWriter, *http.Request) error { return nil }, true},
	{"103, then 200", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(103); w.WriteHeader(200); return nil }, true},
	{"200, then an error", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(200); return errStore }, true},
	{"200, then a panic", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(200); panic(http.ErrAbortHandler) }, true},

	{"103, then 500", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(103); w.WriteHeader(500); return nil }, false},
	{"500, then 200", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(500); w.WriteHeader(200); return nil }, false},
	{"101", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(101); return nil }, false},
	{"302", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(302); return nil }, false},
	{"404", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(404); return nil }, false},
	{"500", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(500); return nil }, false},
	{"an error", func(http.ResponseWriter, *http.Request) error { return errStore }, false},
	{"a handler error", func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(502, errStore) }, false},
	{"a handler error with status 200", func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(200, errStore) }, false},
	{"a panic", func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) }, false},
	{"a panic after 103", func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(103); panic("oops") }, false},
}

func TestInvariant14SuccessCommitsAndEveryFailureReleases(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			b := trial(t, config("github", ""))
			store := b.faultyStore()
			b.run(github("1", content), way.app)
			if commits, releases := store.count("commit"), store.count("release"); commits+releases != 1 || (commits == 1) != way.handled {
				t.Errorf("%d commits and %d releases", commits, releases)
			}
			if memory, _ := b.handler.app.budget.InUse(); memory != 0 {
				t.Errorf("%d bytes of the body are not released", memory)
			}
			want := Verified
			if way.handled {
				want = Duplicate
			}
			b.expect(t, github("1", content), want, 200)
		})
	}
}

// run sends a request through the handler to a next handler, and recovers from
// its panics, as net/http does.
func (b *bench) run(r *http.Request, next caddyhttp.HandlerFunc) {
	defer func() { _ = recover() }()
	_ = b.serve(&quiet{header: make(http.Header)}, dryrun.AsReceived(r), next)
}

func TestOnlyHandledStatusesCommit(t *testing.T) {
	b := trial(t, config("github", `"replay":{"handled":[2,410,502]}`))
	for _, status := range []int{200, 299, 410, 502} {
		id := http.StatusText(status) + "h"
		b.App = answering(status)
		b.expect(t, github(id, content+id), Verified, status)
		b.expect(t, github(id, content+id), Duplicate, 200)
	}
	for _, status := range []int{301, 400, 404, 500, 503} {
		id := http.StatusText(status)
		b.App = answering(status)
		b.expect(t, github(id, content+id), Verified, status)
		b.expect(t, github(id, content+id), Verified, status)
	}
}

func TestUnreachableUpstreamReleasesTheClaim(t *testing.T) {
	b := trial(t, config("github", `"replay":{"handled":[2,502]}`))
	b.run(github("1", content), func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(502, errStore) })
	b.expect(t, github("1", content), Verified, 200)
}

// spy is a response writer that calls a function before each status.
type spy struct {
	*httptest.ResponseRecorder
	leaving func()
}

func (s *spy) WriteHeader(status int) {
	s.leaving()
	s.ResponseRecorder.WriteHeader(status)
}

func TestClaimEndsBeforeTheResponseIsSent(t *testing.T) {
	for status, want := range map[int]int{200: 1, 500: 0} {
		b := trial(t, config("github", ""))
		store := b.faultyStore()
		w := &spy{ResponseRecorder: httptest.NewRecorder(), leaving: func() {
			if store.count("commit") != want || store.count("release") != 1-want {
				t.Errorf("the response %d is sent after %v", status, store.calls)
			}
		}}
		err := b.serve(w, dryrun.AsReceived(github("1", content)), func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			return nil
		})
		if err != nil || w.Code != status {
			t.Errorf("got %d, %v", w.Code, err)
		}
	}
}

func TestDisconnectOfTheProviderDoesNotCancelTheApp(t *testing.T) {
	b := trial(t, config("github", ""))
	ctx, hangUp := context.WithCancel(t.Context())
	b.run(github("1", content).WithContext(ctx), func(w http.ResponseWriter, r *http.Request) error {
		hangUp()
		if err := r.Context().Err(); err != nil {
			t.Errorf("the app's context: %v", err)
		}
		if got := readAll(t, r.Body); got != content {
			t.Errorf("the app reads %q", got)
		}
		w.WriteHeader(200)
		return nil
	})
	b.expect(t, github("1", content), Duplicate, 200)
}

func TestAppTimeoutCancelsTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"app_timeout":"2m"`))
		start := time.Now()
		b.run(github("1", content), func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return caddyhttp.Error(504, r.Context().Err())
		})
		if took := time.Since(start); took != 2*time.Minute {
			t.Errorf("it took %s", took)
		}
		b.expect(t, github("1", content), Verified, 200)
	})
}

func TestClaimIsRenewedWhileTheAppWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"app_timeout":"1h","replay":{"lease":"6s"}`))
		store := b.faultyStore()
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		time.Sleep(10 * time.Minute)
		copies := b.inFlight(github("1", content))
		app.answer <- 200
		if got := copies()[0]; got.Reached || got.Outcome != InProgress || got.Status != 200 {
			t.Errorf("after a hundred leases a copy got %s, status %d", got.Outcome, got.Status)
		}
		first()
		renewals := store.count("renew")
		time.Sleep(time.Hour)
		if renewals < 250 || store.count("renew") != renewals {
			t.Errorf("%d renewals, and %d after the end", renewals, store.count("renew")-renewals)
		}
	})
}

func TestClaimSurvivesFailedRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"lease":"12s"}`))
		store := b.faultyStore()
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		store.set(&store.renew, errStore)
		time.Sleep(6 * time.Second) // two renewals
		store.set(&store.renew, nil)
		time.Sleep(30 * time.Second)
		if ending := b.state(t, github("1", content)); ending != replay.Claimed {
			t.Errorf("the claim is %s", ending)
		}
		app.answer <- 200
		first()
		b.expect(t, github("1", content), Duplicate, 200)
	})
}

// state looks up the first key of a delivery.
func (b *bench) state(t *testing.T, r *http.Request) replay.State {
	t.Helper()
	states, err := b.handler.store.Lookup(t.Context(), b.keys(t, r).All())
	if err != nil {
		t.Fatal(err)
	}
	return states[0]
}

// keys returns the keys of a genuine delivery.
func (b *bench) keys(t *testing.T, r *http.Request) replay.Keys {
	t.Helper()
	d := b.handler.newDelivery(&quiet{header: make(http.Header)}, dryrun.AsReceived(r))
	if err := b.handler.readBody(d); err != nil {
		t.Fatal(err)
	}
	defer d.body.Release()
	if err := b.handler.verify(d); err != nil {
		t.Fatal(err)
	}
	d.deriveKeys(b.handler)
	return d.keys
}

func TestAbandonedClaimExpiresAfterItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"lease":"1m","wait":"1s"}`))
		// The state after a process has crashed while the app was working.
		_, err := b.handler.store.Claim(t.Context(), b.keys(t, github("1", content)), replay.NewOwner(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		b.expect(t, github("1", content), InProgress, 503)
		time.Sleep(time.Minute)
		b.expect(t, github("1", content), Verified, 200)
	})
}

func TestLateCommitByAFormerOwnerChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"lease":"6s"}`))
		store := b.faultyStore()
		store.set(&store.renew, errStore)
		slow, quick := newHeldApp(), newHeldApp()
		b.App = slow
		late := b.inFlight(github("1", content))
		time.Sleep(7*time.Second + 100*time.Millisecond) // its lease expires, between two renewals
		store.set(&store.renew, nil)
		b.App = quick
		second := b.inFlight(github("1", content))
		if quick.hits.Load() != 1 {
			t.Fatal("the retry was not forwarded after the lease")
		}
		slow.answer <- 200
		if got := late()[0]; got.Status != 200 {
			t.Errorf("the app's success was returned as %d", got.Status)
		}
		if state := b.state(t, github("1", content)); state != replay.Claimed {
			t.Errorf("after the late commit, the other owner's claim is %s", state)
		}
		quick.answer <- 500
		second()
		b.App = nil
		b.expect(t, github("1", content), Verified, 200)
	})
}

// Otherwise the provider's retry would be handled a second time, although the
// app's success was returned.
func TestExpiredLeaseIsReacquiredIfTheAppSucceeds(t *testing.T) {
	for name, renewed := range map[string]bool{"at the next renewal": true, "at the commit": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", `"replay":{"lease":"6s"}`))
				store := b.faultyStore()
				store.set(&store.renew, errStore)
				app := newHeldApp()
				b.App = app
				first := b.inFlight(github("1", content))
				time.Sleep(7 * time.Second) // the lease expires
				if state := b.state(t, github("1", content)); state != replay.Free {
					t.Fatalf("the key is %s", state)
				}
				if renewed {
					store.set(&store.renew, nil)
					time.Sleep(3 * time.Second)
					if state := b.state(t, github("1", content)); state != replay.Claimed {
						t.Errorf("after a renewal the key is %s", state)
					}
				}
				app.answer <- 200
				first()
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
	}
}

// hookedClaim is a store that calls a function before its next Claim.
type hookedClaim struct {
	gateStore
	before func()
}

func (s *hookedClaim) Claim(ctx context.Context, k replay.Keys, o replay.Owner, lease time.Duration) (replay.Verdict, error) {
	if before := s.before; before != nil {
		s.before = nil
		before()
	}
	return s.gateStore.Claim(ctx, k, o, lease)
}

// If the app fails while the claim is being acquired again, the claim must be
// released: otherwise the retry would wait for the whole lease.
func TestClaimThatEndsWhileItIsReacquiredIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"lease":"6s"}`))
		store := b.faultyStore()
		hooked := &hookedClaim{gateStore: store}
		b.handler.store = hooked
		store.set(&store.renew, errStore)
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		time.Sleep(7 * time.Second) // the lease expires
		hooked.before = func() {
			app.answer <- 500
			first()
		}
		store.set(&store.renew, nil)
		time.Sleep(3 * time.Second) // a renewal
		b.App = nil
		b.expect(t, github("1", content), Verified, 200)
	})
}

// A store of a config must count lost claims.
func TestLostClaimIsCounted(t *testing.T) {
	counted := 0
	c := &claim{h: trial(t, config("github", "")).handler}
	c.h.store = losingStore{gateStore: c.h.store, lost: &counted}
	if !c.lost(replay.ErrNotOwner) || c.lost(errStore) || counted != 1 {
		t.Errorf("counted %d", counted)
	}
	if _, ok := any(new(configStore)).(interface{ claimLost() }); !ok {
		t.Error("the store of a config does not count lost claims")
	}
}

type losingStore struct {
	gateStore
	lost *int
}

func (s losingStore) claimLost() { *s.lost++ }

// After a failure of the app, a claim that is acquired again would block the retry.
func TestExpiredLeaseIsNotReacquiredIfTheAppFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"lease":"6s"}`))
		store := b.faultyStore()
		store.set(&store.renew, errStore)
		app := newHeldApp()
		b.App = app
		first := b.inFlight(github("1", content))
		time.Sleep(7 * time.Second)
		app.answer <- 500
		first()
		b.App = nil
		b.expect(t, github("1", content), Verified, 200)
	})
}

func TestFailedCommitIsRetriedWhileTheClaimBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"wait":"1s"}`))
		store := b.faultyStore()
		store.set(&store.commit, errStore)
		b.expect(t, github("1", content), Verified, 200)   // the app's response is returned
		b.expect(t, github("1", content), InProgress, 503) // not forwarded twice
		time.Sleep(20 * time.Second)
		store.set(&store.commit, nil)
		time.Sleep(20 * time.Second)
		b.expect(t, github("1", content), Duplicate, 200)
		if lines := b.lines("remembered a handled delivery after all"); len(lines) != 1 {
			t.Errorf("logged %v", b.lines(""))
		}
	})
}

// A commit is retried until the lease ends, even if the lease is short.
func TestCommitIsRetriedUntilTheLeaseEnds(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute, time.Hour} {
		t.Run(lease.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", fmt.Sprintf(`"replay":{"wait":"10ms","lease":%q}`, lease)))
				store := b.faultyStore()
				store.set(&store.commit, errStore)
				b.expect(t, github("1", content), Verified, 200)
				time.Sleep(lease * 85 / 100)
				store.set(&store.commit, nil)
				time.Sleep(lease)
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
	}
}

func TestCommitRetriesEndWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"wait":"1s"}`))
		store := b.faultyStore()
		store.set(&store.commit, errStore)
		b.expect(t, github("1", content), Verified, 200)
		time.Sleep(time.Hour)
		commits := store.count("commit")
		time.Sleep(time.Hour)
		if again := store.count("commit"); again != commits || commits > 40 || len(b.handler.background) != 0 {
			t.Errorf("%d commits, %d of them after an hour", again, again-commits)
		}
		if lines := b.lines("a handled delivery could not be remembered: the provider's retry would reach the app again"); len(lines) != 1 {
			t.Errorf("logged %v", b.lines(""))
		}
		b.expect(t, github("1", content), Verified, 200)
		time.Sleep(time.Hour)
	})
}

func TestCommitsInTheBackgroundAreBoundedInNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", ""))
		b.handler.background = make(chan struct{}, 2)
		store := b.faultyStore()
		store.set(&store.commit, errStore)
		for _, id := range []string{"1", "2", "3", "4"} {
			b.expect(t, github(id, content+id), Verified, 200)
		}
		if n := len(b.handler.background); n != 2 {
			t.Errorf("%d commits are pending", n)
		}
		time.Sleep(time.Hour)
	})
}

func TestFailedReleaseLeavesTheClaimToItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"wait":"1s"}`))
		store := b.faultyStore()
		store.set(&store.release, errStore)
		b.App = answering(500)
		b.expect(t, github("1", content), Verified, 500)
		b.expect(t, github("1", content), InProgress, 503)
		time.Sleep(defaultLease)
		b.App = nil
		b.expect(t, github("1", content), Verified, 200)
	})
}

// doubtful is a store whose claims succeed although Claim returns an error.
type doubtful struct{ Store }

func (s doubtful) Claim(ctx context.Context, k replay.Keys, o replay.Owner, lease time.Duration) (replay.Verdict, error) {
	_, _ = s.Store.Claim(ctx, k, o, lease)
	return 0, errStore
}

func TestUncertainClaimIsReleasedForTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := trial(t, config("github", ""))
		store := b.handler.store
		b.handler.store = doubtful{store}
		b.expect(t, github("1", content), StoreUnavailable, 503)
		synctest.Wait()
		b.handler.store = store
		b.expect(t, github("1", content), Verified, 200)
	})
}

func TestOnStoreErrorAllowForwardsOnlyGenuineDeliveries(t *testing.T) {
	b := trial(t, config("github", `"replay":{"on_store_error":"allow"}`))
	store := b.faultyStore()
	for _, fault := range []error{errStore, replay.ErrFull} {
		store.set(&store.claim, fault)
		b.expect(t, github("1", content), Verified, 200)
		b.expect(t, github("1", content), Verified, 200)
		b.expect(t, request(content), MissingSignature, 401)
	}
	if lines := b.lines("the replay store failed; on_store_error allow lets the delivery through"); len(lines) != 4 {
		t.Errorf("logged %v", b.lines(""))
	}
	for _, way := range ways {
		b.run(github("1", content), way.app) // there is no claim to release
	}
}

// blockedRenew is a store whose Renew blocks until it is released.
type blockedRenew struct {
	Store
	renewing, proceed chan struct{}
}

func (s blockedRenew) Renew(ctx context.Context, k replay.Keys, o replay.Owner, lease time.Duration) error {
	s.renewing <- struct{}{}
	<-s.proceed
	return s.Store.Renew(ctx, k, o, lease)
}

func TestLateRenewalChangesNothing(t *testing.T) {
	for _, status := range []int{200, 500} {
		synctest.Test(t, func(t *testing.T) {
			b := trial(t, config("github", ""))
			store := blockedRenew{b.handler.store, make(chan struct{}), make(chan struct{})}
			b.handler.store = store
			app := newHeldApp()
			b.App = app
			first := b.inFlight(github("1", content))
			<-store.renewing // a third of the lease has passed
			app.answer <- status
			first()
			close(store.proceed)
			synctest.Wait()
			b.App = nil
			want := map[int]Outcome{200: Duplicate, 500: Verified}[status]
			b.expect(t, github("1", content), want, 200)
			if len(b.lines("a claim ran out while the app was working: the provider's retry may reach the app as well")) != 0 {
				t.Error("a released claim is reported as expired")
			}
		})
	}
}
