package redis

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

const name = "orders"

func newPut(key string) queue.Put {
	return queue.Put{Queue: name, Key: key, Body: strings.NewReader("body"), BodySize: 4, Remember: time.Hour}
}

func mustPut(t *testing.T, s *Store, p queue.Put) {
	t.Helper()
	if _, err := s.Put(t.Context(), p); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func take(t *testing.T, s *Store, n int, lease time.Duration) []queue.Lease {
	t.Helper()
	leases, _, err := s.Lease(t.Context(), name, n, lease)
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	return leases
}

func TestAKilledServerLosesNoAcknowledgedEntry(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
	store := mustOpen(t, Options{URL: server.URL(), Timeout: 300 * time.Millisecond})
	var mu sync.Mutex
	var acknowledged []string
	for round := range 3 {
		var all sync.WaitGroup
		var killed atomic.Bool
		for range 8 {
			all.Go(func() {
				for !killed.Load() {
					key := queue.NewKey()
					p := newPut(key)
					if key[0]%8 == 0 {
						p.Body, p.BodySize = bytes.NewReader(make([]byte, maxInline+1)), maxInline+1
					}
					if _, err := store.Put(t.Context(), p); err != nil {
						if !errors.Is(err, queue.ErrUnavailable) {
							t.Errorf("Put = %v, want ErrUnavailable", err)
							return
						}
						continue // killed, or slow on a busy machine
					}
					mu.Lock()
					acknowledged = append(acknowledged, key)
					mu.Unlock()
				}
			})
		}
		server.Await("puts", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) > 300*(round+1)
		})
		server.Kill()
		killed.Store(true)
		all.Wait()
		server.Start()
		server.Await("the queue to recover", func() bool {
			_, err := store.Stats(t.Context(), name)
			return err == nil
		})
	}
	for _, key := range acknowledged {
		if e, err := store.Get(t.Context(), name, key); err != nil || e.State != queue.Waiting {
			t.Fatalf("%s is %v, %v", key, e.State, err)
		}
	}
	t.Logf("%d entries acknowledged, the server killed 3 times, 0 lost", len(acknowledged))
}

func TestEntriesInFlightAtADeadInstanceAreLeasedAgain(t *testing.T) {
	url := redistest.Start(t).URL()
	first, second := mustOpen(t, Options{URL: url}), mustOpen(t, Options{URL: url})
	for n := range 20 {
		mustPut(t, first, newPut(strconv.Itoa(n)))
	}
	const lease = time.Hour
	seen := map[string]int{}
	for _, l := range append(take(t, first, 10, lease), take(t, second, 100, lease)...) {
		seen[l.Entry.Key]++
	}
	if len(seen) != 20 {
		t.Fatalf("two instances have %v in flight, want each entry once", seen)
	}
	stepClocks(t, first, lease+time.Second) // no instance renews
	back := take(t, second, 100, lease)
	if len(back) != 20 {
		t.Errorf("%d entries were leased again, want 20", len(back))
	}
	for _, l := range back {
		if err := second.Finish(t.Context(), l, queue.Outcome{Action: queue.Deliver}); err != nil {
			t.Errorf("Finish: %v", err)
		}
	}
}

func TestAFullServerRejectsEntriesAndEndsLeases(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	store := mustOpen(t, Options{URL: server.URL()})
	for n := range 6 {
		mustPut(t, store, newPut(strconv.Itoa(n)))
	}
	leases := take(t, store, 5, time.Hour)
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	big := newPut("big")
	big.Body, big.BodySize = bytes.NewReader(make([]byte, 1<<20)), 1<<20
	for _, p := range []queue.Put{newPut("more"), big} {
		_, err := store.Put(t.Context(), p)
		if full, ok := errors.AsType[*queue.FullError](err); !ok || full.What != queue.FullMemory {
			t.Errorf("Put = %v, want one that says maxmemory", err)
		}
	}
	if result, err := store.Put(t.Context(), newPut("5")); err != nil || result.Existing != queue.Waiting {
		t.Errorf("Put of an existing key = %+v, %v", result, err)
	}
	if got := take(t, store, 5, time.Hour); len(got) != 1 {
		t.Errorf("%d leases, want the remaining one", len(got))
	}
	for i, action := range []queue.Action{queue.Deliver, queue.Retry, queue.Bury, queue.Discard, queue.PutBack} {
		if err := store.Renew(t.Context(), leases[i], 2*time.Hour); err != nil {
			t.Errorf("Renew: %v", err)
		}
		if err := store.Finish(t.Context(), leases[i], queue.Outcome{Action: action, Delay: time.Minute}); err != nil {
			t.Errorf("Finish(%d): %v", action, err)
		}
	}
	if n, err := store.Retry(t.Context(), name, []string{leases[2].Entry.Key}); n != 1 || err != nil {
		t.Errorf("Retry = %d, %v", n, err)
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "0")
	mustPut(t, store, newPut("more"))
	s, err := store.Stats(t.Context(), name)
	if err != nil || s.Waiting != 4 || s.InFlight != 1 || s.Dead != 0 || s.Tombstones != 2 {
		t.Errorf("Stats = %+v, %v", s, err)
	}
}

func TestAServerThatBecomesAReplicaIsUnavailable(t *testing.T) {
	server, other := redistest.Start(t), redistest.Start(t)
	store := mustOpen(t, Options{URL: server.URL()})
	mustPut(t, store, newPut("k"))
	host, port, _ := strings.Cut(other.Address, ":")
	server.MustDo("REPLICAOF", host, port)
	if _, err := store.Put(t.Context(), newPut("l")); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("Put = %v, want ErrUnavailable", err)
	}
	server.MustDo("REPLICAOF", "NO", "ONE")
	server.Await("the queue to recover", func() bool {
		_, err := store.Put(t.Context(), newPut("l"))
		return err == nil
	})
}

func TestWarnings(t *testing.T) {
	safe := []string{"--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", "always"}
	for what, c := range map[string]struct {
		args []string
		want string // empty: none
	}{
		"safe":         {safe, ""},
		"evicts":       {append(safe[2:len(safe):len(safe)], "--maxmemory-policy", "allkeys-lru"), "set maxmemory-policy to noeviction"},
		"no AOF":       {safe[:2], "redis has no append-only file"},
		"every second": {append(safe[:4:4], "--appendfsync", "everysec"), "appendfsync everysec"},
		"no fsync":     {append(safe[:4:4], "--appendfsync", "no"), "appendfsync no"},
	} {
		var log bytes.Buffer
		store := mustOpen(t, Options{URL: redistest.Start(t, c.args...).URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		got := store.Warnings(t.Context())
		switch {
		case c.want == "" && len(got) == 0 && log.Len() == 0:
		case c.want != "" && len(got) == 1 && strings.Contains(got[0], c.want) && strings.Contains(log.String(), c.want):
		default:
			t.Errorf("%s: warnings %q, log %q; want %q", what, got, log.String(), c.want)
		}
	}
}

func TestReplicasAreWarnedAbout(t *testing.T) {
	primary := redistest.Start(t, "--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "always")
	host, port, _ := strings.Cut(primary.Address, ":")
	redistest.Start(t, "--replicaof", host, port).Await("the replica to be synchronized", func() bool {
		return strings.Contains(primary.Do("INFO", "replication"), "connected_slaves:1")
	})
	got := mustOpen(t, Options{URL: primary.URL()}).Warnings(t.Context())
	if len(got) != 1 || !strings.Contains(got[0], "failover can lose") {
		t.Errorf("warnings %q, want one about replicas", got)
	}
}

func TestTheQueueConnectsToARedisThatIsDownAtStart(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	store := mustOpen(t, Options{URL: server.URL(), Timeout: 300 * time.Millisecond})
	for range 5 {
		if _, err := store.Put(t.Context(), newPut("k")); !errors.Is(err, queue.ErrUnavailable) || len(err.Error()) > 300 {
			t.Fatalf("Put = %v, want ErrUnavailable", err)
		}
	}
	server.Start()
	server.Await("the queue to connect", func() bool {
		_, err := store.Stats(t.Context(), name)
		return err == nil
	})
	mustPut(t, store, newPut("k"))
}

func TestALargeBodyWithoutAnEntryExpires(t *testing.T) {
	store := mustOpen(t, Options{URL: redistest.Start(t).URL()})
	body := func() queue.Put {
		p := newPut("k")
		p.Body, p.BodySize = bytes.NewReader(make([]byte, 1<<20)), 1<<20
		return p
	}
	if _, err := store.storeBody(t.Context(), new(body())); err != nil { // then a crash
		t.Fatal(err)
	}
	mustPut(t, store, body())
	mustPut(t, store, body()) // the key exists: its body is not stored
	keys, err := do(t, store, "KEYS", store.tag(name)+":b:*").AsStrSlice()
	if err != nil || len(keys) != 2 {
		t.Fatalf("bodies: %q, %v; want two", keys, err)
	}
	forever := 0
	for _, key := range keys {
		ttl, err := do(t, store, "PTTL", key).AsInt64()
		switch {
		case err != nil:
			t.Fatal(err)
		case ttl == -1:
			forever++
		case ttl <= 0 || ttl > bodyLife.Milliseconds():
			t.Errorf("a body without an entry lives for %d ms", ttl)
		}
	}
	if forever != 1 {
		t.Errorf("%d bodies do not expire, want only that of the entry", forever)
	}
}

func TestTheKeysOfAQueueShareAHashTag(t *testing.T) {
	for name, want := range map[string]string{"orders": "{verify_webhook_queue:orders}", "a}b{:": "{verify_webhook_queue:a%7Db%7B%3A}"} {
		if got := mustOpen(t, Options{URL: redistest.Start(t).URL(), Prefix: ""}).tag(name); got != want {
			t.Errorf("the keys of %q begin with %q, want %q", name, got, want)
		}
	}
}

func TestAUserWithMinimalPermissions(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	server.MustDo(append([]string{"ACL", "SETUSER", "hooks", "on", ">password", "resetkeys", "~{verify_webhook_queue*", "nocommands"}, permissions...)...)
	var log bytes.Buffer
	store := mustOpen(t, Options{URL: "redis://hooks:password@" + server.Address, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range 4 {
		p := newPut(fmt.Sprint(n))
		p.Body, p.BodySize = bytes.NewReader(make([]byte, (n%2)<<20)), int64(n%2)<<20
		mustPut(t, store, p)
	}
	for i, l := range take(t, store, 4, time.Hour) {
		if err := store.Renew(t.Context(), l, time.Hour); err != nil {
			t.Error(err)
		}
		stream, err := l.Body.Open(t.Context())
		if err == nil {
			_, err = new(bytes.Buffer).ReadFrom(stream)
		}
		if err != nil {
			t.Error(err)
		}
		action := []queue.Action{queue.Deliver, queue.Retry, queue.Bury, queue.Bury}[i]
		if err := store.Finish(t.Context(), l, queue.Outcome{Action: action}); err != nil {
			t.Error(err)
		}
	}
	_, retryErr := store.Retry(t.Context(), name, []string{"2"})
	_, discardErr := store.Discard(t.Context(), name, []string{"1"})
	_, forgetErr := store.Forget(t.Context(), name, []string{"0"})
	_, listErr := store.List(t.Context(), queue.Filter{Queue: name, NewestFirst: true})
	_, olderErr := store.List(t.Context(), queue.Filter{Queue: name})
	_, namesErr := store.Names(t.Context())
	_, expireErr := store.Expire(t.Context(), name, 0)
	pauseErr := errors.Join(store.SetPaused(t.Context(), name, true), store.SetPaused(t.Context(), name, false))
	if err := errors.Join(retryErr, discardErr, forgetErr, listErr, olderErr, namesErr, expireErr, pauseErr); err != nil {
		t.Error(err)
	}
	if log.Len() != 0 {
		t.Errorf("logged %q, want nothing", log.String())
	}
}

// permissions are the permissions that a user needs according to docs/queue.md.
var permissions = []string{
	"+eval", "+evalsha", "+hello", "+ping", "+info", "+config|get", "+time", "+exists", "+del", "+unlink", "+persist", "+pexpire",
	"+hget", "+hset", "+hdel", "+hmget", "+hincrby", "+sadd", "+smembers", "+setrange", "+getrange", "+strlen",
	"+zadd", "+zrem", "+zscore", "+zcount", "+zrange", "+zrangebyscore", "+zrevrangebyscore",
}
