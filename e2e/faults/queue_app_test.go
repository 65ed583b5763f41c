package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// queueApp is the app behind a queue. It records how often it handled each delivery.
type queueApp struct {
	*httptest.Server

	mu      sync.Mutex
	handled map[string]int    // by delivery ID
	sums    map[string]string // of the bodies that it handled
	keys    map[string]string // the Webhook-Verified-Key of each
	tries   map[string]int
	wrong   []string // invalid requests
	down    bool     // connections are reset before a request is read
	// unreliable makes every third request fail, in one of four ways.
	unreliable bool
	mended     bool // requests no longer fail
	total      int
	changed    chan struct{} // closed and replaced at every request
}

func startQueueApp(t *testing.T) *queueApp {
	t.Helper()
	a := &queueApp{
		handled: make(map[string]int), sums: make(map[string]string), keys: make(map[string]string), tries: make(map[string]int),
		changed: make(chan struct{}),
	}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

// failures are the ways in which the app itself fails.
var failures = []string{"status 500", "reset", "cut short", "status 503"}

func (a *queueApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err != nil {
		return // Caddy was killed while sending: the app got no complete delivery
	}
	id, failure := r.Header.Get("Webhook-Verified-Id"), a.begin(r)
	switch {
	case failure == "status 503":
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case failure != "":
		appFailures[failure](w, r)
		return
	}
	a.end(id, hex.EncodeToString(sum.Sum(nil)), r.Header.Get("Webhook-Verified-Key"))
	w.WriteHeader(http.StatusOK)
}

// begin counts a request, and returns how it must fail.
func (a *queueApp) begin(r *http.Request) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := r.Header.Get("Webhook-Verified-Id")
	a.tries[id]++
	a.total++
	close(a.changed)
	a.changed = make(chan struct{})
	if _, err := strconv.Atoi(r.Header.Get("Webhook-Verified-Attempt")); err != nil {
		a.wrong = append(a.wrong, id+": Webhook-Verified-Attempt is "+r.Header.Get("Webhook-Verified-Attempt"))
	}
	switch fault := r.Header.Get(faultHeader); {
	case a.mended:
		return ""
	case a.down:
		return "reset"
	case strings.HasPrefix(fault, "always "):
		return strings.TrimPrefix(fault, "always ")
	case fault != "" && a.tries[id] == 1:
		return fault
	case a.unreliable && a.total%3 == 0:
		return failures[a.total/3%len(failures)]
	}
	return ""
}

// end records that the app has handled a delivery.
func (a *queueApp) end(id, sum, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handled[id]++
	a.sums[id] = sum
	if before, again := a.keys[id]; again && before != key {
		a.wrong = append(a.wrong, id+": its key changed")
	}
	a.keys[id] = key
}

func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func listenAt(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// set changes how the app behaves.
func (a *queueApp) set(change func(*queueApp)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// requests returns the number of requests, and a channel that is closed at the next one.
func (a *queueApp) requests() (int, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total, a.changed
}

// awaitRequests waits for n more requests.
func (a *queueApp) awaitRequests(t *testing.T, n int) {
	t.Helper()
	before, _ := a.requests()
	deadline := time.After(patience)
	for {
		total, changed := a.requests()
		if total >= before+n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("only %d of %d requests reached the app within %v", total-before, n, patience)
		}
	}
}

// awaitHandled waits until the app has handled all ids, and returns those that it has
// not. It gives up when the app handles none for too long.
func (a *queueApp) awaitHandled(ids []string) (lost []string) { return a.awaitFor(ids, patience) }

func (a *queueApp) awaitFor(ids []string, patience time.Duration) (lost []string) {
	lost = a.unhandled(ids)
	for deadline := time.Now().Add(patience); len(lost) > 0 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
		now := a.unhandled(ids)
		if len(now) < len(lost) {
			deadline = time.Now().Add(patience)
		}
		lost = now
	}
	return lost
}

func (a *queueApp) unhandled(ids []string) (missing []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if a.handled[id] == 0 {
			missing = append(missing, id)
		}
	}
	return missing
}
