package catalogue

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/provider/keyfetch"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestPublishedKeyRefusalNamesTheSource: anyone can sign with a published key.
func TestPublishedKeyRefusalNamesTheSource(t *testing.T) {
	seen := 0
	for _, p := range provider.Presets() {
		for _, test := range p.Tests {
			if test.Secret == "" {
				continue
			}
			seen++
			signer, err := signing.OpenSigner(p.Name, nil, test.Secret, nil)
			if err != nil {
				t.Fatal(err)
			}
			m := setUp(t, p.Name, "the secret of the endpoint", provider.PresetOptions{})
			sent := func() *signature.Request {
				r := request("POST", "/in", "mandrill_events=%5B%5D")
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if err := signer.Sign(r, signature.Draft{Time: testNow}); err != nil {
					t.Fatal(err)
				}
				return r
			}
			_, err = verify(t, m, sent())
			if err == nil || !strings.Contains(err.Error(), "the published key of "+test.From) {
				t.Errorf("%s: %v", p.Name, err)
			}
			altered := sent()
			altered.Body = signature.BytesBody("mandrill_events=%5B%7B%7D%5D")
			if _, err = verify(t, m, altered); err == nil || strings.Contains(err.Error(), "published") {
				t.Errorf("%s, a changed body: %v", p.Name, err)
			}
		}
	}
	if seen < 2 {
		t.Errorf("found only %d published keys, want at least 2", seen)
	}
}

func TestPayPalSimulatorRefusalNamesTheSource(t *testing.T) {
	root := newSigner(t, "root", nil, testNow.Add(time.Hour))
	by := newSigner(t, "messageverificationcerts.paypal.com", root, testNow.Add(time.Hour))
	server := startKeyServer(t, func(*http.Request) string { return by.cert })
	m := setUp(t, "paypal", "", provider.PresetOptions{WebhookID: "W1", Roots: []string{root.cert}})
	verifierOf(m).(*payPal).fetcher = keyfetch.New(server.transport, "api.paypal.com")
	for webhookID, named := range map[string]bool{"WEBHOOK_ID": true, "W2": false} {
		r := payPalRequest(t, by, `{"id":"WH-1"}`)
		at := r.Header.Get("PAYPAL-TRANSMISSION-TIME")
		r.Header.Set("PAYPAL-TRANSMISSION-SIG", by.sign(t, fmt.Sprintf("t1|%s|%s|%d", at, webhookID, crc32.ChecksumIEEE([]byte(`{"id":"WH-1"}`)))))
		if _, err := verify(t, m, r); err == nil || strings.Contains(err.Error(), "the Webhooks simulator") != named {
			t.Errorf("%s: %v", webhookID, err)
		}
	}
}

// TestTestDeliveriesNameOnlyPresets: a misspelled name would have no effect.
func TestTestDeliveriesNameOnlyPresets(t *testing.T) {
	for name, tests := range testDeliveries {
		if presetNamed(name) == nil {
			t.Errorf("unknown preset: %s", name)
		}
		for _, test := range tests {
			if test.From == "" || test.Help == "" || strings.HasSuffix(test.Help, ".") {
				t.Errorf("%s: %+v", name, test)
			}
		}
	}
}
