// Package redisclient is what the Redis engines of this module share: a client
// that keeps itself connected, knows whether Redis serves, and leaves a server
// that is no longer the primary.
package redisclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// DefaultTimeout is the default of [Options.Timeout].
const DefaultTimeout = time.Second

// ErrUnavailable means that Redis could not be asked, or did not answer in
// time, or answered that it cannot serve.
var ErrUnavailable = errors.New("redis is unavailable")

// Options are the settings of a [Client].
type Options struct {
	// URL says where Redis is and how to log in.
	URL string
	// Timeout bounds every call, connecting included. Default 1 s.
	Timeout time.Duration
	// TLS replaces the TLS settings of a rediss URL. Optional.
	TLS *tls.Config
	// Logger is told when the connection is lost and regained, once each.
	Logger *slog.Logger
	// Impact says in the log what it means that Redis is lost.
	Impact string
	// Check is called for every server when the client has connected to it,
	// or connected again, to warn about its settings. logger may be nil.
	Check func(ctx context.Context, node rueidis.Client, logger *slog.Logger, address string)
}

// Client is a connection to Redis, which connects itself again.
type Client struct {
	option  rueidis.ClientOption
	timeout atomic.Int64
	client  atomic.Pointer[rueidis.Client] // nil until connected
	conns   connections
	health  health
	check   func(context.Context, rueidis.Client, *slog.Logger, string)

	lifetime context.Context // ends with Close
	end      context.CancelFunc
	mu       sync.Mutex // orders running.Go before running.Wait
	running  sync.WaitGroup
}

// SetLogger replaces [Options.Logger]; nil logs nothing.
func (c *Client) SetLogger(l *slog.Logger) { c.health.logger.Store(l) }

// SetTimeout replaces [Options.Timeout] for calls; connecting keeps the old.
func (c *Client) SetTimeout(d time.Duration) {
	if d <= 0 {
		d = DefaultTimeout
	}
	c.timeout.Store(int64(d))
}

// Timeout returns how long a call may take.
func (c *Client) Timeout() time.Duration { return time.Duration(c.timeout.Load()) }

// Closed reports whether the client is closed.
func (c *Client) Closed() bool { return c.lifetime.Err() != nil }

// Raw returns the client below, nil while there is none.
func (c *Client) Raw() rueidis.Client {
	if client := c.client.Load(); client != nil {
		return *client
	}
	return nil
}

// Close closes the connections. Calls that come later fail.
func (c *Client) Close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.running.Wait()
	if client := c.client.Swap(nil); client != nil {
		(*client).Close()
	}
}

// Background runs do beside the calls, unless the client is closed.
func (c *Client) Background(do func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifetime.Err() == nil {
		c.running.Go(func() { do(c.lifetime) })
	}
}

// Exec runs a script: a second time, on new connections, if the server turns
// out not to be the primary any more.
func (c *Client) Exec(ctx context.Context, script *rueidis.Lua, keys []string, args ...string) rueidis.RedisResult {
	return c.Do(ctx, func(ctx context.Context, client rueidis.Client) rueidis.RedisResult {
		return script.Exec(ctx, client, keys, args)
	})
}

// Do makes a call that may be repeated, as Exec runs a script.
func (c *Client) Do(ctx context.Context, call func(context.Context, rueidis.Client) rueidis.RedisResult) rueidis.RedisResult {
	client := c.client.Load()
	if client == nil {
		return rueidis.NewErrorResult(c.health.notConnected())
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout())
	defer cancel()
	began := time.Now()
	result := call(ctx, *client)
	if !fromWrongServer(result.Error()) {
		return result
	}
	others, closed := c.conns.renew(began)
	if closed {
		c.health.reconnecting(result.Error())
		c.Background(c.checkServer) // of the server that answers now
	}
	if !others {
		return result
	}
	return call(ctx, *client)
}

// Failed observes the outcome of a call, and explains an error. One that says
// that the server is full, see [Full], is returned as it is.
func (c *Client) Failed(ctx context.Context, doing string, err error) error {
	if err == nil || ctx.Err() == nil { // a caller who has left proves nothing
		c.health.observe(err)
	}
	if err == nil || Full(err) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}
