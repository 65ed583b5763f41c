package provider_test

import (
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestCustomDecodesEveryDocumentedMember decodes the members of the embedded
// structs and the member of Custom itself.
func TestCustomDecodesEveryDocumentedMember(t *testing.T) {
	var c provider.Custom
	config := `{"secrets": [{"secret": "s"}], "algorithm": "hmac-sha256", "content": "repeats", "accept_handshake": true}`
	if err := caddy.StrictUnmarshalJSON([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Secrets) != 1 || c.Algorithm != "hmac-sha256" || c.Content != "repeats" || !c.AcceptHandshake {
		t.Errorf("got %+v", c)
	}
}
