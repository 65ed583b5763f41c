package command

import (
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestExplainSupportsEveryPreset explains a delivery of each preset: unchanged, and
// with quotes around the secret.
func TestExplainSupportsEveryPreset(t *testing.T) {
	for _, p := range provider.Presets() {
		if p.Code != nil || workedOut[p.Name] != "" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			now := time.Now()
			m, err := generator.New(generator.Options{Provider: p.Name, URL: "https://hooks.example.com/in", Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			r := generated(t, m)
			record := &capture.Request{Method: r.Method, Scheme: r.Scheme, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: r.Body.Bytes(), Received: now}
			secret := m.Setup().Secret
			report, err := diagnose.Explain(t.Context(), diagnose.Case{Provider: p.Name, Secrets: []string{secret}, Request: record, Now: now})
			if err != nil || report.Outcome != caddymodule.Verified || len(report.Findings) > 0 {
				t.Fatalf("unchanged: %+v, %v", report, err)
			}
			if m.Algorithm().Asymmetric() {
				return
			}
			report, err = diagnose.Explain(t.Context(), diagnose.Case{Provider: p.Name, Secrets: []string{`"` + secret + `"`}, Request: record, Now: now})
			if err != nil || len(report.Findings) == 0 || !strings.HasPrefix(report.Findings[0].Kind, "secret_") || report.Findings[0].Guess {
				t.Errorf("in quotes: %+v, %v", report, err)
			}
		})
	}
}
