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

// signedTimes are the default tolerances of a preset's ways of signing a time.
// Without any, no time is signed.
func signedTimes(t *testing.T, p *provider.Preset) []time.Duration {
	t.Helper()
	var tolerances []time.Duration
	add := func(coverage signature.Coverage) {
		if coverage.TimestampSigned {
			tolerances = append(tolerances, max(coverage.Tolerance, coverage.Lifetime))
		}
	}
	for _, schemes := range ways(p) {
		for _, s := range schemes {
			add(s.Covers())
		}
	}
	if p.Code != nil {
		add(configured(t, p).Info().Coverage)
	}
	return tolerances
}

// configured is a preset with the options that it needs.
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
	// Caddy takes the name away before it loads a module.
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

// TestToleranceCoversRetriesWithTheOriginalTime: every preset that signs a
// time says whether a retry has a new one, and where that is written. Unless it
// has, the last documented retry must be within the default tolerance.
func TestToleranceCoversRetriesWithTheOriginalTime(t *testing.T) {
	for i := range catalogue {
		p := &catalogue[i]
		tolerances := signedTimes(t, p)
		if len(tolerances) == 0 {
			if p.Retries.Source != "" {
				t.Errorf("%s signs no time, but says how its retries are signed", p.Name)
			}
			continue
		}
		if p.Retries.Source == "" {
			t.Errorf("%s does not say whether its retries are signed with a new time: add it to retries.go", p.Name)
		}
		if p.Retries.Signing == provider.SignedOnce && p.Retries.Last == 0 {
			t.Errorf("%s signs once, but does not say when its last retry comes", p.Name)
		}
		// The longest, since a variant of Discord's is not retried. More than the
		// horizon itself: a delivery takes time, and clocks differ.
		if tolerance := slices.Max(tolerances); p.Retries.Signing != provider.SignedPerAttempt && tolerance < p.Retries.Last+p.Retries.Last/100 {
			t.Errorf("%s: the last retry comes after %s, with the time of the first attempt as far as is known, and the tolerance is %s", p.Name, p.Retries.Last, tolerance)
		}
		if p.Code != nil && p.Tolerance != 0 && p.Tolerance != configured(t, p).Info().Coverage.Tolerance {
			t.Errorf("%s: the documentation says a tolerance of %s, the code %s", p.Name, p.Tolerance, configured(t, p).Info().Coverage.Tolerance)
		}
	}
	for name := range retries {
		presetNamed(name) // panics unless there is one
	}
}

// TestALateRetryOfMailgunIsAccepted: with the signature block of the first
// attempt, for as long as Mailgun retries.
func TestALateRetryOfMailgunIsAccepted(t *testing.T) {
	m := setUp(t, "mailgun", "key", provider.PresetOptions{})
	for _, after := range []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 8*time.Hour + 5*time.Minute + 30*time.Second} {
		r := mailgunJSON(t, "key", testNow)
		r.Now = testNow.Add(after)
		if _, err := take(t, m, r); err != nil {
			t.Errorf("a retry after %s: %v", after, err)
		}
	}
	r := mailgunJSON(t, "key", testNow)
	r.Now = testNow.Add(10 * time.Hour)
	wantRefused(t, m, r, "a copy after all retries")
}
