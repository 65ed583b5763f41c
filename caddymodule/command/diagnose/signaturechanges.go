package diagnose

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signatureChanges are other ways to read the signature.
func signatureChanges(start variant) []change {
	var changes []change
	add := func(kind, cause, fix string, apply func(variant) variant) {
		changes = append(changes, change{Finding{Kind: kind, Cause: cause, Change: fix}, apply})
	}
	scheme := hmacOf(start)
	if scheme == nil {
		return nil
	}
	for _, a := range []signature.Algorithm{signature.HMACSHA256, signature.HMACSHA1, signature.HMACSHA512, signature.HMACSHA384} {
		for _, e := range []signature.Encoding{signature.Hex, signature.Base64, signature.Base64URL, signature.Base64URLPad} {
			if a == scheme.Algorithm && e == encodingOf(scheme) {
				continue
			}
			add(signatureKind(scheme, a), fmt.Sprintf("the signature is %s in %s, not %s in %s", a, e, scheme.Algorithm, encodingOf(scheme)),
				"let the sender sign as the provider does, or describe its way with `custom`",
				eachScheme(func(s *signature.Scheme) { s.Algorithm, s.Signature.Encoding = a, e }))
		}
	}
	add("signature_prefix", "the signature lacks what should stand before it", "something takes the prefix off, or the sender does not write it: describe its way with `custom`",
		eachScheme(func(s *signature.Scheme) { s.Signature.Prefix = "" }))
	add("signature_quoted", "the signature stands in quotes or has been URL-encoded", "something on the way rewrites headers: take it out",
		func(v variant) variant {
			v.header = rewritten(v.header, func(text string) string { return strings.Trim(decodeForm(text), `"' `) })
			return v
		})
	return append(changes, contentChanges(scheme)...)
}

// hmacOf returns the first scheme of a variant that has a shared key to vary,
// nil if there is none.
func hmacOf(v variant) *signature.Scheme {
	for i := range v.schemes {
		if strings.HasPrefix(string(v.schemes[i].Algorithm), "hmac-") {
			return &v.schemes[i]
		}
	}
	return nil
}

func encodingOf(s *signature.Scheme) signature.Encoding {
	if s.Signature.Encoding == "" {
		return signature.Hex
	}
	return s.Signature.Encoding
}

func signatureKind(s *signature.Scheme, a signature.Algorithm) string {
	if a == s.Algorithm {
		return "signature_encoding"
	}
	return "signature_algorithm"
}

// contentChanges are other contents that may be signed, where the operator has
// described the scheme.
func contentChanges(scheme *signature.Scheme) []change {
	var changes []change
	for _, signed := range []string{"{body}", "{timestamp}.{body}", "{timestamp}{body}", "{timestamp}:{body}", "v0:{timestamp}:{body}", "{id}.{timestamp}.{body}", "{id}{timestamp}{body}", "{url}{body}", "{method}{url}{body}", "{body}{timestamp}"} {
		changes = append(changes, change{
			Finding{Kind: "signed_content", Cause: "what is signed is " + signed + ", not " + signedBy(scheme), Change: "write `signed \"" + signed + "\"` with `custom`; with a preset, let the sender sign as the provider does"},
			eachScheme(func(s *signature.Scheme) { s.Signed = signed }),
		})
	}
	return changes
}

func signedBy(s *signature.Scheme) string {
	if s.Signed == "" {
		return "{body}"
	}
	return s.Signed
}

// eachScheme changes the schemes of a variant that sign at all.
func eachScheme(change func(*signature.Scheme)) func(variant) variant {
	return func(v variant) variant {
		v.schemes = slices.Clone(v.schemes)
		for i := range v.schemes {
			if strings.HasPrefix(string(v.schemes[i].Algorithm), "hmac-") {
				change(&v.schemes[i])
			}
		}
		return v
	}
}

func rewritten(h http.Header, how func(string) string) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		for _, value := range values {
			out[name] = append(out[name], how(value))
		}
	}
	return out
}

// missing explains why there is no signature where one should be.
func (s *search) missing() []Finding {
	want := make([]string, 0, 2)
	for _, scheme := range s.inspection.Schemes {
		if f := scheme.Signature; f.From == "header" && !slices.Contains(want, f.Name) {
			want = append(want, f.Name)
		}
	}
	for _, name := range want {
		if found := s.weakerHeader(name); found != nil {
			return found
		}
		if found := s.renamedHeader(name); found != nil {
			return found
		}
	}
	if found := s.otherProvider(); found != nil {
		return found
	}
	return []Finding{{
		Kind: "no_signature", Guess: true,
		Cause:  "the request has no " + strings.Join(want, " or ") + ": it is not from the provider, the webhook there has no secret, or something on the way drops the header",
		Change: "set a secret for the webhook at the provider; if it has one, let proxies in front pass the header on",
	}}
}

// weakerHeader: GitHub and those who copied it send SHA-1 in one header and
// SHA-256 in another.
func (s *search) weakerHeader(name string) []Finding {
	weaker, ok := strings.CutSuffix(textproto.CanonicalMIMEHeaderKey(name), "-256")
	if !ok || len(s.c.Request.Header.Values(weaker)) == 0 {
		return nil
	}
	return []Finding{{
		Kind:   "sha1_header",
		Cause:  "the request has only " + weaker + ", the signature with SHA-1; " + name + ", with SHA-256, is missing",
		Change: "let what is in front pass on " + name + "; if the sender does not make one (GitHub Enterprise before 2.21, look-alikes), update it. SHA-1 is not accepted in its place",
	}}
}

// renamedHeader finds a header whose name was written otherwise on the way.
func (s *search) renamedHeader(name string) []Finding {
	fold := func(text string) string {
		return strings.TrimPrefix(strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(text)), "http")
	}
	for other := range s.c.Request.Header {
		if !strings.EqualFold(other, name) && fold(other) == fold(name) {
			return []Finding{{
				Kind:   "header_renamed",
				Cause:  "the signature came as " + other + ", not as " + name,
				Change: "send it on under its own name; Caddy itself drops header names with underscores, unless `servers { expected_underscore_headers }` lists them",
			}}
		}
	}
	return nil
}

// otherProvider finds out whose signature the request carries.
func (s *search) otherProvider() []Finding {
	var names, headers []string
	for _, p := range provider.Presets() {
		inspection, err := signing.Inspect(p.Name, nil)
		if err != nil || p.Name == s.c.Provider {
			continue
		}
		for _, scheme := range inspection.Schemes {
			f := scheme.Signature
			if f.From == "header" && f.Name != "Authorization" && s.c.Request.Header.Get(f.Name) != "" && !slices.Contains(names, p.Name) {
				names, headers = append(names, p.Name), append(headers, f.Name)
			}
		}
	}
	if len(names) == 0 || len(names) > 5 {
		return nil
	}
	return []Finding{{
		Kind:   "other_provider",
		Cause:  "the request carries " + headers[0] + ", with which " + strings.Join(names, ", ") + " sign",
		Change: "configure that provider for this path, or correct the URL at the provider that sent it",
	}}
}
