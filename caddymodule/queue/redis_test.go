package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
	"github.com/verify-webhook/caddy-verify-webhook/queue/redis"
)

const redisPassword = "p@ss:w/rd?{}%#"

func TestRedisQueueSurvivesReloadsAndStops(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", redisPassword)
	s := newSite(t)
	s.store = "redis redis://:{env.REDIS_PASSWORD}@" + redisserver.Start(t, redisPassword)
	s.app.Close()
	s.load(usualSite(""))
	s.mustSend("1", 202)
	s.store += " {\ntimeout 2s\n}"
	s.load(usualSite(""))
	s.mustSend("2", 202)
	if n := redisQueues.Len(); n != 1 {
		t.Errorf("%d connections to one Redis", n)
	}
	s.stop()
	s.app = restarted(t, s.app)
	s.load(usualSite(""))
	for range 2 {
		s.app.next(t)
	}
	s.delivered("orders", 2)
	if config, err := adapt(s.caddyfile(usualSite(""))); err != nil || strings.Contains(string(config), redisPassword) {
		t.Errorf("the config contains the password, %v", err)
	}
}

// If another Caddy instance has crashed, its attempts in flight are retried.
func TestAttemptsOfACrashedInstanceAreDelivered(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", redisPassword)
	address := redisserver.Start(t, redisPassword)
	s := newSite(t)
	s.store = "redis redis://:{env.REDIS_PASSWORD}@" + address
	s.app.Close()
	s.load(usualSite(""))
	s.mustSend("1", 202)
	s.stop()
	other, err := redis.New(redis.Options{URL: "redis://:p%40ss%3Aw%2Frd%3F%7B%7D%25%23@" + address})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(within); ; {
		leases, _, err := other.Lease(t.Context(), "orders", 1, 500*time.Millisecond)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%v, %v", leases, err)
		}
		if len(leases) == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond) // until it is due
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	s.app = restarted(t, s.app)
	s.load(usualSite(""))
	if got := s.app.next(t); got.id() != "1" {
		t.Errorf("the app received %s", got.id())
	}
	s.delivered("orders", 1)
}

func TestUnavailableRedisMeansRetry(t *testing.T) {
	s := newSite(t)
	s.store = "redis redis://" + newStoppedApp(t).address()
	s.load(usualSite(""))
	resp := s.send(event("1"))
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the provider got %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}
