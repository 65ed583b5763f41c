package faults

import (
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// appFailures are the ways in which the app dies half-way, after it has read
// the delivery.
var appFailures = map[string]http.HandlerFunc{
	"status 500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"reset":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"timeout": func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(patience):
		}
	},
}

// However the app, or a handler before it, fails on the first attempt: the
// provider does not take it for handled, its retry gets through at once, and
// all further ones are duplicates.
func TestAFailureOfTheAppLetsTheRetryThrough(t *testing.T) {
	faults := []struct {
		name    string
		status  int  // what the provider sees, 0 for no answer at all
		reaches bool // whether the failing attempt has reached the app
	}{
		{"status 500", http.StatusInternalServerError, true},
		{"reset", http.StatusBadGateway, true},
		{"timeout", http.StatusGatewayTimeout, true},
		{"panic", 0, false},                      // of the handler behind verify_webhook
		{"broken", http.StatusBadGateway, false}, // as an error of that handler is
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
						reached := 1
						if fault.reaches {
							reached++
						}
						if n := len(a.reachedBy(d.id)); n != reached {
							t.Errorf("%s: after the retry the app was reached %d times, want %d", fault.name, n, reached)
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
