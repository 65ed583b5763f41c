package diagnose

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
	_ "github.com/verify-webhook/caddy-verify-webhook/catalogue"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// signedAt is the time at which the deliveries in these tests were signed.
var signedAt = time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)

const (
	githubSecret = "It's a Secret to Everybody"
	stripeSecret = "whsec_7Xq1v0b3mTn2c9dK4LrPz8yWQhGfUaJe"
	// The example key of the Standard Webhooks specification.
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

	stripeEvent = `{
  "id": "evt_1PBw2hLkdIwHu7ixAbCdEfGh",
  "object": "event",
  "api_version": "2024-04-10",
  "created": 1714557600,
  "data": {
    "object": {
      "id": "in_1PBw2gLkdIwHu7ixZzZzZzZz",
      "object": "invoice",
      "amount_paid": 4200,
      "customer_name": "Jörg Müller <joerg@example.com>",
      "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/test"
    }
  },
  "livemode": true,
  "type": "invoice.paid"
}`
	githubEvent   = `{"zen":"Design for failure.","hook_id":109948940,"repository":{"full_name":"octocat/Hello-World","description":"caf\u00e9 <b>","html_url":"https://github.com/octocat/Hello-World"}}`
	twilioOptions = `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Twilio-Like-Signature","encoding":"base64"},"signed":"{url}{body}"}`
)

// send signs a delivery with a secret and returns it as a captured request.
func send(t *testing.T, name, options, secret, target, body string) *capture.Request {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	tooling, err := signing.Inspect(name, json.RawMessage(options))
	if err != nil {
		t.Fatal(err)
	}
	r := &signature.Request{Method: "POST", Scheme: u.Scheme, Host: u.Host, RequestURI: u.RequestURI(), Header: http.Header{"User-Agent": {"Provider/1.0"}}, Body: signature.BytesBody(body)}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	scheme := tooling.Schemes[len(tooling.Schemes)-1]
	draft := signature.Draft{Time: signedAt}
	if scheme.ID != nil && scheme.ID.From == "header" {
		draft.ID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
	}
	scheme, key, err := withSecret(scheme, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := scheme.Sign(r, signature.SigningKey{Secret: key}, draft); err != nil {
		t.Fatal(err)
	}
	return &capture.Request{Method: r.Method, Scheme: r.Scheme, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: r.Body.Bytes(), Received: signedAt.Add(2 * time.Second)}
}

const hook = "https://hooks.example.com/in"

func github(t *testing.T, secret string) *capture.Request {
	return send(t, "github", "", secret, hook, githubEvent)
}

func stripe(t *testing.T, secret string) *capture.Request {
	return send(t, "stripe", "", secret, hook, stripeEvent)
}

// body returns a copy of the request with another body.
func body(r *capture.Request, body []byte) *capture.Request {
	r.Body = body
	return r
}

func rewrite(t *testing.T, text string, indent bool) []byte {
	t.Helper()
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var out []byte
	var err error
	if indent {
		out, err = json.MarshalIndent(document, "", "  ")
	} else {
		out, err = json.Marshal(document)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEveryMistakeIsFound has one case for each common mistake.
func TestEveryMistakeIsFound(t *testing.T) {
	for _, test := range []struct {
		name     string
		provider string
		options  string
		secrets  []string
		others   []string
		request  *capture.Request
		received time.Time
		want     string // kinds, in the order in which to fix them
		says     string // in cause or change
	}{
		{name: "a line break at the end of the secret", provider: "github", secrets: []string{githubSecret + "\n"}, request: github(t, githubSecret), want: "secret_whitespace", says: "printf"},
		{name: "a line break in the secret at the provider", provider: "github", secrets: []string{githubSecret}, request: github(t, githubSecret+"\n"), want: "secret_whitespace_at_provider"},
		{name: "quotes around the secret", provider: "stripe", secrets: []string{`"` + stripeSecret + `"`}, request: stripe(t, stripeSecret), want: "secret_quoted"},
		{name: "the whsec_ cut off although it is part of the key", provider: "stripe", secrets: []string{strings.TrimPrefix(stripeSecret, "whsec_")}, request: stripe(t, stripeSecret), want: "secret_prefix_cut", says: "with whsec_"},
		{name: "the whsec_ kept by a sender that should remove it", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, strings.TrimPrefix(stripeSecret, "whsec_")), want: "secret_prefix_kept"},
		{
			name: "base64 read as text", provider: "standard-webhooks", secrets: []string{standardSecret},
			request: sendAs(t, standardSecret, signature.KeyFormat{Encoding: "utf8"}), want: "secret_read_as_base64", says: "as text",
		},
		{name: "the text of a base64 secret used as the key", provider: "github", secrets: []string{base64.StdEncoding.EncodeToString([]byte(githubSecret))}, request: github(t, githubSecret), want: "secret_read_as_text", says: "Kubernetes"},
		{name: "hex read as text", provider: "github", secrets: []string{hex.EncodeToString([]byte(githubSecret))}, request: github(t, githubSecret), want: "secret_read_as_text"},
		{name: "a URL-encoded secret", provider: "github", secrets: []string{url.QueryEscape(githubSecret)}, request: github(t, githubSecret), want: "secret_url_encoded"},

		{
			name: "JSON serialized again by Go", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, string(rewriteAs(t, githubEvent, jsonStyles[1], jsonEscapes[1]))), []byte(githubEvent)), want: "json_rewritten", says: "blank after commas",
		},
		{name: "pretty JSON made compact", provider: "stripe", secrets: []string{stripeSecret}, request: body(stripe(t, stripeSecret), compact(t, stripeEvent)), want: "json_rewritten", says: "indented by 2"},
		{
			name: "slashes that PHP escaped", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, string(rewriteAs(t, githubEvent, jsonStyles[0], jsonEscapes[4]))), []byte(githubEvent)), want: "json_rewritten", says: "PHP",
		},
		{
			name: "sorted members", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, string(rewrite(t, githubEvent, true))), []byte(githubEvent)), want: "json_rewritten", says: "sorted",
		},
		{name: "LF changed to CRLF", provider: "stripe", secrets: []string{stripeSecret}, request: body(stripe(t, stripeSecret), bytes.ReplaceAll([]byte(stripeEvent), []byte("\n"), []byte("\r\n"))), want: "crlf", says: "changed to CRLF"},
		{name: "a line break added to the body", provider: "github", secrets: []string{githubSecret}, request: body(github(t, githubSecret), []byte(githubEvent+"\n")), want: "body_end"},
		{
			name: "a form that was decoded", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, "payload="+url.QueryEscape(githubEvent)), []byte(githubEvent)), want: "form_decoded", says: "payload=",
		},
		{
			name: "a form without its escapes", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, "From=%2B15551234567&Body=Hello+there"), []byte("From=+15551234567&Body=Hello there")), want: "form_decoded",
		},
		{name: "a body in base64", provider: "stripe", secrets: []string{stripeSecret}, request: body(stripe(t, stripeSecret), []byte(base64.StdEncoding.EncodeToString([]byte(stripeEvent)))), want: "body_base64"},
		{name: "another charset", provider: "stripe", secrets: []string{stripeSecret}, request: body(stripe(t, stripeSecret), latin1([]byte(stripeEvent))), want: "charset"},

		{name: "the wrong one of several secrets", provider: "stripe", secrets: []string{stripeSecret}, others: []string{"whsec_other", "whsec_right"}, request: stripe(t, "whsec_right"), want: "secret_wrong", says: "other secret 2"},
		{name: "another secret, in quotes", provider: "stripe", secrets: []string{stripeSecret}, others: []string{"'whsec_right'"}, request: stripe(t, "whsec_right"), want: "secret_quoted", says: "other secret 1"},
		{
			name: "the secret of live mode for a test event", provider: "stripe", secrets: []string{stripeSecret},
			request: send(t, "stripe", "", "whsec_of_test_mode", hook, strings.Replace(stripeEvent, `"livemode": true`, `"livemode": false`, 1)), want: "test_mode secret_unknown", says: "test mode",
		},
		{name: "an API key instead of a secret", provider: "stripe", secrets: []string{"sk_live_51H8xyz"}, request: stripe(t, stripeSecret), want: "api_key live_mode secret_unknown"},
		{name: "a placeholder instead of a secret", provider: "github", secrets: []string{"${GITHUB_WEBHOOK_SECRET}"}, request: github(t, githubSecret), want: "secret_placeholder secret_unknown"},

		{
			name: "http signed, https received", provider: "custom", options: twilioOptions, secrets: []string{"token"},
			request: arrivedAt(send(t, "custom", twilioOptions, "token", "https://hooks.example.com/sms?x=1", "a=b"), "http", "hooks.example.com", "/sms?x=1"), want: "url_scheme", says: "public_url https://hooks.example.com/sms`",
		},
		{
			name: "a port that is not in the provider's URL", provider: "custom", options: twilioOptions, secrets: []string{"token"},
			request: arrivedAt(send(t, "custom", twilioOptions, "token", hook, "a=b"), "https", "hooks.example.com:8443", "/in"), want: "url_port", says: "public_url https://hooks.example.com/in",
		},
		{
			name: "a path that a proxy rewrote", provider: "custom", options: twilioOptions, secrets: []string{"token"},
			request: arrivedAt(send(t, "custom", twilioOptions, "token", hook+"/", "a=b"), "http", "hooks.example.com", "/in"), want: "url_scheme", says: "has the path /in/",
		},

		{
			name: "Twilio behind a proxy that terminates TLS", provider: "twilio", secrets: []string{"12345678901234567890123456789012"},
			request: arrivedAt(twilio(t, "https://hooks.example.com/sms"), "http", "hooks.example.com:8080", "/sms"), want: "url_scheme", says: "public_url https://hooks.example.com/sms",
		},

		{name: "only the header with SHA-1", provider: "github", secrets: []string{githubSecret}, request: onlySHA1(t), want: "sha1_header", says: "X-Hub-Signature-256"},
		{
			name: "SHA-1 under the header for SHA-256", provider: "custom", options: `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Sig"}}`, secrets: []string{"k"},
			request: send(t, "custom", `{"algorithm":"hmac-sha1","signature":{"from":"header","name":"X-Sig"}}`, "k", hook, "{}"), want: "signature_algorithm", says: "hmac-sha1",
		},
		{
			name: "base64 instead of hex", provider: "custom", options: `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Sig"}}`, secrets: []string{"k"},
			request: send(t, "custom", `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Sig","encoding":"base64"}}`, "k", hook, "{}"), want: "signature_encoding", says: "base64",
		},
		{
			name: "another signed content", provider: "custom", options: `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Sig"},"timestamp":{"from":"header","name":"X-Time"},"signed":"{timestamp}{body}"}`, secrets: []string{"k"},
			request: send(t, "custom", `{"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Sig"},"timestamp":{"from":"header","name":"X-Time"},"signed":"{timestamp}.{body}"}`, "k", hook, "{}"), want: "signed_content", says: "{timestamp}.{body}",
		},
		{name: "a header with underscores", provider: "github", secrets: []string{githubSecret}, request: renamed(t), want: "header_renamed", says: "X_hub_signature_256"},
		{name: "another provider", provider: "stripe", secrets: []string{stripeSecret}, request: github(t, githubSecret), want: "other_provider", says: "github"},
		{name: "no signature at all", provider: "stripe", secrets: []string{stripeSecret}, request: &capture.Request{Method: "POST", RequestURI: "/", Header: http.Header{}}, want: "no_signature"},

		{name: "a clock that is an hour ahead", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, stripeSecret), received: signedAt.Add(time.Hour + 3*time.Second), want: "clock_zone", says: "1h0m0s ahead"},
		{name: "a clock that is behind", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, stripeSecret), received: signedAt.Add(-12 * time.Minute), want: "clock"},
		{name: "a late delivery", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, stripeSecret), received: signedAt.Add(17 * time.Minute), want: "late", says: "tolerance"},

		{name: "two things at once", provider: "stripe", secrets: []string{`"` + stripeSecret + `"`}, request: body(stripe(t, stripeSecret), compact(t, stripeEvent)), want: "secret_quoted json_rewritten"},
		{name: "nothing wrong", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, stripeSecret), want: ""},
		{name: "nothing wrong, with the second secret", provider: "stripe", secrets: []string{"whsec_other", stripeSecret}, request: stripe(t, stripeSecret), want: ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !test.received.IsZero() {
				test.request.Received = test.received
			}
			report, err := Explain(t.Context(), Case{Provider: test.provider, Options: json.RawMessage(test.options), Secrets: test.secrets, Others: test.others, Request: test.request, Now: signedAt.Add(24 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, f := range report.Findings {
				kinds = append(kinds, f.Kind)
			}
			text := fmt.Sprintf("%+v", report)
			if got := strings.Join(kinds, " "); got != test.want || !strings.Contains(text, test.says) {
				t.Errorf("got %q, want %q: %s", got, test.want, text)
			}
			if (report.Outcome == caddymodule.Verified) != (test.want == "") {
				t.Errorf("the handler's outcome is %s: %s", report.Outcome, report.Reason)
			}
			for _, signed := range everySignature(test.secrets, test.others, test.request.Body) {
				if strings.Contains(text, signed) {
					t.Errorf("the report contains a valid signature: %s", text)
				}
			}
			for _, secret := range append(test.secrets, test.others...) {
				if secret = strings.TrimSpace(secret); len(secret) > 5 && strings.Contains(text, secret) {
					t.Errorf("the report contains a secret: %s", text)
				}
			}
		})
	}
}

// everySignature returns all valid signatures of the body, with and without the
// time before it, for these secrets.
func everySignature(secrets, others []string, body []byte) []string {
	var all []string
	for _, secret := range slices.Concat(secrets, others) {
		for _, content := range []string{string(body), fmt.Sprint(signedAt.Unix(), ".", string(body))} {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(content))
			sum := mac.Sum(nil)
			all = append(all, hex.EncodeToString(sum), base64.StdEncoding.EncodeToString(sum))
		}
	}
	return all
}

// sendAs returns a Standard Webhooks delivery whose key was derived from the secret
// in a wrong way.
func sendAs(t *testing.T, secret string, format signature.KeyFormat) *capture.Request {
	t.Helper()
	tooling, err := signing.Inspect("standard-webhooks", nil)
	if err != nil {
		t.Fatal(err)
	}
	scheme := tooling.Schemes[len(tooling.Schemes)-1]
	scheme.Key = format
	r := &signature.Request{Method: "POST", Scheme: "https", Host: "h", RequestURI: "/", Header: make(http.Header), Body: signature.BytesBody(githubEvent)}
	scheme, key, err := withSecret(scheme, secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := scheme.Sign(r, signature.SigningKey{Secret: key}, signature.Draft{ID: "msg_1", Time: signedAt}); err != nil {
		t.Fatal(err)
	}
	return &capture.Request{Method: r.Method, Scheme: r.Scheme, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: r.Body.Bytes(), Received: signedAt}
}

// twilio returns a delivery of a text message.
func twilio(t *testing.T, target string) *capture.Request {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signing.OpenSigner("twilio", nil, "12345678901234567890123456789012", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &signature.Request{
		Method: "POST", Scheme: u.Scheme, Host: u.Host, RequestURI: u.RequestURI(), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body: signature.BytesBody("ToCountry=US&SmsMessageSid=SM1&Body=Hello+there&From=%2B15551234567&To=%2B15557654321&ApiVersion=2010-04-01"),
	}
	if err := signer.Sign(r, signature.Draft{Time: signedAt, ID: "e1a7c0de"}); err != nil {
		t.Fatal(err)
	}
	return &capture.Request{Method: r.Method, Scheme: r.Scheme, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header, Body: r.Body.Bytes()}
}

func arrivedAt(r *capture.Request, scheme, host, uri string) *capture.Request {
	r.Scheme, r.Host, r.RequestURI = scheme, host, uri
	return r
}

func onlySHA1(t *testing.T) *capture.Request {
	r := github(t, githubSecret)
	r.Header["X-Hub-Signature"] = []string{"sha1=3dca279e731c97c38e3019a075dee9ebbd0a99f0"}
	delete(r.Header, "X-Hub-Signature-256")
	return r
}

func renamed(t *testing.T) *capture.Request {
	r := github(t, githubSecret)
	r.Header["X_hub_signature_256"] = r.Header["X-Hub-Signature-256"]
	delete(r.Header, "X-Hub-Signature-256")
	return r
}

func compact(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func rewriteAs(t *testing.T, text string, style jsonStyle, escape jsonEscape) []byte {
	t.Helper()
	document, err := parseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w := jsonWriter{style: style, escape: escape}
	w.write(document, 0)
	return w.out.Bytes()
}

func TestRecordWithoutATimeIsNotStale(t *testing.T) {
	r := stripe(t, stripeSecret)
	r.Received = time.Time{}
	report, err := Explain(t.Context(), Case{Provider: "stripe", Secrets: []string{stripeSecret}, Request: r, Now: signedAt.Add(900 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) != 1 || report.Findings[0].Kind != "recorded" || !strings.Contains(report.Findings[0].Cause, "2024-05-01T10:00:00Z") {
		t.Errorf("got %+v", report.Findings)
	}
}

func TestSearchEnds(t *testing.T) {
	r := body(stripe(t, "whsec_other"), bytes.Repeat([]byte(" "), 8<<20))
	report, err := Explain(t.Context(), Case{Provider: "stripe", Secrets: []string{stripeSecret}, Request: r, Now: signedAt})
	if err != nil {
		t.Fatal(err)
	}
	if report.Variations > maxTried || len(report.Findings) == 0 {
		t.Errorf("tried %d, found %v", report.Variations, report.Findings)
	}
}

func TestUnknownProviderIsAnError(t *testing.T) {
	if _, err := Explain(t.Context(), Case{Provider: "gihtub", Request: github(t, githubSecret)}); err == nil {
		t.Error("no error")
	}
}
