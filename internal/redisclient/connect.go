package redisclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// New returns a client that is connected, or that goes on trying: a Redis that
// cannot be reached at this moment is not an error but is logged, and calls
// fail with [ErrUnavailable] meanwhile. A URL that cannot be read, and a
// server that refuses the login, are errors.
func New(o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	option, err := clientOption(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{option: option, check: o.Check, lifetime: ctx, end: cancel}
	c.option.DialCtxFn = c.conns.dialer(&option)
	c.health.impact = o.Impact
	c.health.regained = func() { c.Background(c.checkServer) }
	c.SetTimeout(o.Timeout)
	c.SetLogger(o.Logger)
	if err := c.connect(ctx); err != nil {
		if refused(err) {
			cancel()
			return nil, fmt.Errorf("connecting to redis: %w", err)
		}
		c.Background(c.keepConnecting)
	}
	return c, nil
}

// CheckURL returns the error with which [New] would reject the options before it
// connects.
func (o Options) CheckURL() error {
	_, err := clientOption(o)
	return err
}

// HashTag makes prefix, or a part of it, the hash tag of all keys.
func HashTag(prefix string) string {
	if open := strings.IndexByte(prefix, '{'); open >= 0 && strings.IndexByte(prefix[open:], '}') > 1 {
		return prefix
	}
	return "{" + strings.NewReplacer("{", "", "}", "").Replace(prefix) + "}"
}

// connect makes the client, which then keeps itself connected.
func (c *Client) connect(ctx context.Context) error {
	client, err := rueidis.NewClient(c.option)
	c.health.observe(err)
	if err != nil {
		return err
	}
	c.client.Store(&client)
	c.checkServer(ctx)
	return nil
}

func (c *Client) keepConnecting(ctx context.Context) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if c.connect(ctx) == nil {
			return
		}
	}
}

// refused reports whether the server has answered and no waiting will help.
func refused(err error) bool {
	reply, ok := rueidis.IsRedisErr(err)
	if !ok {
		return false
	}
	if strings.Contains(reply.Error(), "max number of clients") {
		return false
	}
	code, _, _ := strings.Cut(reply.Error(), " ")
	return slices.Contains([]string{"WRONGPASS", "NOAUTH", "NOPERM", "DENIED", "ERR"}, code)
}

// queryOptions are what may stand behind the question mark of a URL.
var queryOptions = []string{
	"addr", "client_name", "db", "master_set", "protocol", "sentinel_password", "sentinel_username", "skip_verify",
}

func clientOption(o Options) (rueidis.ClientOption, error) {
	option, err := readURL(o)
	if err != nil {
		return option, fmt.Errorf("reading redis URL: %w", err)
	}
	return option, nil
}

func readURL(o Options) (rueidis.ClientOption, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		// The error quotes the URL, and with it the password.
		if parse, ok := errors.AsType[*url.Error](err); ok {
			err = parse.Err
		}
		return rueidis.ClientOption{}, errors.New(strings.ReplaceAll(err.Error(), o.URL, "…"))
	}
	query := u.Query()
	for name := range query {
		if !slices.Contains(queryOptions, name) {
			return rueidis.ClientOption{}, fmt.Errorf("unknown option %q; there are %s", name, strings.Join(queryOptions, ", "))
		}
	}
	if u.Scheme == "unix" && u.Path == "" {
		return rueidis.ClientOption{}, errors.New("a unix URL needs a path, as in unix:///run/redis/redis.sock")
	}
	option, err := rueidis.ParseURL(o.URL)
	if err != nil {
		return option, errors.New(strings.ReplaceAll(err.Error(), o.URL, "…"))
	}
	if o.TLS != nil {
		if option.TLSConfig == nil {
			return option, errors.New("TLS settings need a rediss:// URL")
		}
		config := o.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName = option.TLSConfig.ServerName
		}
		option.TLSConfig = config
	}
	option.Dialer.Timeout = o.Timeout
	option.ConnWriteTimeout = o.Timeout
	option.RetryDelay = retryDelay
	option.DisableCache = true
	option.ReadBufferEachConn = 1 << 16
	option.WriteBufferEachConn = 1 << 16
	if option.Sentinel.MasterSet != "" {
		option.Sentinel.Dialer = option.Dialer
		option.Sentinel.TLSConfig = option.TLSConfig
		option.Sentinel.Username = query.Get("sentinel_username")
		option.Sentinel.Password = query.Get("sentinel_password")
		option.Sentinel.TopologyRefreshInterval = 5 * time.Second
	}
	return option, nil
}

// retryDelay lets the client send a script again when a connection turns out
// to be broken, or a Cluster to be moving, but not hammer a server that is
// down. The timeout of the call bounds it all.
func retryDelay(attempts int, _ rueidis.Completed, _ error) time.Duration {
	if attempts > 3 {
		return -1
	}
	return time.Duration(attempts) * 20 * time.Millisecond
}

// checkServer runs the check on every node: any may hold the keys one day.
func (c *Client) checkServer(ctx context.Context) {
	client := c.client.Load()
	if client == nil || c.check == nil {
		return
	}
	for address, node := range (*client).Nodes() {
		ctx, cancel := context.WithTimeout(ctx, c.Timeout())
		c.check(ctx, node, c.health.logger.Load(), address)
		cancel()
	}
}

// Policy returns the eviction policy of a server.
func Policy(ctx context.Context, node rueidis.Client) (string, error) {
	info, err := node.Do(ctx, node.B().Info().Section("memory").Build()).ToString()
	return InfoField(info, "maxmemory_policy"), err
}

// InfoField returns a field of what INFO replies.
func InfoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
