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

// HandshakeSecret is a secret that came with a handshake while the operator
// accepted it. It is what a sender claims: anyone can send one. The endpoint does
// not use it.
type HandshakeSecret struct {
	Provider string    `json:"provider"`
	Endpoint string    `json:"endpoint"`
	Secret   string    `json:"secret"`
	Received time.Time `json:"received"`
	// From is the address of the sender, and URL what it asked for, without a
	// query.
	From string `json:"from"`
	URL  string `json:"url"`
}

const (
	// maxHandshakeSecrets is how many are kept of one endpoint. A further one is
	// refused, so that every one that was accepted can be seen.
	maxHandshakeSecrets = 16
	// maxHandshakeSecretsOfAll is how many are kept of all endpoints.
	maxHandshakeSecretsOfAll = 256
	// handshakeSecretLife is how long one is kept.
	handshakeSecretLife = time.Hour
	// maxHandshakeTime is how long a command can accept handshakes.
	maxHandshakeTime = time.Hour
)

// handshakeDesk is what endpoints and the admin API share of handshakes. It is
// held in memory, and outlives configs: the secret that came is written into the
// next one.
type handshakeDesk struct {
	mu      sync.Mutex
	secrets []HandshakeSecret
	// accepted are the endpoints that accept handshakes for some time, and until
	// when. any reports whether there are some, without a lock.
	accepted map[string]time.Time
	any      atomic.Bool
}

var handshakes handshakeDesk

// keep keeps a secret, unless it is known already. It reports whether there was
// room.
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

// accept lets an endpoint accept handshakes until a time; a time in the past ends
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

// keepHandshakeSecret keeps the secret that came with a handshake for the
// operator. The log says that one came, and never which.
func (h *Handler) keepHandshakeSecret(d *delivery) error {
	a := d.verified.Answer
	if a == nil || a.Secret == "" {
		return nil
	}
	path, _, _ := strings.Cut(d.signed.RequestURI, "?") // the query can hold a token
	s := HandshakeSecret{
		Provider: h.facts().Name,
		Endpoint: h.endpointName(),
		Secret:   a.Secret,
		Received: d.signed.Now.UTC(),
		From:     d.sender(),
		URL:      signature.Excerpt(d.signed.Host+path, maxLogged),
	}
	if !h.handshakes.keep(s) {
		return &refusal{outcome: Overloaded, reason: "a handshake brought a secret, and there is no room for another: look at those that came with `caddy verify-webhook handshakes`, and remove them with --forget"}
	}
	h.log.warn("a handshake brought a secret, which is not used: `caddy verify-webhook handshakes` shows it; write it into the config if it is from the provider, and remove accept_handshake",
		zap.String("provider", s.Provider), zap.String("endpoint", s.Endpoint), zap.String("remote_addr", s.From), zap.String("url", s.URL))
	return nil
}

// sender returns the address of the sender, as seen through trusted proxies.
func (d *delivery) sender() string {
	peer := d.r.RemoteAddr
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	client, _ := caddyhttp.GetVar(d.r.Context(), caddyhttp.ClientIPVarKey).(string)
	return cmp.Or(client, peer)
}

// noticeHandshake logs that a verified handshake goes to the app, and which option
// makes the endpoint answer it.
func (h *Handler) noticeHandshake(d *delivery) {
	if d.verified.Notice != "" {
		h.log.write(zapcore.InfoLevel, "a handshake goes to the app", []zap.Field{
			zap.String("hint", d.verified.Notice), zap.String("provider", h.facts().Name), zap.String("endpoint", h.endpointName()),
		})
	}
}

// warnHandshakes says, at start, that handshakes are accepted.
func (h *Handler) warnHandshakes() {
	if !h.facts().AcceptHandshake {
		return
	}
	text := "accept_handshake is set: anyone can set up a webhook of the provider for this URL; remove it when your webhook is set up"
	if len(h.facts().Secrets) == 0 && h.facts().SecretLater {
		text = "no secret is configured: until there is one, handshakes are answered and every signed delivery is refused with 503"
	}
	h.logger.Warn(text, zap.String("provider", h.facts().Name), zap.String("endpoint", h.endpointName()))
}
