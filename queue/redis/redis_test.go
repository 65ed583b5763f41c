package redis

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
	"github.com/verify-webhook/caddy-verify-webhook/queue/queuetest"
)

func TestStoreConforms(t *testing.T) { conform(t, redistest.Start(t).URL()) }

func TestStoreConformsOnACluster(t *testing.T) { conform(t, redistest.StartCluster(t)[0].URL()) }

func TestStoreConformsWithRESP2(t *testing.T) { conform(t, redistest.Start(t).URL()+"?protocol=2") }

var prefixes atomic.Int64

func conform(t *testing.T, url string) {
	queuetest.Run(t, queuetest.Subject{Open: func(t *testing.T) queuetest.Instance {
		return instance(t, Options{URL: url, Prefix: fmt.Sprintf("conform%d", prefixes.Add(1)), Timeout: redistest.Patience})
	}})
}

func instance(t *testing.T, o Options) queuetest.Instance {
	store := mustOpen(t, o)
	return queuetest.Instance{
		Queue:     store,
		Advance:   func(t *testing.T, d time.Duration) { stepClocks(t, store, d) },
		StepClock: func(t *testing.T, d time.Duration) { stepClocks(t, store, d) },
		Reopen: func(t *testing.T) queuetest.Instance {
			return instance(t, o) // the old one stays open, as after a crash
		},
		Corrupt: func(t *testing.T, name, key string) { corrupt(t, store, name, key) },
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	store, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

// do runs a command on the server of a store.
func do(t *testing.T, s *Store, command ...string) rueidis.RedisResult {
	t.Helper()
	return s.client.Do(t.Context(), func(ctx context.Context, c rueidis.Client) rueidis.RedisResult {
		return c.Do(ctx, c.B().Arbitrary(command[0]).Keys(command[1]).Args(command[2:]...).Build())
	})
}

// stepClocks simulates a step of the server's clock for all queues by changing
// the difference between their clock and that of the server.
func stepClocks(t *testing.T, s *Store, d time.Duration) {
	t.Helper()
	names, err := do(t, s, "SMEMBERS", s.namesKey()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := do(t, s, "HINCRBY", s.tag(name)+":m", "off", strconv.FormatInt(d.Milliseconds(), 10)).Error(); err != nil {
			t.Fatal(err)
		}
	}
}

// corrupt changes the last byte of a body.
func corrupt(t *testing.T, s *Store, name, key string) {
	t.Helper()
	entry := s.tag(name) + ":e:" + key
	body, _ := do(t, s, "HGET", entry, "bk").ToString()
	if body != "" {
		if err := do(t, s, "SETRANGE", s.bodyKey(name, body), "0", "\xff\xfe").Error(); err != nil {
			t.Fatal(err)
		}
		return
	}
	inline, err := do(t, s, "HGET", entry, "b").ToString()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(t, s, "HSET", entry, "b", inline[:len(inline)-1]+"\xff").Error(); err != nil {
		t.Fatal(err)
	}
}

var _ queue.Queue = (*Store)(nil)
