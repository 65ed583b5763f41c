package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

const (
	// patience limits the wait for events that must happen.
	patience = 60 * time.Second
	// retryPause is the provider's delay before a retry. Real providers wait for
	// minutes.
	retryPause = 20 * time.Millisecond
)

// provider sends deliveries until they are acknowledged, and records every attempt.
type provider struct {
	t      *testing.T
	client *http.Client
	urls   []string // the sites, which all accept every delivery

	mu           sync.Mutex
	parcels      []*parcel
	acknowledged []*parcel
	blocked      time.Duration // the longest time that a lost attempt blocked its retries
	answers      map[int]int   // number of responses by status; 0: no response
	answered     chan struct{} // closed and replaced at every response
	hasty        int           // 503s without Retry-After
	random       *rand.Rand    // with a constant seed
}

// parcel is a delivery with the results of all attempts.
type parcel struct {
	id       string
	delivery delivery.Delivery

	mu       sync.Mutex
	statuses []int // by attempt, 0 for no response
	known    int   // attempts started before the first 2xx; 0: no 2xx
	lost     time.Time
}

func newProvider(t *testing.T, sites ...*site) *provider {
	p := &provider{t: t, answers: make(map[int]int), answered: make(chan struct{}), random: rand.New(rand.NewPCG(1, 2))}
	for _, s := range sites {
		p.urls = append(p.urls, s.url)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 128}
	p.client = &http.Client{Transport: transport, Timeout: patience / 2}
	t.Cleanup(transport.CloseIdleConnections)
	return p
}

// repeated is the content of every third delivery. Every repository_dispatch with the
// same payload has the same bytes, but is a different delivery.
const repeated = `{"action":"deploy","client_payload":{"to":"production"}}`

// next returns a new delivery.
func (p *provider) next() *parcel {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := fmt.Sprintf("d-%d", len(p.parcels)+1)
	d := &parcel{id: id, delivery: delivery.GitHub(githubSecret, id, "push", []byte(`{"ref":"refs/heads/`+id+`"}`))}
	if len(p.parcels)%3 == 2 {
		d.delivery = delivery.GitHub(githubSecret, id, "repository_dispatch", []byte(repeated))
	}
	p.parcels = append(p.parcels, d)
	return d
}

// send makes one attempt and returns the status, 0 for no response.
func (p *provider) send(ctx context.Context, d *parcel, header ...string) int {
	d.mu.Lock()
	d.statuses = append(d.statuses, 0)
	attempt := len(d.statuses)
	d.mu.Unlock()

	request := d.delivery.With(attemptHeader, strconv.Itoa(attempt))
	for i := 0; i < len(header); i += 2 {
		request = request.With(header[i], header[i+1])
	}
	answer, err := request.Send(ctx, p.client, p.anySite())
	if err != nil {
		answer.Status = 0 // an incomplete response does not count
	}
	p.note(d, attempt, answer)
	return answer.Status
}

// anySite returns the URL of one of the sites.
func (p *provider) anySite() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.urls[p.random.IntN(len(p.urls))]
}

// pick returns a random number below n.
func (p *provider) pick(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.IntN(n)
}

func (p *provider) note(d *parcel, attempt int, answer delivery.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.statuses[attempt-1] = answer.Status
	p.answers[answer.Status]++
	close(p.answered)
	p.answered = make(chan struct{})
	switch {
	case answer.Status == 0:
		d.lost = time.Now()
	case answer.Status == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "":
		p.hasty++
	case acknowledges(answer.Status) && d.known == 0:
		d.known = len(d.statuses)
		p.acknowledged = append(p.acknowledged, d)
		if !d.lost.IsZero() {
			p.blocked = max(p.blocked, time.Since(d.lost))
		}
	}
}

func acknowledges(status int) bool { return status >= 200 && status <= 299 }

// deliver sends one delivery until it is acknowledged. It fails on any other result
// than a 503 or a missing response.
func (p *provider) deliver(ctx context.Context, d *parcel) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		status := p.send(ctx, d)
		switch {
		case acknowledges(status):
			return nil
		case status != 0 && status != http.StatusServiceUnavailable:
			return fmt.Errorf("delivery %s got %d", d.id, status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("delivery %s was not acknowledged within %v; the last status was %d", d.id, patience, status)
		case <-time.After(retryPause):
		}
	}
}

// replay sends an acknowledged delivery again, like an attacker who captured it.
func (p *provider) replay(ctx context.Context) error {
	p.mu.Lock()
	if len(p.acknowledged) == 0 {
		p.mu.Unlock()
		return nil
	}
	d := p.acknowledged[p.random.IntN(len(p.acknowledged))]
	p.mu.Unlock()
	return p.deliver(ctx, d)
}

// replayAll replays every acknowledged delivery.
func (p *provider) replayAll() {
	p.t.Helper()
	p.mu.Lock()
	all := append([]*parcel(nil), p.acknowledged...)
	p.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(8)
	for _, d := range all {
		group.Go(func() error { return p.deliver(p.t.Context(), d) })
	}
	if err := group.Wait(); err != nil {
		p.t.Error(err)
	}
}

// underLoad calls a function while senders deliver new deliveries and replay an old one
// after each. It returns when all deliveries are acknowledged.
func (p *provider) underLoad(senders int, something func()) {
	p.t.Helper()
	loading, done := context.WithCancel(p.t.Context())
	var group errgroup.Group
	for range senders {
		group.Go(func() error {
			for loading.Err() == nil {
				if err := p.deliver(p.t.Context(), p.next()); err != nil {
					return err
				}
				if err := p.replay(p.t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	func() {
		defer done() // also if the test ends early
		something()
	}()
	if err := group.Wait(); err != nil {
		p.t.Fatal(err)
	}
}

// awaitRefusals waits until n more attempts got 503.
func (p *provider) awaitRefusals(n int) {
	p.t.Helper()
	refused := func() (int, <-chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.answers[http.StatusServiceUnavailable], p.answered
	}
	before, _ := refused()
	deadline := time.After(patience)
	for {
		now, answered := refused()
		if now >= before+n {
			return
		}
		select {
		case <-answered:
		case <-deadline:
			p.t.Fatalf("only %d of %d deliveries were refused within %v", now-before, n, patience)
		}
	}
}
