package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// app is the upstream. It records every request, including those that it rejects.
type app struct {
	*httptest.Server

	mu       sync.Mutex
	requests []received
	answer   http.HandlerFunc
}

// received is one request that reached the app.
type received struct {
	Header        http.Header
	Body          []byte
	ContentLength int64
	Chunked       bool
}

func startApp(t *testing.T) *app {
	t.Helper()
	a := &app{}
	a.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

// answers sets the handler of later requests, which runs after they are recorded.
func (a *app) answers(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *app) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte("cut short: " + err.Error())
	}
	a.mu.Lock()
	a.requests = append(a.requests, received{
		Header: r.Header.Clone(), Body: body,
		ContentLength: r.ContentLength, Chunked: len(r.TransferEncoding) > 0,
	})
	answer := a.answer
	a.mu.Unlock()
	answer(w, r)
}

// seen returns all requests so far.
func (a *app) seen() []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]received(nil), a.requests...)
}

// sawTimes fails the test unless n requests reached the app so far.
func (a *app) sawTimes(t *testing.T, n int) []received {
	t.Helper()
	seen := a.seen()
	if len(seen) != n {
		t.Fatalf("the app got %d requests, want %d", len(seen), n)
	}
	return seen
}

// verifiedHeaders returns the identity that the app received. It normalizes names as
// frameworks do.
func (r received) verifiedHeaders() map[string]string {
	told := make(map[string]string)
	for name, values := range r.Header {
		folded := strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
		if what, ok := strings.CutPrefix(folded, "webhook-verified-"); ok {
			told[what] += strings.Join(values, " and ")
		}
	}
	return told
}
