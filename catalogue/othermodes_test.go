package catalogue

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"net/http"
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
	for _, upgrade := range []string{"websocket", "WebSocket", "h2c, websocket"} {
		_, err := take(t, m, request("GET", "/media", "", "X-Twilio-Signature", signed, "Connection", "Upgrade", "Upgrade", upgrade))
		wantWebSocketRefusal(t, "twilio", err, "Media Streams, ConversationRelay")
	}
	_, err := take(t, m, request(http.MethodConnect, "/media", "", "X-Twilio-Signature", signed))
	wantWebSocketRefusal(t, "twilio with HTTP/2", err, "Media Streams, ConversationRelay")
	for i := range catalogue {
		p := &catalogue[i]
		m, err := trySetUp(p.Name, "a secret for a test, of no provider", provider.PresetOptions{})
		if err != nil {
			continue // it needs options, or a key of another kind
		}
		_, err = take(t, m, request("GET", "/ws", "", "Connection", "Upgrade", "Upgrade", "websocket"))
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
