package catalogue

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// neededOptions and neededSecrets are the options and secrets that presets in code
// require.
var (
	neededOptions = map[string]provider.PresetOptions{
		"aws-sns": {Topics: []string{snsTestTopic}}, "paypal": {WebhookID: "W"}, "apple-app-store": {BundleID: "com.example", AppID: "1"}, "google-pubsub": {Audience: "a", ServiceAccount: "b"},
		"google-play-rtdn": {Audience: "a", ServiceAccount: "b"}, "plaid": {ClientID: "a", ClientSecret: "b"}, "atlassian-connect": {Issuers: []string{"a"}}, "atlassian-connect-install": {Audience: "a"},
	}
	neededSecrets = map[string]provider.Secret{"adyen": {Secret: "00ff"}, "rfc9421": {Secret: "hmac-sha256:c2VjcmV0", Label: "k1"}}
)

// fuzzed returns a module for each preset whose code parses unverified requests.
func fuzzed(f *testing.F) []*provider.Module {
	f.Helper()
	var modules []*provider.Module
	for i := range catalogue {
		p := &catalogue[i]
		if p.Code == nil && p.Values == nil && p.Challenge == nil && p.Handshake == nil {
			continue
		}
		m := provider.NewModule(p)
		m.PresetOptions = neededOptions[p.Name]
		if s, ok := neededSecrets[p.Name]; ok {
			m.Secrets = []provider.Secret{s}
		} else if !p.NoSecret {
			m.Secrets = []provider.Secret{{Secret: "a secret that the fuzzer does not know"}}
		}
		if err := provision(m); err == nil {
			modules = append(modules, m)
		}
	}
	return modules
}

// FuzzCodeOfProviders sends requests to every provider with code. No request may be
// accepted without the secret, and no code may panic.
func FuzzCodeOfProviders(f *testing.F) {
	modules := fuzzed(f)
	if len(modules) < 30 {
		f.Fatalf("only %d providers are fuzzed, want at least 30", len(modules))
	}
	seedFromVectors(f)
	f.Fuzz(func(t *testing.T, method, uri, headers string, body []byte) {
		r := &signature.Request{Method: method, Scheme: "https", Host: "h.test", RequestURI: uri, Header: http.Header{}, Now: testNow}
		for line := range strings.SplitSeq(headers, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // no keys are fetched
		for _, m := range modules {
			r.Body, r.Values = nil, nil
			if m.CheckHeaders(r) != nil {
				continue
			}
			r.Body = signature.BytesBody(body)
			d, err := m.Verify(ctx, r)
			var refused *signature.Refusal
			switch {
			case err == nil && d.Answer == nil:
				t.Fatalf("%s accepts a request without a valid signature", m.Name())
			case err != nil && !errors.As(err, &refused) && !errors.Is(err, context.Canceled):
				t.Logf("%s: %v", m.Name(), err)
			}
		}
	})
}

func seedFromVectors(f *testing.F) {
	f.Helper()
	paths, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var vectors []struct {
			Request struct {
				Method  string              `json:"method"`
				URL     string              `json:"url"`
				Headers map[string][]string `json:"headers"`
				Body    []byte              `json:"body_b64"`
			} `json:"request"`
		}
		if err := json.Unmarshal(raw, &vectors); err != nil {
			f.Fatal(err)
		}
		for _, v := range vectors[:min(2, len(vectors))] {
			var headers strings.Builder
			for name, values := range v.Request.Headers {
				for _, value := range values {
					headers.WriteString(http.CanonicalHeaderKey(name) + ": " + value + "\n")
				}
			}
			_, uri, _ := strings.Cut(strings.TrimPrefix(v.Request.URL, "https://"), "/")
			f.Add(v.Request.Method, "/"+uri, headers.String(), v.Request.Body)
		}
	}
}
