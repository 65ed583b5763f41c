package provider

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// TestDelivery is a delivery from a test button, a simulator or a command-line tool of
// the provider that is not signed with the endpoint's secret. It is refused like any
// other delivery with a wrong signature: anyone can sign with a published key. The
// refusal names it, so that the operator does not search for a mistake.
type TestDelivery struct {
	// From names the source of the delivery: "the Webhooks simulator".
	From string
	// Secret is the published secret that signs it, and WebhookID the published
	// webhook ID. Both are empty if the key is not published.
	Secret, WebhookID string
	// Help says what to do, as a sentence without a full stop.
	Help string
}

// published reports whether the key is published, so that its signatures can be
// recognized.
func (t *TestDelivery) published() bool { return t.Secret != "" || t.WebhookID != "" }

// String returns the explanation for operators.
func (t *TestDelivery) String() string {
	if t.published() {
		return fmt.Sprintf("it is signed with the published key of %s, which anyone can use: %s", t.From, t.Help)
	}
	return t.From + ": " + t.Help
}

// Refusal returns the refusal that names the test delivery.
func (t *TestDelivery) Refusal() *signature.Refusal {
	return &signature.Refusal{Kind: signature.InvalidSignature, Reason: t.String()}
}

// describe returns the sentence for the documentation.
func (t *TestDelivery) describe() string {
	switch {
	case t.WebhookID != "":
		return fmt.Sprintf("%s signs with the published webhook ID `%s`, so its deliveries are refused: %s", t.From, t.WebhookID, t.Help)
	case t.Secret != "":
		return fmt.Sprintf("%s is signed with the published secret `%s`, so it is refused: %s", t.From, t.Secret, t.Help)
	}
	return t.From + ": " + t.Help
}

// Tests returns the test deliveries of the preset, for presets with Code that
// recognize them.
func (m *Module) Tests() []TestDelivery { return m.preset.Tests }

// testVerifier recognizes one kind of test delivery.
type testVerifier struct {
	delivery *TestDelivery
	verifier Verifier
}

// maxTestBody is the maximum size of a refused request that is checked for being a
// test delivery, in bytes. Test deliveries are small.
const maxTestBody = 256 << 10

// compileTests creates verifiers for the test deliveries whose keys are published.
func (m *Module) compileTests(schemes []signature.Scheme) error {
	for i := range m.preset.Tests {
		t := &m.preset.Tests[i]
		if m.isConfigured(t) {
			m.logger.Warn("the configured key is published, so anyone can sign deliveries: use it only for tests",
				zap.String("provider", m.preset.Name), zap.String("signed_by", t.From))
			continue
		}
		if t.Secret == "" {
			continue // the preset's Code recognizes it, or it cannot be recognized
		}
		v, err := m.testVerifier(t, schemes)
		if err != nil {
			return fmt.Errorf("the test key of %s: %w", t.From, err)
		}
		m.tests = append(m.tests, testVerifier{t, v})
	}
	return nil
}

// isConfigured reports whether the published key is configured for the endpoint.
func (m *Module) isConfigured(t *TestDelivery) bool {
	if t.WebhookID != "" && t.WebhookID == m.set.WebhookID {
		return true
	}
	for _, secret := range m.keys {
		if t.Secret != "" && string(secret.Reveal()) == t.Secret {
			return true
		}
	}
	return false
}

// testVerifier returns the endpoint's verifier with the published key instead.
func (m *Module) testVerifier(t *TestDelivery, schemes []signature.Scheme) (Verifier, error) {
	secret, err := signature.NewSecret(t.Secret, "")
	if err != nil {
		return nil, err
	}
	trial := &Module{Options: m.Options, PresetOptions: m.PresetOptions, preset: m.preset, set: m.set, keys: []signature.Secret{secret}, variant: m.variant}
	if trial.keys, err = trial.keyTexts(); err != nil {
		return nil, err
	}
	if m.preset.Code != nil {
		return m.preset.Code(trial)
	}
	return compileSchemes(trial.adapted(schemes), trial)
}

// nameTest returns a refusal that names the test delivery if the request is one.
// Otherwise it returns refusal.
func (m *Module) nameTest(ctx context.Context, r *signature.Request, refusal error) error {
	if !isRefusal(refusal, signature.InvalidSignature) || r.Body.Size() > maxTestBody {
		return refusal
	}
	for _, t := range m.tests {
		if d, err := verifyURLs(ctx, t.verifier, r); err == nil && len(d.Matches) > 0 {
			return t.delivery.Refusal()
		}
	}
	return refusal
}
