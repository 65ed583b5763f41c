package store

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/redis"
)

func init() { caddy.RegisterModule(Redis{}) }

// Redis remembers deliveries in Redis 6.2 or later, or in Valkey, which
// several Caddy instances can share: alone, behind Sentinel or as a Cluster.
//
// A Redis that cannot be reached does not keep a config from loading:
// deliveries get 503 until it is there. One that refuses the login does.
type Redis struct {
	// Where Redis is and how to log in: `redis://user:password@host:6379/0`,
	// `rediss://…` over TLS, `unix:///run/redis/redis.sock?db=1`; with
	// `?addr=host2:6379`, several times if need be, for a Cluster, and also
	// `&master_set=name` for Sentinel. Placeholders of variables and files
	// are replaced, and what they hold before the `@` or after the `?` is
	// taken literally. Required.
	URL string `json:"url,omitempty"`

	// What begins the name of every key in Redis. Stores with different
	// prefixes share nothing. Default: `verify_webhook`.
	Prefix string `json:"prefix,omitempty"`

	// How long a call may take. Where configs of one store say different
	// times, the last to be loaded decides. Default: 1s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// A PEM file with the certificates to trust instead of the system's.
	TLSTrust string `json:"tls_trust,omitempty"`

	// PEM files with the certificate and the key to present to Redis.
	TLSCertificate string `json:"tls_certificate,omitempty"`
	TLSKey         string `json:"tls_key,omitempty"`

	// The name that the certificate of Redis must have. Default: the host of
	// the URL.
	TLSServerName string `json:"tls_server_name,omitempty"`

	name    string
	options redis.Options
	slot    *slot[*redis.Store]
}

// redisStores keeps the connections of this process across reloads.
var redisStores = newPool((*redis.Store).Close)

// CaddyModule returns the Caddy module information.
func (Redis) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddymodule.StoreNamespace + ".redis", New: func() caddy.Module { return new(Redis) }}
}

// Provision implements caddy.Provisioner.
func (r *Redis) Provision(ctx caddy.Context) error {
	if err := r.provision(ctx); err != nil {
		return fmt.Errorf("redis store: %w", err)
	}
	return nil
}

func (r *Redis) provision(ctx caddy.Context) error {
	r.Timeout = cmp.Or(r.Timeout, caddy.Duration(redis.DefaultTimeout))
	r.Prefix = cmp.Or(r.Prefix, redis.DefaultPrefix)
	address, err := resolveURL(r.URL)
	if err != nil {
		return err
	}
	identity := sha256.New()
	fmt.Fprintf(identity, "%q %q %q", address, r.Prefix, r.TLSServerName)
	config, err := r.tls(func(file []byte) { fmt.Fprintf(identity, " %q", file) })
	if err != nil {
		return err
	}
	r.name = redisName(address, r.Prefix)
	logger := ctx.Slogger().With("redis", r.name)
	if hasPassword(r.URL) {
		logger.Warn("a plaintext password is in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead")
	}
	r.options = redis.Options{URL: address, Prefix: r.Prefix, Timeout: time.Duration(r.Timeout), TLS: config, Logger: logger}
	r.slot = &slot[*redis.Store]{
		pool: redisStores,
		// What was claimed and handled is in Redis, not in the connection: a
		// new password or certificate may well make a new one.
		key:  string(identity.Sum(nil)),
		open: func() (*redis.Store, error) { return redis.New(r.options) },
		apply: func(s *redis.Store) {
			s.SetTimeout(time.Duration(r.Timeout))
			s.SetLogger(logger)
		},
	}
	r.slot.join()
	return nil
}

// Validate implements caddy.Validator. It does not connect.
func (r *Redis) Validate() error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("redis store: %w", err)
	}
	return nil
}

func (r *Redis) validate() error {
	if r.Timeout < 0 {
		return fmt.Errorf("timeout %s is negative", time.Duration(r.Timeout))
	}
	if err := option.AtLeast("timeout", r.Timeout, time.Millisecond, "1s"); err != nil {
		return err
	}
	return r.options.Check()
}

// Open implements caddymodule.StoreModule.
func (r *Redis) Open() (replay.Store, func() error, error) {
	store, release, err := r.slot.acquire()
	if err != nil {
		return nil, nil, fmt.Errorf("redis store: %w", err)
	}
	return store, release, nil
}

// checkRedisURL refuses an address without the scheme that it must begin with. A
// placeholder may hold it.
func checkRedisURL(raw string) error {
	for _, scheme := range []string{"redis://", "rediss://", "unix://", "redis+sentinel://", "{"} {
		if strings.HasPrefix(raw, scheme) {
			return nil
		}
	}
	if strings.Contains(raw, "://") || strings.Contains(raw, "@") {
		return nil // the client says what is wrong, and without what may be a password
	}
	return fmt.Errorf("%s is not a URL: write, for example, store redis redis://%[1]s", raw)
}

// resolveURL replaces placeholders, and escapes what they hold where it would
// be taken for a part of the URL.
func resolveURL(raw string) (string, error) {
	if raw == "" {
		return "", errors.New("no url: write, for example, store redis redis://localhost:6379")
	}
	if err := checkRedisURL(raw); err != nil {
		return "", err
	}
	rest, query, hasQuery := cutOutside(raw, '?')
	login, rest, hasLogin := cutOutside(rest, '@')
	if !hasLogin {
		login, rest = "", login
	}
	text, err := replacePart(rest, func(value string) string { return value })
	if err != nil {
		return "", err
	}
	if hasLogin {
		if login, err = replacePart(login, escapeLogin); err != nil {
			return "", err
		}
		text = login + "@" + text
	}
	if hasQuery {
		if query, err = replacePart(query, url.QueryEscape); err != nil {
			return "", err
		}
		text += "?" + query
	}
	return text, nil
}

// escapeLogin escapes whatever means something to a URL.
func escapeLogin(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// cutOutside cuts at the first separator that stands in no placeholder.
func cutOutside(text string, separator byte) (before, after string, found bool) {
	depth := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == separator && depth == 0:
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// replacePart replaces the placeholders of one part of a URL.
func replacePart(part string, escape func(string) string) (string, error) {
	var out strings.Builder
	for {
		begin := strings.IndexByte(part, '{')
		if begin < 0 {
			break
		}
		end := strings.IndexByte(part[begin:], '}')
		if end < 0 {
			break
		}
		value, err := caddy.NewReplacer().ReplaceOrErr(part[begin:begin+end+1], true, true)
		if err != nil {
			return "", fmt.Errorf("url: %w", err)
		}
		out.WriteString(part[:begin])
		out.WriteString(escape(value))
		part = part[begin+end+1:]
	}
	out.WriteString(part)
	return out.String(), nil
}

// hasPassword tells whether a URL holds a password that is no placeholder.
func hasPassword(raw string) bool {
	rest, query, _ := cutOutside(raw, '?')
	_, afterScheme, _ := strings.Cut(rest, "://")
	login, _, hasLogin := cutOutside(afterScheme, '@')
	_, password, _ := cutOutside(login, ':')
	if hasLogin && password != "" && !strings.HasPrefix(password, "{") {
		return true
	}
	_, password, found := strings.Cut(query, "sentinel_password=")
	return found && !strings.HasPrefix(password, "{")
}

// redisName names a store by what it holds, without what logs in.
func redisName(address, prefix string) string {
	u, err := url.Parse(address)
	if err != nil {
		return prefix // redis.New will say what is wrong
	}
	query := u.Query()
	name := strings.Join(append([]string{u.Host}, query["addr"]...), ",") + u.Path
	if db := query.Get("db"); db != "" {
		name += "/" + db
	}
	if set := query.Get("master_set"); set != "" {
		name += " " + set
	}
	return name + " " + prefix
}

// tls reads the TLS settings, nil if there are none. It shows every file that
// it reads to seen.
func (r *Redis) tls(seen func(file []byte)) (*tls.Config, error) {
	if r.TLSTrust == "" && r.TLSCertificate == "" && r.TLSKey == "" && r.TLSServerName == "" {
		return nil, nil
	}
	config := &tls.Config{ServerName: r.TLSServerName, MinVersion: tls.VersionTLS12}
	if r.TLSTrust != "" {
		trusted, err := os.ReadFile(r.TLSTrust)
		if err != nil {
			return nil, fmt.Errorf("tls_trust: %w", err)
		}
		seen(trusted)
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(trusted) {
			return nil, fmt.Errorf("tls_trust: %s holds no PEM certificate", r.TLSTrust)
		}
	}
	if r.TLSCertificate == "" && r.TLSKey == "" {
		return config, nil
	}
	if r.TLSCertificate == "" || r.TLSKey == "" {
		return nil, errors.New("tls_client_auth needs a certificate and its key")
	}
	certificate, err := os.ReadFile(r.TLSCertificate)
	if err != nil {
		return nil, fmt.Errorf("tls_client_auth: %w", err)
	}
	key, err := os.ReadFile(r.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls_client_auth: %w", err)
	}
	seen(certificate)
	seen(key)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("tls_client_auth: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// Cleanup implements caddy.CleanerUpper.
func (r *Redis) Cleanup() error { return r.slot.release() }

// StoreName implements caddymodule.NamedStore.
func (r *Redis) StoreName() string { return r.name }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	redis <url> {
//		prefix          <text>
//		timeout         <duration>
//		tls_trust       <file>
//		tls_client_auth <certificate> <key>
//		tls_server_name <name>
//	}
func (r *Redis) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the store's type
	switch args := d.RemainingArgs(); {
	case len(args) == 0 || args[0] == "":
		return d.Err("missing URL: write, for example, store redis redis://localhost:6379")
	case len(args) > 1:
		return d.Err("too many arguments: expected one URL; add further addresses to it, as in redis://one:6379?addr=two:6379; options go in a block")
	default:
		if err := checkRedisURL(args[0]); err != nil {
			return d.WrapErr(err)
		}
		r.URL = args[0]
	}
	return option.Block(d, func(o *option.Reader) {
		switch o.Name() {
		case "prefix":
			o.Text(&r.Prefix)
		case "timeout":
			o.Duration(&r.Timeout)
		case "tls_trust":
			o.Text(&r.TLSTrust)
		case "tls_server_name":
			o.Text(&r.TLSServerName)
		case "tls_client_auth":
			o.Once()
			args := d.RemainingArgs()
			if len(args) != 2 {
				o.Fail("wrong number of arguments: write tls_client_auth <certificate> <key>")
				return
			}
			r.TLSCertificate, r.TLSKey = args[0], args[1]
		default:
			o.Unknown("prefix", "timeout", "tls_trust", "tls_client_auth", "tls_server_name")
		}
	})
}

// Interface guards.
var (
	_ caddymodule.StoreModule = (*Redis)(nil)
	_ caddymodule.NamedStore  = (*Redis)(nil)
	_ caddy.Provisioner       = (*Redis)(nil)
	_ caddy.Validator         = (*Redis)(nil)
	_ caddy.CleanerUpper      = (*Redis)(nil)
	_ caddyfile.Unmarshaler   = (*Redis)(nil)
)
