package faults

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
)

// topology is Redis with several servers, one of which accepts writes.
type topology struct {
	url string
	// servers returns the primary of a key, and its replica.
	servers func(key string) (primary, replica *redistest.Server)
}

var topologies = map[string]func(*testing.T) topology{"cluster": startCluster, "sentinel": startSentinels}

// startCluster starts three primaries, each with a replica.
func startCluster(t *testing.T) topology {
	t.Helper()
	primaries := redistest.StartCluster(t)
	replicas := redistest.AddReplicas(t, primaries)
	url := primaries[0].URL() + "?addr=" + primaries[1].Address + "&addr=" + primaries[2].Address
	return topology{url, func(key string) (primary, replica *redistest.Server) {
		slot := primaries[0].Text("CLUSTER", "KEYSLOT", key)
		for i, node := range primaries {
			if n := node.Text("CLUSTER", "COUNTKEYSINSLOT", slot); n != "0" {
				return node, replicas[i]
			}
		}
		t.Fatalf("no node has a key in slot %s", slot)
		return nil, nil
	}}
}

// startSentinels starts a primary with a replica, and three Sentinels.
func startSentinels(t *testing.T) topology {
	t.Helper()
	primary := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(primary.Address)
	if err != nil {
		t.Fatal(err)
	}
	replica := redistest.Start(t, "--replicaof", host, port)
	replica.Await("the replica to be in sync", func() bool { return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") })
	var addresses []string
	for range 3 {
		config := filepath.Join(t.TempDir(), "sentinel.conf")
		lines := fmt.Sprintf("sentinel monitor hooks %s %s 2\nsentinel down-after-milliseconds hooks 1000\nsentinel failover-timeout hooks 5000\n", host, port)
		if err := os.WriteFile(config, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		sentinel := redistest.StartSentinel(t, config)
		addresses = append(addresses, sentinel.Address)
		defer sentinel.Await("the sentinels to know each other", func() bool {
			info := sentinel.Do("INFO", "sentinel")
			return strings.Contains(info, "slaves=1") && strings.Contains(info, "sentinels=3")
		})
	}
	url := "redis://" + strings.Join(addresses, "?addr=")
	url = strings.Replace(url, "?addr="+addresses[2], "&addr="+addresses[2], 1) + "&master_set=hooks"
	return topology{url, func(string) (*redistest.Server, *redistest.Server) { return primary, replica }}
}

// failOver kills the primary of a key after all deliveries acknowledged so far are
// replicated. It returns the deliveries that were acknowledged later, until the replica
// was promoted. Those that were not replicated are forgotten, as documented.
func (p *provider) failOver(redis topology, key string, progress func()) (gap []string) {
	p.t.Helper()
	before := p.ids()
	primary, replica := redis.servers(key)
	redistest.AwaitReplicated(primary, replica)
	primary.Kill()
	p.awaitRefusals(1)
	progress()
	for _, id := range p.ids() {
		if !slices.Contains(before, id) {
			gap = append(gap, id)
		}
	}
	return gap
}

// ids returns the IDs of the acknowledged deliveries.
func (p *provider) ids() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, d := range p.acknowledged {
		ids = append(ids, d.id)
	}
	return ids
}

// A primary dies under load and its replica is promoted automatically. No delivery is
// lost, and only deliveries that were acknowledged during the failover and not replicated
// reach the app again.
func TestAFailoverForgetsOnlyUnreplicatedDeliveries(t *testing.T) {
	t.Parallel()
	for name, start := range topologies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis, a := start(t), startApp(t)
			s := startSite(t, a, "redis "+redis.url, "2s")
			p := newProvider(t, s)
			var gap []string
			p.underLoad(8, func() {
				a.awaitMore(t, 100)
				gap = p.failOver(redis, "{verify_webhook}", func() { a.awaitMore(t, 100) })
				a.awaitMore(t, 50)
			})
			p.replayAll()
			f := count(p, a)
			t.Logf("%v; %d were acknowledged during the failover", f, len(gap))
			if f.lost > 0 {
				t.Errorf("%d deliveries were lost", f.lost)
			}
			for _, d := range p.acknowledged {
				late := slices.ContainsFunc(a.reachedBy(d.id), func(attempt int) bool { return attempt > d.known })
				if late && !slices.Contains(gap, d.id) {
					t.Errorf("%s reached the app again, but was not acknowledged during the failover", d.id)
				}
			}
		})
	}
}

// The same with a queue, where a lost delivery never reaches the app.
func TestQueueAnAutomaticFailoverLosesOnlyUnreplicatedDeliveries(t *testing.T) {
	t.Parallel()
	for name, start := range topologies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis, a := start(t), startQueueApp(t)
			s := startQueueSite(t, a, queueStore{"redis " + redis.url, "redis " + redis.url}, "")
			p := newProvider(t, s)
			var gap []string
			p.underLoad(8, func() {
				a.awaitRequests(t, 100)
				gap = p.failOver(redis, "{verify_webhook_queue:orders}", func() { a.awaitRequests(t, 100) })
				a.awaitRequests(t, 50)
			})
			var safe []string
			for _, id := range p.ids() {
				if !slices.Contains(gap, id) {
					safe = append(safe, id)
				}
			}
			if lost := a.awaitHandled(safe); len(lost) > 0 {
				t.Errorf("%d deliveries were lost that were not acknowledged during the failover: %v", len(lost), lost[:min(5, len(lost))])
			}
			twice := 0
			a.mu.Lock()
			for _, n := range a.handled {
				if n > 1 {
					twice++
				}
			}
			handled := len(a.handled)
			a.mu.Unlock()
			t.Logf("%d accepted, %d of them during the failover, %d handled by the app, %d twice", len(safe)+len(gap), len(gap), handled, twice)
			if most := len(gap) + queueInFlight; twice > most {
				t.Errorf("%d deliveries were handled twice, want at most the %d of the failover", twice, most)
			}
		})
	}
}

// queueInFlight is an upper limit for deliveries in flight. Those that were delivered,
// but not yet recorded on the replica, are delivered again.
const queueInFlight = 64
