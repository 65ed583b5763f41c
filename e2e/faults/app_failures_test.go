package faults

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// appFailures are the ways in which the app fails after it has read the delivery.
var appFailures = map[string]http.HandlerFunc{
	"status 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"reset":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"cut short": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	},
	"timeout": func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(patience):
		}
	},
}

// After any failure of the app, or of a handler before it, the provider's retry is
// forwarded immediately, and later ones are duplicates. A delivery counts as handled only
// if the app has begun to respond with 200.
func TestAfterAFailureOfTheAppTheRetryIsForwarded(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name    string
		status  int   // the provider's status, 0 for no complete response
		reached []int // attempts that reached the app, including the retry
	}{
		{"status 500", http.StatusInternalServerError, []int{1, 2}},
		{"reset", http.StatusBadGateway, []int{1, 2}},
		{"timeout", http.StatusGatewayTimeout, []int{1, 2}},
		{"cut short", 0, []int{1}},                  // after a 200, which counts
		{"panic", 0, []int{2}},                      // of the handler behind verify_webhook
		{"broken", http.StatusBadGateway, []int{2}}, // an error of that handler
	}
	stores := []struct {
		name  string
		store func(*testing.T) string
	}{
		{"file", func(*testing.T) string { return "file STATE/replays.db" }},
		{"redis", func(t *testing.T) string { return startRedis(t).store() }},
	}
	for _, on := range stores {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t)
			p := newProvider(t, startSite(t, a, on.store(t), "30m")) // no retry waits for a lease
			var group errgroup.Group
			group.SetLimit(32)
			for range times(6, 100) {
				for _, fault := range faults {
					group.Go(func() error {
						d := p.next()
						if got := p.send(t.Context(), d, faultHeader, fault.name); got != fault.status {
							t.Errorf("%s: the provider got %d, want %d", fault.name, got, fault.status)
						}
						if err := p.deliver(t.Context(), d); err != nil {
							return err
						}
						if got := a.reachedBy(d.id); !slices.Equal(got, fault.reached) {
							t.Errorf("%s: after the retry, attempts %v reached the app, want %v", fault.name, got, fault.reached)
						}
						return p.deliver(t.Context(), d)
					})
				}
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
			p.kept(t, a)
		})
	}
}
