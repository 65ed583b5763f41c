package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func sign(secret, content string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(content))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestTryShowsWhatTheHandlerMakesOfARequest(t *testing.T) {
	const secret, content = "It's a Secret to Everybody", "Hello, World!"
	provider := json.RawMessage(`{"name":"github","secrets":[{"secret":"` + secret + `"}]}`)
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
			got, err := Try(t.Context(), provider, nil, r)
			if err != nil {
				t.Fatal(err)
			}
			if got.Outcome != test.want || got.Status != test.status || got.Reached != (test.want == Verified) {
				t.Errorf("got %s (%s), status %d, reached %t", got.Outcome, got.Reason, got.Status, got.Reached)
			}
			if got.Reached && string(got.ReachedBody) != content {
				t.Errorf("the app got %q", got.ReachedBody)
			}
		})
	}
}

func TestTryJudgesTimestampsByItsClock(t *testing.T) {
	const secret, content = "whsec_test", `{"id":"evt_1","type":"invoice.paid"}`
	now := func() time.Time { return time.Unix(1700000000, 0) }
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(content))
	r.Header.Set("Stripe-Signature", "t=1700000000,v1="+sign(secret, "1700000000."+content))
	provider := json.RawMessage(`{"name":"stripe","secrets":[{"secret":"` + secret + `"}]}`)
	got, err := Try(t.Context(), provider, now, r)
	if err != nil || got.Outcome != Verified {
		t.Errorf("got %+v, %v", got, err)
	}
}
