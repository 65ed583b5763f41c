// Package redisclient is a client for the Redis engines of this module. It
// reconnects automatically, tracks whether Redis is available, and disconnects
// from a server that is no longer the primary.
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

// ErrUnavailable means that Redis could not be reached, did not respond in
// time, or responded that it cannot serve requests.
var ErrUnavailable = errors.New("redis is unavailable")

// Options are the settings of a [Client].
type Options struct {
	// URL is the address of Redis with the credentials.
	URL string
	// Timeout limits every call, including connecting. Default 1 s.
	Timeout time.Duration
	// TLS replaces the TLS settings of a rediss URL. Optional.
	TLS *tls.Config
	// Logger logs when the connection is lost and restored, once each.
	Logger *slog.Logger
	// Impact states, for the log, what happens while Redis is unavailable.
	Impact string
	// Check is called for every server after the client has connected or
	// reconnected to it, to log warnings about its settings. logger may be nil.
	Check func(ctx context.Context, node rueidis.Client, logger *slog.Logger, address string)
}

// Client is a connection to Redis that reconnects automatically.
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

// SetTimeout replaces [Options.Timeout] for calls. Connecting keeps the old
// one.
func (c *Client) SetTimeout(d time.Duration) {
	if d <= 0 {
		d = DefaultTimeout
	}
	c.timeout.Store(int64(d))
}

// Timeout returns the maximum duration of a call.
func (c *Client) Timeout() time.Duration { return time.Duration(c.timeout.Load()) }

// Closed reports whether the client is closed.
func (c *Client) Closed() bool { return c.lifetime.Err() != nil }

// Raw returns the underlying client, or nil before the first connection.
func (c *Client) Raw() rueidis.Client {
	if client := c.client.Load(); client != nil {
		return *client
	}
	return nil
}

// Close closes the connections. Later calls fail.
func (c *Client) Close() {
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.running.Wait()
	if client := c.client.Swap(nil); client != nil {
		(*client).Close()
	}
}

// Background runs do concurrently with calls, unless the client is closed.
func (c *Client) Background(do func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifetime.Err() == nil {
		c.running.Go(func() { do(c.lifetime) })
	}
}

// Exec runs a script. If the server turns out not to be the primary, Exec
// repeats it on new connections.
func (c *Client) Exec(ctx context.Context, script *rueidis.Lua, keys []string, args ...string) rueidis.RedisResult {
	return c.Do(ctx, func(ctx context.Context, client rueidis.Client) rueidis.RedisResult {
		return script.Exec(ctx, client, keys, args)
	})
}

// Do makes a repeatable call in the same way as Exec.
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
		c.Background(c.checkServer) // checks the server that responds now
	}
	if !others {
		return result
	}
	return call(ctx, *client)
}

// Failed records the result of a call and adds details to an error. An error
// that says that the server is full, see [Full], is returned unchanged.
func (c *Client) Failed(ctx context.Context, doing string, err error) error {
	if err == nil || ctx.Err() == nil { // a canceled call does not show that redis is unavailable
		c.health.observe(err)
	}
	if err == nil || Full(err) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}
