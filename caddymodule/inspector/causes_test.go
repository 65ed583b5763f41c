package inspector_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const (
	stripeSecret = "whsec_7Xq1v0b3mTn2c9dK4LrPz8yWQhGfUaJe"
	document     = `{"id":"evt_1","object":"event","livemode":true,"type":"invoice.paid","name":"Jörg","url":"https://a.example/b"}`
	bareScheme   = `"algorithm":"hmac-sha256","signature":{"from":"header","name":"X-Sig"`
)

// cause is a mistake and the finding that explains it.
type cause struct {
	name       string
	provider   string
	options    string // of the endpoint, in addition to its secret
	label      string // of the secret
	configured string // the secret at the endpoint; default: sender
	sender     string // the secret that the sender signs with
	sign       string // options that the sender signs with; default: those of the endpoint
	url        string // that the sender signs instead of the endpoint's
	body       string
	age        time.Duration
	arrives    func(r *http.Request) // changes the request in transit
	arrivesAs  func(body string) string
	want       string // kind of the first finding
}

// causes lists the most common mistakes, for the page and for the command line.
var causes = []cause{
	{name: "quotes around the secret at the provider", provider: "stripe", configured: stripeSecret, sender: `"` + stripeSecret + `"`, want: "secret_quoted_at_provider"},
	{name: "a line break in the secret at the provider", provider: "github", configured: githubSecret, sender: githubSecret + "\n", want: "secret_whitespace_at_provider"},
	{name: "a base64 secret used as text", provider: "github", configured: base64.StdEncoding.EncodeToString([]byte(githubSecret)), sender: githubSecret, want: "secret_read_as_text"},
	{name: "a URL-encoded secret", provider: "github", configured: url.QueryEscape(githubSecret), sender: githubSecret, want: "secret_url_encoded"},
	{name: "a secret pasted twice", provider: "github", configured: githubSecret + githubSecret, sender: githubSecret, want: "secret_doubled"},
	{name: "a line of an env file", provider: "github", configured: "GITHUB_SECRET=" + githubSecret, sender: githubSecret, want: "secret_assignment"},
	{name: "a variable that is not set at the sender", provider: "github", configured: githubSecret, sender: "undefined", want: "secret_unset_at_provider"},
	{name: "quite another secret", provider: "github", configured: githubSecret, sender: "quite another one", want: "secret_unknown"},
	{name: "JSON that was serialized again", provider: "stripe", sender: stripeSecret, body: indented, arrivesAs: compacted, want: "json_rewritten"},
	{name: "LF changed to CRLF", provider: "stripe", sender: stripeSecret, body: indented, arrivesAs: func(b string) string { return strings.ReplaceAll(b, "\n", "\r\n") }, want: "crlf"},
	{name: "a line break added", provider: "github", sender: githubSecret, arrivesAs: func(b string) string { return b + "\n" }, want: "body_end"},
	{name: "a form that was decoded", provider: "github", sender: githubSecret, body: "payload=" + url.QueryEscape(document), arrivesAs: func(string) string { return document }, want: "form_decoded"},
	{name: "a body in base64", provider: "stripe", sender: stripeSecret, arrivesAs: func(b string) string { return base64.StdEncoding.EncodeToString([]byte(b)) }, want: "body_base64"},
	{name: "a body that was cut off", provider: "github", sender: githubSecret, arrivesAs: func(b string) string { return b[:40] }, want: "body_truncated"},
	{name: "https at the provider, http here", provider: "custom", options: bareScheme + `,"encoding":"base64"},"signed":"{url}{body}"`, sender: "the token", url: "https://SITE", want: "url_scheme"},
	{name: "only the header with SHA-1", provider: "github", sender: githubSecret, arrives: onlySHA1, want: "sha1_header"},
	{name: "hex here, base64 at the sender", provider: "custom", options: bareScheme + `}`, sign: bareScheme + `,"encoding":"base64"}`, sender: "the key", want: "signature_encoding"},
	{name: "SHA-256 here, SHA-1 at the sender", provider: "custom", options: bareScheme + `}`, sign: `"algorithm":"hmac-sha1","signature":{"from":"header","name":"X-Sig"}`, sender: "the key", want: "signature_algorithm"},
	{
		name: "another signed content", provider: "custom", options: bareScheme + `},"timestamp":{"from":"header","name":"X-Time"},"signed":"{timestamp}{body}"`,
		sign: bareScheme + `},"timestamp":{"from":"header","name":"X-Time"},"signed":"{timestamp}.{body}"`, sender: "the key", want: "signed_content",
	},
	{name: "a delivery of another provider", provider: "stripe", sender: stripeSecret, arrives: ofGitHub, want: "other_provider"},
	{name: "no signature at all", provider: "stripe", sender: stripeSecret, arrives: func(r *http.Request) { r.Header = http.Header{} }, want: "no_signature"},
	{name: "no timestamp", provider: "zendesk", sender: "the secret of Zendesk", arrives: func(r *http.Request) { r.Header.Del("X-Zendesk-Webhook-Signature-Timestamp") }, want: "header_missing"},
	{name: "the name of another key", provider: "pusher", label: "key1", sender: "a1b2c3d4e5f6a7b8c9d0", arrives: func(r *http.Request) { r.Header.Set("X-Pusher-Key", "key2") }, want: "key_label"},
	{name: "a clock that is an hour ahead", provider: "stripe", sender: stripeSecret, age: time.Hour, want: "clock_zone"},
	{name: "a clock that is behind", provider: "stripe", sender: stripeSecret, age: -12 * time.Minute, want: "clock"},
	{name: "a late delivery", provider: "stripe", sender: stripeSecret, age: 17 * time.Minute, want: "late"},
	{name: "another token", provider: "gitlab", configured: gitlabToken, sender: "another token", want: "token"},
	{name: "a token in quotes", provider: "gitlab", configured: gitlabToken, sender: `"` + gitlabToken + `"`, want: "token"},
}

const indented = "{\n  \"id\": \"evt_1\",\n  \"object\": \"event\",\n  \"type\": \"invoice.paid\"\n}"

func compacted(body string) string {
	var b bytes.Buffer
	_ = json.Compact(&b, []byte(body)) // the body is valid JSON
	return b.String()
}

func onlySHA1(r *http.Request) {
	r.Header.Del("X-Hub-Signature-256")
	r.Header.Set("X-Hub-Signature", "sha1=3f2504e04f8911d39a0c0305e82c3301aabbccdd")
}

func ofGitHub(r *http.Request) {
	r.Header = http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + strings.Repeat("ab", 32)}}
}

// endpoint returns the endpoint of a cause, as JSON.
func (c *cause) endpoint(i int) map[string]any {
	provider := json.RawMessage(fmt.Sprintf(`{"name":%q,"secrets":[{"secret":%s,"label":%q}]%s}`, c.provider, quoted(c.atEndpoint()), c.label, with(c.options)))
	return map[string]any{
		"match": []any{map[string]any{"path": []string{fmt.Sprintf("/%d", i)}}}, "terminal": true,
		"handle": []any{
			map[string]any{"handler": "verify_webhook", "namespace": fmt.Sprintf("endpoint %d", i), "provider": provider},
			map[string]any{"handler": "static_response"},
		},
	}
}

func (c *cause) atEndpoint() string {
	if c.configured == "" {
		return c.sender
	}
	return c.configured
}

func quoted(text string) string {
	return strconv.Quote(strings.ReplaceAll(text, "{", `\{`))
}

func with(options string) string {
	if options == "" {
		return ""
	}
	return "," + options
}

// request returns the request that the endpoint receives.
func (c *cause) request(t *testing.T, i int, site string) *http.Request {
	t.Helper()
	options := c.sign
	if options == "" {
		options = c.options
	}
	content := c.body
	if content == "" {
		content = document
	}
	target, err := url.Parse(fmt.Sprintf("http://%s/%d", site, i))
	if err != nil {
		t.Fatal(err)
	}
	signed := *target
	if scheme, _, found := strings.Cut(c.url, "://"); found {
		signed.Scheme = scheme
	}
	r := &signature.Request{Method: http.MethodPost, Scheme: signed.Scheme, Host: signed.Host, RequestURI: signed.RequestURI(), Header: http.Header{"Content-Type": {"application/json"}}, Body: signature.BytesBody(content)}
	if strings.HasPrefix(content, "payload=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	c.signRequest(t, r, options)
	body := string(r.Body.Bytes())
	if c.arrivesAs != nil {
		body = c.arrivesAs(body)
	}
	out, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.String(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(out.Header, r.Header)
	if c.arrives != nil {
		c.arrives(out)
	}
	return out
}

func (c *cause) signRequest(t *testing.T, r *signature.Request, options string) {
	t.Helper()
	var raw json.RawMessage
	if options != "" {
		raw = json.RawMessage("{" + options + "}")
	}
	tooling, err := signing.Inspect(c.provider, raw)
	if err != nil {
		t.Fatal(err)
	}
	scheme := tooling.Schemes[len(tooling.Schemes)-1]
	if c.provider == "gitlab" {
		r.Header.Set("X-Gitlab-Token", c.sender)
		return
	}
	secret, err := signature.NewSecret(c.sender, c.label)
	if err != nil { // a secret with white space, as the sender uses it
		scheme.Key = signature.KeyFormat{Encoding: "hex"}
		if secret, err = signature.NewSecret(fmt.Sprintf("%x", c.sender), c.label); err != nil {
			t.Fatal(err)
		}
	}
	draft := signature.Draft{Time: time.Now().Add(-c.age)}
	if scheme.ID != nil && scheme.ID.From == "header" {
		draft.ID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
	}
	if err := scheme.Sign(r, signature.SigningKey{Secret: secret}, draft); err != nil {
		t.Fatal(err)
	}
}

// Each cause is explained by the page's API, and by `watch` and `explain`.
func TestEveryCauseIsExplained(t *testing.T) {
	s := &server{t: t, admin: process.Address(t), site: process.Address(t), inspector: process.Address(t)}
	t.Cleanup(func() { _ = caddy.Stop() })
	s.loadJSON(causeConfig(s))
	s.ask("/api/clear", struct{}{})
	for i, c := range causes {
		t.Run(c.name, func(t *testing.T) {
			resp, err := http.DefaultClient.Do(c.request(t, i, s.site))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: the sender got %d", c.name, resp.StatusCode)
			}
			d := s.watch(i + 1)[i]
			if d.Endpoint != fmt.Sprintf("endpoint %d", i) {
				t.Fatalf("watch printed %+v", d)
			}
			_, byPage := s.ask("/api/explain", map[string]any{"number": d.Number})
			c.check(t, "the page", byPage)
			out, err := s.command("explain", fmt.Sprint(d.Number), "--json")
			if err == nil {
				t.Error("explain exits with 0")
			}
			c.check(t, "the command", out)
			out, _ = s.command("explain", fmt.Sprint(d.Number))
			if first, rest, _ := strings.Cut(out, "\n"); !strings.Contains(first, d.Outcome+": ") || !strings.HasPrefix(rest, "change first: ") {
				t.Errorf("explain printed %s", out)
			}
		})
	}
}

// check compares an explanation, and checks that it contains no secret.
func (c *cause) check(t *testing.T, by, text string) {
	t.Helper()
	var got struct {
		Answer   string `json:"answer"`
		Findings []struct {
			Kind   string `json:"kind"`
			Change string `json:"change"`
		} `json:"findings"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%s: %v: %s", by, err, text)
	}
	found := false
	for _, f := range got.Findings {
		found = found || f.Kind == c.want && f.Change != ""
	}
	if !found || got.Answer == "" {
		t.Errorf("%s: want %s, got %s", by, c.want, text)
	}
	for _, secret := range []string{c.configured, c.sender} {
		if secret = strings.Trim(strings.TrimSpace(secret), `"`); len(secret) > 9 && strings.Contains(text, secret) {
			t.Errorf("%s: %s contains a secret", by, text)
		}
	}
}

func causeConfig(s *server) map[string]any {
	var routes []any
	for i := range causes {
		routes = append(routes, causes[i].endpoint(i))
	}
	off := map[string]any{"disable": true}
	return map[string]any{
		"admin":   map[string]any{"listen": s.admin, "config": map[string]any{"persist": false}},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "PANIC"}}},
		"apps": map[string]any{
			"verify_webhook": map[string]any{"store": map[string]any{"type": "memory", "name": "causes"}},
			"http": map[string]any{"servers": map[string]any{
				"endpoints": map[string]any{"listen": []string{s.site}, "automatic_https": off, "routes": routes},
				"inspector": map[string]any{"listen": []string{s.inspector}, "automatic_https": off, "routes": []any{
					map[string]any{"handle": []any{map[string]any{"handler": "webhook_inspector", "capture": map[string]any{"last": 500}}}},
				}},
			}},
		},
	}
}

func (s *server) loadJSON(config any) {
	s.t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := caddy.Load(raw, true); err != nil {
		s.t.Fatal(err)
	}
}
