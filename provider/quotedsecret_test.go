package provider_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestSecretInBracesIsNotQuoted checks errors and warnings about secrets in braces, and
// between two placeholders.
func TestSecretInBracesIsNotQuoted(t *testing.T) {
	t.Setenv("WEBHOOK_TEST_PART", "first-part")
	const secret = "c4n4ryT0p5ecr3tAbCdEfGh012345678"
	for _, configured := range []string{
		"{" + secret + "}", "{ " + secret + "}", "{" + secret + " }", "{env.WEBHOOK_TEST_PART}" + secret + "{env.WEBHOOK_TEST_UNSET}", "{env.WEBHOOK_TEST_UNSET}" + secret + "{env.WEBHOOK_TEST_PART}",
		"{env.WEBHOOK_TEST_PART}" + secret + "\u200b{env.WEBHOOK_TEST_PART}", "\"{" + secret + "}\"", "${" + secret + "}", "{$" + secret + "}", "{" + secret, secret + "}",
	} {
		for _, name := range []string{"github", "stripe", "meta"} {
			warnings, err := provisioned(provider.Named(name), provider.Secret{Secret: configured})
			if said := fmt.Sprint(warnings, err); strings.Contains(said, secret) {
				t.Errorf("%s %s: %s", name, configured, said)
			}
		}
	}
}

func TestSecretBetweenPlaceholdersIsAPlaintextSecret(t *testing.T) {
	t.Setenv("WEBHOOK_TEST_PART", "first-part")
	for configured, want := range map[string]bool{"{env.WEBHOOK_TEST_PART}": false, "{env.WEBHOOK_TEST_PART}c4n4ryT0p5ecr3tAbCdEfGh{env.WEBHOOK_TEST_PART}": true, "hmac-sha256:{env.WEBHOOK_TEST_PART}": false} {
		core, logs := observer.New(zapcore.WarnLevel)
		m := provider.NewModule(provider.Named("github"))
		m.Secrets = []provider.Secret{{Secret: configured}}
		if err := m.ProvisionLogged(zap.New(core)); err != nil {
			t.Fatal(err)
		}
		if got := logs.FilterMessageSnippet("plaintext").Len() == 1; got != want {
			t.Errorf("%s: warned: %t", configured, got)
		}
	}
}

func TestLabelThatIsASecretIsRejectedUnlessItCanBeAKeyID(t *testing.T) {
	const secret = "c4n4ryT0p5ecr3tAbCdEfGh012345678"
	for name, want := range map[string]bool{"github": true, "stripe": true, "gitlab": true, "pusher": false, "rfc9421": false} {
		if _, err := provisioned(provider.Named(name), provider.Secret{Secret: "one-secret", Label: secret}); (err != nil && strings.Contains(err.Error(), "on its own line")) != want || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongToleranceLogsAWarning(t *testing.T) {
	for name, tests := range map[string]map[time.Duration]bool{
		"stripe":    {0: false, 5 * time.Minute: false, time.Hour: false, 24 * time.Hour: true, 8760 * time.Hour: true},
		"airwallex": {0: false, 72 * time.Hour: false, 30 * 24 * time.Hour: true}, // its retries have the time of the first attempt
	} {
		for tolerance, want := range tests {
			core, logs := observer.New(zapcore.WarnLevel)
			m := provider.NewModule(provider.Named(name))
			m.Secrets = []provider.Secret{{Secret: "one-secret-of-the-provider"}}
			m.Tolerance = caddy.Duration(tolerance)
			if err := m.ProvisionLogged(zap.New(core)); err != nil {
				t.Fatal(err)
			}
			m.WarnLongTolerance(zap.New(core))
			if got := logs.FilterMessageSnippet("tolerance is").Len() == 1; got != want {
				t.Errorf("%s %s: warned: %t", name, tolerance, got)
			}
		}
	}
}

// TestInvariant05NoPresetTakesAPublicKeyForASharedSecret configures public keys at every
// preset: those with shared secrets reject them.
func TestInvariant05NoPresetTakesAPublicKeyForASharedSecret(t *testing.T) {
	const public = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n"
	der := "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg=="
	shared := 0
	for _, p := range provider.Presets() {
		if p.NoSecret || p.PublicKeys || !usesSharedSecrets(&p) {
			continue
		}
		shared++
		for _, secret := range []string{public, der, "u:" + der} {
			for _, label := range []string{"", "the-key"} {
				if _, err := provisioned(&p, provider.Secret{Secret: secret, Label: label}); err == nil && !strings.HasPrefix(secret, "u:") {
					t.Errorf("%s accepts a public key as a shared secret", p.Name)
				} else if err != nil && strings.Contains(err.Error(), der[:40]) {
					t.Errorf("%s: %v", p.Name, err)
				}
			}
		}
	}
	if shared < 100 {
		t.Errorf("only %d presets have shared secrets", shared)
	}
}

// usesSharedSecrets reports whether no scheme of a preset has public keys.
func usesSharedSecrets(p *provider.Preset) bool {
	schemes := p.Schemes
	for _, v := range p.Variants {
		schemes = slices.Concat(schemes, v.Schemes)
	}
	signsInCode := len(schemes) == 0 && p.Signing != nil && p.Signing.Algorithm == "" && p.Signing.NewKey == nil && p.Signing.Trust == nil
	return signsInCode || len(schemes) > 0 && !slices.ContainsFunc(schemes, func(s signature.Scheme) bool { return s.Algorithm.Asymmetric() })
}
