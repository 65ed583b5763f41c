package diagnose

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signatureChanges are other encodings and algorithms of the signature.
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
				"let the sender sign as the provider does, or describe its scheme with `custom`",
				eachScheme(func(s *signature.Scheme) { s.Algorithm, s.Signature.Encoding = a, e }))
		}
	}
	add("signature_prefix", "the signature is missing its prefix", "a proxy removes the prefix, or the sender does not send it: describe its scheme with `custom`",
		eachScheme(func(s *signature.Scheme) { s.Signature.Prefix = "" }))
	add("signature_quoted", "the signature is in quotes or URL-encoded", "a proxy rewrites headers: remove it",
		func(v variant) variant {
			v.header = rewritten(v.header, func(text string) string { return strings.Trim(decodeForm(text), `"' `) })
			return v
		})
	return append(changes, contentChanges(scheme)...)
}

// hmacOf returns the first scheme of a variant with a shared key, nil if there is
// none.
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

// contentChanges are other templates of signed content, for schemes that the
// operator has described.
func contentChanges(scheme *signature.Scheme) []change {
	var changes []change
	for _, signed := range []string{"{body}", "{timestamp}.{body}", "{timestamp}{body}", "{timestamp}:{body}", "v0:{timestamp}:{body}", "{id}.{timestamp}.{body}", "{id}{timestamp}{body}", "{url}{body}", "{method}{url}{body}", "{body}{timestamp}"} {
		changes = append(changes, change{
			Finding{Kind: "signed_content", Cause: "the signed content is " + signed + ", not " + signedBy(scheme), Change: "write `signed \"" + signed + "\"` with `custom`; with a preset, let the sender sign as the provider does"},
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

// eachScheme changes the schemes of a variant that sign.
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
