package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
)

// signed is a delivery that a provider's library signed, as printed by
// crosscheck/sign.mjs.
type signed struct {
	Secret  string      `json:"secret"`
	Headers http.Header `json:"headers"`
	Body    string      `json:"body"`
}

// TestDeliveriesSignedByProvidersLibrariesAreVerified sends deliveries that the libraries
// sign to a real Caddy. Package crosscheck tests many more libraries with the handler.
func TestDeliveriesSignedByProvidersLibrariesAreVerified(t *testing.T) {
	for _, tc := range []struct {
		provider, secret, path string
		also                   map[string]string // headers that the library does not set
	}{
		{"github", "GITHUB_SECRET", "/webhooks/github", map[string]string{"X-Github-Delivery": "own", "X-Github-Event": "push"}},
		{"stripe", "STRIPE_SECRET", "/webhooks/stripe", nil},
		{"standard-webhooks", "STANDARD_SECRET", "/webhooks/standard", nil},
	} {
		t.Run(tc.provider, func(t *testing.T) {
			v := sign(t, tc.provider)
			s := startSite(t, tc.secret+"="+v.Secret)
			d := delivery.Delivery{Path: tc.path, Header: v.Headers, Body: []byte(v.Body)}
			for name, value := range tc.also {
				d = d.With(name, value)
			}
			s.mustBe(t, d.Altered(), http.StatusUnauthorized, "invalid_signature")
			s.mustBe(t, d, http.StatusOK, "verified")
			s.mustBe(t, d, http.StatusOK, "duplicate")
			s.sawTimes(t, 1)
		})
	}
}

// sign signs a delivery with non-ASCII text with the library of a provider.
func sign(t *testing.T, provider string) signed {
	t.Helper()
	prepared.Packages(t, "e2e/crosscheck")
	cmd := exec.CommandContext(t.Context(), "node", "sign.mjs", provider)
	cmd.Dir = "crosscheck"
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("signing with %s's library: %v", provider, err)
	}
	var v signed
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
