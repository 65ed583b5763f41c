package queue

import (
	"net/http"
	"strings"
	"testing"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

const whenDown = "\n\t\tmode when_down"

func TestWhenTheAppRespondsTheProviderGetsItsResponse(t *testing.T) {
	for _, status := range []int{200, 204, 404, 410, 429} {
		s := start(t, usualSite(whenDown))
		s.app.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("From-App", "yes")
			w.WriteHeader(status)
		})
		resp := s.send(event("1"))
		if resp.StatusCode != status || resp.Header.Get("From-App") != "yes" {
			t.Errorf("the provider got %d %v, want the app's %d", resp.StatusCode, resp.Header, status)
		}
		if got := s.app.next(t); got.attempt() != "1" || got.header.Get("Webhook-Verified-Received") == "" || got.body != event("1").body {
			t.Errorf("the app received %v", got)
		}
		if stats, err := s.opened().Stats(t.Context(), "orders"); err != nil || stats != (durable.Stats{}) {
			t.Errorf("the queue contains %+v, %v", stats, err)
		}
		s.stop()
	}
}

func TestDeliveriesThatTheAppRejectsAreStored(t *testing.T) {
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		attempt string // number of the next attempt
	}{
		"5xx":                  {statuses(500), "2"},
		"no response":          {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "2"},
		"a truncated response": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "2"},
		"connection refused":   {nil, "1"},
		"Retry-After":          {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "0"); w.WriteHeader(503) }, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if test.answer == nil {
				s.app.Close()
			}
			s.app.answers(test.answer)
			s.load(strings.Replace(usualSite(whenDown+"\n\t\ttimeout 100ms"), "retry 10ms", "retry 400ms", 1))
			resp := s.send(event("1"))
			if resp.StatusCode != 202 || resp.Header.Get("From-App") != "" || resp.Header.Get("Retry-After") != "" {
				t.Fatalf("the provider got %d %v", resp.StatusCode, resp.Header)
			}
			if test.answer == nil {
				s.app = restarted(t, s.app)
			} else {
				s.app.next(t)
			}
			s.app.answers(nil)
			if got := s.app.next(t); got.attempt() != test.attempt || got.body != event("1").body {
				t.Errorf("the app received attempt %s of %q", got.attempt(), got.body)
			}
			s.delivered("orders", 1)
			s.mustSend("1", 200) // a duplicate
		})
	}
}

// While the app is down, deliveries are stored without an attempt, and a
// Retry-After of the app is respected.
func TestWhileTheAppIsDownDeliveriesAreStoredAtOnce(t *testing.T) {
	s := start(t, usualSite(whenDown))
	s.app.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(503)
	})
	s.mustSend("1", 202)
	s.app.next(t)
	s.app.answers(nil)
	s.mustSend("2", 202)
	if n := len(s.app.arrivals); n != 0 {
		t.Errorf("the app received %d deliveries before its Retry-After", n)
	}
	s.delivered("orders", 2)
	s.mustSend("3", 200)
}
