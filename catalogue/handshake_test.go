package catalogue

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func testSecret(t *testing.T, text string) signature.Secret {
	t.Helper()
	s, err := signature.NewSecret(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestXChallengeResponseIsNotADeliverySignature: the response is an HMAC of data from
// an unverified sender, made with the key that signs deliveries.
func TestXChallengeResponseIsNotADeliverySignature(t *testing.T) {
	m := setUp(t, "x", "consumer-secret", provider.PresetOptions{})
	for _, token := range []string{"test_crc_token", "12345", "true", "null", "bm9uY2U=", strings.Repeat("a", 256)} {
		d, err := verify(t, m, request("GET", "/x?crc_token="+url.QueryEscape(token), ""))
		if err != nil {
			t.Errorf("challenge %q is not answered: %v", token, err)
			continue
		}
		var answer struct {
			Token string `json:"response_token"`
		}
		if err := json.Unmarshal(d.Answer.Body, &answer); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, m, request("POST", "/x", token, "x-twitter-webhooks-signature", answer.Token), "the challenge response as the signature of "+token)
	}
	for _, token := range []string{`{"for_user_id":"1"}`, "", "[1]", "a b", " x", "a\nb", `"x"`, strings.Repeat("a", 257), "{}"} {
		wantRefused(t, m, request("GET", "/x?crc_token="+url.QueryEscape(token), ""), "crc_token "+token)
	}
	wantRefused(t, m, request("GET", "/x?crc_token=a&crc_token=b", ""), "two tokens")
}

func TestXAcceptsSignedDeliveries(t *testing.T) {
	m := setUp(t, "x", "consumer-secret", provider.PresetOptions{})
	const body = `{"for_user_id":"1"}`
	sig := "sha256=" + base64.StdEncoding.EncodeToString(mac(testSecret(t, "consumer-secret"), body))
	if d, err := verify(t, m, request("POST", "/x", body, "x-twitter-webhooks-signature", sig)); err != nil || d.Answer != nil {
		t.Errorf("got %+v, %v", d, err)
	}
}

// zoomRequest returns a signed Zoom request.
func zoomRequest(t *testing.T, secret, body string) *signature.Request {
	stamp := strconv.FormatInt(testNow.Unix(), 10)
	sig := "v0=" + hex.EncodeToString(mac(testSecret(t, secret), "v0:"+stamp+":"+body))
	return request("POST", "/zoom", body, "x-zm-request-timestamp", stamp, "x-zm-signature", sig)
}

func TestZoomChallengeResponseIsNotADeliverySignature(t *testing.T) {
	const secret = "zoom-secret"
	m := setUp(t, "zoom", secret, provider.PresetOptions{})
	stamp := strconv.FormatInt(testNow.Unix(), 10)
	for _, token := range []string{"qgg8vlvZRS6UYooatFL8Aw", "v0", stamp} {
		body := `{"event":"endpoint.url_validation","payload":{"plainToken":"` + token + `"}}`
		d, err := verify(t, m, zoomRequest(t, secret, body))
		if err != nil || d.Answer == nil {
			t.Fatalf("plainToken %q is not answered: %v", token, err)
		}
		var answer struct {
			EncryptedToken string `json:"encryptedToken"`
		}
		if err := json.Unmarshal(d.Answer.Body, &answer); err != nil || answer.EncryptedToken == "" {
			t.Fatalf("%s: %v", d.Answer.Body, err)
		}
		for _, forged := range []string{token, "", "{}"} {
			r := request("POST", "/zoom", forged, "x-zm-request-timestamp", stamp, "x-zm-signature", "v0="+answer.EncryptedToken)
			wantRefused(t, m, r, "the challenge response as the signature of "+forged)
		}
	}
	for _, token := range []string{"v0:" + stamp + ":{}", "", "a:b", "{}", "a.b"} {
		body := `{"event":"endpoint.url_validation","payload":{"plainToken":"` + token + `"}}`
		wantRefused(t, m, zoomRequest(t, secret, body), "plainToken "+token)
	}
	unsigned := request("POST", "/zoom", `{"event":"endpoint.url_validation","payload":{"plainToken":"a"}}`)
	wantRefused(t, m, unsigned, "an unsigned URL validation")
}

func TestMetaChallengeRequiresTheVerifyToken(t *testing.T) {
	m := setUp(t, "meta", "app-secret", provider.PresetOptions{VerifyToken: "meaty"})
	const challenge = "/m?hub.mode=subscribe&hub.challenge=1158&hub.verify_token="
	wantAnswer(t, m, request("GET", challenge+"meaty", ""), "1158")
	for what, uri := range map[string]string{
		"another token": challenge + "other", "no token": "/m?hub.mode=subscribe&hub.challenge=1", "two tokens": challenge + "meaty&hub.verify_token=meaty",
		"another mode": "/m?hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=meaty", "no challenge": "/m?hub.mode=subscribe&hub.verify_token=meaty",
	} {
		wantRefused(t, m, request("GET", uri, ""), what)
	}
	wantRefused(t, m, request("POST", challenge+"meaty", "{}"), "a delivery")
	closed := setUp(t, "meta", "app-secret", provider.PresetOptions{})
	wantRefused(t, closed, request("GET", "/m?hub.mode=subscribe&hub.challenge=1&hub.verify_token=", ""), "no verify_token configured")
}

func TestAsanaHandshakeRequiresAcceptHandshake(t *testing.T) {
	handshake := func() *signature.Request {
		return request("POST", "/a", "", "X-Hook-Secret", "b537207f20cbfa02357cf448134da559")
	}
	wantRefused(t, setUp(t, "asana", "known", provider.PresetOptions{}), handshake(), "without accept_handshake")
	open := setUp(t, "asana", "known", provider.PresetOptions{AcceptHandshake: true})
	d, err := verify(t, open, handshake())
	if err != nil || d.Answer == nil || d.Answer.Header.Get("X-Hook-Secret") == "" {
		t.Fatalf("got %+v, %v", d, err)
	}
	wantRefused(t, open, request("POST", "/a", "", "X-Hook-Secret", "a\r\nb"), "an invalid secret")
	wantRefused(t, open, request("POST", "/a", "{}", "X-Hook-Secret", "x", "X-Hook-Signature", strings.Repeat("0", 64)), "a delivery with X-Hook-Secret")
}

// TestWebSubConfirmsOnlyWhatTheOperatorAllows: anyone can ask a hub to subscribe or
// unsubscribe any URL, and the hub then sends a confirmation request to that URL.
func TestWebSubConfirmsOnlyWhatTheOperatorAllows(t *testing.T) {
	const subscribe, unsubscribe = "/w?hub.mode=subscribe&hub.challenge=c1", "/w?hub.mode=unsubscribe&hub.challenge=c1"
	const topic, token = "&hub.topic=https%3A%2F%2Fexample.org%2Ffeed", "&hub.verify_token=vt"
	topics := []string{"https://example.org/feed"}
	for name, c := range map[string]struct {
		set  provider.PresetOptions
		uri  string
		want bool
	}{
		"closed: subscribe":          {provider.PresetOptions{Topics: topics}, subscribe + topic, false},
		"closed: unsubscribe":        {provider.PresetOptions{Topics: topics}, unsubscribe + topic, false},
		"closed: a token":            {provider.PresetOptions{Topics: topics}, subscribe + topic + token, false},
		"open: subscribe":            {provider.PresetOptions{Topics: topics, AcceptHandshake: true}, subscribe + topic, true},
		"open: unsubscribe":          {provider.PresetOptions{Topics: topics, AcceptHandshake: true}, unsubscribe + topic, false},
		"open: another topic":        {provider.PresetOptions{Topics: topics, AcceptHandshake: true}, subscribe + topic + "2", false},
		"open: two topics":           {provider.PresetOptions{Topics: topics, AcceptHandshake: true}, subscribe + topic + topic, false},
		"open: another mode":         {provider.PresetOptions{Topics: topics, AcceptHandshake: true}, "/w?hub.mode=publish&hub.challenge=c1" + topic, false},
		"open: no topic configured":  {provider.PresetOptions{AcceptHandshake: true}, subscribe + topic, false},
		"token: subscribe":           {provider.PresetOptions{Topics: topics, VerifyToken: "vt"}, subscribe + topic + token, true},
		"token: unsubscribe":         {provider.PresetOptions{Topics: topics, VerifyToken: "vt"}, unsubscribe + topic + token, true},
		"token: a wrong one":         {provider.PresetOptions{Topics: topics, VerifyToken: "vt"}, subscribe + topic + token + "2", false},
		"token: none":                {provider.PresetOptions{Topics: topics, VerifyToken: "vt"}, subscribe + topic, false},
		"token: none, although open": {provider.PresetOptions{Topics: topics, VerifyToken: "vt", AcceptHandshake: true}, subscribe + topic, false},
		"token: twice":               {provider.PresetOptions{Topics: topics, VerifyToken: "vt"}, subscribe + topic + token + token, false},
		"token: none, unsubscribe":   {provider.PresetOptions{Topics: topics, VerifyToken: "vt"}, unsubscribe + topic, false},
		"closed: mode denied":        {provider.PresetOptions{Topics: topics}, "/w?hub.mode=denied&hub.challenge=c1" + topic, false},
	} {
		d, _ := verify(t, setUp(t, "websub", "hub-secret", c.set), request("GET", c.uri, ""))
		if got := d != nil && d.Answer != nil && string(d.Answer.Body) == "c1"; got != c.want {
			t.Errorf("%s: confirmed %t, want %t", name, got, c.want)
		}
	}
}

func TestChallengeResponsesAreBoundedText(t *testing.T) {
	dropbox := setUp(t, "dropbox", "app-secret", provider.PresetOptions{})
	wantAnswer(t, dropbox, request("GET", "/d?challenge=Aa0-._~%3A%2B%2F%3D%2C%3B%40%21*%7C%3F%26%23%27", ""), "Aa0-._~:+/=,;@!*|?&#'")
	wantAnswer(t, dropbox, request("GET", "/d?challenge=%3Cscript%3E", ""), "<script>")
	wantRefused(t, dropbox, request("GET", "/d?challenge=%7B%7Bnow%7D%7D", ""), "a challenge with an expression")
	wantRefused(t, dropbox, request("GET", "/d?challenge="+strings.Repeat("a", provider.MaxChallenge+1), ""), "a long challenge")
	wantRefused(t, dropbox, request("GET", "/d?challenge=a%0D%0Ab", ""), "a challenge with line breaks")
	wantRefused(t, dropbox, request("GET", "/d?challenge=", ""), "an empty challenge")
	wantRefused(t, dropbox, request("GET", "/d", ""), "no challenge")
	wantRefused(t, dropbox, request("POST", "/d?challenge=a", "{}"), "a delivery")

	worldline := setUp(t, "worldline", "secret", provider.PresetOptions{})
	wantAnswer(t, worldline, request("GET", "/w", "", "X-GCS-Webhooks-Endpoint-Verification", "v1"), "v1")

	graph := setUp(t, "microsoft-graph", "state", provider.PresetOptions{})
	wantAnswer(t, graph, request("POST", "/g?validationToken=Validation%3A+1", ""), "Validation: 1")
	wantRefused(t, graph, request("POST", "/g?validationToken=x", `{"value":[{"clientState":"other"}]}`), "a notification")

	monday := setUp(t, "monday", "signing-secret", provider.PresetOptions{})
	wantAnswer(t, monday, request("POST", "/m", `{"challenge":"c1"}`), `{"challenge":"c1"}`)
	wantRefused(t, monday, request("POST", "/m", `{"challenge":"c1","event":{}}`), "a challenge with other members")
}

func TestSlackAndTwitchAnswerOnlySignedChallenges(t *testing.T) {
	slack := setUp(t, "slack", "signing", provider.PresetOptions{})
	const body = `{"type":"url_verification","challenge":"c1"}`
	stamp := strconv.FormatInt(testNow.Unix(), 10)
	good := "v0=" + hex.EncodeToString(mac(testSecret(t, "signing"), "v0:"+stamp+":"+body))
	wantAnswer(t, slack, request("POST", "/s", body, "X-Slack-Request-Timestamp", stamp, "X-Slack-Signature", good), `{"challenge":"c1"}`)
	wantRefused(t, slack, request("POST", "/s", body), "an unsigned url_verification")

	twitch := setUp(t, "twitch", "signing-secret", provider.PresetOptions{})
	notification := `{"challenge":"c1","subscription":{"status":"enabled","type":"channel.follow"}}`
	at := testNow.UTC().Format("2006-01-02T15:04:05Z")
	sig := "sha256=" + hex.EncodeToString(mac(testSecret(t, "signing-secret"), "id1"+at+notification))
	d, err := verify(t, twitch, request("POST", "/t", notification, "Twitch-Eventsub-Message-Id", "id1", "Twitch-Eventsub-Message-Timestamp", at,
		"Twitch-Eventsub-Message-Signature", sig, "Twitch-Eventsub-Message-Type", "webhook_callback_verification"))
	if err != nil || d.Answer != nil {
		t.Errorf("a delivery is treated as a challenge because of an unsigned header: %+v, %v", d, err)
	}
}

func TestBraintreeChallengeResponseIsNotADeliverySignature(t *testing.T) {
	m := setUp(t, "braintree", "private", provider.PresetOptions{})
	wantRefused(t, m, request("GET", "/b?bt_challenge="+strings.Repeat("a", 20), ""), "a secret without its public key")
	m.Keys()[0], _ = signature.NewSecret(string(m.Keys()[0].Reveal()), "public")
	for _, challenge := range []string{strings.Repeat("a", 20), "20f9f8ed05f77439fe955c977e4c8a53"} {
		d, err := verify(t, m, request("GET", "/b?bt_challenge="+challenge, ""))
		if err != nil || d.Answer == nil {
			t.Fatalf("challenge %q is not answered: %v", challenge, err)
		}
		for _, payload := range []string{challenge, challenge + "\n"} {
			form := url.Values{"bt_signature": {string(d.Answer.Body)}, "bt_payload": {payload}}
			wantRefused(t, m, request("POST", "/b", form.Encode(), "Content-Type", "application/x-www-form-urlencoded"), "the challenge response as the signature")
		}
	}
	for _, challenge := range []string{"", "short", strings.Repeat("A", 24), "PG5vdGlmaWNhdGlvbj4KICAg", strings.Repeat("a", 33), strings.Repeat("a", 20) + "%0A"} {
		wantRefused(t, m, request("GET", "/b?bt_challenge="+challenge, ""), "challenge "+challenge)
	}
}
