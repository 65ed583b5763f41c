package queue

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

func TestStatusOfTheAppDecides(t *testing.T) {
	for name, test := range map[string]struct {
		options string
		status  int
		want    durable.State
	}{
		"2xx is handled":                        {"", 204, durable.Delivered},
		"4xx is tried again":                    {"", 404, durable.Waiting},
		"3xx is tried again":                    {"", 302, durable.Waiting},
		"410 is dead at once":                   {"", 410, durable.Dead},
		"handled":                               {"handled 2xx 404", 404, durable.Delivered},
		"handled replaces 2xx":                  {"handled 404", 200, durable.Waiting},
		"stop_on":                               {"stop_on 4xx", 422, durable.Dead},
		"stop_on replaces 410":                  {"stop_on 404", 410, durable.Waiting},
		"handled takes precedence over stop_on": {"handled 410", 410, durable.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, strings.Replace(usualSite("\n\t\t"+test.options), "retry 10ms", "retry 1h", 1))
			s.app.answers(statuses(test.status))
			s.mustSend("1", 202)
			switch test.want {
			case durable.Delivered:
				s.delivered("orders", 1)
			case durable.Dead:
				s.dead("orders", 1)
			}
			if test.want == durable.Delivered {
				return
			}
			if e := s.failed("orders"); e.State != test.want || e.Last.Status != test.status || e.Attempts != 1 {
				t.Errorf("the entry is %s with status %d after %d attempts", e.State, e.Last.Status, e.Attempts)
			}
		})
	}
}

func TestDeliveryIsDeadAfterGiveUp(t *testing.T) {
	s := start(t, usualSite("\n\t\tgive_up 300ms"))
	s.app.answers(statuses(500))
	s.mustSend("1", 202)
	s.dead("orders", 1)
	if n := len(s.app.arrivals); n < 2 {
		t.Errorf("%d attempts", n)
	}
	if len(s.logged("a webhook delivery is dead")) != 1 {
		t.Error("the log does not report it")
	}
	// A manual retry resets its age.
	s.app.answers(nil)
	key := s.entries("orders")[0].Key
	if n, err := s.opened().Retry(t.Context(), "orders", []string{key}); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	s.delivered("orders", 1)
}

// Refused connections count towards the age, but not as attempts. While the app is
// down, one delivery at a time probes it.
func TestWhileTheAppIsDownOneDeliveryProbes(t *testing.T) {
	s := newSite(t)
	s.app.Close()
	s.load(usualSite(""))
	const n = 20
	for i := range n {
		s.mustSend(strconv.Itoa(i), 202)
	}
	d := services.latest().dispatcher("orders")
	waitFor(t, "the app to be known as down", d.isDown)
	if len(s.logged("the app cannot be reached")) != 1 {
		t.Error("the log does not report it exactly once")
	}
	waitFor(t, "a second probe", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.trying > 8 {
			t.Errorf("%d deliveries are in flight", d.trying)
		}
		return d.state.pause > firstProbe
	})
	s.app = restarted(t, s.app)
	for range n {
		if got := s.app.next(t); got.attempt() != "1" {
			t.Errorf("%s is attempt %s", got.id(), got.attempt())
		}
	}
	s.delivered("orders", n)
	if len(s.logged("the app responds again")) == 0 {
		t.Error("the log does not report that the app is back")
	}
}

// waitFor polls until a condition without a notification is true.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestDeliveriesAreDeadByAgeIfTheAppStaysDown(t *testing.T) {
	s := newSite(t)
	s.app.Close()
	s.load(usualSite("\n\t\tgive_up 400ms"))
	for i := range 5 {
		s.mustSend(strconv.Itoa(i), 202)
	}
	s.dead("orders", 5)
	for _, e := range s.entries("orders") {
		if e.Failures != 0 || e.Last.Error == "" {
			t.Errorf("%d failures, %q", e.Failures, e.Last.Error)
		}
	}
}

// If the app responds with Retry-After, the whole queue pauses.
func TestRetryAfterSlowsTheQueue(t *testing.T) {
	for _, status := range []int{429, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			s := start(t, usualSite(""))
			var paused time.Time
			s.app.answers(func(w http.ResponseWriter, _ *http.Request) {
				s.app.answers(nil)
				paused = time.Now()
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(status)
			})
			s.mustSend("1", 202)
			s.app.next(t)
			s.eventually("orders", "the failure", func(stats durable.Stats) bool { return stats.InFlight == 0 })
			s.mustSend("2", 202)
			s.app.next(t)
			s.app.next(t)
			if took := time.Since(paused); took < time.Second {
				t.Errorf("the app received the next delivery after %s, but Retry-After was 1 s", took)
			}
			s.delivered("orders", 2)
		})
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	s := start(t, usualSite(""))
	s.app.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "99999999999999999999")
		w.WriteHeader(503)
	})
	s.mustSend("1", 202)
	if e := s.failed("orders"); e.DueIn > durable.DefaultMaxRetryAfter || e.DueIn < durable.DefaultMaxRetryAfter/2 {
		t.Errorf("the entry is due in %s", e.DueIn)
	}
}

// A delivery that always times out uses only one slot.
func TestFailingDeliveryDoesNotDelayOthers(t *testing.T) {
	s := start(t, usualSite("\n\t\tconcurrency 2\n\t\ttimeout 50ms"))
	s.app.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-GitHub-Delivery") == "poisoned" {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(200)
	})
	s.mustSend("poisoned", 202)
	const n = 50
	for i := range n {
		s.mustSend(strconv.Itoa(i), 202)
	}
	s.eventually("orders", "the others delivered", func(stats durable.Stats) bool { return stats.Tombstones == n && stats.Waiting+stats.InFlight == 1 })
	waitFor(t, "its result", func() bool { return !s.entries("orders")[0].Last.At.IsZero() })
	if e := s.entries("orders")[0]; !strings.Contains(e.Last.Error, "did not respond within 50ms") {
		t.Errorf("its last attempt: %d %q", e.Last.Status, e.Last.Error)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	s := start(t, usualSite("\n\t\tconcurrency 3"))
	release := s.app.hold(t)
	const n = 10
	for i := range n {
		s.mustSend(strconv.Itoa(i), 202)
	}
	for range 3 {
		s.app.next(t)
	}
	s.eventually("orders", "three in flight", func(stats durable.Stats) bool { return stats.InFlight == 3 && stats.Waiting == n-3 })
	if len(s.app.arrivals) > 0 {
		t.Error("the app received a fourth delivery")
	}
	release()
	s.delivered("orders", n)
}

func TestPausedQueueAcceptsAndDoesNotDeliver(t *testing.T) {
	s := start(t, usualSite(""))
	pause := func(paused bool) {
		t.Helper()
		if err := s.opened().SetPaused(t.Context(), "orders", paused); err != nil {
			t.Fatal(err)
		}
		services.latest().poke("orders")
	}
	pause(true)
	s.mustSend("1", 202)
	s.load(usualSite("\n\t\tconcurrency 4")) // the queue stays paused
	s.mustSend("2", 202)
	if stats := s.eventually("orders", "two waiting", func(stats durable.Stats) bool { return stats.Waiting == 2 }); !stats.Paused {
		t.Errorf("%+v", stats)
	}
	pause(false)
	s.delivered("orders", 2)
}
