package diagnose_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/diagnose"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
)

// sample is an accepted delivery of a preset, and the config that accepts it.
type sample struct {
	name string
	diagnose.Case
}

// samples returns up to three deliveries of each preset with vectors.
func samples(t *testing.T) []sample {
	t.Helper()
	paths, err := filepath.Glob("../../../catalogue/testdata/vectors/*.json")
	if err != nil || len(paths) < 100 {
		t.Fatalf("%d files of vectors, %v", len(paths), err)
	}
	var all []sample
	for _, path := range paths {
		vectors, err := conformance.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, v := range vectors {
			if v.Expect != "accept" || v.Answer != nil || v.SentBefore || v.Request.Method != http.MethodPost || found == 2 {
				continue
			}
			found++
			all = append(all, sampleOf(t, v))
		}
	}
	return all
}

func sampleOf(t *testing.T, v conformance.Vector) sample {
	t.Helper()
	var p struct {
		Secrets []struct {
			Secret string `json:"secret"`
			Label  string `json:"label"`
		} `json:"secrets"`
		PublicURL string `json:"public_url"`
	}
	u, err := url.Parse(v.Request.URL)
	if err != nil || json.Unmarshal(v.Provider, &p) != nil {
		t.Fatal(err)
	}
	now := time.Unix(v.Now, 0)
	s := sample{v.ProviderName() + " " + v.Name, diagnose.Case{Provider: v.ProviderName(), Options: v.Provider, PublicURL: p.PublicURL, Received: now, Now: now}}
	for _, secret := range p.Secrets {
		s.Secrets, s.Labels = append(s.Secrets, strings.ReplaceAll(secret.Secret, `\{`, "{")), append(s.Labels, secret.Label)
	}
	s.Request = &capture.Request{Method: v.Request.Method, Scheme: u.Scheme, Host: u.Host, RequestURI: u.RequestURI(), Header: make(http.Header), Body: v.Request.Body}
	for name, values := range v.Request.Headers {
		for _, value := range values {
			s.Request.Header.Add(name, value)
		}
	}
	return s
}

// with returns the case with a changed request.
func (s sample) with(change func(*capture.Request)) diagnose.Case {
	r := *s.Request
	r.Header = r.Header.Clone()
	change(&r)
	s.Request = &r
	return s.Case
}

// explain returns the report of a case. It returns nil if the delivery is still
// accepted, because the signature does not cover the change.
func explain(t *testing.T, c diagnose.Case) *diagnose.Report {
	t.Helper()
	c.Limits = diagnose.Limits{Bytes: 32 << 20, Tries: 20_000}
	report, err := diagnose.Explain(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if report.Accepted() {
		return nil
	}
	if len(report.Findings) == 0 {
		t.Fatalf("no finding: %+v", report)
	}
	for _, secret := range c.Secrets {
		if secret = strings.Trim(secret, `" `); len(secret) > 8 && !strings.Contains(secret, " ") && strings.Contains(text(report), secret) {
			t.Errorf("the report contains a secret: %s", text(report))
		}
	}
	return report
}

func text(r *diagnose.Report) string {
	out := r.Answer() + r.Reason
	for _, f := range r.Findings {
		out += " " + f.Cause + " " + f.Change
	}
	return out
}

// TestCausesOfAllPresets runs the causes that apply to all presets, including
// those with code.
func TestCausesOfAllPresets(t *testing.T) {
	t.Parallel()
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			if report := explain(t, s.Case); report != nil {
				t.Fatalf("unchanged: %s", text(report))
			}
			for header := range s.Request.Header {
				missingHeader(t, s, header)
			}
			cutBody(t, s)
			reformattedBody(t, s)
			secretInQuotes(t, s)
		})
	}
}

// missingHeader checks that a missing header is not reported as a wrong secret.
func missingHeader(t *testing.T, s sample, header string) {
	t.Helper()
	report := explain(t, s.with(func(r *capture.Request) { r.Header.Del(header) }))
	if report == nil || header == "Content-Type" || header == "Content-Encoding" {
		return
	}
	if kind := report.Findings[0].Kind; strings.HasPrefix(kind, "secret") || !strings.Contains(strings.ToLower(text(report)), strings.ToLower(header)) {
		t.Errorf("without %s: %s: %s", header, kind, text(report))
	}
}

// cutBody checks that a truncated body is not reported as a wrong secret.
func cutBody(t *testing.T, s sample) {
	t.Helper()
	body := s.Request.Body
	if len(body) < 20 || body[0] != '{' || !json.Valid(body) {
		return
	}
	report := explain(t, s.with(func(r *capture.Request) { r.Body = bytes.Clone(body[:len(body)*2/3]) }))
	if report != nil && (report.Findings[0].Kind != "body_truncated" || len(report.Findings) > 1) {
		t.Errorf("a truncated body: %s: %s", report.Findings[0].Kind, text(report))
	}
}

// reformattedBody checks that a reformatted body is not reported as a wrong secret.
func reformattedBody(t *testing.T, s sample) {
	t.Helper()
	var pretty, compact bytes.Buffer
	body := s.Request.Body
	if len(body) < 10 || body[0] != '{' || json.Compact(&compact, body) != nil || !bytes.Equal(compact.Bytes(), body) {
		return
	}
	if err := json.Indent(&pretty, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	report := explain(t, s.with(func(r *capture.Request) { r.Body = pretty.Bytes() }))
	if report != nil && (report.Findings[0].Kind != "body_reformatted" || report.Findings[0].Guess || !strings.Contains(text(report), "the secret is right")) {
		t.Errorf("a pretty-printed body: %s: %s", report.Findings[0].Kind, text(report))
	}
}

func secretInQuotes(t *testing.T, s sample) {
	t.Helper()
	if len(s.Secrets) != 1 || strings.Contains(s.Secrets[0], "-----BEGIN") {
		return
	}
	c := s.Case
	c.Secrets = []string{`"` + s.Secrets[0] + `"`}
	report := explain(t, c)
	if report != nil && !slices.Contains([]string{"secret_quoted"}, report.Findings[0].Kind) {
		t.Errorf("the secret in quotes: %s: %s", report.Findings[0].Kind, text(report))
	}
}
