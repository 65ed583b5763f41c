package faults

import (
	"io"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// address is a stable address for changing Redis servers, as in a cloud that promotes
// replicas.
type address struct {
	net.Listener

	mu    sync.Mutex
	to    string
	conns []net.Conn
}

func newAddress(t *testing.T, to string) *address {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &address{Listener: l, to: to}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go a.forward(near)
		}
	}()
	return a
}

func (a *address) forward(near net.Conn) {
	defer near.Close()
	a.mu.Lock()
	to := a.to
	a.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	a.mu.Lock()
	a.conns = append(a.conns, near, far)
	a.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, near); _ = far.Close() })
	both.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	both.Wait()
}

// switchTo forwards new connections to another server, and closes the old ones.
func (a *address) switchTo(to string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.to = to
	for _, c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
}

// command runs a command on the server.
func (r *redisServer) command(args ...string) {
	r.t.Helper()
	host, port, _ := net.SplitHostPort(r.address)
	client := "redis-cli"
	if _, err := exec.LookPath(client); err != nil {
		client = "valkey-cli"
	}
	if out, err := exec.CommandContext(r.t.Context(), client, append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput(); err != nil {
		r.t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
}

// A replica replaces a Redis server that dies, behind one address. Deliveries that were
// not replicated are lost and counted separately, because replication is asynchronous. All
// others are delivered, and Caddy needs no restart.
func TestQueueAFailoverOfRedisLosesOnlyUnreplicatedDeliveries(t *testing.T) {
	t.Parallel()
	primary, replica := startRedis(t), startRedis(t)
	host, port, _ := net.SplitHostPort(primary.address)
	replica.command("replicaof", host, port)
	front := newAddress(t, primary.address)
	both := (&redisServer{address: front.Addr().String()}).queueStore()

	a := startQueueApp(t)
	s := startQueueSite(t, a, both, "")
	p := newProvider(t, s)
	p.underLoad(8, func() {
		a.awaitRequests(t, 100)
		replica.command("wait", "0", "1000")
		primary.kill()
		p.awaitRefusals(1)
		replica.command("replicaof", "no", "one")
		front.switchTo(replica.address)
		a.awaitRequests(t, 100)
	})
	p.mu.Lock()
	var ids []string
	for _, d := range p.acknowledged {
		ids = append(ids, d.id)
	}
	p.mu.Unlock()
	lost := a.awaitFor(ids, 40*time.Second)
	t.Logf("%d accepted, %d lost by the failover (acknowledged, not yet replicated and not yet delivered)", len(ids), len(lost))
	if len(lost) > len(ids)/10 {
		t.Errorf("%d of %d were lost: more than were in flight", len(lost), len(ids))
	}
}
