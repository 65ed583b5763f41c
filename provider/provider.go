// Package provider implements webhook providers, each with its signature scheme.
//
// A provider is a Caddy module `http.verify_webhook.providers.<name>` that implements
// [Provider]. Most providers are a [Preset]: data that contains a [signature.Scheme]
// and its documentation. [Register] registers presets as modules. Package catalogue
// contains the presets of this repository. Other repositories can add more, as data
// or, with [Options] and [Resolve], in code. `custom` is a preset that is written in
// the config.
package provider

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Namespace is the Caddy namespace of the providers.
const Namespace = "http.verify_webhook.providers"

// Provider verifies the deliveries of one provider for one endpoint. It is provisioned
// like any Caddy module. Its methods are safe for concurrent use.
type Provider interface {
	caddy.Module

	// CheckHeaders refuses a request whose headers alone are invalid, before the body
	// is read. r.Body is nil.
	CheckHeaders(r *signature.Request) error

	// Verify checks a request with its body. The error is a *signature.Refusal if the
	// request is not a genuine, fresh delivery. Any other error means that the request
	// could not be checked, and the provider should retry. A delivery with an Answer
	// is a handshake.
	Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error)

	// Info returns what the handler needs to know, after provisioning.
	Info() Info
}

// HeaderAnswerer is implemented by providers that answer handshakes from the headers
// and the URL. The bodies of such handshakes are not read.
type HeaderAnswerer interface {
	// AnswerHeaders returns the response to such a handshake, or nil if the request is
	// not one. r.Body is nil. It is called after CheckHeaders.
	AnswerHeaders(r *signature.Request) (*signature.Answer, error)
}

// Info describes a configured provider.
type Info struct {
	// Name is the name of the provider in the Caddyfile.
	Name string
	// Coverage says what the signature covers.
	Coverage signature.Coverage
	// Secrets are the identities of the secrets in use.
	Secrets []signature.Identity
	// ShortSecrets are the labels of the shared secrets with fewer than ShortSecret
	// characters.
	ShortSecrets []string
	// Window is the default time for which a handled delivery is remembered: the
	// provider's longest horizon for retries and manual redelivery.
	Window time.Duration
	// Weakness says in one sentence what an attacker can still do. It is empty if
	// nothing is worse than replays after the window.
	Weakness string
	// MaxBody is the default of max_body, in bytes. 0 means the handler's default.
	MaxBody int64
	// Unsigned names the unsigned parts that Coverage does not include.
	Unsigned []string
	// Distinction says how deliveries are distinguished.
	Distinction Distinction
	// AlsoContent means that equal content is the same delivery although the ID is
	// signed.
	AlsoContent bool
	// TakesHandshake means that the provider has a handshake that accept_handshake
	// accepts. AcceptHandshake means that the option is set. SecretLater means that
	// the provider sends its secret in or after its handshake.
	TakesHandshake, AcceptHandshake, SecretLater bool
	// TokenHeaders are the headers in which the provider sends the secret itself.
	TokenHeaders []string
}

// Renewable is implemented by providers that can reload their secrets. The handler
// calls Renew if a file changes that a `{file.…}` placeholder in the provider's config
// names, and then uses the returned provider. After an error it keeps the current one.
type Renewable interface {
	// Renew returns a provider with the same config and the current contents of the
	// files. It does not change the receiver, which is in use.
	Renew() (Provider, error)
}

// logger returns the logger of a provider.
func logger(ctx caddy.Context) *zap.Logger {
	if nolog.Is(ctx) {
		return zap.NewNop()
	}
	return ctx.Logger()
}

// OptionLister is implemented by providers that list their Caddyfile options, so that
// a misspelled option gets a suggestion.
type OptionLister interface{ OptionNames() []string }
