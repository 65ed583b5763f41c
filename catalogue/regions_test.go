package catalogue

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestFireblocksKeysAreFetchedFromTheHostOfTheEnvironment: the hosts are those in the
// JavaScript library of Fireblocks.
func TestFireblocksKeysAreFetchedFromTheHostOfTheEnvironment(t *testing.T) {
	var fetched string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched = r.Host + r.URL.Path
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	redirectDefaultTransport(t, server)
	hosts := make(map[string]bool)
	for _, c := range []struct{ environment, want string }{
		{"production", "keys.fireblocks.io"}, {"eu", "eu-keys.fireblocks.io"}, {"eu2", "eu2-keys.fireblocks.io"}, {"sandbox", "sandbox-keys.fireblocks.io"},
	} {
		fetched = ""
		m := setUp(t, "fireblocks-jws", "", provider.PresetOptions{Environment: c.environment})
		// eyJhbGciOiJSUzUxMiIsImtpZCI6ImsxIn0 is {"alg":"RS512","kid":"k1"}
		_, err := verify(t, m, request("POST", "/f", "{}", "Fireblocks-Webhook-Signature", "eyJhbGciOiJSUzUxMiIsImtpZCI6ImsxIn0.."+strings.Repeat("A", 342)))
		if err == nil || fetched != c.want+"/.well-known/jwks.json" {
			t.Errorf("%s: keys were fetched from %q, %v", c.environment, fetched, err)
		}
		hosts[m.Info().Secrets[0].Label] = true
	}
	if len(hosts) != 4 {
		t.Errorf("environments share an identity: %v", hosts)
	}
	if _, err := trySetUp("fireblocks-jws", "", provider.PresetOptions{Environment: "us"}); err == nil || !strings.Contains(err.Error(), "production, eu, eu2 or sandbox") {
		t.Errorf("another environment: %v", err)
	}
	for _, name := range []string{"paypal", "plaid", "apple-app-store"} {
		set := neededOptions[name]
		set.Environment = "eu"
		if _, err := trySetUp(name, "", set); err == nil || !strings.Contains(err.Error(), "production or sandbox") {
			t.Errorf("%s with the environment of another provider: %v", name, err)
		}
	}
}
