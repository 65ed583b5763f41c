package provider

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// schemes is the compiled schemes of one endpoint: one for each scheme that
// has secrets and each family of header names.
type schemes struct {
	module   *Module
	compiled []compiledScheme
	// What need not be looked at with every request: whether there is but one
	// scheme, for all requests; whether some are for certain requests, or
	// only send a token.
	single, conditional, tokens bool
}

type compiledScheme struct {
	scheme   *signature.Scheme
	family   string
	headers  []string // the headers of the scheme, for comparing families
	secrets  []signature.Secret
	verifier *signature.Verifier
}

// familyMark is a placeholder for the family at the start of a header name.
const familyMark = "*"

// compileSchemes sorts the secrets to the schemes that accept them. Every
// secret must belong to one. The first that accepts it has it, unless the
// schemes are for different requests or share all secrets.
func compileSchemes(all []signature.Scheme, m *Module) (*schemes, error) {
	out := &schemes{module: m}
	taken := make([]bool, len(m.keys)) // by a scheme that does not share it
	used := make([]bool, len(m.keys))
	for i, scheme := range all {
		var mine []signature.Secret
		for j, secret := range m.keys {
			shared := m.preset.SecretsFitAll || scheme.When != nil
			if m.preset.SecretPerScheme && i != j {
				continue
			}
			if !scheme.Accepts(secret) || (taken[j] && !shared) {
				continue
			}
			if _, err := scheme.Key.Decode(secret); err != nil && m.preset.SecretsFitAll {
				continue // of another scheme
			}
			mine = append(mine, secret)
			used[j], taken[j] = true, taken[j] || scheme.When == nil
		}
		if len(mine) == 0 {
			continue
		}
		if err := out.compile(scheme, mine); err != nil {
			return nil, err
		}
	}
	if slices.Contains(used, false) {
		return nil, errors.New("unrecognized secret format: check its prefix")
	}
	if len(out.compiled) == 0 {
		return nil, errors.New("missing secret")
	}
	if err := out.checkDuplicates(m.keys); err != nil {
		return nil, err
	}
	out.dropTokens()
	for _, c := range out.compiled {
		out.conditional = out.conditional || c.scheme.When != nil
		out.tokens = out.tokens || sendsToken(c)
	}
	out.single = len(out.compiled) == 1 && !out.conditional
	return out, nil
}

// ErrDuplicateSecret is the error for two secrets that are one key.
var ErrDuplicateSecret = errors.New("duplicate secret: remove one")

// checkDuplicates refuses one key that two secrets spell, for different schemes
// too. One secret may serve several schemes.
func (s *schemes) checkDuplicates(secrets []signature.Secret) error {
	owners := make(map[[32]byte]signature.Secret)
	for _, c := range s.compiled {
		for i, id := range c.verifier.Secrets() {
			owner, known := owners[id.Fingerprint]
			if known && !owner.Equal(c.secrets[i]) {
				return ErrDuplicateSecret
			}
			owners[id.Fingerprint] = c.secrets[i]
		}
	}
	for i, secret := range secrets {
		if slices.ContainsFunc(secrets[:i], secret.Equal) {
			return ErrDuplicateSecret
		}
	}
	return nil
}

// dropTokens leaves the schemes that sign, if there are any. A request with the
// token alone would go by the signature, so the token is of no use beside it.
func (s *schemes) dropTokens() {
	signing := slices.DeleteFunc(slices.Clone(s.compiled), sendsToken)
	if len(signing) == 0 || len(signing) == len(s.compiled) {
		return
	}
	s.compiled = signing
	if log := s.module.logger; log != nil {
		log.Warn("a token is not accepted beside a secret that signs: remove it from the config", zap.String("provider", s.module.preset.Name))
	}
}

// compile adds a scheme, once for each family.
func (s *schemes) compile(scheme signature.Scheme, secrets []signature.Secret) error {
	for _, family := range s.module.preset.families() {
		named, headers := inFamily(scheme, family)
		v, err := named.Compile(secrets, s.module.tolerance())
		if err != nil {
			return err
		}
		s.compiled = append(s.compiled, compiledScheme{&named, family, headers, secrets, v})
	}
	return nil
}

// families returns the families of header names; one without a name if there
// are none.
func (p *Preset) families() []string {
	if len(p.Families) == 0 {
		return []string{""}
	}
	return p.Families
}

// inFamily writes the family's prefix for the mark in header names.
func inFamily(s signature.Scheme, family string) (signature.Scheme, []string) {
	var headers []string
	rename := func(f signature.Field) signature.Field {
		if f.From == "header" && strings.HasPrefix(f.Name, familyMark) {
			f.Name = family + strings.TrimPrefix(f.Name, familyMark)
			headers = append(headers, f.Name)
		}
		return f
	}
	s.Signature.Field = rename(s.Signature.Field)
	if s.Timestamp != nil {
		t := *s.Timestamp
		t.Field = rename(t.Field)
		s.Timestamp = &t
	}
	if s.ID != nil {
		f := rename(*s.ID)
		s.ID = &f
	}
	if s.Event != nil {
		f := rename(*s.Event)
		s.Event = &f
	}
	return s, headers
}

// choose returns the schemes to try: those for this kind of request, and of
// the family of headers that the request uses. Two families at once must
// agree, or an attacker added one of them.
func (s *schemes) choose(r *signature.Request) ([]compiledScheme, error) {
	if s.single {
		return s.compiled, nil
	}
	var chosen []compiledScheme
	applying := s.applying(r)
	if len(applying) == 0 {
		return nil, signature.Refuse(signature.Malformed, "the provider does not sign this kind of request")
	}
	for _, c := range applying {
		if !c.verifier.Present(r) {
			continue
		}
		if len(chosen) > 0 && c.family != chosen[0].family {
			if !sameHeaders(r, chosen[0].headers, c.headers) {
				return nil, signature.Refuse(signature.Malformed, "the %s* and %s* headers differ", chosen[0].family, c.family)
			}
			continue
		}
		chosen = append(chosen, c)
	}
	if len(chosen) == 0 {
		return applying[:1], nil // to say what is missing
	}
	return chosen, nil
}

func sendsToken(c compiledScheme) bool {
	return c.scheme.Algorithm == signature.Token || c.scheme.Algorithm == signature.Basic
}

// applying returns the schemes for this kind of request: those that name it,
// else those for all.
func (s *schemes) applying(r *signature.Request) []compiledScheme {
	if !s.conditional {
		return s.compiled
	}
	var named, others []compiledScheme
	for _, c := range s.compiled {
		switch {
		case c.scheme.When == nil:
			others = append(others, c)
		case c.scheme.Applies(r):
			named = append(named, c)
		}
	}
	if len(named) > 0 {
		return named
	}
	return others
}

func sameHeaders(r *signature.Request, a, b []string) bool {
	for i := range a {
		if !slices.Equal(r.Header.Values(a[i]), r.Header.Values(b[i])) {
			return false
		}
	}
	return true
}

// CheckHeaders passes if any of the chosen schemes could still verify. Each says
// whether its hash is slow.
func (s *schemes) CheckHeaders(r *signature.Request) error {
	chosen, err := s.choose(r)
	if err != nil {
		return err
	}
	var refusal error
	passed := false
	for _, c := range chosen {
		if err := c.verifier.CheckHeaders(r); err != nil {
			refusal = graver(refusal, err)
			continue
		}
		passed = true
	}
	if passed {
		return nil
	}
	return refusal
}

// Verify returns the first scheme's delivery that verifies. Further schemes
// that verify too, as while moving from shared secret to public key, add
// their matches: each signature alone could be sent again.
func (s *schemes) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	if s.module.preset.Values == nil {
		return s.verifyOne(r)
	}
	candidates, err := s.module.preset.Values(s.module, r)
	if err != nil {
		return nil, err
	}
	// All of them, because each signature alone could be sent again.
	var delivery *signature.Delivery
	err = signature.Refuse(signature.Malformed, "the request contains nothing to verify")
	for _, r.Values = range candidates {
		d, refusal := s.verifyOne(r)
		switch {
		case refusal != nil && !isRefusal(refusal, signature.InvalidSignature):
			return nil, refusal
		case refusal != nil:
			err = refusal
		case delivery == nil:
			delivery = d
		default:
			addSignatures(delivery, d)
		}
	}
	if delivery != nil {
		return delivery, nil
	}
	return nil, err
}

// verifyOne verifies with the request's values as they are.
func (s *schemes) verifyOne(r *signature.Request) (*signature.Delivery, error) {
	chosen, err := s.choose(r)
	if err != nil {
		return nil, err
	}
	var delivery *signature.Delivery
	var refusal error
	for _, c := range chosen {
		d, err := c.verifier.Verify(r)
		_, refused := errors.AsType[*signature.Refusal](err)
		switch {
		case err != nil && !refused:
			return nil, err
		case err != nil:
			refusal = graver(refusal, err)
		case delivery == nil:
			delivery = d
		default:
			addSignatures(delivery, d)
		}
	}
	if delivery != nil {
		return delivery, nil
	}
	return nil, refusal
}

// addSignatures adds the signatures of other, the same request verified in another way,
// and what they sign.
func addSignatures(d, other *signature.Delivery) {
	if d.Contents != nil || other.Contents != nil {
		d.Contents = AppendMatches(slices.Clone(d.Digests()), other.Digests()...)
	}
	d.Matches = AppendMatches(d.Matches, other.Matches...)
}

// AppendMatches adds matches that are not there yet.
func AppendMatches(matches []signature.Match, more ...signature.Match) []signature.Match {
	for _, m := range more {
		known := slices.ContainsFunc(matches, func(other signature.Match) bool {
			return other.Secret.Fingerprint == m.Secret.Fingerprint && bytes.Equal(other.Digest, m.Digest)
		})
		if !known {
			matches = append(matches, m)
		}
	}
	return matches
}

// isRefusal reports whether err is a refusal of this kind.
func isRefusal(err error, kind signature.RefusalKind) bool {
	r, ok := errors.AsType[*signature.Refusal](err)
	return ok && r.Kind == kind
}

// graver returns the refusal that is more useful to the operator: with several
// schemes the one that got furthest.
func graver(a, b error) error {
	rank := func(err error) int {
		r, ok := errors.AsType[*signature.Refusal](err)
		if !ok {
			return 0
		}
		return 1 + slices.Index([]signature.RefusalKind{signature.MissingSignature, signature.Malformed, signature.InvalidSignature, signature.Stale}, r.Kind)
	}
	if a == nil || rank(b) > rank(a) {
		return b
	}
	return a
}

// Coverage of the endpoint: covered only if every scheme in use covers it.
func (s *schemes) Coverage() signature.Coverage {
	t := s.compiled[0].verifier.Coverage()
	for _, c := range s.compiled[1:] {
		u := c.verifier.Coverage()
		t.IDSigned = t.IDSigned && u.IDSigned
		t.EventSigned = t.EventSigned && u.EventSigned
		t.TimestampSigned = t.TimestampSigned && u.TimestampSigned
		t.BodySigned = t.BodySigned && u.BodySigned
		t.URLSigned = t.URLSigned || u.URLSigned
		t.Tolerance = max(t.Tolerance, u.Tolerance)
	}
	return t
}

// Secrets returns the identities of all secrets, each once.
func (s *schemes) Secrets() []signature.Identity {
	var ids []signature.Identity
	for _, c := range s.compiled {
		for _, id := range c.verifier.Secrets() {
			if !slices.ContainsFunc(ids, func(other signature.Identity) bool { return other.Fingerprint == id.Fingerprint }) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
