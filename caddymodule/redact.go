package caddymodule

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// credentialHeaders contain credentials for the receiver only.
var credentialHeaders = []string{"Authorization", "Proxy-Authorization", "Cookie", "Cookie2"}

// RemovedValue is the prefix of the text that replaces a removed header value.
const RemovedValue = "(removed"

// redactHeader returns a copy of a request's headers without credentials. If the
// provider sends its secret in a header, the copy contains whether it is a
// configured secret instead.
func redactHeader(h http.Header, info *provider.Info) http.Header {
	out := h.Clone()
	for name, values := range out {
		canonical := textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
		switch {
		case slices.Contains(info.TokenHeaders, canonical):
			for i, value := range values {
				values[i] = RemovedValue + ": " + compareToken(value, info.Secrets) + ")"
			}
		case slices.Contains(credentialHeaders, canonical):
			for i := range values {
				values[i] = RemovedValue + ")"
			}
		}
	}
	return out
}

// compareToken describes how a received token differs from the secrets. It compares
// fingerprints, and contains no secret.
func compareToken(token string, secrets []signature.Identity) string {
	for _, variant := range tokenVariants(token) {
		sent, err := signature.NewSecret(variant.text, "")
		if err != nil {
			continue
		}
		fingerprint := sent.Identity().Fingerprint
		for _, configured := range secrets {
			if configured.Fingerprint == fingerprint {
				return "it is secret " + configured.Label + variant.but
			}
		}
	}
	if strings.TrimSpace(token) == "" {
		return "it is blank"
	}
	return "it is none of the configured secrets"
}

type tokenVariant struct{ text, but string }

// tokenVariants are possible corrections of a token.
func tokenVariants(token string) []tokenVariant {
	trimmed := strings.TrimSpace(token)
	all := []tokenVariant{{token, ""}}
	scheme, rest, found := strings.Cut(trimmed, " ")
	rest = strings.TrimSpace(rest)
	if found && strings.EqualFold(scheme, "Basic") {
		if pair, err := base64.StdEncoding.DecodeString(rest); err == nil {
			all = append(all, tokenVariant{string(pair), ""})
		}
	}
	if found && strings.EqualFold(scheme, "Bearer") {
		all = append(all, tokenVariant{rest, " behind Bearer"})
	}
	all = append(all, tokenVariant{trimmed, ", with white space around it"})
	if len(trimmed) > 2 && strings.ContainsRune(`"'`, rune(trimmed[0])) && trimmed[0] == trimmed[len(trimmed)-1] {
		all = append(all, tokenVariant{trimmed[1 : len(trimmed)-1], ", in quotes"})
	}
	if decoded, err := base64.StdEncoding.DecodeString(trimmed); err == nil && len(decoded) > 0 {
		all = append(all, tokenVariant{strings.TrimSpace(string(decoded)), ", in base64"})
	}
	return all
}
