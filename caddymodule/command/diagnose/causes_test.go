package diagnose

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/command/capture"
)

// changed returns a changed copy of the request.
func changed(r *capture.Request, change func(*capture.Request)) *capture.Request {
	change(r)
	return r
}

func without(r *capture.Request, header string) *capture.Request {
	return changed(r, func(r *capture.Request) { r.Header.Del(header) })
}

// TestCausesThatLookLikeAWrongSecret runs the causes that look like a wrong secret.
func TestCausesThatLookLikeAWrongSecret(t *testing.T) {
	indented := string(rewriteAs(t, githubEvent, jsonStyles[2], jsonEscapes[0]))
	compacted := string(rewriteAs(t, githubEvent, jsonStyles[0], jsonEscapes[0]))
	const pusherSecret, mandrillKey = "a1b2c3d4e5f6a7b8c9d0", "the key of the webhook"
	for _, test := range []struct {
		name, provider, options string
		secrets, labels         []string
		request                 *capture.Request
		want, says              string
	}{
		{name: "pretty-printed by a page", provider: "github", secrets: []string{githubSecret}, request: body(send(t, "github", "", githubSecret, hook, compacted), []byte(indented)), want: "body_reformatted", says: "the secret is right"},
		{
			name: "the JSON of a form, pretty-printed by a page", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, "payload="+url.QueryEscape(compacted)), []byte(indented)), want: "body_reformatted", says: "payload=",
		},
		{
			name: "pretty-printed, in a way that cannot be undone", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, `{"n":1.0,"a":[1,2]}`), []byte("{\n  \"n\": 1,\n  \"a\": [\n    1,\n    2\n  ]\n}")), want: "body_reformatted secret_unknown", says: "the secret may be right",
		},
		{
			name: "written by .NET", provider: "github", secrets: []string{githubSecret},
			request: body(send(t, "github", "", githubSecret, hook, string(rewriteAs(t, githubEvent, jsonStyles[0], jsonEscapes[9]))), []byte(githubEvent)), want: "json_rewritten", says: ".NET",
		},
		{name: "cut off", provider: "github", secrets: []string{githubSecret}, request: body(github(t, githubSecret), []byte(githubEvent[:100])), want: "body_truncated", says: "ends after 100 bytes"},
		{
			name: "shorter than its length says", provider: "twilio", secrets: []string{"12345678901234567890123456789012"},
			request: changed(twilio(t, hook), func(r *capture.Request) { r.Header.Set("Content-Length", "109"); r.Body = r.Body[:40] }), want: "body_truncated", says: "Content-Length is 109",
		},
		{name: "a masked signature", provider: "github", secrets: []string{githubSecret}, request: changed(github(t, githubSecret), func(r *capture.Request) { r.Header.Set("X-Hub-Signature-256", "sha256=*****") }), want: "record_redacted", says: "X-Hub-Signature-256 masked"},
		{name: "no timestamp", provider: "zendesk", secrets: []string{"secret of Zendesk"}, request: without(send(t, "zendesk", "", "secret of Zendesk", hook, githubEvent), "X-Zendesk-Webhook-Signature-Timestamp"), want: "header_missing", says: "X-Zendesk-Webhook-Signature-Timestamp"},
		{name: "no version", provider: "box", secrets: []string{"secret of Box"}, request: without(send(t, "box", "", "secret of Box", hook, githubEvent), "BOX-SIGNATURE-VERSION"), want: "header_missing", says: "BOX-SIGNATURE-VERSION"},
		{name: "no key", provider: "pusher", secrets: []string{pusherSecret}, labels: []string{"key1"}, request: without(send(t, "pusher", "", pusherSecret, hook, githubEvent), "X-Pusher-Key"), want: "header_missing", says: "X-Pusher-Key"},
		{
			name: "another key", provider: "pusher", secrets: []string{pusherSecret}, labels: []string{"key1"},
			request: changed(send(t, "pusher", "", pusherSecret, hook, githubEvent), func(r *capture.Request) { r.Header.Set("X-Pusher-Key", "key2") }), want: "key_label", says: "names the key key2",
		},
		{name: "quotes at the provider", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, `"`+stripeSecret+`"`), want: "secret_quoted_at_provider", says: "at the provider again, without quotes"},
		{name: "single quotes at the provider", provider: "github", secrets: []string{"secret"}, request: github(t, "'secret'"), want: "secret_quoted_at_provider"},
		{name: "angle brackets at the provider", provider: "github", secrets: []string{"secret"}, request: github(t, "<secret>"), want: "secret_quoted_at_provider"},
		{name: "a variable that is not set at the sender", provider: "github", secrets: []string{githubSecret}, request: github(t, "undefined"), want: "secret_unset_at_provider", says: "not set"},
		{name: "base64 at the provider", provider: "github", secrets: []string{githubSecret}, request: github(t, base64.StdEncoding.EncodeToString([]byte(githubSecret))), want: "secret_encoded_at_provider"},
		{name: "a line of an env file", provider: "github", secrets: []string{"GITHUB_SECRET=" + githubSecret}, request: github(t, githubSecret), want: "secret_assignment", says: "NAME=VALUE"},
		{name: "pasted twice", provider: "github", secrets: []string{githubSecret + githubSecret}, request: github(t, githubSecret), want: "secret_doubled"},
		{name: "a zero-width space", provider: "github", secrets: []string{githubSecret[:5] + "\u200b" + githubSecret[5:]}, request: github(t, githubSecret), want: "secret_invisible"},
		{name: "the test of Zendesk", provider: "zendesk", secrets: []string{"secret of Zendesk"}, request: send(t, "zendesk", "", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==", hook, githubEvent), want: "test_delivery", says: "create the webhook first"},
		{
			name: "the check of Mandrill", provider: "mandrill", secrets: []string{mandrillKey},
			request: changed(send(t, "mandrill", "", "test-webhook", hook, "mandrill_events=%5B%5D"), func(*capture.Request) {}), want: "test_delivery", says: "nothing is lost",
		},
		{name: "the Stripe CLI", provider: "stripe", secrets: []string{stripeSecret}, request: stripe(t, "whsec_of_the_cli"), want: "live_mode secret_unknown", says: "stripe listen --print-secret"},
		{name: "the second of two secrets, reformatted", provider: "github", secrets: []string{"new", githubSecret}, request: body(send(t, "github", "", githubSecret, hook, compacted), []byte(indented)), want: "body_reformatted"},
		{name: "a token in code, in quotes", provider: "vonage", secrets: []string{`"secret of Vonage"`}, request: vonage(t), want: "no_signature", says: "Authorization"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.provider == "mandrill" {
				test.request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			report, err := Explain(t.Context(), Case{Provider: test.provider, Options: json.RawMessage(test.options), Secrets: test.secrets, Labels: test.labels, Request: test.request, Now: signedAt})
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			text := report.Answer()
			for _, f := range report.Findings {
				kinds = append(kinds, f.Kind)
				text += " " + f.Cause + ": " + f.Change
			}
			if got := strings.Join(kinds, " "); got != test.want || !strings.Contains(text, test.says) {
				t.Errorf("got %q, want %q with %q: %s", got, test.want, test.says, text)
			}
			for _, secret := range test.secrets {
				if len(secret) > 8 && strings.Contains(text, secret) {
					t.Errorf("the report contains a secret: %s", text)
				}
			}
		})
	}
}

// vonage returns a request without its token.
func vonage(t *testing.T) *capture.Request {
	t.Helper()
	return &capture.Request{Method: "POST", Scheme: "https", Host: "h", RequestURI: "/", Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{}`)}
}

// The inspector runs searches on request, so their cost must be bounded.
func TestLimitsEndSearches(t *testing.T) {
	c := Case{Provider: "stripe", Secrets: []string{stripeSecret}, Request: stripe(t, "whsec_other"), Now: signedAt}
	c.Limits = Limits{Tries: 100}
	report, err := Explain(t.Context(), c)
	if err != nil || !report.Cut || report.Variations > 110 || len(report.Findings) == 0 {
		t.Errorf("a limit of tries: %+v, %v", report, err)
	}
	c.Limits = Limits{Bytes: 100_000}
	report, err = Explain(t.Context(), c)
	if err != nil || !report.Cut || report.Variations > 200 || len(report.Findings) == 0 {
		t.Errorf("a limit of bytes: %+v, %v", report, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report, err = Explain(ctx, Case{Provider: "stripe", Secrets: []string{stripeSecret}, Request: stripe(t, "whsec_other"), Now: signedAt})
	if err != nil || report.Variations > 10 {
		t.Errorf("an ended context: %+v, %v", report, err)
	}
	if report != nil && report.Outcome == caddymodule.Verified {
		t.Error("verified")
	}
}
