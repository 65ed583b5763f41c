package provider

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

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

		ShortSecrets: shortSecrets(m.keys),
		Window:       max(m.preset.Window, coverage.MinWindow()),
		Weakness:     weakness,
		MaxBody:      m.preset.MaxBody,
		Unsigned:     m.preset.Unsigned,

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
