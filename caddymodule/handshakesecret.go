package caddymodule

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// HandshakeSecret is a secret from a handshake that arrived while the operator
// accepted handshakes. Anyone can send one, so the endpoint does not use it.
type HandshakeSecret struct {
	Provider string    `json:"provider"`
	Endpoint string    `json:"endpoint"`
	Secret   string    `json:"secret"`
	Received time.Time `json:"received"`
	// From is the address of the sender, URL the requested URL without its
	// query.
	From string `json:"from"`
	URL  string `json:"url"`
}

const (
	// maxHandshakeSecrets is how many are kept for one endpoint. Further ones are
	// refused, so that the operator can see every accepted one.
	maxHandshakeSecrets = 16
	// maxHandshakeSecretsOfAll is how many are kept for all endpoints.
	maxHandshakeSecretsOfAll = 256
	// handshakeSecretLife is how long one is kept.
	handshakeSecretLife = time.Hour
	// maxHandshakeTime is how long a command can accept handshakes.
	maxHandshakeTime = time.Hour
)

// handshakeDesk is the state of handshakes that endpoints and the admin API share.
// It is in memory and outlives configs, because the operator writes the secret
// into the next config.
type handshakeDesk struct {
	mu      sync.Mutex
	secrets []HandshakeSecret
	// accepted contains the endpoints that accept handshakes, with the end of that
	// time. any reports whether there are some, without a lock.
	accepted map[string]time.Time
	any      atomic.Bool
}

var handshakes handshakeDesk

// keep keeps a secret, unless it is already known. It returns false if the limit is
// reached.
func (k *handshakeDesk) keep(s HandshakeSecret) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(s.Received)
	of := 0
	for _, other := range k.secrets {
		if other.Provider != s.Provider || other.Endpoint != s.Endpoint {
			continue
		}
		if other.Secret == s.Secret && other.From == s.From && other.URL == s.URL {
			return true
		}
		of++
	}
	if of >= maxHandshakeSecrets || len(k.secrets) >= maxHandshakeSecretsOfAll {
		return false
	}
	k.secrets = append(k.secrets, s)
	return true
}

func (k *handshakeDesk) expire(now time.Time) {
	k.secrets = slices.DeleteFunc(k.secrets, func(s HandshakeSecret) bool { return now.Sub(s.Received) > handshakeSecretLife })
}

// list returns the secrets of a provider or endpoint, the oldest first; of all if
// name is empty.
func (k *handshakeDesk) list(name string, now time.Time) []HandshakeSecret {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	found := []HandshakeSecret{}
	for _, s := range k.secrets {
		if s.isOf(name) {
			found = append(found, s)
		}
	}
	return found
}

// forget removes the secrets that list returns, and returns how many there were.
func (k *handshakeDesk) forget(name string, now time.Time) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	before := len(k.secrets)
	k.secrets = slices.DeleteFunc(k.secrets, func(s HandshakeSecret) bool { return s.isOf(name) })
	return before - len(k.secrets)
}

func (s *HandshakeSecret) isOf(name string) bool {
	return name == "" || name == s.Provider || name == s.Endpoint
}

// accept makes an endpoint accept handshakes until a time; a time in the past stops
// it.
func (k *handshakeDesk) accept(endpoint string, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.accepted == nil {
		k.accepted = make(map[string]time.Time)
	}
	k.accepted[endpoint] = until
	k.any.Store(true)
}

// accepts reports whether an endpoint accepts handshakes now.
func (k *handshakeDesk) accepts(endpoint string, now time.Time) bool {
	if !k.any.Load() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	until, set := k.accepted[endpoint]
	if set && !now.Before(until) {
		delete(k.accepted, endpoint)
		k.any.Store(len(k.accepted) > 0)
	}
	return set && now.Before(until)
}

// keepHandshakeSecret keeps the secret of a handshake for the operator. The log
// reports that one was received, without the secret.
func (h *Handler) keepHandshakeSecret(d *delivery) error {
	a := d.verified.Answer
	if a == nil || a.Secret == "" {
		return nil
	}
	path, _, _ := strings.Cut(d.signed.RequestURI, "?") // the query can contain a token
	s := HandshakeSecret{
		Provider: h.info().Name,
		Endpoint: h.endpointName(),
		Secret:   a.Secret,
		Received: d.signed.Now.UTC(),
		From:     d.sender(),
		URL:      signature.Excerpt(d.signed.Host+path, maxLogged),
	}
	if !h.handshakes.keep(s) {
		return &refusal{outcome: Overloaded, reason: "a handshake contained a secret, but the limit of kept secrets is reached: print them with `caddy verify-webhook handshakes`, and remove them with --forget"}
	}
	h.log.warn("a handshake contained a secret, which is not used: `caddy verify-webhook handshakes` prints it; write it into the config if it is from the provider, and remove accept_handshake",
		zap.String("provider", s.Provider), zap.String("endpoint", s.Endpoint), zap.String("remote_addr", s.From), zap.String("url", s.URL))
	return nil
}

// sender returns the address of the sender, behind trusted proxies.
func (d *delivery) sender() string {
	peer := d.r.RemoteAddr
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	client, _ := caddyhttp.GetVar(d.r.Context(), caddyhttp.ClientIPVarKey).(string)
	return cmp.Or(client, peer)
}

// noticeHandshake logs that a verified handshake is forwarded to the app, and the
// option with which the endpoint answers it.
func (h *Handler) noticeHandshake(d *delivery) {
	if d.verified.Notice != "" {
		h.log.write(zapcore.InfoLevel, "forwarding a handshake to the app", []zap.Field{
			zap.String("hint", d.verified.Notice), zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()),
		})
	}
}

// warnHandshakes warns at start that handshakes are accepted.
func (h *Handler) warnHandshakes() {
	if !h.info().AcceptHandshake {
		return
	}
	text := "accept_handshake is set: anyone can set up a webhook of the provider for this URL; remove it after you have set up yours"
	if len(h.info().Secrets) == 0 && h.info().SecretLater {
		text = "no secret is configured: until then, handshakes are answered and signed deliveries get 503"
	}
	h.logger.Warn(text, zap.String("provider", h.info().Name), zap.String("endpoint", h.endpointName()))
}
