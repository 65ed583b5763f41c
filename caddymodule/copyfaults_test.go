package caddymodule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// unreliable is a store whose operations take time and fail at random, before they
// have an effect or after.
type unreliable struct {
	Store
	*random
	failing atomic.Bool
}

// random is a source of random numbers for several goroutines.
type random struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *random) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// unreliably performs an operation, or not.
func (s *unreliable) unreliably(do func() error) error {
	time.Sleep(time.Duration(s.roll(3)) * time.Millisecond)
	if !s.failing.Load() {
		return do()
	}
	switch s.roll(8) {
	case 0:
		return errStore
	case 1:
		_ = do()
		return errStore
	}
	return do()
}

func (s *unreliable) Claim(ctx context.Context, k replay.Keys, o replay.Owner, lease time.Duration) (v replay.Verdict, err error) {
	err = s.unreliably(func() error { v, err = s.Store.Claim(ctx, k, o, lease); return err })
	return v, err
}

func (s *unreliable) Commit(ctx context.Context, k replay.Keys, o replay.Owner, window time.Duration, status int) error {
	return s.unreliably(func() error { return s.Store.Commit(ctx, k, o, window, status) })
}

func (s *unreliable) Release(ctx context.Context, k replay.Keys, o replay.Owner, status int) error {
	return s.unreliably(func() error { return s.Store.Release(ctx, k, o, status) })
}

func (s *unreliable) Wait(ctx context.Context, k replay.Keys) (e replay.Resolution, err error) {
	err = s.unreliably(func() error { e, err = s.Store.Wait(ctx, k); return err })
	return e, err
}

func (s *unreliable) Lookup(ctx context.Context, k []replay.Key) (states []replay.State, err error) {
	err = s.unreliably(func() error { states, err = s.Store.Lookup(ctx, k); return err })
	return states, err
}

func (s *unreliable) Forget(ctx context.Context, k []replay.Key) (n int, err error) {
	err = s.unreliably(func() error { n, err = s.Store.Forget(ctx, k); return err })
	return n, err
}

// randomApp is an app that takes time and fails at random.
type randomApp struct {
	*random
	mu      sync.Mutex
	handled map[string]int // successes
}

func (a *randomApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Duration(a.roll(30)) * time.Millisecond)
	status := []int{200, 202, 500, 503, 404, 0}[a.roll(6)]
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if status < 300 {
		a.mu.Lock()
		a.handled[r.Header.Get("X-Delivery")]++
		a.mu.Unlock()
	}
	w.WriteHeader(status)
}

func (a *randomApp) successes(delivery string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.handled[delivery]
}

// faultRow is a row of the table "Telling deliveries apart".
type faultRow struct {
	config string
	// send returns the delivery; n is 0 or 1 for copies that can differ.
	send func(id string, n int) *http.Request
	// separate means that the forged ID makes another delivery.
	separate bool
}

var faultRows = map[string]faultRow{
	"an unsigned ID, content unique": {
		config: config("github", `"replay":{"window":"1000h"}`),
		send:   func(id string, _ int) *http.Request { return github(id, content) },
	},
	"an unsigned ID, content repeats": {
		config: acme(unsignedID+","+repeats, `"replay":{"window":"1000h"}`),
		send:   func(id string, _ int) *http.Request { return acmeDelivery(secret, id, content) }, separate: true,
	},
	"an unsigned ID, two secrets": {
		config: `{"provider":{"name":"custom","algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Acme-Signature"},` + unsignedID +
			`,"secrets":[{"secret":"new"},{"secret":"old"}]},"replay":{"window":"1000h"}}`,
		send: func(id string, n int) *http.Request { return acmeDelivery([]string{"new", "old"}[n], id, content) },
	},
	"a signed ID": {
		config: acme(signedID, `"replay":{"window":"1000h"}`),
		send:   func(id string, _ int) *http.Request { return acmeDelivery(secret, "", `{"id":"`+id+`"}`) }, separate: true,
	},
}

// request returns a copy of the delivery with its ID or with a forged one. Copies
// differ in an unsigned header.
func (r faultRow) request(id string, n int) *http.Request {
	q := r.send(id, n)
	q.Header.Set("X-Delivery", "genuine")
	if id != "1" && r.separate {
		q.Header.Set("X-Delivery", "other")
	}
	q.Header.Set("X-Attempt", strconv.Itoa(n))
	return q
}

// The provider sends a delivery several times at once, an attacker sends copies with
// the same ID and with another, the store and the app fail at random, and the operator
// forgets the ID. A provider that gets a success has delivered: the app has succeeded
// since the ID was forgotten. Without failures of the store, it does so once.
func TestNoCopyGetsASuccessBeforeTheAppHasSucceeded(t *testing.T) {
	for name, row := range faultRows {
		for seed := range uint64(40) {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &random{r: rand.New(rand.NewPCG(seed, 2))}
					c := faultTest{faultRow: row, random: d, bench: trial(t, row.config), app: &randomApp{random: d, handled: make(map[string]int)}}
					c.store = &unreliable{Store: c.handler.store, random: d}
					c.store.failing.Store(seed%2 == 0)
					c.handler.store, c.App = c.store, c.app
					for round := range 12 {
						c.sendCopies(t, round)
						time.Sleep(5 * time.Minute) // leases expire
						c.settle(t, round)
					}
				})
			})
		}
	}
}

type faultTest struct {
	faultRow
	*random
	*bench
	app   *randomApp
	store *unreliable
}

func (c *faultTest) successes() int { return c.app.successes("genuine") }

// sendCopies sends copies at the same time.
func (c *faultTest) sendCopies(t *testing.T, round int) {
	var wg sync.WaitGroup
	for range 2 + c.roll(6) {
		id := []string{"1", "1", "1", "forged"}[c.roll(4)]
		delay, n := time.Duration(c.roll(40))*time.Millisecond, c.roll(2)
		wg.Go(func() {
			defer func() { _ = recover() }() // as net/http does
			time.Sleep(delay)
			switch got := c.Send(c.request(id, n)); {
			case id != "1":
			case got.Status < 300 && c.successes() == 0:
				t.Errorf("round %d: a copy got %s, status %d, before the app has succeeded", round, got.Outcome, got.Status)
			case got.Status >= 400 && got.Status < 500 && !got.Reached && got.Outcome != InProgress:
				t.Errorf("round %d: a copy got %s, status %d", round, got.Outcome, got.Status)
			}
		})
	}
	wg.Wait()
}

// settle checks the round, and forgets the delivery for the next one.
func (c *faultTest) settle(t *testing.T, round int) {
	failing := c.store.failing.Swap(false)
	before := c.successes()
	if before > 1 && !failing {
		t.Errorf("round %d: the app handled it %d times", round, before)
	}
	c.App = answering(200)
	got := c.Send(c.request("1", 0))
	c.App = c.app
	if got.Status != 200 || got.Reached == (before > 0) && !failing {
		t.Errorf("round %d: after %d successes: %s, status %d", round, before, got.Outcome, got.Status)
	}
	if got.Reached {
		c.app.handled["genuine"]++
	}
	found, err := c.handler.forget(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(found, func(s DeliveryStatus) bool { return s.Forgotten }) { // not if the copy with the forged ID was handled
		clear(c.app.handled)
	}
	c.store.failing.Store(failing)
}
