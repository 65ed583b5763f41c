package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// The steps are in order: a copy follows its first delivery.
func TestModeMonitorForwardsEverythingWithItsOutcome(t *testing.T) {
	const limit = 40
	long := strings.Repeat("x", limit+1)
	otherEvent := github("4", content+"4")
	otherEvent.Header.Set("X-GitHub-Event", "ping")
	b := trial(t, config("github", `"mode":"monitor","max_body":40,"events":["push"]`))
	for _, step := range []struct {
		name     string
		request  *http.Request
		want     Outcome
		identity bool
		body     string
	}{
		{"no signature", request(content), MissingSignature, false, content},
		{"forged", request(content, "X-Hub-Signature-256", "sha256="+sign("another", content)), InvalidSignature, false, content},
		{"genuine", github("1", content), Verified, true, content},
		{"a copy", github("1", content), Duplicate, true, content},
		{"a copy with another ID", github("2", content), Replayed, true, content},
		{"an event that is not in events", otherEvent, Ignored, true, content + "4"},
		{"longer than max_body, as declared", github("5", long), TooLarge, false, long},
		{"longer than max_body, undeclared", chunked(github("5", long)), TooLarge, false, long},
		{"exactly as long as max_body", chunked(github("6", long[1:])), Verified, true, long[1:]},
	} {
		t.Run(step.name, func(t *testing.T) {
			r := step.request
			r.Header.Set("Connection", headerOutcome)
			for _, name := range []string{headerOutcome, headerProvider, "Webhook_Verified_Outcome", "Webhook_Verified_Id"} {
				r.Header[name] = []string{"spoofed"}
			}
			got := b.Send(r)
			if got.Outcome != step.want || !got.Reached || got.Status != 200 || string(got.ReachedBody) != step.body {
				t.Errorf("outcome %s, reached %t, status %d, body %q", got.Outcome, got.Reached, got.Status, got.ReachedBody)
			}
			h := got.ReachedHeader
			if outcomes := h.Values(headerOutcome); len(outcomes) != 1 || outcomes[0] != string(step.want) {
				t.Errorf("the app received the outcomes %q, want %s", outcomes, step.want)
			}
			for _, name := range []string{"Webhook_Verified_Outcome", "Webhook_Verified_Id", "Connection"} {
				if len(h[name]) > 0 {
					t.Errorf("the app received %s: %q", name, h[name])
				}
			}
			wantProvider := ""
			if step.identity {
				wantProvider = "github"
			}
			if h.Get(headerProvider) != wantProvider || (h.Get(headerKey) != "") != step.identity {
				t.Errorf("identity headers %v, want provider %q", h, wantProvider)
			}
		})
	}
}

// A handshake is also forwarded, without identity headers: it is not signed.
func TestModeMonitorForwardsHandshakesWithoutIdentity(t *testing.T) {
	t.Setenv("META_TOKEN", "a token")
	meta := trial(t, `{"mode":"monitor","provider":{"name":"meta","secrets":[{"secret":"{env.`+secretVariable+`}"}],"verify_token":"{env.META_TOKEN}"}}`)
	odd := trial(t, config("github", `"mode":"monitor"`))
	odd.use(oddProvider{delivery: &signature.Delivery{Answer: &signature.Answer{Body: []byte("hi")}}})
	for name, got := range map[string]Result{
		"meta":               meta.Send(httptest.NewRequest(http.MethodGet, "/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+token", http.NoBody)),
		"a handshake's body": odd.Send(request(content)),
	} {
		if got.Outcome != Handshake || !got.Reached || got.ReachedHeader.Get(headerProvider) != "" || got.ReachedHeader.Get(headerOutcome) != "handshake" {
			t.Errorf("%s: %s (%s), reached %t with %v", name, got.Outcome, got.Reason, got.Reached, got.ReachedHeader)
		}
	}
}

func TestModeMonitorReleasesTheClaimOfADeliveryOnWhichTheAppFailed(t *testing.T) {
	b := trial(t, config("github", `"mode":"monitor"`))
	b.App = answering(http.StatusInternalServerError)
	for range 2 {
		if got := b.Send(github("1", content)); got.Outcome != Verified || got.Status != 500 {
			t.Errorf("outcome %s, status %d", got.Outcome, got.Status)
		}
	}
}

func TestModeMonitorRefusesOnlyIncompleteBodies(t *testing.T) {
	b := trial(t, config("github", `"mode":"monitor"`))
	r := github("1", content)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(content[:2]), errReader{io.ErrUnexpectedEOF}))
	if got := b.Send(r); got.Reached || got.Outcome != Malformed || got.Status != 400 {
		t.Errorf("reached %t, outcome %s, status %d", got.Reached, got.Outcome, got.Status)
	}
}

func TestModeEnforceForwardsNoOutcomeHeader(t *testing.T) {
	got := trial(t, config("github", "")).Send(github("1", content))
	if got.ReachedHeader.Get(headerOutcome) != "" || !got.Reached {
		t.Errorf("the app received %v", got.ReachedHeader)
	}
}

func TestModeInTheCaddyfile(t *testing.T) {
	for text, want := range map[string]string{
		"mode monitor":                "monitor",
		"mode enforce":                "enforce",
		"":                            "",
		"mode observe":                "error",
		"mode":                        "error",
		"mode monitor\n mode enforce": "error",
	} {
		h := new(Handler)
		err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("verify_webhook github s {\n" + text + "\n}"))
		if got := h.Mode; (err != nil) != (want == "error") || (err == nil && got != want) {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	if _, err := OpenTrial(quietly(t), json.RawMessage(`{"mode":"off","provider":{"name":"github","secrets":[{"secret":"s"}]}}`), nil); err == nil {
		t.Error("an unknown mode in JSON is accepted")
	}
}

// TestInvariant12SlowBodiesReleaseTheBudgetInModeMonitor sends a body that does not
// end. After body_timeout it is forwarded as it arrives, and occupies no memory and
// disk space that other deliveries need.
func TestInvariant12SlowBodiesReleaseTheBudgetInModeMonitor(t *testing.T) {
	for name, first := range map[string]string{"nothing yet": "", "in memory": "start", "in a file": strings.Repeat("x", 3<<20)} {
		t.Run(name, func(t *testing.T) {
			b := trial(t, config("github", `"mode":"monitor","body_timeout":"50ms"`))
			read, write := io.Pipe()
			defer read.Close()
			go func() {
				_, _ = io.WriteString(write, first)
				// The sender pauses for longer than body_timeout.
			}()
			r := github("1", content)
			r.Body, r.ContentLength = read, -1
			outcome := ""
			b.run(r, func(_ http.ResponseWriter, r *http.Request) error {
				outcome = r.Header.Get(headerOutcome)
				go func() { _, _ = io.WriteString(write, "the rest") }()
				got := make([]byte, len(first+"the rest"))
				if _, err := io.ReadFull(r.Body, got); err != nil || string(got) != first+"the rest" {
					t.Errorf("the app received %d bytes, %v", len(got), err)
				}
				if memory, disk := b.handler.app.budget.InUse(); memory != 0 || disk != 0 {
					t.Errorf("%d bytes of memory and %d of disk are in use", memory, disk)
				}
				write.Close()
				if rest, err := io.ReadAll(r.Body); len(rest) > 0 || err != nil {
					t.Errorf("the app received %q after the end, %v", rest, err)
				}
				return nil
			})
			if outcome != string(BodyTimeout) {
				t.Errorf("outcome %q", outcome)
			}
		})
	}
}
