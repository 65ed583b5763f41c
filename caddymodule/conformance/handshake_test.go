package conformance_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// setUpRequest is a request that a provider sends when a webhook is created,
// changed or checked, according to its documentation.
type setUpRequest struct {
	provider, what string
	request        conformance.Request
	// options are added to those of the provider's first vector. first is set if
	// the provider creates the secret later, so that the endpoint has none yet.
	options map[string]any
	first   bool
	answer  conformance.Answer
	// option is the name in the reason if options are not set. If it is empty, the
	// request is answered in any case.
	option string
}

const (
	setUpURL   = "https://hooks.example.com/in"
	setUpTime  = 1790000000
	setUpProof = "0f0a2b1c-7c0f-4f9b-9d8e-5f6a7b8c9d0e"
)

var (
	accept   = map[string]any{"accept_handshake": true}
	ok       = conformance.Answer{Status: 200}
	jsonType = map[string]any{"Content-Type": "application/json"}
)

func requestOf(method, query, body string, headers ...string) conformance.Request {
	r := conformance.Request{Method: method, URL: setUpURL + query, Headers: make(map[string][]string), Body: []byte(body)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers[headers[i]] = []string{headers[i+1]}
	}
	return r
}

func hmacHex(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// smartcarVerify is a VERIFY event of version 4, and one of version 2.
const (
	smartcarVerify  = `{"eventId":"52f6e0bb-1369-45da-a61c-9e67d092d6db","eventType":"VERIFY","data":{"challenge":"` + setUpProof + `"},"meta":{"version":"4.0"}}`
	smartcarVerify2 = `{"version":"2.0","webhookId":"5a8e5e38-1e12-4011-a36d-56f120053f9e","eventName":"verify","payload":{"challenge":"` + setUpProof + `"}}`
	smartcarToken   = "5f6a7b8c-token"
	zoomValidation  = `{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1790000000000,"event":"endpoint.url_validation"}`
	mailerSendPing  = `{"type":"webhook.test","message":"This is a ping test message","created_at":"2026-03-27T07:24:20.577080Z"}`
	zoomSecret      = "secret-token-of-the-app"
	airshipSecret   = "signature-secret-of-the-channel"
)

func secretIs(text string, more map[string]any) map[string]any {
	options := map[string]any{"secrets": []any{map[string]any{"secret": text}}}
	maps.Copy(options, more)
	return options
}

var setUpRequests = []setUpRequest{
	{
		provider: "asana", what: "X-Hook-Secret", request: requestOf("POST", "", "{}", "X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),
		options: accept, first: true, option: "accept_handshake", answer: conformance.Answer{Status: 200, Headers: map[string]any{"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"}},
	},
	{
		provider: "asana", what: "X-Hook-Secret of a second webhook", request: requestOf("POST", "", "", "X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),
		options: accept, option: "accept_handshake", answer: conformance.Answer{Status: 200, Headers: map[string]any{"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"}},
	},
	{
		provider: "notion", what: "verification_token", request: requestOf("POST", "", `{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}`, "Content-Type", "application/json"),
		options: accept, first: true, option: "accept_handshake", answer: ok,
	},
	{
		provider: "gusto", what: "verification_token", request: requestOf("POST", "", `{"verification_token":"6590f590-3dba-495e-9bea-c361e1e2efc0"}`, "Content-Type", "application/json"),
		options: accept, first: true, option: "accept_handshake", answer: ok,
	},
	{
		provider: "nylas", what: "challenge", request: requestOf("GET", "?challenge=bc609b38-c81f-47fb-a275-1d9bd61be968", ""),
		answer: conformance.Answer{Status: 200, Headers: map[string]any{"Content-Type": "text/plain"}, Body: "bc609b38-c81f-47fb-a275-1d9bd61be968"},
	},
	{
		provider: "nylas", what: "challenge before there is a secret", request: requestOf("GET", "?challenge=bc609b38", ""), options: accept, first: true,
		answer: conformance.Answer{Status: 200, Body: "bc609b38"},
	},
	{provider: "dropbox", what: "challenge", request: requestOf("GET", "?challenge=abc", ""), answer: conformance.Answer{Status: 200, Body: "abc"}},
	{provider: "onfleet", what: "check", request: requestOf("GET", "?check=abc", ""), answer: conformance.Answer{Status: 200, Body: "abc"}},
	{provider: "worldline", what: "endpoint verification", request: requestOf("GET", "", "", "X-GCS-Webhooks-Endpoint-Verification", "abc"), answer: conformance.Answer{Status: 200, Body: "abc"}},
	{provider: "braintree", what: "bt_challenge", request: requestOf("GET", "?bt_challenge="+strings.Repeat("a", 20), ""), answer: conformance.Answer{Status: 200, Body: "*"}},
	{provider: "x", what: "CRC", request: requestOf("GET", "?crc_token=abc", ""), answer: conformance.Answer{Status: 200, Headers: jsonType, Body: "*"}},
	{provider: "microsoft-graph", what: "validationToken", request: requestOf("POST", "?validationToken=abc", ""), answer: conformance.Answer{Status: 200, Body: "abc"}},
	{provider: "monday", what: "challenge", request: requestOf("POST", "", `{"challenge":"abc"}`), answer: conformance.Answer{Status: 200, Headers: jsonType, Body: `{"challenge":"abc"}`}},
	{
		provider: "meta", what: "hub.challenge", request: requestOf("GET", "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock", ""),
		options: map[string]any{"verify_token": "meatyhamhock"}, option: "verify_token", answer: conformance.Answer{Status: 200, Body: "1158201444"},
	},
	{
		provider: "websub", what: "hub.challenge", request: requestOf("GET", "?hub.mode=subscribe&hub.topic=https%3A%2F%2Fexample.org%2Ffeed&hub.challenge=abc&hub.lease_seconds=432000", ""),
		options: map[string]any{"topics": []string{"https://example.org/feed"}, "accept_handshake": true}, option: "topic", answer: conformance.Answer{Status: 200, Body: "abc"},
	},
	{provider: "woocommerce", what: "ping", request: requestOf("POST", "", "webhook_id=12", "Content-Type", "application/x-www-form-urlencoded"), answer: ok},
	{provider: "slack", what: "ssl_check", request: requestOf("POST", "", "ssl_check=1&token=GGgWpfqhpPbVhJbMzzl1ufCJ", "Content-Type", "application/x-www-form-urlencoded"), answer: ok},
	{provider: "bitbucket", what: "Test connection of Data Center", request: requestOf("POST", "", `{"test":true}`, "X-Event-Key", "diagnostics:ping", "Content-Type", "application/json"), answer: ok},
	{provider: "intercom", what: "HEAD", request: requestOf("HEAD", "", ""), answer: ok},
	{provider: "mailersend", what: "webhook.test", request: requestOf("POST", "", mailerSendPing, "Signature", hmacHex("test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G", mailerSendPing)), answer: ok},
	{
		provider: "mailersend", what: "webhook.test before there is a secret", request: requestOf("POST", "", mailerSendPing, "Signature", hmacHex("test_Am3L1GuOIc4blLUuHqAPxxwkZaJyEk8G", mailerSendPing)),
		options: accept, first: true, answer: ok,
	},
	{provider: "mandrill", what: "HEAD before there is a secret", request: requestOf("HEAD", "", ""), options: accept, first: true, answer: ok},
	{provider: "mandrill", what: "HEAD", request: requestOf("HEAD", "", ""), answer: ok},
	{provider: "trello", what: "HEAD", request: requestOf("HEAD", "", ""), answer: ok},
	{
		provider: "smartcar", what: "VERIFY", request: requestOf("POST", "", smartcarVerify), options: secretIs(smartcarToken, nil),
		answer: conformance.Answer{Status: 200, Headers: jsonType, Body: `{"challenge":"` + hmacHex(smartcarToken, setUpProof) + `"}`},
	},
	{
		provider: "smartcar", what: "VERIFY, signed", request: requestOf("POST", "", smartcarVerify, "SC-Signature", hmacHex(smartcarToken, smartcarVerify)), options: secretIs(smartcarToken, nil),
		answer: conformance.Answer{Status: 200, Headers: jsonType, Body: `{"challenge":"` + hmacHex(smartcarToken, setUpProof) + `"}`},
	},
	{
		provider: "smartcar", what: "verify of version 2", request: requestOf("POST", "", smartcarVerify2), options: secretIs(smartcarToken, nil),
		answer: conformance.Answer{Status: 200, Headers: jsonType, Body: `{"challenge":"` + hmacHex(smartcarToken, setUpProof) + `"}`},
	},
	{
		provider: "zoom", what: "endpoint.url_validation", request: requestOf("POST", "", zoomValidation, "x-zm-request-timestamp", strconv.Itoa(setUpTime), "x-zm-signature", "v0="+hmacHex(zoomSecret, "v0:"+strconv.Itoa(setUpTime)+":"+zoomValidation)),
		options: secretIs(zoomSecret, nil), answer: conformance.Answer{Status: 200, Headers: jsonType, Body: `{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"` + hmacHex(zoomSecret, "qgg8vlvZRS6UYooatFL8Aw") + `"}`},
	},
	{
		provider: "airship", what: "validate", request: requestOf("GET", "/validate", "", "X-UA-TIMESTAMP", strconv.Itoa(setUpTime), "X-UA-SIGNATURE", hmacHex(airshipSecret, strconv.Itoa(setUpTime)+":")),
		options: secretIs(airshipSecret, map[string]any{"verify_token": "559384cd-6284-4e3e-9e4e-7c260019a251"}),
		answer:  conformance.Answer{Status: 200, Headers: jsonType, Body: `{"confirmation_code":"559384cd-6284-4e3e-9e4e-7c260019a251"}`},
	},
	{
		provider: "cloudevents", what: "OPTIONS", request: requestOf("OPTIONS", "", "", "WebHook-Request-Origin", "eventemitter.example.com", "WebHook-Request-Rate", "120", "WebHook-Request-Callback", "https://eventemitter.example.com/confirm"),
		options: map[string]any{"allowed_origins": []string{"eventemitter.example.com"}}, option: "allowed_origin eventemitter.example.com",
		answer: conformance.Answer{Status: 200, Headers: map[string]any{"WebHook-Allowed-Origin": "eventemitter.example.com", "WebHook-Allowed-Rate": "120", "Allow": "POST"}},
	},
	{
		provider: "azure-event-grid", what: "OPTIONS", request: requestOf("OPTIONS", "?code=made-up-0001", "", "WebHook-Request-Origin", "eventgrid.azure.net", "WebHook-Request-Rate", "120"), options: secretIs("made-up-0001", nil),
		answer: conformance.Answer{Status: 200, Headers: map[string]any{"WebHook-Allowed-Origin": "eventgrid.azure.net", "WebHook-Allowed-Rate": "120", "Allow": "POST"}},
	},
}

// setUpVector returns a vector of the request, for an endpoint with its options.
func (s *setUpRequest) vector(t *testing.T) conformance.Vector {
	t.Helper()
	vectors, err := conformance.ReadFile(filepath.Join("../../catalogue/testdata/vectors", s.provider+".json"))
	if err != nil {
		t.Fatal(err)
	}
	v := vectors[0]
	v.Name, v.Expect, v.Request, v.Now, v.SentBefore = s.what, "accept", s.request, setUpTime, false
	answer := s.answer
	v.Answer = &answer
	return changed(t, v, func(p map[string]any) {
		delete(p, "verify_token")
		delete(p, "accept_handshake")
		delete(p, "topics")
		delete(p, "allowed_origins")
		if s.first {
			delete(p, "secrets")
		}
		maps.Copy(p, s.options)
	})
}

func TestEveryPresetAnswersTheSetUpRequestsOfItsProvider(t *testing.T) {
	t.Parallel()
	for _, s := range setUpRequests {
		v := s.vector(t)
		if v.Answer.Body == "*" { // the response is tested with the preset
			v.Answer.Body = string(openWith(t, v, nil).Send(build(t, v)).Body)
		}
		got := openWith(t, v, nil).Send(build(t, v))
		if got.Outcome != string(caddymodule.Handshake) || got.Reached {
			t.Errorf("%s, %s: outcome %s (%s), reached the app: %t", s.provider, s.what, got.Outcome, got.Reason, got.Reached)
			continue
		}
		if result, err := conformance.Run(v); err != nil || result.Wrong != "" {
			t.Errorf("%s, %s: %s, %v", s.provider, s.what, result.Wrong, err)
		}
		if got.Header.Get("Content-Type") != "" && got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s, %s: a browser could render the response as a page: %v", s.provider, s.what, got.Header)
		}
	}
}

// TestRefusedSetUpRequestNamesTheOption sends each set-up request to an endpoint
// without the options that it needs.
func TestRefusedSetUpRequestNamesTheOption(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, s := range setUpRequests {
		if s.option == "" {
			continue
		}
		tried++
		unarmed := s
		unarmed.options, unarmed.first = nil, false
		v := unarmed.vector(t)
		got := openWith(t, v, nil).Send(build(t, v))
		if got.Status != http.StatusUnauthorized || got.Reached || len(got.Body) > 0 || !strings.Contains(got.Reason, s.option) {
			t.Errorf("%s, %s: status %d, %q, reached %t; want 401 with a reason that names %s", s.provider, s.what, got.Status, got.Reason, got.Reached, s.option)
		}
	}
	if tried < 6 {
		t.Errorf("only %d handshakes need an option", tried)
	}
}

// Each handshake that the documentation names is in the table above or in the
// vectors.
func TestEveryPresetWithAHandshakeHasItsSetUpRequest(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		help := p.Describe().Handshake
		if help == "" || strings.HasPrefix(help, "none") || p.Name == "aws-sns" { // fetches a URL of Amazon
			continue
		}
		if len(handshakes(t, p.Name)) == 0 {
			t.Errorf("%s answers handshakes (%s), but none is tested", p.Name, help)
		}
	}
}

// Other requests without a signature must be refused and not forwarded.
func TestNoPresetAnswersACheckThatItsProviderDoesNotSend(t *testing.T) {
	t.Parallel()
	checks := []conformance.Request{
		requestOf("HEAD", "", ""), requestOf("GET", "", ""), requestOf("OPTIONS", "", ""),
		requestOf("OPTIONS", "", "", "WebHook-Request-Origin", "attacker.example"),
		requestOf("OPTIONS", "", "", "Origin", "https://attacker.example", "Access-Control-Request-Method", "POST"),
		requestOf("POST", "", `{"verification_token":"secret_planted"}`), requestOf("POST", "", "", "X-Hook-Secret", "planted"), requestOf("POST", "", "ssl_check=2"),
	}
	for _, p := range provider.Presets() {
		vectors := accepted(t, p.Name)
		if len(vectors) == 0 {
			continue
		}
		for _, check := range checks {
			if check.Method == "HEAD" && slices.Contains([]string{"intercom", "mandrill", "trello"}, p.Name) {
				continue
			}
			v := vectors[0]
			v.Request = check
			got := openWith(t, v, nil).Send(build(t, v))
			if got.Status < 400 || got.Reached || len(got.Body) > 0 {
				t.Errorf("%s, %s %v: status %d, %s, reached %t", p.Name, check.Method, check.Headers, got.Status, got.Outcome, got.Reached)
			}
		}
	}
}

// An endpoint without a secret answers the handshake, and responds to deliveries
// with 503, so that they are retried.
func TestNothingIsVerifiedWithoutASecret(t *testing.T) {
	t.Parallel()
	for _, p := range provider.Presets() {
		if !p.SecretLater {
			continue
		}
		for _, v := range accepted(t, p.Name) {
			v = changed(t, v, func(p map[string]any) {
				delete(p, "secrets")
				p["accept_handshake"] = true
			})
			got := openWith(t, v, nil).Send(build(t, v))
			if got.Status != http.StatusServiceUnavailable || got.Reached || !strings.Contains(got.Reason, "no secret is configured") {
				t.Errorf("%s, %s: status %d, %q, reached %t", p.Name, v.Name, got.Status, got.Reason, got.Reached)
			}
			v.Request.Headers = nil
			if got := openWith(t, v, nil).Send(build(t, v)); got.Status != http.StatusUnauthorized || got.Reached {
				t.Errorf("%s, %s without a signature: status %d, reached %t", p.Name, v.Name, got.Status, got.Reached)
			}
		}
		v := changed(t, accepted(t, p.Name)[0], func(p map[string]any) { delete(p, "secrets") })
		if _, err := v.Open(); err == nil || !strings.Contains(err.Error(), "accept_handshake") {
			t.Errorf("%s accepts a config without a secret, or has an unexpected error: %v", p.Name, err)
		}
	}
}
