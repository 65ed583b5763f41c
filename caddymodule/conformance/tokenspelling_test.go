package conformance_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

var jsonWebToken = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{16,}`)

// tokenSpellings returns other spellings of a JSON Web Token.
func tokenSpellings(token string) []string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	parts := strings.Split(token, ".")
	spellings := []string{token + "=", token[:10] + " " + token[10:], token[:10] + "\n" + token[10:], token[:len(token)-4] + "\r" + token[len(token)-4:]}
	for i, part := range parts {
		if len(part)%4 == 0 {
			continue // all bits are used
		}
		other := append([]string(nil), parts...)
		last := strings.IndexByte(alphabet, part[len(part)-1])
		other[i] = part[:len(part)-1] + string(alphabet[last^1])
		spellings = append(spellings, strings.Join(other, "."))
	}
	return spellings
}

// A JSON Web Token that signs a delivery has one spelling, in headers and in bodies.
func TestTokensAreRefusedInAnotherSpelling(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			var copies []conformance.Request
			for name, values := range v.Request.Headers {
				token := jsonWebToken.FindString(values[0])
				// Without it, is it refused? Other headers are not read.
				if token != "" && !send(t, open(t, v), withHeader(v.Request, name)).Reached {
					for _, other := range tokenSpellings(token) {
						copies = append(copies, withHeader(v.Request, name, strings.Replace(values[0], token, other, 1)))
					}
				}
			}
			if token := jsonWebToken.FindString(string(v.Request.Body)); token != "" && len(copies) == 0 {
				for _, other := range tokenSpellings(token) {
					copies = append(copies, withBody(v.Request, strings.Replace(string(v.Request.Body), token, other, 1)))
				}
			}
			for _, c := range copies {
				tested[p.Name] = true
				if tried := send(t, open(t, v), c); tried.Reached {
					t.Errorf("%s %s: forwarded with another spelling of the token", p.Name, v.Name)
				}
			}
		}
	}
	for _, name := range []string{"apple-app-store", "atlassian-connect", "google-pubsub", "kinde", "plaid", "vonage", "wix"} {
		if !tested[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}
