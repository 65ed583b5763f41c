// Package provider is the engine of the providers, which send webhooks and sign
// them.
//
// A provider is a Caddy module `http.verify_webhook.providers.<name>` that
// implements [Provider]. Most are a [Preset]: a [signature.Scheme] with what
// users need to know about it, as data, made a module by [Register]. Package
// catalogue has the presets of this repository; other repositories can add more,
// as data or, with [Options] and [Resolve], in code. `custom` is a preset that
// is written in the config.
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

// Provider verifies the deliveries of one provider for one endpoint. It is
// provisioned like any Caddy module and then used concurrently.
type Provider interface {
	caddy.Module

	// CheckHeaders refuses, before the body is read, what the headers alone
	// give away. r.Body is nil.
	CheckHeaders(r *signature.Request) error

	// Verify checks a request with its body. The error is a
	// *signature.Refusal if the request is not a genuine, fresh delivery;
	// any other error means that nothing could be decided, and the provider
	// is asked to try again. A delivery with an Answer is a handshake.
	Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error)

	// Facts tells what the handler needs to know, once provisioned.
	Facts() Facts
}

// HeaderAnswerer is implemented by providers that answer handshakes whose
// headers and URL suffice. Their bodies are not read.
type HeaderAnswerer interface {
	// AnswerHeaders returns the answer to such a handshake, nil if the request
	// is none. r.Body is nil. It is called after CheckHeaders.
	AnswerHeaders(r *signature.Request) (*signature.Answer, error)
}

// Facts are what is known of a configured provider.
type Facts struct {
	// Name is the provider's name, as the Caddyfile has it.
	Name string
	// Traits says what the signature covers.
	Traits signature.Traits
	// Secrets identifies the secrets in use.
	Secrets []signature.Identity
	// Window is how long a handled delivery must be remembered by default:
	// the provider's longest horizon for retries and manual redelivery.
	Window time.Duration
	// Weakness is one sentence on what an attacker could still do, empty if
	// there is nothing worse than replays after the window.
	Weakness string
	// MaxBody is the default of max_body, in bytes; 0 means the handler's own.
	MaxBody int64
	// Unsigned names what else the signature does not cover, beyond what
	// Traits say.
	Unsigned []string
	// Distinction is what distinguishes its deliveries.
	Distinction Distinction
	// AlsoContent: equal content is the same delivery although the ID is signed.
	AlsoContent bool
	// TakesHandshake: there is a handshake that accept_handshake accepts.
	// AcceptHandshake: it is set. SecretLater: the provider hands
	// over its secret in or after its handshake.
	TakesHandshake, AcceptHandshake, SecretLater bool
	// TokenHeaders are the headers in which the provider sends the secret
	// itself.
	TokenHeaders []string
}

// Renewable is implemented by providers that can read their secrets again. The
// handler calls Renew when a file has changed that a `{file.…}` placeholder in
// the provider's config names, and uses what it returns from then on. After an
// error it keeps the provider that it has.
type Renewable interface {
	// Renew returns a provider with the same config and the secrets that the
	// files have now. It does not change the receiver, which is in use.
	Renew() (Provider, error)
}

// logger returns the logger of a provider.
func logger(ctx caddy.Context) *zap.Logger {
	if nolog.Is(ctx) {
		return zap.NewNop()
	}
	return ctx.Logger()
}

// OptionLister is implemented by providers that tell which Caddyfile options
// they know, so that a misspelt one gets a suggestion.
type OptionLister interface{ OptionNames() []string }
