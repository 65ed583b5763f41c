package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// While two secrets are configured, a retry is signed with the other one. It is the
// same delivery, whichever secret comes first, and has the same key for the app.
func TestRetrySignedWithAnotherSecretIsNotNew(t *testing.T) {
	t.Parallel()
	except := map[string]string{
		"box":     "each header has a secret of its own, and both sign each delivery",
		"rfc9421": "the time and the key ID are part of the signed content, and nothing else identifies a delivery",
	}
	tested := 0
	for _, p := range provider.Presets() {
		for _, variant := range variantsOf(p) {
			options := ""
			if variant != "" {
				options = fmt.Sprintf(`{"scheme":%q}`, variant)
			}
			deliveries, ok := signedTwice(t, p, options)
			if !ok || except[p.Name] != "" {
				continue
			}
			tested++
			for first := range 2 {
				for sent := range 2 {
					resendRotated(t, p.Name+" "+variant, deliveries[first], deliveries[1-first], deliveries[sent].Request, deliveries[1-sent].Request)
				}
			}
		}
	}
	if tested < 200 {
		t.Errorf("only %d presets were tested", tested)
	}
}

func resendRotated(t *testing.T, name string, one, other conformance.Vector, delivery, retry conformance.Request) {
	t.Helper()
	one.Provider = withSecrets(t, one, other)
	trial := open(t, one)
	first, again := send(t, trial, delivery), send(t, trial, retry)
	key := first.ReachedHeader.Get("Webhook-Verified-Key")
	switch {
	case !first.Reached:
		t.Errorf("%s: refused: %s, %s", name, first.Outcome, first.Reason)
	case again.Status != 200:
		t.Errorf("%s: the retry is refused: %s, %s", name, again.Outcome, again.Reason)
	case again.Reached && key != "":
		t.Errorf("%s: the retry is handled again", name)
	}
	alone := send(t, open(t, one), retry)
	if got := alone.ReachedHeader.Get("Webhook-Verified-Key"); got != key {
		t.Errorf("%s: the retry has the key %q, the delivery %q", name, got, key)
	}
}

// signedTwice returns one delivery signed with two keys.
func signedTwice(t *testing.T, p provider.Preset, options string) (deliveries [2]conformance.Vector, ok bool) {
	t.Helper()
	now := time.Unix(1760000000, 0)
	o := generator.Options{Provider: p.Name, Options: options, URL: "https://hooks.example.com/in/1?a=b", Now: func() time.Time { return now }}
	id, first := "", http.Header{}
	for i := range deliveries {
		g, err := generator.New(o)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		if id == "" {
			id = g.FreshID()
		}
		r, err := g.Make(generator.Genuine, id)
		if err != nil || i > 0 && !bytes.Equal(r.Body.Bytes(), o.Body) {
			return deliveries, false // the signature is in the body
		}
		config, err := g.Setup().JSON()
		if err != nil {
			t.Fatal(err)
		}
		o.Body, o.Exact = r.Body.Bytes(), true
		headers := r.Header
		if i == 0 {
			first = r.Header
		} else {
			headers = signedHeaders(first, r.Header, p.Distinction.Varies)
		}
		deliveries[i] = conformance.Vector{Provider: config, Name: options, Request: conformance.Request{Method: r.Method, URL: r.Scheme + "://" + r.Host + r.RequestURI, Headers: headers, Body: r.Body.Bytes()}, Now: now.Unix()}
	}
	return deliveries, secretsIn(t, deliveries[0]) != nil
}

// signedHeaders returns the headers of a delivery with the values that signing has set,
// except those that a retry does not change.
func signedHeaders(delivery, signed http.Header, varies []string) http.Header {
	same := append([]string{"Content-Type"}, varies...)
	headers := delivery.Clone()
	for name := range headers {
		if values := signed[name]; values != nil && !slices.ContainsFunc(same, func(other string) bool { return strings.EqualFold(name, other) }) {
			headers[name] = values
		}
	}
	return headers
}

func secretsIn(t *testing.T, v conformance.Vector) []json.RawMessage {
	t.Helper()
	var config struct {
		Secrets []json.RawMessage `json:"secrets"`
	}
	if err := json.Unmarshal(v.Provider, &config); err != nil {
		t.Fatal(err)
	}
	return config.Secrets
}

// withSecrets returns the config of one endpoint with the secrets of both.
func withSecrets(t *testing.T, one, other conformance.Vector) json.RawMessage {
	t.Helper()
	return changed(t, one, func(p map[string]any) {
		p["secrets"] = append(secretsIn(t, one), secretsIn(t, other)...)
	}).Provider
}
