package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// attemptHeader contains the number of an attempt, for the app.
const attemptHeader = "X-Attempt"

// faultHeader makes the app, or a handler before it, fail on this attempt.
const faultHeader = "X-Fault"

// app is the upstream. It records the attempts of each delivery that reached it.
type app struct {
	*httptest.Server

	mu       sync.Mutex
	arrivals map[string][]int // attempts by delivery ID
	total    int
	changed  chan struct{} // closed and replaced at every arrival
}

func startApp(t *testing.T) *app {
	t.Helper()
	a := &app{arrivals: make(map[string][]int), changed: make(chan struct{})}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // Caddy was killed while sending: the app got no complete delivery
	}
	number, err := strconv.Atoi(r.Header.Get(attemptHeader))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	arrival := a.record(r.Header.Get("Webhook-Verified-Id"), number)
	if failure, ok := appFailures[r.Header.Get(faultHeader)]; ok {
		failure(w, r)
		return
	}
	time.Sleep(time.Duration(arrival%5) * time.Millisecond) // work
	w.WriteHeader(http.StatusOK)
}

// record records a request, and returns how many have reached the app so far.
func (a *app) record(id string, attempt int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.arrivals[id] = append(a.arrivals[id], attempt)
	a.total++
	close(a.changed)
	a.changed = make(chan struct{})
	return a.total
}

// reachedBy returns the attempts of one delivery that reached the app.
func (a *app) reachedBy(id string) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]int(nil), a.arrivals[id]...)
}

// awaitMore waits until n more requests have reached the app. The last of them is still
// in progress.
func (a *app) awaitMore(t *testing.T, n int) {
	t.Helper()
	a.mu.Lock()
	wanted := a.total + n
	a.mu.Unlock()
	deadline := time.After(patience)
	for {
		a.mu.Lock()
		total, changed := a.total, a.changed
		a.mu.Unlock()
		if total >= wanted {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("only %d of %d deliveries reached the app within %v", total+n-wanted, n, patience)
		}
	}
}
