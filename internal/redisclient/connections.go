package redisclient

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// connections are the open connections of a client. They are tracked so that
// they can be closed when the server turns out not to be the primary. If an
// address always leads to the current primary, a new connection reaches it, but
// an open one can stay with the old primary for as long as that runs. The
// client then reconnects and repeats pending calls, which the scripts permit.
type connections struct {
	mu      sync.Mutex
	open    map[*connection]bool
	renewed time.Time
}

// RenewEvery is the minimum interval between two renewals. It prevents a flood
// of connections while an address leads to replicas for a long time.
const RenewEvery = 500 * time.Millisecond

// connection is an open connection. raw is the connection below TLS: closing it
// does not wait for the peer.
type connection struct {
	net.Conn
	raw net.Conn
	all *connections
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// dialer returns a function that dials according to option and tracks the
// connection.
func (c *connections) dialer(option *rueidis.ClientOption) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	dial := option.DialCtxFn // set for a unix URL
	if dial == nil {
		dial = dialTCP
	}
	return func(ctx context.Context, address string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
		conn, err := dial(ctx, address, d, config)
		if err != nil {
			return nil, err
		}
		return c.add(conn), nil
	}
}

func dialTCP(ctx context.Context, address string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
	if config != nil {
		return (&tls.Dialer{NetDialer: d, Config: config}).DialContext(ctx, "tcp", address)
	}
	return d.DialContext(ctx, "tcp", address)
}

func (c *connections) add(conn net.Conn) net.Conn {
	kept := &connection{Conn: conn, raw: conn, all: c}
	if secure, ok := conn.(*tls.Conn); ok {
		kept.raw = secure.NetConn()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*connection]bool{}
	}
	c.open[kept] = true
	return kept
}

// renew closes all connections for a call that began at the given time, unless
// they were closed since then or shortly before. It reports whether the call
// can be repeated on other connections, and whether this call of renew closed
// the old ones.
func (c *connections) renew(began time.Time) (others, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewed.After(began) {
		return true, false
	}
	if time.Since(c.renewed) < RenewEvery {
		return false, false
	}
	c.renewed = time.Now()
	for conn := range c.open {
		_ = conn.raw.Close()
	}
	clear(c.open)
	return true, true
}

// wrongServer are the error codes of a server that rejects writes because of
// its role: a replica, a replica whose primary is down or that is still loading
// the primary's data, and a primary that has lost its replicas because they
// elected another one. Another server may be the primary now.
var wrongServer = []string{"READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS"}

// fromWrongServer reports whether err is due to the role of the server, so that
// a new connection may reach a server that accepts the call.
func fromWrongServer(err error) bool {
	return err != nil && slices.ContainsFunc(wrongServer, func(code string) bool { return Replied(err, code) })
}

// Replied reports whether err is a reply of Redis with this code. Before
// version 7, a script wraps the reply of its command in a sentence.
func Replied(err error, code string) bool {
	reply, ok := rueidis.IsRedisErr(err)
	return ok && (strings.HasPrefix(reply.Error(), code+" ") || strings.Contains(reply.Error(), ": -"+code+" "))
}
