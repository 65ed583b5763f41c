package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

// lateStore is the store of a trial whose app has not opened it yet.
type lateStore struct {
	app      *App
	opening  chan struct{} // blocks opening until closed
	fails    error
	store    *faulty
	opened   atomic.Int64
	released atomic.Int64
}

// late gives a trial a closed store, in a separate app.
func (b *bench) late() *lateStore {
	s := &lateStore{app: &App{budget: budget, BodyMemory: defaultBodyMemory, BodyDisk: defaultBodyDisk}, opening: make(chan struct{}), store: &faulty{Store: memory.New(memory.Options{})}}
	b.handler.shared = s.app.addStore("late", s.open)
	b.handler.store = b.handler.shared.meteredStore
	return s
}

func (s *lateStore) open() (replay.Store, func() error, error) {
	<-s.opening
	s.opened.Add(1)
	if s.fails != nil {
		return nil, nil, s.fails
	}
	return s.store, func() error { s.released.Add(1); return nil }, nil
}

// Caddy starts apps in random order: deliveries can arrive before the app starts.
func TestFirstDeliveryOpensTheStoreOnce(t *testing.T) {
	b := trial(t, config("github", ""))
	s := b.late()
	close(s.opening)
	var senders sync.WaitGroup
	for i := range 8 {
		senders.Go(func() { b.expect(t, github(fmt.Sprint(i), fmt.Sprint(content, i)), Verified, 200) })
	}
	senders.Wait()
	if err := s.app.Start(); err != nil {
		t.Error(err)
	}
	if n := s.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	b.expect(t, github("1", content+"1"), Duplicate, 200)
}

func TestUntilTheStoreIsOpenDeliveriesGet503(t *testing.T) {
	for _, options := range []string{``, `"replay":{"on_store_error":"allow"}`} {
		t.Run("slow store "+options, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := trial(t, config("github", options))
				s := b.late()
				b.expect(t, github("1", content), StoreUnavailable, 503)
				close(s.opening)
				synctest.Wait()
				b.expect(t, github("1", content), Verified, 200)
				b.expect(t, github("1", content), Duplicate, 200)
			})
		})
		t.Run("failing store "+options, func(t *testing.T) {
			b := trial(t, config("github", options))
			s := b.late()
			s.fails = errStore
			close(s.opening)
			for range 2 {
				b.expect(t, github("1", content), StoreUnavailable, 503)
			}
			if err := s.app.Start(); !errors.Is(err, errStore) {
				t.Errorf("Start: %v", err)
			}
		})
	}
	t.Run("mode monitor forwards them", func(t *testing.T) {
		b := trial(t, config("github", `"mode":"monitor"`))
		s := b.late()
		s.fails = errStore
		close(s.opening)
		got := b.Send(github("1", content))
		if got.Outcome != StoreUnavailable || !got.Reached || got.Status != 200 {
			t.Errorf("got %s, status %d, reached %t", got.Outcome, got.Status, got.Reached)
		}
	})
	t.Run("outcomes that need no store", func(t *testing.T) {
		b := trial(t, config("github", `"replay":{"off":true}`))
		b.late()
		b.expect(t, github("1", content), Verified, 200)
		forged := github("1", content)
		forged.Header.Set("X-Hub-Signature-256", "sha256="+sign("another secret", content))
		b.expect(t, forged, InvalidSignature, 401)
	})
}

func TestStoreIsReleasedAfterTheLastDeliveryThatUsesIt(t *testing.T) {
	released := func(t *testing.T, s *lateStore, want int64) {
		t.Helper()
		if n := s.released.Load(); n != want {
			t.Errorf("released %d times, want %d", n, want)
		}
	}
	cleanUp := func(t *testing.T, s *lateStore) {
		t.Helper()
		if err := s.app.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	t.Run("no delivery", func(t *testing.T) {
		b := trial(t, config("github", ""))
		s := b.late()
		close(s.opening)
		if err := s.app.Start(); err != nil {
			t.Error(err)
		}
		released(t, s, 0)
		cleanUp(t, s)
		released(t, s, 1)
	})
	t.Run("a delivery that outlives its config, and the next config has the same store", func(t *testing.T) {
		b := trial(t, config("github", ""))
		s := b.late()
		close(s.opening)
		b.expect(t, github("1", content), Verified, 200)
		cleanUp(t, s)
		released(t, s, 1)
		b.expect(t, github("1", content), Duplicate, 200)
		b.expect(t, github("2", content+"2"), Verified, 200)
		released(t, s, 3)
		s.store = &faulty{Store: s.store} // another store
		b.expect(t, github("1", content), StoreUnavailable, 503)
		released(t, s, 4)
		s.fails = errStore // failing
		b.expect(t, github("1", content), StoreUnavailable, 503)
		released(t, s, 4)
	})
	t.Run("a delivery that the app is processing", func(t *testing.T) {
		b := trial(t, config("github", ""))
		s := b.late()
		close(s.opening)
		b.App = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			cleanUp(t, s)
			released(t, s, 0)
		})
		b.expect(t, github("1", content), Verified, 200)
		released(t, s, 1)
		if n := s.store.count("commit"); n != 1 {
			t.Errorf("%d commits", n)
		}
	})
	t.Run("a delivery whose commit is retried", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := trial(t, config("github", ""))
			s := b.late()
			close(s.opening)
			s.store.set(&s.store.commit, errStore)
			b.expect(t, github("1", content), Verified, 200)
			cleanUp(t, s)
			released(t, s, 0)
			s.store.set(&s.store.commit, nil)
			time.Sleep(10 * time.Second)
			released(t, s, 1)
		})
	})
	t.Run("a delivery that did not wait for the store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := trial(t, config("github", ""))
			s := b.late()
			b.expect(t, github("1", content), StoreUnavailable, 503)
			cleanUp(t, s)
			close(s.opening)
			synctest.Wait()
			released(t, s, 1)
		})
	})
	t.Run("no delivery, and the store was not opened", func(t *testing.T) {
		b := trial(t, config("github", ""))
		s := b.late()
		cleanUp(t, s)
		b.expect(t, github("1", content), StoreUnavailable, 503)
		if n := s.opened.Load(); n != 0 {
			t.Errorf("opened %d times", n)
		}
	})
}

// Caddy does not stop an app whose start has failed.
func TestFailedStartReleasesStores(t *testing.T) {
	b := trial(t, config("github", ""))
	s := b.late()
	close(s.opening)
	s.app.addStore("broken", func() (replay.Store, func() error, error) { return nil, nil, errStore })
	if err := s.app.Start(); !errors.Is(err, errStore) || apps.latest() == s.app {
		t.Errorf("Start: %v", err)
	}
	if err := s.app.Cleanup(); err != nil || s.released.Load() != 1 {
		t.Errorf("released %d times, %v", s.released.Load(), err)
	}
}
