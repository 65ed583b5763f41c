package store

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

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
)

// RedisConnection is the address and credentials of Redis. The replay store and
// the queue use it.
type RedisConnection struct {
	// The address and the credentials of Redis:
	// `redis://user:password@host:6379/0`, `rediss://…` over TLS, or
	// `unix:///run/redis/redis.sock?db=1`. Append `?addr=host2:6379`, once for
	// each further node, for a Cluster, and also `&master_set=name` for
	// Sentinel. `{env.*}` and `{file.*}` placeholders are replaced; their values
	// are taken literally before the `@` and after the `?`. Required.
	URL string `json:"url,omitempty"`

	// The prefix of every key in Redis. Stores with different prefixes share
	// nothing. Default: `verify_webhook`.
	Prefix string `json:"prefix,omitempty"`

	// The timeout of a call. If configs that share a store differ, the last one
	// loaded applies. Default: 1s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// A PEM file with the certificates to trust. Default: those of the system.
	TLSTrust string `json:"tls_trust,omitempty"`

	// A PEM file with the client certificate for Redis. Needs `tls_key`.
	// Default: none.
	TLSCertificate string `json:"tls_certificate,omitempty"`

	// A PEM file with the private key of `tls_certificate`. Default: none.
	TLSKey string `json:"tls_key,omitempty"`

	// The name that the certificate of Redis must have. Default: the host of
	// the URL.
	TLSServerName string `json:"tls_server_name,omitempty"`
}

// RedisAddress is a Redis address with its placeholders replaced.
type RedisAddress struct {
	URL string
	// Identity differs between connections that are not interchangeable: those
	// to other servers, or with other prefixes, credentials or certificates.
	Identity string
	// Name identifies the store, without credentials.
	Name string
}

// Resolve replaces placeholders and reads the TLS settings, nil if there are
// none. option is the name of the Caddyfile option, for errors.
func (r *RedisConnection) Resolve(option string) (RedisAddress, *tls.Config, error) {
	address, err := resolveURL(r.URL)
	if errors.Is(err, errNoURL) {
		return RedisAddress{}, nil, fmt.Errorf("%w: write, for example, %s redis redis://localhost:6379", err, option)
	}
	if err != nil {
		return RedisAddress{}, nil, err
	}
	identity := sha256.New()
	fmt.Fprintf(identity, "%q %q %q", address, r.Prefix, r.TLSServerName)
	config, err := r.tls(func(file []byte) { fmt.Fprintf(identity, " %q", file) })
	if err != nil {
		return RedisAddress{}, nil, err
	}
	return RedisAddress{address, string(identity.Sum(nil)), redisName(address, r.Prefix)}, config, nil
}

// WarnOfPassword logs a warning if the config contains a plaintext password.
func (r *RedisConnection) WarnOfPassword(logger *slog.Logger) {
	if hasPassword(r.URL) {
		logger.Warn("a plaintext password is in the config, where the config API and autosave.json show it: write {env.NAME} or {file./path} instead")
	}
}

// CheckTimeout rejects a timeout that is negative or too short.
func (r *RedisConnection) CheckTimeout() error {
	return option.AtLeast("timeout", r.Timeout, time.Millisecond, "1s")
}

var errNoURL = errors.New("missing url")

// checkRedisURL rejects an address without a supported scheme. An address that
// begins with a placeholder is accepted.
func checkRedisURL(raw string) error {
	for _, scheme := range []string{"redis://", "rediss://", "unix://", "redis+sentinel://", "{"} {
		if strings.HasPrefix(raw, scheme) {
			return nil
		}
	}
	if strings.Contains(raw, "://") || strings.Contains(raw, "@") {
		return nil // the client explains the error without showing a password
	}
	return fmt.Errorf("%s is not a URL: write, for example, redis redis://%[1]s", raw)
}

// resolveURL replaces placeholders. It escapes their values if they could be
// mistaken for another part of the URL.
func resolveURL(raw string) (string, error) {
	if raw == "" {
		return "", errNoURL
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

// escapeLogin escapes all characters that have a meaning in a URL.
func escapeLogin(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// cutOutside cuts at the first separator outside placeholders.
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
			return "", fmt.Errorf("url: %w: write {env.NAME}, and set NAME in Caddy's environment", err)
		}
		out.WriteString(part[:begin])
		out.WriteString(escape(value))
		part = part[begin+end+1:]
	}
	out.WriteString(part)
	return out.String(), nil
}

// hasPassword reports whether a URL contains a plaintext password.
func hasPassword(raw string) bool {
	rest, query, _ := cutOutside(raw, '?')
	_, afterScheme, _ := strings.Cut(rest, "://")
	login, _, hasLogin := cutOutside(afterScheme, '@')
	_, password, _ := cutOutside(login, ':')
	if hasLogin && option.Plaintext(password) {
		return true
	}
	_, password, _ = strings.Cut(query, "sentinel_password=")
	password, _, _ = strings.Cut(password, "&")
	return option.Plaintext(password)
}

// redisName returns the name of a store, without credentials.
func redisName(address, prefix string) string {
	u, err := redisclient.ParseURL(address)
	if err != nil {
		return prefix // redis.New reports the error
	}
	query := u.Query()
	hosts := []string{u.Host}
	for _, address := range query["addr"] {
		hosts = append(hosts, address[strings.LastIndexByte(address, '@')+1:])
	}
	name := strings.Join(hosts, ",") + u.Path
	if db := query.Get("db"); db != "" {
		name += "/" + db
	}
	if set := query.Get("master_set"); set != "" {
		name += " " + set
	}
	return name + " " + prefix
}

// tls reads the TLS settings, nil if there are none. It passes the contents of
// every file to seen.
func (r *RedisConnection) tls(seen func(file []byte)) (*tls.Config, error) {
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
			return nil, fmt.Errorf("tls_trust: no PEM certificate in %s: write the path of the certificate of the authority that issued the server's", r.TLSTrust)
		}
	}
	if r.TLSCertificate == "" && r.TLSKey == "" {
		return config, nil
	}
	if r.TLSCertificate == "" || r.TLSKey == "" {
		return nil, errors.New("tls_client_auth requires a certificate and its key: write tls_client_auth <certificate> <key>")
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

// Unmarshal parses the Caddyfile. name is the option before the type, for
// errors.
func (r *RedisConnection) Unmarshal(d *caddyfile.Dispenser, name string) error {
	d.Next() // the store's type
	switch args := d.RemainingArgs(); {
	case len(args) == 0 || args[0] == "":
		return d.Errf("missing URL: write, for example, %s redis redis://localhost:6379", name)
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
