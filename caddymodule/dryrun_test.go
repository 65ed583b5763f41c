package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
)

func TestDryRunReturnsTheResultOfARequest(t *testing.T) {
	provider := json.RawMessage(`{"name":"github","secrets":[{"secret":"{env.` + secretVariable + `}"}]}`)
	for _, test := range []struct {
		name, signature string
		want            Outcome
		status          int
	}{
		{"genuine", "sha256=" + sign(secret, content), Verified, 200},
		{"forged", "sha256=" + sign("another", content), InvalidSignature, 401},
		{"unsigned", "", MissingSignature, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "https://hooks.example.com/github", strings.NewReader(content))
			if test.signature != "" {
				r.Header.Set("X-Hub-Signature-256", test.signature)
			}
			got, err := dryrun.Once(t.Context(), provider, nil, r)
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != string(test.want) || got.Status != test.status || got.Reached != (test.want == Verified) {
				t.Errorf("got %s (%s), status %d, reached %t", got.Outcome, got.Reason, got.Status, got.Reached)
			}
			if got.Reached && string(got.ReachedBody) != content {
				t.Errorf("the app received %q", got.ReachedBody)
			}
		})
	}
}

func TestDryRunChecksTimestampsWithItsClock(t *testing.T) {
	provider := json.RawMessage(`{"name":"stripe","secrets":[{"secret":"{env.` + secretVariable + `}"}]}`)
	got, err := dryrun.Once(t.Context(), provider, frozen, stripe(present, `{"id":"evt_1","type":"invoice.paid"}`))
	if err != nil || got.Outcome != string(Verified) {
		t.Errorf("got %+v, %v", got, err)
	}
}
