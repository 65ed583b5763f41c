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

// Preset is a provider as data.
type Preset struct {
	// Name is what users write, Title what people call the provider.
	Name, Title string
	// Schemes are how it signs. Where there are several, each secret belongs
	// to the first that accepts it, unless SecretsFitAll.
	Schemes []signature.Scheme
	// SecretsFitAll: every secret is used with every scheme that accepts it.
	SecretsFitAll bool
	// SecretPerScheme: the first secret belongs to the first scheme, the
	// second to the second, and there are no more.
	SecretPerScheme bool
	// Families are the prefixes that a `*` at the beginning of a scheme's
	// header names stands for, where the provider sends the same headers
	// under more than one name.
	Families []string
	// Variants are there instead of Schemes where nothing in secret or request
	// says in which way the provider signs. The first is the default.
	Variants []Variant
	// Takes and Needs name the options that the provider knows beyond the
	// options of all.
	Takes, Needs []string
	// KeyText turns the text of a secret into the text of a key, before the
	// scheme decodes it.
	KeyText func(string) (string, error)
	// Values works out what {value.NAME} stands for in the signed content.
	// Several results are tried in turn.
	Values func(m *Module, r *signature.Request) ([]map[string]string, error)
	// Code makes the verifier of a provider whose signatures the scheme type
	// cannot describe.
	Code func(m *Module) (Verifier, error)
	// PublicKeys: the secrets are public keys, where no scheme says so.
	PublicKeys bool
	// Signing makes deliveries, for tools and tests, where the schemes alone do
	// not say how. A preset with Code has it.
	Signing *Signing
	// NoSecret: the keys are published by the provider, so that secrets are
	// optional.
	NoSecret bool
	// DigestBody: the body is the content, signed or not, because the time that
	// is signed with it differs on a retry, or because too little is signed; or
	// the value `document`, if there is one. A value `beside` is a part of it.
	DigestBody bool
	// AlsoContent: equal content is the same delivery although the ID is signed,
	// because a retry can have another ID.
	AlsoContent bool
	// Distinction is what distinguishes its deliveries. Content is required.
	Distinction
	// Window is how long handled deliveries are remembered by default: the
	// provider's longest horizon for retries and manual redelivery. 0 means 7
	// days.
	Window time.Duration
	// MaxBody is the default of max_body, in bytes; 0 means the handler's own.
	MaxBody int64
	// IssuesSecrets: the provider issues every secret, as text that looks like
	// none of the usual mistakes, so that one that does is refused. Elsewhere
	// people type secrets in, and it is only warned about. Providers whose keys
	// are decoded from hex or base64 need not say so.
	IssuesSecrets bool
	// SecretIsAPIKey: deliveries are signed with an API key.
	SecretIsAPIKey bool
	// SecretLater: the provider hands over its secret in or after its handshake,
	// so that an endpoint with accept_handshake starts without one. Until it has
	// one, it answers handshakes alone.
	SecretLater bool
	// Handshake answers a provider's proof-of-ownership request that its
	// signature covers; nil if it has none.
	Handshake Handshake
	// Check refuses deliveries that are ambiguous, or too large to look into,
	// before they are verified; nil if none are.
	Check func(r *signature.Request) error
	// CheckVerified does the same after they are verified, where it takes long;
	// nil if none are.
	CheckVerified func(r *signature.Request) error
	// Challenge answers one that comes unsigned; nil if it has none.
	Challenge *Challenge
	// Handshakes says in words which requests are answered beyond those of the
	// schemes, for the documentation.
	Handshakes string
	// Tests are what the provider's test buttons, simulators and command lines
	// send without the secret of the endpoint.
	Tests []TestDelivery
	// Docs is the provider's page on verifying its webhooks.
	Docs string
	// Kind is the kind of product, for the documentation.
	Kind string
	// SecretHelp says where the secret is found.
	SecretHelp string
	// Signs says what is signed, where the schemes do not.
	Signs string
	// IDHelp says where the delivery ID is, and IDSigned that it is signed,
	// where the schemes do not.
	IDHelp   string
	IDSigned bool
	// OtherID is the unsigned header with the delivery ID where the first
	// place has none.
	OtherID string
	// Weakness is one sentence on what an attacker could still do.
	Weakness string
	// Unsigned names what the signature does not cover beyond ID, event type
	// and timestamp.
	Unsigned []string
	// Retries says how the provider signs its retries, where it signs a time.
	Retries Retries
	// Tolerance is the default of the tolerance where the preset is code, for the
	// documentation.
	Tolerance time.Duration
	// Environments are what the option environment can be. Nil: production and
	// sandbox.
	Environments []string
	// OtherEvent returns the event type of a verified delivery where its usual
	// place has none; nil if there is no other.
	OtherEvent func(r *signature.Request) (string, error)
	// Unsupported says in one sentence which requests of the provider are not
	// verified, and what to do about it.
	Unsupported string
	// Hint returns what the operator should know of a request that was refused,
	// such as that it is one of those, empty if there is nothing. Nil: never.
	Hint func(m *Module, r *signature.Request) string
	// Streams names the WebSockets that the provider opens, which are refused.
	Streams string
}

// Variant is one of the ways in which a provider may sign.
type Variant struct {
	Name, Help string
	Schemes    []signature.Scheme
	Weakness   string
	// Distinction and DigestBody are there where they differ from those of
	// the preset.
	Distinction *Distinction
	DigestBody  bool
}

// Handshake looks at a verified delivery and returns the answer to send if it
// is a handshake, else nil.
type Handshake func(m *Module, r *signature.Request, d *signature.Delivery) (*signature.Answer, error)

// Verifier is what a preset becomes with the secrets of one endpoint.
type Verifier interface {
	// CheckHeaders and Verify are as in Provider. A delivery that is verified
	// has at least one match.
	CheckHeaders(r *signature.Request) error
	Verify(ctx context.Context, r *signature.Request) (*signature.Delivery, error)
	// Traits says what the signature covers.
	Traits() signature.Traits
	// Secrets identifies the secrets in use, in the order of the config.
	Secrets() []signature.Identity
}

// Module verifies the deliveries of one provider. Its preset says how the
// provider signs; the config has the secrets and, for some providers, further
// options.
//
// `caddy verify-webhook providers <name>` prints which options the provider has,
// where its secret is found, what its signature covers and how its deliveries are
// told apart. So does the [page on providers].
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
	// challenges are the unsigned handshakes that are known.
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

// NewModule returns the module of a preset, to be provisioned. The preset need
// not be registered.
func NewModule(p *Preset) *Module { return &Module{preset: p} }

// Name returns the name of the preset.
func (m *Module) Name() string { return m.preset.Name }

// Variant returns the name of the variant in use, empty if the preset has none.
func (m *Module) Variant() string {
	if m.variant == nil {
		return ""
	}
	return m.variant.Name
}

// Resolved returns the options with their placeholders replaced. They must not
// be changed.
func (m *Module) Resolved() *PresetOptions { return &m.set }

// Keys returns the secrets with their placeholders replaced, in the order of
// the config. They must not be changed.
func (m *Module) Keys() []signature.Secret { return m.keys }

// UnmarshalJSON implements json.Unmarshaler: an unknown member is an error that
// says which one may be meant.
func (m *Module) UnmarshalJSON(raw []byte) error {
	type plain Module
	return option.StrictJSON(raw, (*plain)(m))
}

// warnUseless warns of options that mean nothing for the provider.
func (m *Module) warnUseless() {
	if m.logger == nil || m.preset.Code != nil {
		return
	}
	traits := m.verifier.Traits()
	if m.PublicURL != "" && !traits.URLSigned && m.preset.Values == nil {
		m.logger.Warn("public_url has no effect: the provider does not sign the URL; remove it", zap.String("provider", m.preset.Name))
	}
	if m.Tolerance != 0 && !traits.TimestampSigned {
		m.logger.Warn("tolerance has no effect: the provider signs no time; remove it", zap.String("provider", m.preset.Name))
	}
}

// SigningSchemes returns how the provider signs with these options, once for
// each family of header names, and none if the signatures are made by code. It
// is for tools that sign, and needs neither secrets nor provisioning.
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
		// Where the provider publishes its keys, what is configured is public.
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

// startsWithoutSecret reports whether the provider has yet to hand over its
// secret, and the operator waits for it.
func (m *Module) startsWithoutSecret() bool {
	return m.preset.SecretLater && m.set.AcceptHandshake && len(m.Secrets) == 0
}

// withHandshakeHint adds to the error of a missing secret how to start without.
func (m *Module) withHandshakeHint(err error) error {
	if !m.preset.SecretLater || len(m.Secrets) > 0 {
		return err
	}
	return fmt.Errorf("%w; while the provider has not handed it over yet, write accept_handshake alone", err)
}

// adapted returns the schemes with the options that change them: another
// header or parameter, fewer algorithms.
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

// allowed returns the schemes whose prefix names one of the algorithms; without
// any, all but SHA-1.
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
	return nil, fmt.Errorf("there is no scheme %q: write %s", m.set.Scheme, strings.Join(names, " or "))
}

// keyTexts returns the secrets as the scheme wants them.
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

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Its syntax is in the comment
// of [Module].
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

// UnmarshalOptions reads the segment of a provider in code from a Caddyfile: its
// secret, the options that every provider has, and with other whatever else this
// one has, whose names are known. d is at the option that other is called for;
// other returns false for one that it does not know. Both can be nil.
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

// unmarshalOptions reads a provider's segment: the options that every provider has,
// and with other whatever else this one has. other returns false for an option
// that it does not know.
func unmarshalOptions(d *caddyfile.Dispenser, o *Options, known []string, other func(*option.Reader) bool) error {
	d.Next() // the name
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Err("too many arguments: expected at most one secret after the provider's name; write further ones in its block, each as: secret {env.NAME}")
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
		return nil, errors.New("nothing was verified") // a mistake of ours, never to be let through
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

// distinction is that of the configured variant, or the preset's.
func (m *Module) distinction() *Distinction {
	if m.variant != nil && m.variant.Distinction != nil {
		return m.variant.Distinction
	}
	return &m.preset.Distinction
}

// addOtherID fills in the delivery ID from the header that some senders use
// instead.
func (m *Module) addOtherID(r *signature.Request, d *signature.Delivery) {
	const longest = 512
	if m.preset.OtherID == "" || d.ID != "" {
		return
	}
	if values := r.Header.Values(m.preset.OtherID); len(values) == 1 && len(values[0]) <= longest {
		d.ID, d.IDSigned = strings.TrimSpace(values[0]), false
	}
}

// digestBody replaces the digests with that of the body, if need be.
func (m *Module) digestBody(r *signature.Request, d *signature.Delivery) error {
	if !m.preset.DigestBody && (m.variant == nil || !m.variant.DigestBody) {
		return nil
	}
	h := sha256.New()
	h.Write([]byte(r.Values["beside"]))
	if document, ok := r.Values["document"]; ok {
		h.Write([]byte(document))
	} else if _, err := r.Body.WriteTo(h); err != nil {
		return fmt.Errorf("reading the body again: %w", err)
	}
	digest := h.Sum(nil)
	for _, matches := range [][]signature.Match{d.Matches, d.Contents} {
		for i := range matches {
			matches[i].Digest = digest
		}
	}
	return nil
}

// addContents adds the digests under the other secrets for a provider in code
// that has not done so itself: its digest is a plain hash, the same under each.
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

// signsOrSends tells whether the secret decides between a signature and a token.
func (p *Preset) signsOrSends() bool {
	tokens := 0
	for i := range p.Schemes {
		if sendsToken(compiledScheme{scheme: &p.Schemes[i]}) {
			tokens++
		}
	}
	return tokens > 0 && tokens < len(p.Schemes)
}

// Facts implements Provider.
func (m *Module) Facts() Facts {
	weakness := m.preset.Weakness
	if s, ok := m.verifier.(*schemes); ok && m.preset.signsOrSends() && !s.tokens {
		weakness = "" // it is that of the token, which nobody configured
	}
	if m.variant != nil && m.variant.Weakness != "" {
		weakness = m.variant.Weakness
	}
	traits := m.verifier.Traits()
	if m.preset.OtherEvent != nil && !traits.HasEvent {
		traits.HasEvent, traits.EventSigned = true, traits.BodySigned
	}
	return Facts{
		Name:     m.preset.Name,
		Traits:   traits,
		Secrets:  m.verifier.Secrets(),
		Window:   max(m.preset.Window, traits.MinWindow()),
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
