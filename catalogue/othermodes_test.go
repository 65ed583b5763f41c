package catalogue

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func macText(newHash func() hash.Hash, key, text string) string {
	h := hmac.New(newHash, []byte(key))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// setUpSeveral provisions a preset with several secrets.
func setUpSeveral(t *testing.T, name string, secrets ...string) *provider.Module {
	t.Helper()
	m := provider.NewModule(presetNamed(name))
	for _, secret := range secrets {
		m.Secrets = append(m.Secrets, provider.Secret{Secret: secret})
	}
	if err := provision(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTwilioAlgorithmIsChosenByTheSecret: the header that names an algorithm is not
// signed.
func TestTwilioAlgorithmIsChosenByTheSecret(t *testing.T) {
	const token, key, address = "0123456789abcdef0123456789abcdef", "shared", "https://hooks.example.com/t"
	of := map[string]string{
		"token sha1": macText(sha1.New, token, address+"a1"), "token sha256": macText(sha256.New, token, address+"a1"),
		"key sha1": macText(sha1.New, key, address+"a1"), "key sha256": macText(sha256.New, key, address+"a1"),
		"prefixed key sha1": macText(sha1.New, "hmac-sha256:"+key, address+"a1"),
	}
	for _, c := range []struct {
		what    string
		secrets []string
		signed  string
		want    bool
	}{
		{"the Auth Token", []string{token}, "token sha1", true},
		{"the Auth Token with SHA-256", []string{token}, "token sha256", false},
		{"a SharedKey", []string{"hmac-sha256:" + key}, "key sha256", true},
		{"a SharedKey with SHA-1", []string{"hmac-sha256:" + key}, "key sha1", false},
		{"the configured text with its prefix as the key", []string{"hmac-sha256:" + key}, "prefixed key sha1", false},
		{"both, the Auth Token", []string{token, "hmac-sha256:" + key}, "token sha1", true},
		{"both, the SharedKey", []string{"hmac-sha256:" + key, token}, "key sha256", true},
		{"both, the Auth Token with SHA-256", []string{token, "hmac-sha256:" + key}, "token sha256", false},
		{"both, the SharedKey with SHA-1", []string{token, "hmac-sha256:" + key}, "key sha1", false},
	} {
		m := setUpSeveral(t, "twilio", c.secrets...)
		for _, settings := range []string{"", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA1", "algorithm=none"} {
			r := request("POST", "/t", "a=1", "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", of[c.signed])
			if settings != "" {
				r.Header.Set("X-Twilio-Webhooks-Signature-Settings", settings)
			}
			if _, err := verify(t, m, r); (err == nil) != c.want {
				t.Errorf("%s, settings %q: %v", c.what, settings, err)
			}
		}
	}
}

// TestTwilioRefusalNamesTheMissingSecret: the operator needs the name to configure it.
func TestTwilioRefusalNamesTheMissingSecret(t *testing.T) {
	const address = "https://hooks.example.com/t"
	send := func(sig string) *signature.Request {
		return request("POST", "/t", "a=1", "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", sig, "X-Twilio-Webhooks-Signature-Settings", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256")
	}
	_, err := verify(t, setUpSeveral(t, "twilio", "token"), send(macText(sha256.New, "shared", address+"a1")))
	if err == nil || !strings.Contains(err.Error(), "webhooks_sharedkey_1") || !strings.Contains(err.Error(), "secret hmac-sha256:{env.") {
		t.Errorf("a SharedKey that is not configured: %v", err)
	}
	_, err = verify(t, setUpSeveral(t, "twilio", "hmac-sha256:shared"), send(macText(sha1.New, "token", address+"a1")))
	if err == nil || !strings.Contains(err.Error(), "Auth Token") {
		t.Errorf("an Auth Token that is not configured: %v", err)
	}
}

// TestWebSocketRefusalNamesTheUnsupportedFeature: every preset refuses requests that
// open a WebSocket, even signed ones.
func TestWebSocketRefusalNamesTheUnsupportedFeature(t *testing.T) {
	signed := macText(sha1.New, "token", "https://hooks.example.com/media")
	m := setUp(t, "twilio", "token", provider.PresetOptions{})
	if _, err := verify(t, m, request("GET", "/media", "", "X-Twilio-Signature", signed)); err != nil {
		t.Fatalf("a GET that does not open a WebSocket: %v", err)
	}
	open := request("GET", "/media", "", "X-Twilio-Signature", signed)
	open.WebSocket = true
	_, err := verify(t, m, open)
	wantWebSocketRefusal(t, "twilio", err, "Media Streams, ConversationRelay")
	for i := range catalogue {
		p := &catalogue[i]
		m, err := trySetUp(p.Name, "a secret for a test, of no provider", provider.PresetOptions{})
		if err != nil {
			continue // the preset requires options or another key format
		}
		open := request("GET", "/ws", "")
		open.WebSocket = true
		_, err = verify(t, m, open)
		wantWebSocketRefusal(t, p.Name, err, p.Streams)
	}
}

func wantWebSocketRefusal(t *testing.T, what string, err error, streams string) {
	t.Helper()
	refused, ok := errors.AsType[*signature.Refusal](err)
	if !ok || refused.Kind != signature.Malformed || !strings.Contains(refused.Reason, "WebSocket") || !strings.Contains(refused.Reason, streams) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestSlackEventTypeIsReadFromEveryRequestFormat: Slack sends events as JSON,
// interactions as a form field with JSON, and slash commands as a form.
func TestSlackEventTypeIsReadFromEveryRequestFormat(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	m := setUp(t, "slack", "signing", provider.PresetOptions{})
	payload := func(document string) string { return url.Values{"payload": {document}}.Encode() }
	for _, c := range []struct{ body, kind, want string }{
		{`{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention"}}`, "application/json", "app_mention"},
		{`{"type":"app_rate_limited","team_id":"T1"}`, "application/json", "app_rate_limited"},
		{payload(`{"type":"block_actions","trigger_id":"1.2","actions":[{"type":"button"}]}`), form, "block_actions"},
		{payload(`{"view":{"type":"modal"},"type":"view_submission"}`), form, "view_submission"},
		{payload(`{"type":"shortcut","callback_id":"c"}`), form, "shortcut"},
		{payload(`{"type":"message_action"}`), form, "message_action"},
		{url.Values{"command": {"/weather"}, "text": {"94070"}, "trigger_id": {"1"}}.Encode(), form, "/weather"},
		{payload(`{"no":"type"}`), form, ""},
		{payload(`not JSON`), form, ""},
		{"a=b", form, ""},
		{url.Values{"command": {"/a", "/b"}}.Encode(), form, ""},
		{payload(`{"type":"` + strings.Repeat("x", 300) + `"}`), form, ""},
		{payload(`{"type":"a\nb"}`), form, ""},
	} {
		stamp := strconv.FormatInt(testNow.Unix(), 10)
		sig := "v0=" + hex.EncodeToString(mac(testSecret(t, "signing"), "v0:"+stamp+":"+c.body))
		d, err := verify(t, m, request("POST", "/s", c.body, "Content-Type", c.kind, "X-Slack-Request-Timestamp", stamp, "X-Slack-Signature", sig))
		if err != nil || d.Event != c.want || !d.EventSigned {
			t.Errorf("%.80s: got %+v, %v, want %q", c.body, d, err, c.want)
		}
	}
}

// TestSentryUIRequestsAreVerified: their signature is in another header than that of
// webhooks. Requests without a body are refused: their signature would be valid for any
// query.
func TestSentryUIRequestsAreVerified(t *testing.T) {
	m := setUp(t, "sentry", "secret", provider.PresetOptions{})
	sign := func(body string) string { return hex.EncodeToString(mac(testSecret(t, "secret"), body)) }
	const body = `{"fields":{"title":"An issue"},"issueId":1,"installationId":"7a485448"}`
	d, err := verify(t, m, request("POST", "/ui", body, "Sentry-App-Signature", sign(body), "Request-ID", "r1"))
	if err != nil || !d.Repeats || d.ID != "r1" || d.IDSigned {
		t.Errorf("a request of the UI: %+v, %v", d, err)
	}
	hook := `{"action":"created","installation":{"uuid":"7a485448"},"data":{"error":{}}}`
	if d, err := verify(t, m, request("POST", "/hook", hook, "Sentry-Hook-Signature", sign(hook), "Sentry-Hook-Resource", "error")); err != nil || d.Event != "error.created" {
		t.Errorf("a webhook: %+v, %v", d, err)
	}
	wantRefused(t, m, request("POST", "/ui", body+" ", "Sentry-App-Signature", sign(body)), "a changed body")
	_, err = verify(t, m, request("GET", "/ui?installationId=x", "", "Sentry-App-Signature", sign("")))
	if err == nil || !strings.Contains(err.Error(), "select") {
		t.Errorf("a request without a body: %v", err)
	}
}

// TestAfterShipSignaturesOfEveryProductAreVerified: each product has its own header.
func TestAfterShipSignaturesOfEveryProductAreVerified(t *testing.T) {
	m := setUp(t, "aftership", "secret", provider.PresetOptions{})
	for _, c := range []struct{ header, prefix, body, id, event string }{
		{"aftership-hmac-sha256", "", `{"event_id":"e1","event":"tracking_update"}`, "e1", "tracking_update"},
		{"as-signature-hmac-sha256", "", `{"id":"e2","event":"return.approved","data":{"id":"r"}}`, "e2", "return.approved"},
		{"am-webhook-signature", "hmac-sha256=", `{"id":"o","event":"label.created"}`, "", "label.created"},
	} {
		sig := c.prefix + macText(sha256.New, "secret", c.body)
		d, err := verify(t, m, request("POST", "/a", c.body, c.header, sig))
		if err != nil || d.ID != c.id || d.Event != c.event {
			t.Errorf("%s: got %+v, %v", c.header, d, err)
		}
		wantRefused(t, m, request("POST", "/a", c.body+" ", c.header, sig), c.header+" with a changed body")
	}
	wantRefused(t, m, request("POST", "/a", "{}"), "no signature")
}

// TestRefusalNamesTheUnsupportedMode: the operator learns why requests are refused.
func TestRefusalNamesTheUnsupportedMode(t *testing.T) {
	for name, modes := range otherModes {
		m := configured(t, presetNamed(name))
		for _, mode := range modes {
			_, err := verify(t, m, request("POST", "/x", "{}", mode.header, mode.prefix+"x"))
			if err == nil || !strings.Contains(err.Error(), unsupported[name]) {
				t.Errorf("%s with %s: %v", name, mode.header, err)
			}
		}
		if _, err := verify(t, m, request("POST", "/x", "{}")); err == nil || strings.Contains(err.Error(), unsupported[name]) {
			t.Errorf("%s without a header: %v", name, err)
		}
	}
	for name := range unsupported {
		if presetNamed(name).Describe().Unsupported == "" {
			t.Errorf("%s: missing documentation of the unsupported mode", name)
		}
	}
	for name := range streams {
		presetNamed(name) // panics if the preset does not exist
	}
}

// TestRefusalNamesTheSchemeOfTheRequest: some presets have several schemes, and the
// config selects one.
func TestRefusalNamesTheSchemeOfTheRequest(t *testing.T) {
	for _, c := range []struct{ provider, configured, header, value, want string }{
		{"hubspot", "v3", "X-HubSpot-Signature", strings.Repeat("0", 64), "scheme v2"},
		{"hubspot", "v2", "X-HubSpot-Signature-v3", "AAAA", "scheme v3"},
		{"plivo", "v3", "X-Plivo-Signature-V2", "AAAA", "scheme v2"},
		{"plivo", "v2", "X-Plivo-Signature-V3", "AAAA", "scheme v3"},
		{"buildkite", "signature", "X-Buildkite-Token", "t", "scheme token"},
		{"buildkite", "token", "X-Buildkite-Signature", "timestamp=1,signature=00", "scheme signature"},
		{"vapi", "secret", "Authorization", "Bearer t", "scheme bearer"},
	} {
		m := setUp(t, c.provider, "a secret for a test", provider.PresetOptions{Scheme: c.configured})
		_, err := verify(t, m, request("POST", "/x", "{}", c.header, c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.provider, c.configured, err)
		}
	}
}
