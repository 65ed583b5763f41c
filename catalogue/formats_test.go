package catalogue

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestRawBodySignatureIsVerifiedWithEveryContentType: the signature covers the raw bytes
// of the body.
func TestRawBodySignatureIsVerifiedWithEveryContentType(t *testing.T) {
	const mail = "--b\r\nContent-Disposition: form-data; name=\"headers\"\r\n\r\nSubject: s\r\n--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n\x00\xff\r\n--b--\r\n"
	for _, c := range []struct{ provider, kind, body string }{
		{"sendgrid", "multipart/form-data; boundary=b", mail},                                       // Inbound Parse
		{"sendgrid", "multipart/form-data; boundary=b", mail + strings.Repeat("x\r\n", 10_000_000)}, // 30 MB
		{"telnyx", "application/x-www-form-urlencoded", "CallSid=v3&Digits=1"},                      // TeXML
		{"docusign", "text/xml; charset=utf-8", "<DocuSignEnvelopeInformation/>"},
		{"zendesk", "application/xml", "<ticket/>"},
		{"zendesk", "application/x-www-form-urlencoded", "ticket=1"},
		{"github", "application/x-www-form-urlencoded", "payload=%7B%22zen%22%3A%22x%22%7D"},
		{"slack", "application/x-www-form-urlencoded", "command=%2Fx&text="},
	} {
		signer, err := signing.OpenSigner(c.provider, nil, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		secret, _ := signer.Configure()
		m := setUp(t, c.provider, secret, provider.PresetOptions{})
		r := request("POST", "/in", c.body, "Content-Type", c.kind)
		if err := signer.Sign(r, signature.Draft{Time: testNow}); err != nil {
			t.Fatalf("%s: %v", c.provider, err)
		}
		if raw, _ := signature.BodyBytes(r.Body); string(raw) != c.body {
			t.Fatalf("%s: the signer changed the body", c.provider)
		}
		if _, err := verify(t, m, r); err != nil {
			t.Errorf("%s as %s: %v", c.provider, c.kind, err)
		}
	}
}
