package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func TestModeMonitorLetsEverythingThroughAndSaysWhatItIs(t *testing.T) {
	for _, test := range []struct {
		name    string
		request *http.Request
		want    Outcome
	}{
		{"genuine", github("2", content+"2"), Verified},
		{"a duplicate", github("1", content), Duplicate},
		{"a replay", github("3", content), Replayed},
		{"unsigned", request(content), MissingSignature},
		{"forged", request(content, "X-Hub-Signature-256", "sha256="+sign("another", content)), InvalidSignature},
		{"too long", github("4", strings.Repeat("x", 5000)), TooLarge},
		{"too long, chunked", chunked(github("4", strings.Repeat("x", 5000))), TooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := trial(t, config("github", `"mode":"monitor","max_body":4000`))
			b.run(github("1", content), answering200)
			reached := false
			test.request.Header.Set("Webhook-Verified-Outcome", "spoofed")
			test.request.Header.Set("Webhook_Verified_Id", "spoofed")
			test.request.Header.Set("Connection", "Webhook-Verified-Outcome")
			length := len(content)
			if test.request.ContentLength > 0 {
				length = int(test.request.ContentLength)
			} else {
				length = 5000
			}
			b.run(test.request, func(w http.ResponseWriter, r *http.Request) error {
				reached = true
				if got := r.Header.Values(headerOutcome); len(got) != 1 || got[0] != string(test.want) {
					t.Errorf("the app is told %q, want %s", got, test.want)
				}
				if r.Header.Get("Webhook_verified_id") != "" || r.Header.Get("Connection") != "" {
					t.Errorf("the app gets %v", r.Header)
				}
				if body := readAll(t, r.Body); len(body) != length {
					t.Errorf("the app gets %d bytes of %d", len(body), length)
				}
				w.WriteHeader(200)
				return nil
			})
			if !reached {
				t.Error("it does not reach the app")
			}
		})
	}
}

func answering200(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(200)
	return nil
}

func TestAHandshakeThatNoSecretHasSignedIsLetThroughInModeMonitor(t *testing.T) {
	b := trial(t, config("github", `"mode":"monitor"`))
	b.use(oddProvider{delivery: &signature.Delivery{Answer: &signature.Answer{Body: []byte("hi")}}})
	if got := b.Send(request(content)); !got.Reached || got.Outcome != Handshake {
		t.Errorf("reached %t, outcome %s", got.Reached, got.Outcome)
	}
}
