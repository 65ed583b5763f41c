package redis

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/storetest"
)

func TestStoreConforms(t *testing.T) {
	conform(t, redistest.Start(t).URL())
}

func TestStoreConformsOnACluster(t *testing.T) {
	conform(t, redistest.StartCluster(t)[0].URL())
}

func TestStoreConformsWithRESP2(t *testing.T) {
	conform(t, redistest.Start(t).URL()+"?protocol=2")
}

var prefixes atomic.Int64

func conform(t *testing.T, url string) {
	storetest.Run(t, storetest.Subject{
		Unbounded: true,
		Open: func(t *testing.T, _ int64) storetest.Instance {
			prefix := fmt.Sprintf("conform%d", prefixes.Add(1))
			return instance(t, Options{URL: url, Prefix: prefix, Timeout: redistest.Patience})
		},
	})
}

func instance(t *testing.T, o Options) storetest.Instance {
	store := mustOpen(t, o)
	return storetest.Instance{
		Store:   store,
		Advance: func(t *testing.T, d time.Duration) { advance(t, store, d) },
		Reopen: func(t *testing.T) storetest.Instance {
			return instance(t, o) // the old one stays open, as after a crash
		},
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

var advanceScript = rueidis.NewLuaScript(`
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left == -1 then return redis.error_reply('no expiry: ' .. key) end
  redis.call('PEXPIRE', key, math.max(0, left - tonumber(ARGV[1])))
end
return 1`)

// advance simulates the passage of time by shortening the expiry of every key.
// It also checks that every key has an expiry.
func advance(t *testing.T, store *Store, d time.Duration) {
	t.Helper()
	client := store.client.Raw()
	for _, node := range client.Nodes() {
		keys, err := node.Do(t.Context(), node.B().Keys().Pattern(store.prefix+":*").Build()).AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			continue
		}
		if err := advanceScript.Exec(t.Context(), node, keys, []string{milliseconds(d)}).Error(); err != nil {
			t.Fatal(err)
		}
	}
}

// delivery returns the keys of the nth delivery.
func delivery(n int) replay.Keys {
	return replay.Keys{Blocking: []replay.Key{{byte(n), byte(n >> 8)}}, Notes: []replay.Key{{byte(n), byte(n >> 8), 1}}}
}

func handle(t *testing.T, store *Store, n int) {
	t.Helper()
	owner := replay.NewOwner()
	if v, err := store.Claim(t.Context(), delivery(n), owner, time.Minute); v != replay.Ours || err != nil {
		t.Fatalf("Claim = %v, %v", v, err)
	}
	if err := store.Commit(t.Context(), delivery(n), owner, time.Hour, 200); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func wantState(t *testing.T, store *Store, n int, want replay.State) {
	t.Helper()
	states, err := store.Lookup(t.Context(), delivery(n).All())
	if err != nil || states[0] != want || states[1] != want {
		t.Errorf("delivery %d is %v, %v; want %v", n, states, err, want)
	}
}

func TestTwoStoresOnOneRedisShareHandledDeliveries(t *testing.T) {
	url := redistest.Start(t).URL()
	first, second := mustOpen(t, Options{URL: url}), mustOpen(t, Options{URL: url})
	var ours atomic.Int32
	var all sync.WaitGroup
	const deliveries = 100
	for n := range deliveries {
		for _, store := range []*Store{first, second, first, second} {
			all.Go(func() {
				owner := replay.NewOwner()
				v, err := store.Claim(t.Context(), delivery(n), owner, time.Minute)
				if err != nil {
					t.Errorf("Claim: %v", err)
				}
				if v == replay.Ours {
					ours.Add(1)
				}
			})
		}
	}
	all.Wait()
	if got := ours.Load(); got != deliveries {
		t.Errorf("%d deliveries were claimed %d times", deliveries, got)
	}
}

func TestStoresWithDifferentPrefixesShareNothing(t *testing.T) {
	url := redistest.Start(t).URL()
	first, second := mustOpen(t, Options{URL: url, Prefix: "one"}), mustOpen(t, Options{URL: url, Prefix: "two"})
	handle(t, first, 1)
	wantState(t, second, 1, replay.Free)
}

func TestTheHashTagOfKeysIsTheirPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"":          "{verify_webhook}",
		"shop":      "{shop}",
		"a:{b}":     "a:{b}",
		"{a}:b":     "{a}:b",
		"{}a":       "{a}",
		"half{open": "{halfopen}",
	} {
		if got := redisclient.HashTag(cmp.Or(prefix, DefaultPrefix)); got != want {
			t.Errorf("hash tag of prefix %q is %q, want %q", prefix, got, want)
		}
	}
}

func TestAFullServerRejectsNewClaimsAndEndsExistingOnes(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	store := mustOpen(t, Options{URL: server.URL()})
	handle(t, store, 1)
	committed, released := replay.NewOwner(), replay.NewOwner()
	for n, owner := range map[int]replay.Owner{2: committed, 3: released} {
		if v, err := store.Claim(t.Context(), delivery(n), owner, time.Minute); v != replay.Ours || err != nil {
			t.Fatalf("Claim = %v, %v", v, err)
		}
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	if _, err := store.Claim(t.Context(), delivery(4), replay.NewOwner(), time.Minute); err == nil || !strings.Contains(err.Error(), replay.ErrFull.Error()) {
		t.Errorf("Claim = %v, want ErrFull", err)
	}
	if err := store.Renew(t.Context(), delivery(2), committed, time.Minute); err != nil {
		t.Errorf("Renew: %v", err)
	}
	if err := store.Commit(t.Context(), delivery(2), committed, time.Hour, 200); err != nil {
		t.Errorf("Commit: %v", err)
	}
	if err := store.Release(t.Context(), delivery(3), released, 500); err != nil {
		t.Errorf("Release: %v", err)
	}
	wantState(t, store, 1, replay.Handled)
	wantState(t, store, 2, replay.Handled)
	wantState(t, store, 3, replay.Free)
	wantState(t, store, 4, replay.Free)
	advance(t, store, time.Second)
}

func TestSentinelLeadsToTheNewPrimary(t *testing.T) {
	master := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(master.Address, ":")
	replica := redistest.Start(t, "--replicaof", host, port)
	config := t.TempDir() + "/sentinel.conf"
	lines := fmt.Sprintf("sentinel monitor hooks %s %s 1\nsentinel down-after-milliseconds hooks 500\nsentinel failover-timeout hooks 5000\n", host, port)
	if err := os.WriteFile(config, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := redistest.StartSentinel(t, config)
	replica.Await("the replica to be synchronized", func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") })
	sentinel.Await("the sentinel to discover the replica", func() bool {
		return strings.Contains(sentinel.Do("INFO", "sentinel"), "slaves=1")
	})

	store := mustOpen(t, Options{URL: "redis://" + sentinel.Address + "?master_set=hooks"})
	handle(t, store, 1)
	replica.Await("the delivery to be replicated", func() bool { return strings.Contains(replica.Do("INFO", "keyspace"), "keys=3") })
	master.Kill()
	replica.Await("the new primary to respond", func() bool {
		_, err := store.Claim(context.Background(), delivery(2), replay.NewOwner(), time.Minute)
		return err == nil
	})
	wantState(t, store, 1, replay.Handled)
	handle(t, store, 3)
}

// logBook records log lines.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(p))
	return len(p), nil
}

func (b *logBook) count(part string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func (b *logBook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, mustOpen(b, Options{URL: redistest.Start(b).URL()}))
}
