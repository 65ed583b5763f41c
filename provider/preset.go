package provider

import (
	"context"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Preset describes a provider as data.
type Preset struct {
	// Name is the name in the config. Title is the name of the product.
	Name, Title string
	// Schemes are the signing schemes. If there are several, each secret belongs to
	// the first scheme that accepts it, unless SecretsFitAll is set.
	Schemes []signature.Scheme
	// SecretsFitAll means that each secret is used with every scheme that accepts it.
	SecretsFitAll bool
	// SecretPerScheme means that the first secret belongs to the first scheme and the
	// second secret to the second. There can be no more.
	SecretPerScheme bool
	// Families are the prefixes that replace a leading `*` in the header names of a
	// scheme, if the provider sends the same headers under several names.
	Families []string
	// Variants replace Schemes if neither the secret nor the request determines how
	// the provider signs. The first one is the default.
	Variants []Variant
	// Takes and Needs name the provider's optional and required options, beyond those
	// of every provider.
	Takes, Needs []string
	// KeyText converts the text of a secret to the text of a key, before the scheme
	// decodes it.
	KeyText func(string) (string, error)
	// Values computes the values of {value.NAME} in the signed content. If it returns
	// several results, each is tried in turn.
	Values func(m *Module, r *signature.Request) ([]map[string]string, error)
	// Code returns the verifier of a provider whose signatures a scheme cannot
	// describe.
	Code func(m *Module) (Verifier, error)
	// PublicKeys means that the secrets are public keys, if no scheme says so.
	PublicKeys bool
	// Signing generates deliveries for tools and tests, if the schemes are not enough.
	// A preset with Code must set it.
	Signing *Signing
	// NoSecret means that the provider publishes its keys, so that secrets are
	// optional.
	NoSecret bool
	// DigestBody means that the body is the content, signed or not, because the signed
	// time differs on a retry or because too little is signed. A value `document`
	// replaces the body, and a value `beside` is added to it.
	DigestBody bool
	// AlsoContent means that equal content is the same delivery although the ID is
	// signed, because a retry can have a different ID.
	AlsoContent bool
	// Distinction says how deliveries are distinguished. Content is required.
	Distinction
	// Window is the default time for which handled deliveries are remembered: the
	// provider's longest horizon for retries and manual redelivery. 0 means 7 days.
	Window time.Duration
	// MaxBody is the default of max_body, in bytes. 0 means the handler's default.
	MaxBody int64
	// IssuesSecrets means that the provider issues every secret, in a format that does
	// not resemble the usual mistakes. A secret that resembles one is then an error.
	// For other providers, where people choose secrets, it is only a warning.
	// Providers with keys in hex or base64 need not set it.
	IssuesSecrets bool
	// SecretIsAPIKey means that deliveries are signed with an API key.
	SecretIsAPIKey bool
	// SecretLater means that the provider sends its secret in or after its handshake,
	// so that an endpoint with accept_handshake can start without one. Until it has a
	// secret, it answers only handshakes.
	SecretLater bool
	// Handshake answers the provider's signed proof-of-ownership request. It is nil if
	// there is none.
	Handshake Handshake
	// Check refuses deliveries that are ambiguous, or too large to parse, before they
	// are verified. It may be nil.
	Check func(r *signature.Request) error
	// CheckVerified is Check after verification, for checks that are slow. It may be
	// nil.
	CheckVerified func(r *signature.Request) error
	// Challenge answers the provider's unsigned proof-of-ownership request. It is nil
	// if there is none.
	Challenge *Challenge
	// Handshakes describes the requests that are answered beyond those of the schemes,
	// for the documentation.
	Handshakes string
	// Tests are the provider's test deliveries that are not signed with the endpoint's
	// secret.
	Tests []TestDelivery
	// Docs is the URL of the provider's page on verifying webhooks.
	Docs string
	// Kind is the kind of product, for the documentation.
	Kind string
	// SecretHelp says where to find the secret.
	SecretHelp string
	// Signs says what is signed, if the schemes do not.
	Signs string
	// IDHelp says where the delivery ID is, and IDSigned whether it is signed, if the
	// schemes do not.
	IDHelp   string
	IDSigned bool
	// OtherID is the unsigned header with the delivery ID if the first place is empty.
	OtherID string
	// Weakness says in one sentence what an attacker can still do.
	Weakness string
	// Unsigned names the unsigned parts other than ID, event type and timestamp.
	Unsigned []string
	// Retries says how the provider signs retries, if it signs a time.
	Retries Retries
	// Tolerance is the default tolerance of a preset with Code, for the documentation.
	Tolerance time.Duration
	// Environments are the values of the option environment. Nil means production and
	// sandbox.
	Environments []string
	// OtherEvent returns the event type of a verified delivery if its usual place is
	// empty. It may be nil.
	OtherEvent func(r *signature.Request) (string, error)
	// Unsupported says in one sentence which requests from the provider are not
	// verified, and what to do about them.
	Unsupported string
	// Hint returns an explanation of a refused request for the operator, such as that
	// it is one of those in Unsupported, or "". It may be nil.
	Hint func(m *Module, r *signature.Request) string
	// Streams names the WebSockets that the provider opens. They are refused.
	Streams string
}

// Variant is one of several ways in which a provider signs.
type Variant struct {
	Name, Help string
	Schemes    []signature.Scheme
	Weakness   string
	// Distinction and DigestBody are set if they differ from those of the preset.
	Distinction *Distinction
	DigestBody  bool
}

// Handshake returns the response to a verified delivery if it is a handshake, or nil.
type Handshake func(m *Module, r *signature.Request, d *signature.Delivery) (*signature.Answer, error)

// Verifier verifies deliveries with the secrets of one endpoint.
type Verifier interface {
	// CheckHeaders and Verify are as in Provider. A verified delivery has at least one
	// match.
	CheckHeaders(r *signature.Request) error
	Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error)
	// Coverage returns what the signature covers.
	Coverage() signature.Coverage
	// Secrets returns the identities of the secrets, in the order of the config.
	Secrets() []signature.Identity
}

// signsOrSends reports whether the secret determines if the provider signs or sends a
// token.
func (p *Preset) signsOrSends() bool {
	tokens := 0
	for i := range p.Schemes {
		if sendsToken(compiledScheme{scheme: &p.Schemes[i]}) {
			tokens++
		}
	}
	return tokens > 0 && tokens < len(p.Schemes)
}
