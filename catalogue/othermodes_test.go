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

// setUpSeveral is setUp with several secrets.
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

// TestTheAlgorithmOfTwilioFollowsFromTheSecret: the header that names one is not
// signed.
func TestTheAlgorithmOfTwilioFollowsFromTheSecret(t *testing.T) {
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
		{"the Auth Token with the better hash", []string{token}, "token sha256", false},
		{"a SharedKey", []string{"hmac-sha256:" + key}, "key sha256", true},
		{"a SharedKey with the weaker hash", []string{"hmac-sha256:" + key}, "key sha1", false},
		{"the text of the config as a key", []string{"hmac-sha256:" + key}, "prefixed key sha1", false},
		{"both, the Auth Token", []string{token, "hmac-sha256:" + key}, "token sha1", true},
		{"both, the SharedKey", []string{"hmac-sha256:" + key, token}, "key sha256", true},
		{"both, the Auth Token with the other hash", []string{token, "hmac-sha256:" + key}, "token sha256", false},
		{"both, the SharedKey with the other hash", []string{token, "hmac-sha256:" + key}, "key sha1", false},
	} {
		m := setUpSeveral(t, "twilio", c.secrets...)
		for _, settings := range []string{"", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA1", "algorithm=none"} {
			r := request("POST", "/t", "a=1", "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", of[c.signed])
			if settings != "" {
				r.Header.Set("X-Twilio-Webhooks-Signature-Settings", settings)
			}
			if _, err := take(t, m, r); (err == nil) != c.want {
				t.Errorf("%s, settings %q: %v", c.what, settings, err)
			}
		}
	}
}

// TestTwilioSaysWhichSecretIsMissing: to the operator.
func TestTwilioSaysWhichSecretIsMissing(t *testing.T) {
	const address = "https://hooks.example.com/t"
	send := func(sig string) *signature.Request {
		return request("POST", "/t", "a=1", "Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", sig, "X-Twilio-Webhooks-Signature-Settings", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256")
	}
	_, err := take(t, setUpSeveral(t, "twilio", "token"), send(macText(sha256.New, "shared", address+"a1")))
	if err == nil || !strings.Contains(err.Error(), "webhooks_sharedkey_1") || !strings.Contains(err.Error(), "secret hmac-sha256:{env.") {
		t.Errorf("a SharedKey that is not configured: %v", err)
	}
	_, err = take(t, setUpSeveral(t, "twilio", "hmac-sha256:shared"), send(macText(sha1.New, "token", address+"a1")))
	if err == nil || !strings.Contains(err.Error(), "Auth Token") {
		t.Errorf("an Auth Token that is not configured: %v", err)
	}
}

// TestWebSocketsAreRefusedByName: with every preset, even if the request that
// opens one is signed.
func TestWebSocketsAreRefusedByName(t *testing.T) {
	signed := macText(sha1.New, "token", "https://hooks.example.com/media")
	m := setUp(t, "twilio", "token", provider.PresetOptions{})
	if _, err := take(t, m, request("GET", "/media", "", "X-Twilio-Signature", signed)); err != nil {
		t.Fatalf("a GET that opens no WebSocket: %v", err)
	}
	open := request("GET", "/media", "", "X-Twilio-Signature", signed)
	open.WebSocket = true
	_, err := take(t, m, open)
	wantWebSocketRefusal(t, "twilio", err, "Media Streams, ConversationRelay")
	for i := range catalogue {
		p := &catalogue[i]
		m, err := trySetUp(p.Name, "a secret for a test, of no provider", provider.PresetOptions{})
		if err != nil {
			continue // it needs options, or a key of another kind
		}
		open := request("GET", "/ws", "")
		open.WebSocket = true
		_, err = take(t, m, open)
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

// TestTheEventTypeOfSlackIsInEveryKindOfRequest: in an event, in an interaction,
// whose payload is a field of a form, and in a slash command.
func TestTheEventTypeOfSlackIsInEveryKindOfRequest(t *testing.T) {
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
		d, err := take(t, m, request("POST", "/s", c.body, "Content-Type", c.kind, "X-Slack-Request-Timestamp", stamp, "X-Slack-Signature", sig))
		if err != nil || d.Event != c.want || !d.EventSigned {
			t.Errorf("%.80s: got %+v, %v, want %q", c.body, d, err, c.want)
		}
	}
}

// TestRequestsOfSentrysUIAreVerified: under their own header. One without a body
// signs nothing, so that its signature would be good for any query.
func TestRequestsOfSentrysUIAreVerified(t *testing.T) {
	m := setUp(t, "sentry", "secret", provider.PresetOptions{})
	sign := func(body string) string { return hex.EncodeToString(mac(testSecret(t, "secret"), body)) }
	const body = `{"fields":{"title":"An issue"},"issueId":1,"installationId":"7a485448"}`
	d, err := take(t, m, request("POST", "/ui", body, "Sentry-App-Signature", sign(body), "Request-ID", "r1"))
	if err != nil || !d.Repeats || d.ID != "r1" || d.IDSigned {
		t.Errorf("a request of the UI: %+v, %v", d, err)
	}
	hook := `{"action":"created","installation":{"uuid":"7a485448"},"data":{"error":{}}}`
	if d, err := take(t, m, request("POST", "/hook", hook, "Sentry-Hook-Signature", sign(hook), "Sentry-Hook-Resource", "error")); err != nil || d.Event != "error.created" {
		t.Errorf("a webhook: %+v, %v", d, err)
	}
	wantRefused(t, m, request("POST", "/ui", body+" ", "Sentry-App-Signature", sign(body)), "a changed body")
	_, err = take(t, m, request("GET", "/ui?installationId=x", "", "Sentry-App-Signature", sign("")))
	if err == nil || !strings.Contains(err.Error(), "select") {
		t.Errorf("a request that signs nothing: %v", err)
	}
}

// TestEveryProductOfAfterShipIsVerified: each has its own header.
func TestEveryProductOfAfterShipIsVerified(t *testing.T) {
	m := setUp(t, "aftership", "secret", provider.PresetOptions{})
	for _, c := range []struct{ header, prefix, body, id, event string }{
		{"aftership-hmac-sha256", "", `{"event_id":"e1","event":"tracking_update"}`, "e1", "tracking_update"},
		{"as-signature-hmac-sha256", "", `{"id":"e2","event":"return.approved","data":{"id":"r"}}`, "e2", "return.approved"},
		{"am-webhook-signature", "hmac-sha256=", `{"id":"o","event":"label.created"}`, "", "label.created"},
	} {
		sig := c.prefix + macText(sha256.New, "secret", c.body)
		d, err := take(t, m, request("POST", "/a", c.body, c.header, sig))
		if err != nil || d.ID != c.id || d.Event != c.event {
			t.Errorf("%s: got %+v, %v", c.header, d, err)
		}
		wantRefused(t, m, request("POST", "/a", c.body+" ", c.header, sig), c.header+" of a changed body")
	}
	wantRefused(t, m, request("POST", "/a", "{}"), "no signature")
}

// TestARefusalNamesTheModeThatIsNotVerified: to the operator.
func TestARefusalNamesTheModeThatIsNotVerified(t *testing.T) {
	for name, modes := range otherModes {
		m := configured(t, presetNamed(name))
		for _, mode := range modes {
			_, err := take(t, m, request("POST", "/x", "{}", mode.header, mode.prefix+"x"))
			if err == nil || !strings.Contains(err.Error(), unsupported[name]) {
				t.Errorf("%s with %s: %v", name, mode.header, err)
			}
		}
		if _, err := take(t, m, request("POST", "/x", "{}")); err == nil || strings.Contains(err.Error(), unsupported[name]) {
			t.Errorf("%s without a header: %v", name, err)
		}
	}
	for name := range unsupported {
		if presetNamed(name).Describe().Unsupported == "" {
			t.Errorf("%s: the documentation does not say what is not supported", name)
		}
	}
	for name := range streams {
		presetNamed(name) // panics unless there is one
	}
}

// TestARefusalNamesTheSchemeThatTheRequestIsSignedIn: of presets with several, of
// which the config chooses one.
func TestARefusalNamesTheSchemeThatTheRequestIsSignedIn(t *testing.T) {
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
		_, err := take(t, m, request("POST", "/x", "{}", c.header, c.value))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.provider, c.configured, err)
		}
	}
}
