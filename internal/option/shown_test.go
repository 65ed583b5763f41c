package option

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPlaintextIsWhatContainsMoreThanPlaceholders(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "{env.A}": false, "{file./run/a}": false, "hmac-sha256:{env.A}": false, "user:{env.A}": false, "whsec_{env.A}": false, "{env.A}{env.B}": false,
		"s3cret": true, `\{env.A}x`: false, "{env.A}c4n4ryT0p5ecr3tAbCdEfGh012345678{env.B}": true, "{s3cret}": true, "c4n4ryT0p5ecr3tAbCdEfGh{env.A}": true,
	} {
		if got := Plaintext(text); got != want {
			t.Errorf("%s: got %t", text, got)
		}
	}
}

func TestOnlySecretsAreNotShown(t *testing.T) {
	for _, text := range []string{
		"", "push", "github", "15x", "soon", "2xx,410", "stripe-production-2026", "orders-2026-11-26", "webhookVerifiedOrderCreatedEvents", "localhost:6379",
		"7f1c9c1e-5d0c-4c0e-9f65-0a9b8c7d6e5f", "X-Acme-Signature-256", "hmac-sha256-of-everything", "invoice.payment_succeeded", "/webhooks/github", "customer20261126", "internationalization",
		"https://hooks.example.com/a", "2026-11-26T13:37:31Z", "verify_webhook_github_production", "orders-v2-eu1-2026q1", "http.handlers.verify_webhook",
	} {
		if got := Shown(text); got != text {
			t.Errorf("%q: got %q", text, got)
		}
	}
	generator := rand.New(rand.NewPCG(1, 2)) // the same texts in each run
	shown, total := 0, 0
	for range 1000 {
		raw := make([]byte, 32)
		for i := range raw {
			raw[i] = byte(generator.Uint32())
		}
		for _, text := range []string{
			hex.EncodeToString(raw), hex.EncodeToString(raw[:10]), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw[:16]), base32.StdEncoding.EncodeToString(raw[:16]),
			"whsec_" + base64.StdEncoding.EncodeToString(raw[:24]), "redis://:" + hex.EncodeToString(raw[:4]) + "@localhost",
		} {
			total++
			if got := Shown(text); strings.Contains(got, text) {
				shown++
			} else if !strings.Contains(got, "characters that may be a secret") {
				t.Errorf("%q: got %q", text, got)
			}
		}
	}
	if shown*20 > total {
		t.Errorf("%d of %d random texts are shown", shown, total)
	}
}
