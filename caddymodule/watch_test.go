package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// spoofed is our header as WSGI would take it.
var spoofed = "Webhook_Verified_Outcome"

const monitorSecret = "a secret to watch"

func monitored(t *testing.T, options string) *Trial {
	t.Helper()
	trial, err := OpenTrial(t.Context(), json.RawMessage(`{"mode":"monitor"`+options+`,"provider":{"name":"github","secrets":[{"secret":"`+monitorSecret+`"}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	return trial
}

// githubRequest is a delivery signed with a key; an empty one leaves the
// signature out.
func githubRequest(key, id, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if key != "" {
		r.Header.Set("X-Hub-Signature-256", "sha256="+sign(key, body))
	}
	r.Header.Set("X-GitHub-Delivery", id)
	r.Header.Set("X-GitHub-Event", "push")
	return r
}

func TestMonitorLetsEverythingThroughAndSaysWhatWouldHaveHappened(t *testing.T) {
	trial := monitored(t, `,"max_body":20,"events":["push"]`)
	otherEvent := githubRequest(monitorSecret, "4", "four")
	otherEvent.Header.Set("X-GitHub-Event", "ping")
	undeclared := githubRequest(monitorSecret, "5", "a body of more than twenty bytes")
	undeclared.ContentLength = -1
	exact := githubRequest(monitorSecret, "6", "exactly twenty bytes")
	exact.ContentLength = -1
	for _, step := range []struct {
		name     string
		request  *http.Request
		want     Outcome
		identity bool
		body     string
	}{
		{"no signature", githubRequest("", "1", "one"), MissingSignature, false, "one"},
		{"forged", githubRequest("wrong", "1", "one"), InvalidSignature, false, "one"},
		{"genuine", githubRequest(monitorSecret, "1", "one"), Verified, true, "one"},
		{"the same again", githubRequest(monitorSecret, "1", "one"), Duplicate, true, "one"},
		{"under another ID", githubRequest(monitorSecret, "2", "one"), Replayed, true, "one"},
		{"an event that is not wanted", otherEvent, Ignored, true, "four"},
		{"longer than allowed, as declared", githubRequest(monitorSecret, "5", "a body of more than twenty bytes"), TooLarge, false, "a body of more than twenty bytes"},
		{"longer than allowed, undeclared", undeclared, TooLarge, false, "a body of more than twenty bytes"},
		{"exactly as long as allowed", exact, Verified, true, "exactly twenty bytes"},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.request.Header[spoofed] = []string{"verified"}
			step.request.Header.Set("Webhook-Verified-Provider", "spoofed")
			got := trial.Send(step.request)
			if got.Outcome != step.want || !got.Reached || got.Status != 200 || string(got.ReachedBody) != step.body {
				t.Errorf("outcome %s, reached %t, status %d, body %q", got.Outcome, got.Reached, got.Status, got.ReachedBody)
			}
			h := got.ReachedHeader
			if h.Get(headerOutcome) != string(step.want) || len(h[spoofed]) > 0 {
				t.Errorf("the app was told %v", h)
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

func TestMonitorTellsNoIdentityOfAHandshakeThatNoSecretHasSigned(t *testing.T) {
	t.Setenv("META_SECRET", monitorSecret)
	t.Setenv("META_TOKEN", "a token")
	trial, err := OpenTrial(t.Context(), json.RawMessage(`{"mode":"monitor","provider":{"name":"meta","secrets":[{"secret":"{env.META_SECRET}"}],"verify_token":"{env.META_TOKEN}"}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	got := trial.Send(httptest.NewRequest(http.MethodGet, "/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=a+token", http.NoBody))
	if got.Outcome != Handshake || !got.Reached || got.ReachedHeader.Get(headerProvider) != "" || got.ReachedHeader.Get(headerOutcome) != "handshake" {
		t.Errorf("%s (%s), reached %t with %v", got.Outcome, got.Reason, got.Reached, got.ReachedHeader)
	}
}

func TestMonitorReleasesTheClaimOfADeliveryOnWhichTheAppFailed(t *testing.T) {
	trial := monitored(t, "")
	trial.App = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for range 2 {
		if got := trial.Send(githubRequest(monitorSecret, "1", "one")); got.Outcome != Verified || got.Status != 500 {
			t.Errorf("outcome %s, status %d", got.Outcome, got.Status)
		}
	}
}

func TestMonitorRefusesOnlyWhatIsNotWhole(t *testing.T) {
	trial := monitored(t, "")
	r := githubRequest(monitorSecret, "1", "one")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("on"), brokenReader{}))
	if got := trial.Send(r); got.Reached || got.Outcome != Malformed || got.Status != 400 {
		t.Errorf("reached %t, outcome %s, status %d", got.Reached, got.Outcome, got.Status)
	}
}

// brokenReader is a connection that breaks off.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestEnforceTellsTheAppNoOutcome(t *testing.T) {
	trial, err := OpenTrial(t.Context(), json.RawMessage(`{"provider":{"name":"github","secrets":[{"secret":"`+monitorSecret+`"}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	if got := trial.Send(githubRequest(monitorSecret, "1", "one")); got.ReachedHeader.Get(headerOutcome) != "" || !got.Reached {
		t.Errorf("the app was told %v", got.ReachedHeader)
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
	if _, err := OpenTrial(t.Context(), json.RawMessage(`{"mode":"off","provider":{"name":"github","secrets":[{"secret":"s"}]}}`), nil); err == nil {
		t.Error("an unknown mode in JSON is accepted")
	}
}
