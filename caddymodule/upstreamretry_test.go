package caddymodule

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The ways in which an upstream can lose a delivery: after it has read none of
// the body, half of it, or all.
var lose = map[string]func(body io.Reader, size int) io.Reader{
	"nothing": func(io.Reader, int) io.Reader { return http.NoBody },
	"half":    func(body io.Reader, size int) io.Reader { return io.LimitReader(body, int64(size/2)) },
	"all":     func(body io.Reader, _ int) io.Reader { return body },
}

var failures = []string{"nothing", "half", "all"}

// unfailing deliveries reach the app on the first attempt.
const unfailing = ""

// failingApp closes the connection on the first attempt to send some deliveries.
type failingApp struct {
	*bareApp
	t       *testing.T
	known   map[string]*markedDelivery
	failure map[string]string // by ID

	mu       sync.Mutex
	attempts map[string]int
	handled  map[string]int
}

func startFailingApp(t *testing.T, perFailure, size int) *failingApp {
	a := &failingApp{t: t, known: make(map[string]*markedDelivery), failure: make(map[string]string), attempts: make(map[string]int), handled: make(map[string]int)}
	for _, failure := range append(failures, unfailing) {
		for _, p := range newMarkedDeliveries(perFailure, size) {
			a.known[p.id], a.failure[p.id] = p, failure
		}
	}
	a.bareApp = startBareApp(t, a.take)
	return a
}

// deliveries returns the deliveries with one of these failures.
func (a *failingApp) deliveries(failures ...string) []*markedDelivery {
	var some []*markedDelivery
	for id, p := range a.known {
		if slices.Contains(failures, a.failure[id]) {
			some = append(some, p)
		}
	}
	return some
}

func (a *failingApp) take(r *bareRequest) bool {
	p := a.known[r.Header.Get("Webhook-Verified-Id")]
	a.mu.Lock()
	a.attempts[p.id]++
	first := a.attempts[p.id] == 1
	a.mu.Unlock()

	body, lost := io.Reader(r.Body), first && a.failure[p.id] != unfailing
	if lost {
		body = lose[a.failure[p.id]](body, len(p.body))
	}
	n, err := p.readBody(body)
	if err != nil {
		a.t.Error(err)
	}
	if n < len(p.body) || lost {
		return false
	}
	a.mu.Lock()
	a.handled[p.id]++
	a.mu.Unlock()
	r.answer(http.StatusOK)
	return true
}

// counts returns how often a delivery was received, and how often it was handled.
func (a *failingApp) counts(id string) (attempts, handled int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.attempts[id], a.handled[id]
}

// countRetries counts the retries of reverse_proxy by ID.
func countRetries(t *testing.T) func(id string) int {
	var mu sync.Mutex
	counts := make(map[string]int)
	doBetween(t, func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		err := next.ServeHTTP(w, r)
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		retries, _ := repl.Get("http.reverse_proxy.retries")
		n, _ := retries.(int)
		mu.Lock()
		defer mu.Unlock()
		counts[r.Header.Get("Webhook-Verified-Id")] += n
		return err
	})
	return func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[id]
	}
}

const retriesOfPOST = `
	lb_policy round_robin
	lb_retries 5
	lb_retry_match {
		method POST
	}
	`

// If reverse_proxy buffers the body for retries, the app gets the whole body.
func TestInvariant01ReverseProxyRetriesSendTheWholeBody(t *testing.T) {
	for _, size := range bodySizes {
		t.Run(strconv.Itoa(size>>10)+" KiB", func(t *testing.T) {
			retries := countRetries(t)
			app := startFailingApp(t, 8, size)
			c := startCaddy(t, "", proxySite(app.Addr().String()+" {"+retriesOfPOST+"request_buffers 4MiB\n}"))
			c.postAll(client(t, "HTTP/1.1"), app.deliveries(append(failures, unfailing)...), 8, 200)
			for id, failure := range app.failure {
				want := 1
				if failure == unfailing {
					want = 0
				}
				attempts, handled := app.counts(id)
				if retries(id) != want || attempts != 1+want || handled != 1 {
					t.Errorf("%s (%s): %d retries, %d reached the app, which handled %d", id, failure, retries(id), attempts, handled)
				}
			}
		})
	}
}

// Without buffering, reverse_proxy can retry only requests that no upstream has
// begun to read. For the others, the provider retries. The app must not receive an
// incomplete body that looks complete.
func TestInvariant01ReverseProxyRetriesNeverSendAPartialBody(t *testing.T) {
	for _, size := range bodySizes {
		t.Run(strconv.Itoa(size>>10)+" KiB", func(t *testing.T) {
			retries := countRetries(t)
			app := startFailingApp(t, 6, size)
			c := startCaddy(t, "", proxySite(freeAddress(t)+" "+app.Addr().String()+" {"+retriesOfPOST+"}"))
			client := client(t, "HTTP/1.1")
			lone := app.deliveries(unfailing)[:2]
			c.postUntil(client, lone, 1, 200)
			if retries(lone[0].id)+retries(lone[1].id) == 0 {
				t.Error("neither of two consecutive deliveries reached the upstream that refuses connections")
			}
			c.postUntil(client, app.deliveries(append(failures, unfailing)...), 8, 200)

			for id, failure := range app.failure {
				if _, handled := app.counts(id); handled != 1 {
					t.Errorf("%s (%s): the app handled it %d times", id, failure, handled)
				}
				if retries(id) == 0 && failure != unfailing {
					t.Errorf("%s (%s) was not retried", id, failure)
				}
			}
		})
	}
}
