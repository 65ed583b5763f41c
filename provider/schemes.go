package provider

import (
	"errors"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// schemes is the compiled schemes of one endpoint: one for each scheme that
// has secrets and each family of header names.
type schemes struct {
	compiled []compiledScheme
}

type compiledScheme struct {
	family   string
	headers  []string // the headers of the scheme, for comparing families
	verifier *signature.Verifier
}

// familyMark stands, at the beginning of a header's name, for the family.
const familyMark = "*"

// compileSchemes sorts the secrets to the schemes that accept them. Every
// secret must belong to one; the first that accepts it has it.
func compileSchemes(all []signature.Scheme, families []string, secrets []signature.Secret, o *Options) (*schemes, error) {
	if len(families) == 0 {
		families = []string{""}
	}
	out := &schemes{}
	used := 0
	left := secrets
	for _, s := range all {
		var mine, others []signature.Secret
		for _, secret := range left {
			if s.Accepts(secret) {
				mine = append(mine, secret)
			} else {
				others = append(others, secret)
			}
		}
		left = others
		if len(mine) == 0 {
			continue
		}
		used += len(mine)
		for _, family := range families {
			scheme, headers := inFamily(s, family)
			v, err := scheme.Compile(mine, o.tolerance())
			if err != nil {
				return nil, err
			}
			out.compiled = append(out.compiled, compiledScheme{family, headers, v})
		}
	}
	if used < len(secrets) {
		return nil, errors.New("a secret is of no kind that the provider has: look at its prefix")
	}
	if len(out.compiled) == 0 {
		return nil, errors.New("no secret")
	}
	return out, nil
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

// choose returns the schemes to try: those of the family of headers that the
// request uses. Two families at once must agree, or one of them was added by
// somebody else.
func (s *schemes) choose(r *signature.Request) ([]compiledScheme, error) {
	var chosen []compiledScheme
	for _, c := range s.compiled {
		if !c.verifier.Present(r) {
			continue
		}
		if len(chosen) > 0 && c.family != chosen[0].family {
			if !sameHeaders(r, chosen[0].headers, c.headers) {
				return nil, signature.Refuse(signature.Malformed, "%s* and %s* headers say different things", chosen[0].family, c.family)
			}
			continue
		}
		chosen = append(chosen, c)
	}
	if len(chosen) == 0 {
		chosen = s.compiled[:1] // to say what is missing
	}
	return chosen, nil
}

func sameHeaders(r *signature.Request, a, b []string) bool {
	for i := range a {
		if !slices.Equal(r.Header.Values(a[i]), r.Header.Values(b[i])) {
			return false
		}
	}
	return true
}

// checkHeaders passes if any of the chosen schemes could still verify.
func (s *schemes) checkHeaders(r *signature.Request) error {
	chosen, err := s.choose(r)
	if err != nil {
		return err
	}
	var refusal error
	for _, c := range chosen {
		err := c.verifier.CheckHeaders(r)
		if err == nil {
			return nil
		}
		refusal = graver(refusal, err)
	}
	return refusal
}

// verify returns the first scheme's delivery that verifies. Further schemes
// that verify too, as while moving from shared secret to public key, add
// their matches: each signature alone could be sent again.
func (s *schemes) verify(r *signature.Request) (*signature.Delivery, error) {
	chosen, err := s.choose(r)
	if err != nil {
		return nil, err
	}
	var delivery *signature.Delivery
	var refusal error
	for _, c := range chosen {
		d, err := c.verifier.Verify(r)
		var refused *signature.Refusal
		switch {
		case err != nil && !errors.As(err, &refused):
			return nil, err
		case err != nil:
			refusal = graver(refusal, err)
		case delivery == nil:
			delivery = d
		default:
			delivery.Matches = append(delivery.Matches, d.Matches...)
		}
	}
	if delivery != nil {
		return delivery, nil
	}
	return nil, refusal
}

// graver returns the refusal that tells the operator more: with several
// schemes the one that got furthest.
func graver(a, b error) error {
	rank := func(err error) int {
		var r *signature.Refusal
		if !errors.As(err, &r) {
			return 0
		}
		return 1 + slices.Index([]signature.RefusalKind{signature.MissingSignature, signature.Malformed, signature.InvalidSignature, signature.Stale}, r.Kind)
	}
	if a == nil || rank(b) > rank(a) {
		return b
	}
	return a
}

// traits of the endpoint: covered only if every scheme in use covers it.
func (s *schemes) traits() signature.Traits {
	t := s.compiled[0].verifier.Traits()
	for _, c := range s.compiled[1:] {
		u := c.verifier.Traits()
		t.IDSigned = t.IDSigned && u.IDSigned
		t.EventSigned = t.EventSigned && u.EventSigned
		t.TimestampSigned = t.TimestampSigned && u.TimestampSigned
		t.BodySigned = t.BodySigned && u.BodySigned
		t.URLSigned = t.URLSigned || u.URLSigned
		t.WholeBody = t.WholeBody || u.WholeBody
		t.Tolerance = max(t.Tolerance, u.Tolerance)
	}
	return t
}

// secrets returns the identities of all secrets, each once.
func (s *schemes) secrets() []signature.Identity {
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
