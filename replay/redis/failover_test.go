package redis

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// forwarder is one address for several servers, like that of a managed Redis or
// a Kubernetes Service: a new connection leads to the current primary, and an
// open one stays with its server.
type forwarder struct {
	address  string
	to       atomic.Value // the address of a server
	accepted atomic.Int64
}

func startForwarder(t *testing.T, to string) *forwarder {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{address: listener.Addr().String()}
	f.to.Store(to)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			open.Go(func() { f.forward(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return f
}

func (f *forwarder) forward(client net.Conn) {
	server, err := net.Dial("tcp", f.to.Load().(string))
	if err != nil {
		_ = client.Close()
		return
	}
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.Close()
		_ = from.Close()
	}
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// startPair starts a primary and a synchronized replica of it.
func startPair(t *testing.T, args ...string) (primary, replica *redistest.Server) {
	t.Helper()
	primary = redistest.Start(t, append([]string{"--repl-diskless-sync-delay", "0"}, args...)...)
	host, port, _ := strings.Cut(primary.Address, ":")
	replica = redistest.Start(t, append([]string{"--replicaof", host, port}, args...)...)
	replica.Await("the replica to be synchronized", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
	})
	return primary, replica
}

// Regardless of how an old primary rejects calls after a failover, the open
// connections to it are closed and no call fails. A claim that was not
// replicated to the new primary is claimed again by its owner and committed.
func TestConnectionsToAnOldPrimaryAreClosed(t *testing.T) {
	for name, demote := range map[string]func(t *testing.T, old, now *redistest.Server){
		"a replica": func(_ *testing.T, old, now *redistest.Server) {
			host, port, _ := strings.Cut(now.Address, ":")
			old.MustDo("REPLICAOF", host, port)
		},
		"a replica without a primary": func(t *testing.T, old, _ *redistest.Server) {
			old.MustDo("CONFIG", "SET", "replica-serve-stale-data", "no")
			old.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(redistest.FreePort(t)))
		},
		"a primary that has lost its replicas": func(_ *testing.T, old, _ *redistest.Server) {
			old.MustDo("CONFIG", "SET", "min-replicas-to-write", "1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			primary, replica := startPair(t)
			address := startForwarder(t, primary.Address)
			var book logBook
			store := mustOpen(t, Options{URL: "redis://" + address.address, Timeout: redistest.Patience, Logger: book.logger()})

			handle(t, store, 1)
			replicated := claim(t, store, 2)
			replica.Await("the claim to be replicated", func() bool { return strings.Contains(replica.Do("INFO", "keyspace"), "keys=4") })
			replica.MustDo("REPLICAOF", "NO", "ONE")
			lost := claim(t, store, 3)
			address.to.Store(replica.Address)
			demote(t, primary, replica)

			var all sync.WaitGroup
			for n := range 50 {
				all.Go(func() {
					owner := replay.NewOwner()
					if v, err := store.Claim(t.Context(), delivery(n+10), owner, time.Minute); v != replay.Ours || err != nil {
						t.Errorf("Claim = %v, %v; want ours", v, err)
					}
				})
			}
			all.Wait()
			if err := store.Commit(t.Context(), delivery(2), replicated, time.Hour, 200); err != nil {
				t.Errorf("Commit of a replicated claim: %v", err)
			}
			if err := store.Commit(t.Context(), delivery(3), lost, time.Hour, 200); !errors.Is(err, replay.ErrNotOwner) {
				t.Errorf("Commit of a lost claim = %v, want ErrNotOwner", err)
			}
			if v, err := store.Claim(t.Context(), delivery(3), lost, time.Minute); v != replay.Ours || err != nil {
				t.Errorf("Claim by its owner = %v, %v; want ours", v, err)
			}
			if err := store.Commit(t.Context(), delivery(3), lost, time.Hour, 200); err != nil {
				t.Errorf("Commit: %v", err)
			}
			for n := 1; n <= 3; n++ {
				wantState(t, store, n, replay.Handled)
				if v, err := store.Claim(t.Context(), delivery(n), replay.NewOwner(), time.Minute); v != replay.Duplicate || err != nil {
					t.Errorf("Claim of a copy of delivery %d = %v, %v; want a duplicate", n, v, err)
				}
			}
			if again, lost := book.count("reconnecting"), book.count("redis is unavailable"); again != 1 || lost != 0 {
				t.Errorf("logged %d reconnections and %d losses, want one and none", again, lost)
			}
		})
	}
}

// Any call can be the first one after a failover.
func TestEveryCallClosesConnectionsToAnOldPrimary(t *testing.T) {
	for name, call := range map[string]func(*Store, replay.Keys, replay.Owner) error{
		"claim": func(store *Store, keys replay.Keys, owner replay.Owner) error {
			_, err := store.Claim(t.Context(), keys, owner, time.Minute)
			return err
		},
		"renew": func(store *Store, keys replay.Keys, owner replay.Owner) error {
			return store.Renew(t.Context(), keys, owner, time.Minute)
		},
		"commit": func(store *Store, keys replay.Keys, owner replay.Owner) error {
			return store.Commit(t.Context(), keys, owner, time.Hour, 200)
		},
		"release": func(store *Store, keys replay.Keys, owner replay.Owner) error {
			return store.Release(t.Context(), keys, owner, 500)
		},
		"forget": func(store *Store, _ replay.Keys, _ replay.Owner) error {
			_, err := store.Forget(t.Context(), delivery(1).All())
			return err
		},
		"look-up": func(store *Store, keys replay.Keys, _ replay.Owner) error {
			_, err := store.Lookup(t.Context(), keys.All())
			return err
		},
		"wait": func(store *Store, _ replay.Keys, _ replay.Owner) error {
			_, err := store.Wait(t.Context(), delivery(1))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			primary, replica := startPair(t)
			address := startForwarder(t, primary.Address)
			store := mustOpen(t, Options{URL: "redis://" + address.address, Timeout: redistest.Patience})
			handle(t, store, 1)
			owner := claim(t, store, 2)
			replica.Await("the claim to be replicated", func() bool { return strings.Contains(replica.Do("INFO", "keyspace"), "keys=4") })
			replica.MustDo("REPLICAOF", "NO", "ONE")
			address.to.Store(replica.Address)
			primary.MustDo("CONFIG", "SET", "replica-serve-stale-data", "no")
			primary.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(redistest.FreePort(t)))
			if err := call(store, delivery(2), owner); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestTLSConnectionsToAnOldPrimaryAreClosed(t *testing.T) {
	certificate, roots := selfSigned(t, t.TempDir())
	start := func() (plain *redistest.Server, secure string) {
		port := strconv.Itoa(redistest.FreePort(t))
		s := redistest.Start(t, "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", certificate,
			"--tls-ca-cert-file", certificate, "--tls-auth-clients", "no")
		return s, net.JoinHostPort("127.0.0.1", port)
	}
	old, oldAddress := start()
	_, nowAddress := start()
	address := startForwarder(t, oldAddress)
	store := mustOpen(t, Options{URL: "rediss://" + address.address, TLS: &tls.Config{RootCAs: roots}, Timeout: redistest.Patience})
	handle(t, store, 1)
	address.to.Store(nowAddress)
	old.MustDo("CONFIG", "SET", "min-replicas-to-write", "1")
	handle(t, store, 2)
}

// While the address leads to a replica, deliveries are rejected with few new
// connections. The first delivery after the address leads to a primary is
// accepted.
func TestAnAddressThatLeadsToAReplicaIsRetried(t *testing.T) {
	primary, replica := startPair(t)
	address := startForwarder(t, replica.Address)
	var book logBook
	store := mustOpen(t, Options{URL: "redis://" + address.address, Timeout: redistest.Patience, Logger: book.logger()})
	began := time.Now()
	for n := range 200 {
		if _, err := store.Claim(t.Context(), delivery(n), replay.NewOwner(), time.Minute); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "READONLY") {
			t.Fatalf("Claim = %v, want ErrUnavailable because of READONLY", err)
		}
	}
	const atOnce = 5 // connections of the client
	if got, most := address.accepted.Load(), atOnce*int64(2+time.Since(began)/redisclient.RenewEvery); got > most {
		t.Errorf("200 calls opened %d connections, want at most %d in this time", got, most)
	}
	if lost := book.count("redis is unavailable"); lost != 1 {
		t.Errorf("logged %d losses, want one", lost)
	}
	address.to.Store(primary.Address)
	primary.Await("the store to reach the primary", func() bool {
		_, err := store.Claim(t.Context(), delivery(1), replay.NewOwner(), time.Minute)
		return err == nil
	})
}

// claim claims the nth delivery for a new owner.
func claim(t *testing.T, store *Store, n int) replay.Owner {
	t.Helper()
	owner := replay.NewOwner()
	if v, err := store.Claim(t.Context(), delivery(n), owner, time.Minute); v != replay.Ours || err != nil {
		t.Fatalf("Claim = %v, %v", v, err)
	}
	return owner
}
