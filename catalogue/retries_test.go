package catalogue

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signedTolerances returns the default tolerance of each scheme of a preset that signs
// a timestamp.
func signedTolerances(t *testing.T, p *provider.Preset) []time.Duration {
	t.Helper()
	var tolerances []time.Duration
	add := func(coverage signature.Coverage) {
		if coverage.TimestampSigned {
			tolerances = append(tolerances, max(coverage.Tolerance, coverage.Lifetime))
		}
	}
	for _, schemes := range schemesByDistinction(p) {
		for _, s := range schemes {
			add(s.Covers())
		}
	}
	if p.Code != nil {
		add(configured(t, p).Info().Coverage)
	}
	return tolerances
}

// configured provisions a preset with the options that it requires.
func configured(t *testing.T, p *provider.Preset) *provider.Module {
	t.Helper()
	m := provider.NewModule(p)
	signer, err := signing.OpenSigner(p.Name, nil, "", nil)
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	config, err := signer.Setup().JSON()
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	// Caddy removes the name before it loads a module.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(config, &members); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	delete(members, "name")
	if config, err = json.Marshal(members); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	if err := json.Unmarshal(config, m); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	if err := provision(m); err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return m
}

// TestToleranceCoversRetriesWithTheOriginalTime: every preset that signs a timestamp
// declares whether retries have a new one, with a source. If not, the last documented
// retry must be within the default tolerance.
func TestToleranceCoversRetriesWithTheOriginalTime(t *testing.T) {
	for i := range catalogue {
		p := &catalogue[i]
		tolerances := signedTolerances(t, p)
		if len(tolerances) == 0 {
			if p.Retries.Source != "" {
				t.Errorf("%s: Retries is set, but no timestamp is signed", p.Name)
			}
			continue
		}
		if p.Retries.Source == "" {
			t.Errorf("%s: missing Retries: add the preset to retries.go", p.Name)
		}
		if p.Retries.Signing == provider.SignedOnce && p.Retries.Last == 0 {
			t.Errorf("%s: missing Retries.Last, required because retries are signed once", p.Name)
		}
		// Use the longest tolerance, because one variant of Discord is not retried. Add
		// 1 percent for transit time and clock skew.
		if tolerance := slices.Max(tolerances); p.Retries.Signing != provider.SignedPerAttempt && tolerance < p.Retries.Last+p.Retries.Last/100 {
			t.Errorf("%s: the last retry is sent after %s, possibly with the original timestamp, but the tolerance is %s", p.Name, p.Retries.Last, tolerance)
		}
		if p.Code != nil && p.Tolerance != 0 && p.Tolerance != configured(t, p).Info().Coverage.Tolerance {
			t.Errorf("%s: the documented tolerance is %s, but the code uses %s", p.Name, p.Tolerance, configured(t, p).Info().Coverage.Tolerance)
		}
	}
	for name := range retries {
		presetNamed(name) // panics if the preset does not exist
	}
}

// TestMailgunLateRetryIsAccepted: retries have the signature of the first attempt and are
// accepted for as long as Mailgun retries.
func TestMailgunLateRetryIsAccepted(t *testing.T) {
	m := setUp(t, "mailgun", "key", provider.PresetOptions{})
	for _, after := range []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 8*time.Hour + 5*time.Minute + 30*time.Second} {
		r := mailgunJSON(t, "key", testNow)
		r.Now = testNow.Add(after)
		if _, err := verify(t, m, r); err != nil {
			t.Errorf("a retry after %s: %v", after, err)
		}
	}
	r := mailgunJSON(t, "key", testNow)
	r.Now = testNow.Add(10 * time.Hour)
	wantRefused(t, m, r, "a copy after all retries")
}
