package command

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestExplainKnowsEveryPreset has a delivery of each preset explained: as it
// is, and with the secret in quotes.
func TestExplainKnowsEveryPreset(t *testing.T) {
	for _, p := range provider.Presets() {
		if p.Code != nil || workedOut[p.Name] != "" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			m := testGenerator(t, p.Name)
			r := made(t, m, genuine)
			record := &capture.Request{Method: r.Method, Scheme: r.Scheme, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: r.Body.Bytes(), Received: m.now()}
			secret, _ := m.signer.Configure()
			report, err := diagnose.Explain(t.Context(), diagnose.Case{Provider: p.Name, Secrets: []string{secret}, Request: record, Now: m.now()})
			if err != nil || report.Outcome != caddymodule.Verified || len(report.Findings) > 0 {
				t.Fatalf("as it is: %+v, %v", report, err)
			}
			if m.signer.Algorithm().Asymmetric() {
				return
			}
			report, err = diagnose.Explain(t.Context(), diagnose.Case{Provider: p.Name, Secrets: []string{`"` + secret + `"`}, Request: record, Now: m.now()})
			if err != nil || len(report.Findings) == 0 || !strings.HasPrefix(report.Findings[0].Kind, "secret_") || report.Findings[0].Guess {
				t.Errorf("in quotes: %+v, %v", report, err)
			}
		})
	}
}
