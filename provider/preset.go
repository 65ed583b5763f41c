package provider

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
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

// Module verifies the deliveries of one provider. Its preset says how the provider
// signs. The config contains the secrets and, for some providers, other options.
//
// `caddy verify-webhook providers <name>` prints the provider's options, where to find
// its secret, what its signature covers and how its deliveries are distinguished. The
// [page on providers] says the same.
//
// Syntax, with the options of the provider inside `verify_webhook`:
//
//	verify_webhook <provider> [<secret>] {
//		secret     <secret> [<label>]
//		tolerance  <duration>
//		public_url <url>
//		<option>   <value>
//	}
//
// [page on providers]: https://github.com/verify-webhook/caddy-verify-webhook/blob/main/docs/providers.md
type Module struct {
	Options
	PresetOptions

	preset   *Preset
	set      PresetOptions // with placeholders replaced
	keys     []signature.Secret
	variant  *Variant
	distinct Distinction
	verifier Verifier
	// challenges are the unsigned handshakes of the endpoint.
	challenges []*Challenge
	tests      []testVerifier
	logger     *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (m *Module) CaddyModule() caddy.ModuleInfo {
	preset := m.preset
	return caddy.ModuleInfo{
		ID:  caddy.ModuleID(Namespace + "." + preset.Name),
		New: func() caddy.Module { return &Module{preset: preset} },
	}
}

// Provision implements caddy.Provisioner.
func (m *Module) Provision(ctx caddy.Context) error {
	m.logger = logger(ctx)
	m.warnPlaintext(m.logger, m.preset.Name)
	if err := m.provision(); err != nil {
		return fmt.Errorf("%s: %w", m.preset.Name, err)
	}
	m.warnUseless()
	return nil
}

// NewModule returns the module of a preset, which must be provisioned. The preset need
// not be registered.
func NewModule(p *Preset) *Module { return &Module{preset: p} }

// Name returns the name of the preset.
func (m *Module) Name() string { return m.preset.Name }

// Variant returns the name of the variant in use, or "" if the preset has none.
func (m *Module) Variant() string {
	if m.variant == nil {
		return ""
	}
	return m.variant.Name
}

// Resolved returns the options with their placeholders replaced. The caller must not
// modify them.
func (m *Module) Resolved() *PresetOptions { return &m.set }

// Keys returns the secrets with their placeholders replaced, in the order of the
// config. The caller must not modify them.
func (m *Module) Keys() []signature.Secret { return m.keys }

// UnmarshalJSON implements json.Unmarshaler. It rejects unknown members and suggests
// the closest known one.
func (m *Module) UnmarshalJSON(raw []byte) error {
	type plain Module
	return option.StrictJSON(raw, (*plain)(m))
}

// warnUseless warns about options that have no effect for the provider.
func (m *Module) warnUseless() {
	if m.logger == nil || m.preset.Code != nil {
		return
	}
	coverage := m.verifier.Coverage()
	if m.PublicURL != "" && !coverage.URLSigned && m.preset.Values == nil {
		m.logger.Warn("public_url has no effect, because the provider does not sign the URL: remove it", zap.String("provider", m.preset.Name))
	}
	if m.Tolerance != 0 && !coverage.TimestampSigned {
		m.logger.Warn("tolerance has no effect, because the provider does not sign a time: remove it", zap.String("provider", m.preset.Name))
	}
}

// SigningSchemes returns the signing schemes with these options, one for each family
// of header names. It returns none for a preset with Code. It is for tools that sign,
// and needs neither secrets nor provisioning.
func (m *Module) SigningSchemes() ([]signature.Scheme, error) {
	m.addExamples()
	var err error
	if m.set, err = m.PresetOptions.resolved(); err != nil {
		return nil, err
	}
	schemes, err := m.chooseVariant()
	if err != nil {
		return nil, err
	}
	var all []signature.Scheme
	for _, family := range m.preset.families() {
		for _, s := range schemes {
			named, _ := inFamily(s, family)
			all = append(all, named)
		}
	}
	return all, nil
}

// Renew implements Renewable.
func (m *Module) Renew() (Provider, error) {
	renewed := &Module{Options: m.Options, PresetOptions: m.PresetOptions, preset: m.preset, logger: m.logger}
	return renewed, renewed.provision()
}

func (m *Module) provision() error {
	p := m.preset
	if err := m.checkMeant(); err != nil {
		return err
	}
	if err := m.check(p.Takes, p.Needs); err != nil {
		return err
	}
	var err error
	if m.set, err = m.PresetOptions.resolved(); err != nil {
		return err
	}
	if err := p.checkEnvironment(m.set.Environment); err != nil {
		return err
	}
	if err := m.checkSecretOptions(); err != nil {
		return err
	}
	schemes, err := m.chooseVariant()
	if err != nil {
		return err
	}
	schemes = m.adapted(schemes)
	m.collectChallenges(schemes)
	if m.startsWithoutSecret() {
		m.verifier = noSecretYet{schemes[0].Covers(), m.inFamilies(schemes)}
		m.distinct = *m.distinction()
		return m.distinct.compile()
	}
	if len(m.Secrets) > 0 || !p.NoSecret {
		// If the provider publishes its keys, the configured ones are public.
		asymmetric := p.NoSecret || p.PublicKeys || (len(schemes) > 0 && schemes[0].Algorithm.Asymmetric())
		if m.keys, err = m.Options.resolve(m.logger, p.Name, asymmetric, p.issuesSecrets()); err != nil {
			return m.withHandshakeHint(err)
		}
	}
	m.distinct = *m.distinction()
	if err := m.distinct.compile(); err != nil {
		return err
	}
	if err := m.compileTests(schemes); err != nil {
		return err
	}
	if m.keys, err = m.keyTexts(); err != nil {
		return err
	}
	if p.Code != nil {
		m.verifier, err = p.Code(m)
		return err
	}
	m.verifier, err = compileSchemes(schemes, m)
	return err
}

// startsWithoutSecret reports whether the endpoint waits for the provider to send its
// secret.
func (m *Module) startsWithoutSecret() bool {
	return m.preset.SecretLater && m.set.AcceptHandshake && len(m.Secrets) == 0
}

// withHandshakeHint adds to a missing-secret error how to start without one.
func (m *Module) withHandshakeHint(err error) error {
	if !m.preset.SecretLater || len(m.Secrets) > 0 {
		return err
	}
	return fmt.Errorf("%w; if the provider has not sent it yet, write only accept_handshake", err)
}

// adapted returns the schemes with the options applied that change the header, the
// parameter or the algorithms.
func (m *Module) adapted(schemes []signature.Scheme) []signature.Scheme {
	if m.set.Header != "" && len(schemes) > 0 {
		schemes = slices.Clone(schemes)
		schemes[0].Signature.Name = m.set.Header
	}
	if m.set.Query != "" {
		schemes = slices.Clone(schemes)
		for i := range schemes {
			if schemes[i].Signature.From == "query" {
				schemes[i].Signature.Name = m.set.Query
			}
		}
	}
	if slices.Contains(m.preset.Takes, "algorithm") {
		return allowed(schemes, m.set.Algorithms)
	}
	return schemes
}

// allowed returns the schemes whose prefix names one of the algorithms. If no
// algorithms are set, it returns all but SHA-1.
func allowed(schemes []signature.Scheme, algorithms []string) []signature.Scheme {
	var out []signature.Scheme
	for _, s := range schemes {
		name := strings.TrimSuffix(s.Signature.Prefix, "=")
		if slices.Contains(algorithms, name) || (len(algorithms) == 0 && name != "sha1") {
			out = append(out, s)
		}
	}
	return out
}

// chooseVariant returns the schemes of the configured variant.
func (m *Module) chooseVariant() ([]signature.Scheme, error) {
	modes := m.preset.Variants
	if len(modes) == 0 {
		return m.preset.Schemes, nil
	}
	var names []string
	for i := range modes {
		if modes[i].Name == m.set.Scheme || (m.set.Scheme == "" && i == 0) {
			m.variant = &modes[i]
			return m.variant.Schemes, nil
		}
		names = append(names, modes[i].Name)
	}
	return nil, fmt.Errorf("unrecognized scheme: %s; write %s", m.set.Scheme, strings.Join(names, " or "))
}

// keyTexts returns the secrets in the format of the scheme.
func (m *Module) keyTexts() ([]signature.Secret, error) {
	if m.preset.KeyText == nil {
		return m.keys, nil
	}
	out := make([]signature.Secret, 0, len(m.keys))
	for _, secret := range m.keys {
		text, err := m.preset.KeyText(string(secret.Reveal()))
		if err != nil {
			return nil, err
		}
		changed, err := signature.NewSecret(text, secret.Label())
		if err != nil {
			return nil, err
		}
		out = append(out, changed)
	}
	return out, nil
}

// OptionNames implements OptionLister.
func (m *Module) OptionNames() []string {
	names := append([]string{}, optionNames...)
	return append(append(names, m.preset.Takes...), m.preset.Needs...)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. The syntax is documented at
// [Module].
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshalOptions(d, &m.Options, m.OptionNames(), func(r *option.Reader) bool {
		t := presetOptionNamed(r.Name())
		if t == nil || (!slices.Contains(m.preset.Takes, t.name) && !slices.Contains(m.preset.Needs, t.name)) {
			return false
		}
		t.read(r, &m.PresetOptions)
		return true
	})
}

// UnmarshalOptions reads a provider's Caddyfile segment, for providers in code: the
// secret, the options of every provider, and the provider's own options, which names
// lists. It calls other for those, with d at the option; other returns false for an
// unknown option. Both can be nil.
func UnmarshalOptions(d *caddyfile.Dispenser, o *Options, known []string, other func(d *caddyfile.Dispenser) (bool, error)) error {
	return unmarshalOptions(d, o, slices.Concat(optionNames, known), func(r *option.Reader) bool {
		if other == nil {
			return false
		}
		found, err := other(d)
		r.Keep(err)
		return found || err != nil
	})
}

// unmarshalOptions reads a provider's segment: the options of every provider, and the
// provider's own with other, which returns false for an unknown option.
func unmarshalOptions(d *caddyfile.Dispenser, o *Options, known []string, other func(*option.Reader) bool) error {
	d.Next() // the name
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Err("too many arguments: expected at most one secret after the provider's name; write others in its block, each as: secret {env.NAME}")
	} else if len(args) == 1 {
		if err := o.addSecret(d, args); err != nil {
			return err
		}
	}
	return option.Block(d, func(r *option.Reader) {
		if !o.readOption(r, d) && !other(r) {
			r.Unknown(known...)
		}
	})
}

// CheckHeaders implements Provider.
func (m *Module) CheckHeaders(r *signature.Request) error {
	r.PublicURL = m.PublicURL
	if err := checkStream(r, m.preset.Streams); err != nil {
		return err
	}
	if err := m.verifier.CheckHeaders(r); err != nil {
		return m.checkChallenge(r, m.hinted(r, err))
	}
	return nil
}

// AnswerHeaders implements HeaderAnswerer.
func (m *Module) AnswerHeaders(r *signature.Request) (*signature.Answer, error) {
	return m.answerHeaders(r)
}

// Verify implements Provider.
func (m *Module) Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error) {
	r.PublicURL = m.PublicURL
	if answer, err := m.answerChallenge(r); err != nil || answer != nil {
		return &signature.Delivery{Answer: answer}, err
	}
	if m.preset.Check != nil {
		if err := m.preset.Check(r); err != nil {
			return nil, err
		}
	}
	d, err := verifyURLs(ctx, m.verifier, r)
	if err != nil {
		return nil, m.nameTest(ctx, r, m.hinted(r, err))
	}
	if len(d.Matches) == 0 {
		return nil, errors.New("the verifier returned no match") // a bug; fail closed
	}
	if m.preset.CheckVerified != nil {
		if err := m.preset.CheckVerified(r); err != nil {
			return nil, err
		}
	}
	if err := m.digestBody(r, d); err != nil {
		return nil, err
	}
	m.addContents(d)
	m.addOtherID(r, d)
	if err := m.addOtherEvent(r, d); err != nil {
		return nil, err
	}
	d.AlsoContent = m.preset.AlsoContent
	if err := m.distinct.distinguish(r, d, m.preset.Families); err != nil {
		return nil, err
	}
	if m.preset.Handshake != nil {
		d.Answer, err = m.preset.Handshake(m, r, d)
	}
	return d, err
}

// distinction returns the distinction of the configured variant, or the preset's.
func (m *Module) distinction() *Distinction {
	if m.variant != nil && m.variant.Distinction != nil {
		return m.variant.Distinction
	}
	return &m.preset.Distinction
}

// addOtherID sets the delivery ID from the header that some senders use instead.
func (m *Module) addOtherID(r *signature.Request, d *signature.Delivery) {
	const longest = 512
	if m.preset.OtherID == "" || d.ID != "" {
		return
	}
	if values := r.Header.Values(m.preset.OtherID); len(values) == 1 && len(values[0]) <= longest {
		d.ID, d.IDSigned = strings.TrimSpace(values[0]), false
	}
}

// digestBody replaces the digests with the body's digest, if the preset requires it.
// An empty body distinguishes nothing, so the signed content does.
func (m *Module) digestBody(r *signature.Request, d *signature.Delivery) error {
	if !m.preset.DigestBody && (m.variant == nil || !m.variant.DigestBody) || r.Body.Size() == 0 {
		return nil
	}
	h := sha256.New()
	h.Write([]byte(r.Values["beside"]))
	if document, ok := r.Values["document"]; ok {
		h.Write([]byte(document))
	} else if _, err := r.Body.WriteTo(h); err != nil {
		return fmt.Errorf("rereading body: %w", err)
	}
	digest := h.Sum(nil)
	for _, matches := range [][]signature.Match{d.Matches, d.Contents} {
		for i := range matches {
			matches[i].Digest = digest
		}
	}
	return nil
}

// addContents adds the digests for the other secrets, for a preset with Code that has
// not added them. Its digest is a plain hash, the same for each secret.
func (m *Module) addContents(d *signature.Delivery) {
	if d.Contents != nil || m.preset.Code == nil {
		return
	}
	for _, match := range d.Matches {
		for _, secret := range m.verifier.Secrets() {
			d.Contents = AppendMatches(d.Contents, signature.Match{Secret: secret, Digest: match.Digest})
		}
	}
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

// Info implements Provider.
func (m *Module) Info() Info {
	weakness := m.preset.Weakness
	if s, ok := m.verifier.(*schemes); ok && m.preset.signsOrSends() && !s.tokens {
		weakness = "" // it applies to the token, which is not configured
	}
	if m.variant != nil && m.variant.Weakness != "" {
		weakness = m.variant.Weakness
	}
	coverage := m.verifier.Coverage()
	if m.preset.OtherEvent != nil && !coverage.HasEvent {
		coverage.HasEvent, coverage.EventSigned = true, coverage.BodySigned
	}
	return Info{
		Name:     m.preset.Name,
		Coverage: coverage,
		Secrets:  m.verifier.Secrets(),
		Window:   max(m.preset.Window, coverage.MinWindow()),
		Weakness: weakness,
		MaxBody:  m.preset.MaxBody,
		Unsigned: m.preset.Unsigned,

		Distinction:     m.distinct,
		AlsoContent:     m.preset.AlsoContent,
		TakesHandshake:  slices.Contains(m.preset.Takes, "accept_handshake"),
		AcceptHandshake: m.set.AcceptHandshake,
		SecretLater:     m.preset.SecretLater,
		TokenHeaders:    tokenHeaders(m.adapted(m.preset.allSchemes())),
	}
}

// Interface guards.
var (
	_ Provider              = (*Module)(nil)
	_ HeaderAnswerer        = (*Module)(nil)
	_ OptionLister          = (*Module)(nil)
	_ Renewable             = (*Module)(nil)
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
