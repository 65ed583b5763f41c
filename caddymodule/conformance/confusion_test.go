package conformance_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// alike lists providers with the same signature scheme and the same header names.
// With the same secret, a delivery of one is also valid for the other: only the
// secret distinguishes them.
var alike = [][]string{
	{
		"anthropic", "beehiiv", "bigcommerce", "brex", "clerk", "creem", "dodo-payments", "formbricks", "gitlab", "guesty", "incident-io", "increase", "lithic", "loops",
		"nash", "openai", "pleo", "polar", "psi-fi", "render", "replicate", "resend", "safebase", "sardine", "shipbob", "standard-webhooks", "stytch", "supabase", "svix",
	},
	{"bitbucket", "jira", "snyk", "websub"},                                // X-Hub-Signature: sha256=
	{"github", "meta"},                                                     // X-Hub-Signature-256
	{"clickup", "lemonsqueezy", "modern-treasury"},                         // X-Signature, SHA-256
	{"intercom", "websub"},                                                 // X-Hub-Signature: sha1=, if allowed for WebSub
	{"auth0", "cloudevents", "harbor", "okta", "ory", "vapi"},              // a token in Authorization, or in a configured header
	{"azure-devops", "brevo", "chargebee", "ory", "pipedrive", "postmark"}, // HTTP Basic
	{"google-play-rtdn", "google-pubsub"},                                  // RTDN is sent through Pub/Sub
}

func areAlike(a, b string) bool {
	return slices.ContainsFunc(alike, func(group []string) bool { return slices.Contains(group, a) && slices.Contains(group, b) })
}

// accepted returns the vectors of a provider that are accepted deliveries.
func accepted(t *testing.T, name string) []conformance.Vector {
	t.Helper()
	vectors, err := conformance.ReadFile(filepath.Join("../../catalogue/testdata/vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(vectors, func(v conformance.Vector) bool { return v.Expect != "accept" || v.Answer != nil })
}

// changed returns a vector with another provider's JSON.
func changed(t *testing.T, v conformance.Vector, change func(p map[string]any)) conformance.Vector {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal(v.Provider, &p); err != nil {
		t.Fatal(err)
	}
	change(p)
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	v.Provider = raw
	return v
}

// reaches reports whether a request reaches the app. An endpoint with an invalid
// config, for example a secret in another format, accepts nothing.
func reaches(v conformance.Vector) bool {
	v.Expect = "accept"
	result, err := conformance.Run(v)
	return err == nil && result.Accepted
}

// signatureHeaders returns the headers that can contain a preset's signature,
// including those that only the preset's code reads.
func signatureHeaders(p provider.Preset) []string {
	headers := map[string][]string{
		"atlassian-connect": {"Authorization"}, "google-play-rtdn": {"Authorization"}, "google-pubsub": {"Authorization"}, "monday": {"Authorization"},
		"vonage": {"Authorization"}, "plaid": {"Plaid-Verification"}, "messagebird": {"Messagebird-Signature-Jwt"}, "fireblocks-jws": {"Fireblocks-Webhook-Signature"},
		"paypal": {"Paypal-Transmission-Sig"}, "rfc9421": {"Signature"}, "github-secret-scanning": {"Github-Public-Key-Signature"},
	}[p.Name]
	schemes := p.Schemes
	for _, m := range p.Variants {
		schemes = append(slices.Clone(schemes), m.Schemes...)
	}
	for _, s := range schemes {
		if s.Signature.From != "header" {
			continue
		}
		for _, name := range append([]string{s.Signature.Name}, s.Signature.Also...) {
			families := p.Families
			if len(families) == 0 {
				families = []string{""}
			}
			for _, family := range families {
				headers = append(headers, strings.ToLower(strings.Replace(name, "*", family, 1)))
			}
		}
	}
	for i := range headers {
		headers[i] = strings.ToLower(headers[i])
	}
	slices.Sort(headers)
	return slices.Compact(headers)
}

// TestNoPresetAcceptsAnothersSignature sends each provider's deliveries to every
// other provider that reads the same header, with the same secret.
func TestNoPresetAcceptsAnothersSignature(t *testing.T) {
	t.Parallel()
	presets := provider.Presets()
	pairs := 0
	for _, a := range presets {
		for _, b := range presets {
			if a.Name == b.Name || areAlike(a.Name, b.Name) || !shareHeader(signatureHeaders(a), signatureHeaders(b)) {
				continue
			}
			pairs++
			for _, v := range accepted(t, a.Name) {
				v = changed(t, v, func(p map[string]any) {
					p["name"] = b.Name
					delete(p, "scheme")
				})
				if reaches(v) {
					t.Errorf("%s accepts a delivery of %s (%s)", b.Name, a.Name, v.Name)
				}
			}
		}
	}
	if pairs < 20 {
		t.Errorf("only %d pairs share a header", pairs)
	}
}

func shareHeader(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}

// TestNoPresetAcceptsAMissingHeader removes the signature, empties it, and repeats
// it.
func TestNoPresetAcceptsAMissingHeader(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		headers := signatureHeaders(p)
		for _, v := range accepted(t, p.Name) {
			for name := range v.Request.Headers {
				if !slices.Contains(headers, strings.ToLower(name)) {
					continue
				}
				rest := maps.Clone(v.Request.Headers)
				delete(rest, name)
				if shareHeader(headers, lowerNames(rest)) {
					continue // another header contains a signature too
				}
				for what, changed := range map[string][]string{"missing": nil, "empty": {""}, "blank": {" "}, "zeros": {strings.Repeat("0", 64)}} {
					mutated := v
					mutated.Request.Headers = maps.Clone(rest)
					if changed != nil {
						mutated.Request.Headers[name] = changed
					}
					if reaches(mutated) {
						t.Errorf("%s accepts %s with a %s header %s", p.Name, v.Name, what, name)
					}
				}
			}
		}
	}
}

func lowerNames(headers map[string][]string) []string {
	var names []string
	for name := range headers {
		names = append(names, strings.ToLower(name))
	}
	return names
}

// bodyUncovered lists the providers whose signature does not cover the body, or
// whose deliveries can have an empty one.
var bodyUncovered = map[string]bool{
	"atlassian-connect": true, "atlassian-connect-install": true, "auth0": true, "azure-devops": true, "brevo": true, "chargebee": true, "cloudflare-notifications": true,
	"gitlab": true, "google-drive": true, "google-play-rtdn": true, "google-pubsub": true, "monday": true, "okta": true, "plivo": true, "postmark": true,
	"rfc9421": true, "telegram": true, "buildkite": true, "documenso": true, "flutterwave": true, "harbor": true, "ory": true, "vapi": true,
	"mercado-pago": true, "pipedrive": true, "azure-event-grid": true, "cloudevents": true,
}

func TestNoPresetAcceptsAnEmptyBodyByAccident(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		for _, v := range accepted(t, p.Name) {
			if len(v.Request.Body) == 0 || bodyUncovered[p.Name] || v.Request.Method != http.MethodPost {
				continue
			}
			v.Request.Body = nil
			if reaches(v) {
				t.Errorf("%s accepts %s without its body", p.Name, v.Name)
			}
		}
	}
}

// With an empty key, anyone could sign.
func TestEmptySecretsAreRejectedForEveryPreset(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		vectors := accepted(t, p.Name)
		if len(vectors) == 0 || p.NoSecret {
			continue
		}
		for _, secret := range []string{"", " ", "\t\n"} {
			v := changed(t, vectors[0], func(p map[string]any) {
				secrets, _ := p["secrets"].([]any)
				if len(secrets) == 0 {
					secrets = []any{map[string]any{}}
				}
				secrets[0].(map[string]any)["secret"] = secret // with its label
				p["secrets"] = secrets[:1]
			})
			if _, err := conformance.Run(v); err == nil {
				t.Errorf("%s is set up with the secret %q", p.Name, secret)
			}
		}
	}
}
