package redisclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// New returns a client. If Redis cannot be reached, New logs this, and the
// client keeps trying to connect; until then calls fail with [ErrUnavailable].
// New returns an error if the URL is invalid or the server rejects the
// credentials.
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
	c.health.recovered = func() { c.Background(c.checkServer) }
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

// CheckURL returns the error that [New] would return before it connects.
func (o Options) CheckURL() error {
	_, err := clientOption(o)
	return err
}

// HashTag makes prefix, or the part of it in braces, the hash tag of all keys.
func HashTag(prefix string) string {
	if open := strings.IndexByte(prefix, '{'); open >= 0 && strings.IndexByte(prefix[open:], '}') > 1 {
		return prefix
	}
	return "{" + strings.NewReplacer("{", "", "}", "").Replace(prefix) + "}"
}

// connect creates the client, which then reconnects automatically.
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

// refused reports whether the server has responded with an error that waiting
// cannot fix.
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

// queryOptions are the options accepted in the query of a URL.
var queryOptions = []string{
	"addr", "client_name", "db", "master_set", "protocol", "sentinel_password", "sentinel_username", "skip_verify",
}

func clientOption(o Options) (rueidis.ClientOption, error) {
	option, err := readURL(o)
	if err != nil {
		return option, fmt.Errorf("invalid redis URL: %w", err)
	}
	return option, nil
}

// ParseURL parses a URL. If a special character in the password is not escaped,
// the URL has another meaning: a part of the password is its port, its path or an
// option. So no error quotes a URL with a login, which a program may have joined.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err == nil && !hasLostLogin(u):
		return u, nil
	case err == nil || strings.Contains(text, "@"):
		return nil, errors.New("invalid port or path, or user and password are not percent-encoded: write %23 for #, %2F for /, %3F for ?, %40 for @")
	}
	// url.Error quotes the URL.
	if parse, ok := errors.AsType[*url.Error](err); ok {
		err = parse.Err
	}
	return nil, errors.New(strings.ReplaceAll(err.Error(), text, "…"))
}

// hasLostLogin reports whether the @ after a login is elsewhere in a URL. The path of
// a socket and the values of options can contain it.
func hasLostLogin(u *url.URL) bool {
	if u.Fragment != "" {
		return true
	}
	for name, values := range u.Query() {
		if !slices.Contains(queryOptions, name) && strings.Contains(name+strings.Join(values, ""), "@") {
			return true
		}
	}
	socket := u.Scheme == "unix" && u.Host == ""
	return !socket && strings.Contains(u.Path, "@")
}

func readURL(o Options) (rueidis.ClientOption, error) {
	u, err := ParseURL(o.URL)
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	query := u.Query()
	for name := range query {
		if !slices.Contains(queryOptions, name) {
			return rueidis.ClientOption{}, fmt.Errorf("unrecognized option: %q; use one of %s", name, strings.Join(queryOptions, ", "))
		}
	}
	for _, address := range query["addr"] {
		if _, _, err := net.SplitHostPort(address); err != nil || strings.ContainsAny(address, "@/") {
			return rueidis.ClientOption{}, errors.New("an addr is not a host and a port: write, for example, ?addr=two:6379; user and password apply to all addresses, and are in front of the first")
		}
	}
	if u.Scheme == "unix" && u.Path == "" {
		return rueidis.ClientOption{}, errors.New("missing path: write, for example, unix:///run/redis/redis.sock")
	}
	option, err := rueidis.ParseURL(o.URL)
	if err != nil {
		return option, errors.New(strings.ReplaceAll(err.Error(), o.URL, "…"))
	}
	if o.TLS != nil {
		if option.TLSConfig == nil {
			return option, errors.New("TLS settings require a rediss:// URL")
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

// retryDelay makes the client resend a script when a connection is broken or a
// Cluster is moving slots, without flooding a server that is down. The timeout
// of the call limits all retries.
func retryDelay(attempts int, _ rueidis.Completed, _ error) time.Duration {
	if attempts > 3 {
		return -1
	}
	return time.Duration(attempts) * 20 * time.Millisecond
}

// checkServer runs the check on every node, because any of them can become the
// owner of the keys.
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
