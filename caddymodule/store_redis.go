package caddymodule

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/redis"
)

func init() { caddy.RegisterModule(RedisStore{}) }

// RedisStore remembers deliveries in Redis 6.2 or later, or in Valkey, which
// several Caddys can share: alone, behind Sentinel or as a Cluster.
//
// A Redis that cannot be reached does not keep a config from loading:
// deliveries get 503 until it is there. One that refuses the login does.
type RedisStore struct {
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

	name string
	use  *storeUse[*redis.Store]
}

// redisStores keeps the connections of this process across reloads.
var redisStores = newStorePool((*redis.Store).Close)

// CaddyModule returns the Caddy module information.
func (RedisStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: StoreNamespace + ".redis", New: func() caddy.Module { return new(RedisStore) }}
}

// Provision implements caddy.Provisioner.
func (r *RedisStore) Provision(ctx caddy.Context) error {
	if err := r.provision(ctx); err != nil {
		return fmt.Errorf("redis store: %w", err)
	}
	return nil
}

func (r *RedisStore) provision(ctx caddy.Context) error {
	if r.Timeout < 0 {
		return fmt.Errorf("timeout %s is negative", time.Duration(r.Timeout))
	}
	orDefault(&r.Timeout, caddy.Duration(redis.DefaultTimeout))
	if err := checkDuration("timeout", r.Timeout, time.Millisecond, "1s"); err != nil {
		return err
	}
	orDefault(&r.Prefix, redis.DefaultPrefix)
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
		logger.Warn("a password is written out in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead")
	}
	open := func() (*redis.Store, error) {
		return redis.New(redis.Options{URL: address, Prefix: r.Prefix, Timeout: time.Duration(r.Timeout), TLS: config, Logger: logger})
	}
	// What was claimed and handled is in Redis, not in the connection: a new
	// password or certificate may well make a new one.
	r.use, err = redisStores.acquire(string(identity.Sum(nil)), open, r.settings(logger))
	return err
}

func (r *RedisStore) settings(logger *slog.Logger) func(*redis.Store) {
	return func(s *redis.Store) {
		s.SetTimeout(time.Duration(r.Timeout))
		s.SetLogger(logger)
	}
}

// resolveURL replaces placeholders, and escapes what they hold where it would
// be taken for a part of the URL.
func resolveURL(raw string) (string, error) {
	if raw == "" {
		return "", errors.New("no url: write, for example, store redis redis://localhost:6379")
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
func (r *RedisStore) tls(seen func(file []byte)) (*tls.Config, error) {
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
func (r *RedisStore) Cleanup() error { return r.use.release() }

// StoreName implements NamedStore.
func (r *RedisStore) StoreName() string { return r.name }

// Store implements StoreModule.
func (r *RedisStore) Store() replay.Store { return r.use.store }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	redis <url> {
//		prefix          <text>
//		timeout         <duration>
//		tls_trust       <file>
//		tls_client_auth <certificate> <key>
//		tls_server_name <name>
//	}
func (r *RedisStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the store's type
	if d.NextArg() {
		r.URL = d.Val()
	}
	if r.URL == "" {
		return d.Err("store redis needs a URL: write, for example, store redis redis://localhost:6379")
	}
	if d.NextArg() {
		return d.Err("store redis takes one URL: write further addresses into it, as in redis://one:6379?addr=two:6379; options stand in a block")
	}
	o := options{d: d}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "prefix":
			o.text(&r.Prefix)
		case "timeout":
			o.duration(&r.Timeout)
		case "tls_trust":
			o.text(&r.TLSTrust)
		case "tls_server_name":
			o.text(&r.TLSServerName)
		case "tls_client_auth":
			o.once()
			args := d.RemainingArgs()
			if len(args) != 2 {
				o.fail("tls_client_auth takes two files: write tls_client_auth <certificate> <key>")
				break
			}
			r.TLSCertificate, r.TLSKey = args[0], args[1]
		default:
			o.unknown("prefix", "timeout", "tls_trust", "tls_client_auth", "tls_server_name")
		}
		if o.err != nil {
			return o.err
		}
	}
	return nil
}

// Interface guards.
var (
	_ StoreModule           = (*RedisStore)(nil)
	_ NamedStore            = (*RedisStore)(nil)
	_ caddy.Provisioner     = (*RedisStore)(nil)
	_ caddy.CleanerUpper    = (*RedisStore)(nil)
	_ caddyfile.Unmarshaler = (*RedisStore)(nil)
)
