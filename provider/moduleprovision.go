package provider

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Provision implements caddy.Provisioner.
func (m *Module) Provision(ctx caddy.Context) error {
	m.logger = logger(ctx)
	m.warnPlaintext(m.logger, m.preset.Name)
	if err := m.provision(); err != nil {
		return fmt.Errorf("%s: %w", m.preset.Name, err)
	}
	m.warnUseless()
	m.warnLongTolerance(m.logger, m.preset.Name, m.preset.defaultTolerance())
	return nil
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

// longTolerance is the tolerance up to which no warning is logged.
const longTolerance = time.Hour

// warnLongTolerance warns about a tolerance that is much longer than the default one.
func (o *Options) warnLongTolerance(logger *zap.Logger, name string, usual time.Duration) {
	if t := o.tolerance(); t > max(longTolerance, 4*usual) {
		logger.Warn(fmt.Sprintf("tolerance is %s, so that copies are accepted for that long, and deliveries are remembered for twice that time: write tolerance %s, unless the provider sends retries with the time of the first attempt", t, usual),
			zap.String("provider", name))
	}
}

// defaultTolerance returns the longest default tolerance of the preset's schemes.
func (p *Preset) defaultTolerance() time.Duration {
	longest := max(p.Tolerance, signature.DefaultTolerance)
	for _, s := range p.allSchemes() {
		longest = max(longest, s.Covers().Tolerance)
	}
	return longest
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
		for _, s := range m.adapted(schemes) {
			named, _ := inFamily(s, family)
			all = append(all, named)
		}
	}
	return all, nil
}
