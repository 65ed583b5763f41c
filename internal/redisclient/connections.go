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

// connections are the open connections of a client. They are kept so that they
// can be closed when the server at their other end turns out not to be the
// primary: where one address leads to whichever server is the primary now, a
// new connection leads there, and an open one may stay with the old primary for
// as long as that runs. The client then connects again and repeats the calls
// that were under way, which the scripts permit.
type connections struct {
	mu      sync.Mutex
	open    map[*connection]bool
	renewed time.Time
}

// RenewEvery is the least time between two renewals, so that an address that
// leads to replicas for long is not flooded with connections.
const RenewEvery = 500 * time.Millisecond

// connection is an open connection. raw is the one below TLS: closing that
// never waits for the other end.
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

// dialer makes a function that dials as option says and keeps the connection.
func (c *connections) dialer(option *rueidis.ClientOption) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	dial := option.DialCtxFn // of a unix URL
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

// renew closes all connections, for a call that began at a time, unless they
// have been closed since or a short time before. It reports whether the call
// can be repeated on other connections than before, and whether this call of
// renew has closed them.
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

// wrongServer are the errors of a server that does not take writes in the role
// that it has: a replica, a replica whose primary is down or that is loading
// what the new primary has, and a primary that has lost its replicas, as it
// does when they have elected another one. Another server may be the primary
// now.
var wrongServer = []string{"READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS"}

// fromWrongServer reports whether a new connection may lead to a server that
// can do what this one has refused.
func fromWrongServer(err error) bool {
	return err != nil && slices.ContainsFunc(wrongServer, func(code string) bool { return Replied(err, code) })
}

// Replied reports whether err is a reply of Redis with this code. Before
// version 7 a script wraps what its command replies in a sentence of its own.
func Replied(err error, code string) bool {
	reply, ok := rueidis.IsRedisErr(err)
	return ok && (strings.HasPrefix(reply.Error(), code+" ") || strings.Contains(reply.Error(), ": -"+code+" "))
}
