package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// customWith parses a Caddyfile of a custom provider with these options.
func customWith(t *testing.T, options string) (*Custom, error) {
	t.Helper()
	t.Setenv("CUSTOM_SECRET", "a secret of the provider")
	c := new(Custom)
	if err := c.UnmarshalCaddyfile(caddyfile.NewTestDispenser("custom {\nalgorithm hmac-sha256\nsignature header X-Signature hex\n" + options + "\n}")); err != nil {
		return nil, err
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: nolog.Context(context.Background())})
	defer cancel()
	return c, c.Provision(ctx)
}

// setUp returns a request that may be a handshake.
func setUp(method, uri, body string, headers ...string) *signature.Request {
	r := &signature.Request{Method: method, RequestURI: uri, Header: make(http.Header), Body: signature.BytesBody(body)}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// answered returns the answer to a handshake. It calls the provider as the handler
// does.
func answered(p *Custom, r *signature.Request) (*signature.Answer, error) {
	body := r.Body
	r.Body = nil
	if err := p.CheckHeaders(r); err != nil {
		return nil, err
	}
	if answer, err := p.AnswerHeaders(r); err != nil || answer != nil {
		return answer, err
	}
	if r.MaxBody > 0 && body.Size() > r.MaxBody {
		return nil, errors.New("the body is too long for a handshake")
	}
	r.Body = body
	d, err := p.Verify(context.Background(), r)
	if err != nil {
		return nil, err
	}
	return d.Answer, nil
}

func TestCustomSupportsEveryHandshake(t *testing.T) {
	const secret = "secret {env.CUSTOM_SECRET}\n"
	origin := func(name string) []string { return []string{"WebHook-Request-Origin", name} }
	for what, c := range map[string]struct {
		options string
		request *signature.Request
		// body and headers are those of the answer. refused is a part of the reason.
		body    string
		headers map[string]string
		secret  string
		refused string
	}{
		"head":                                {secret + "handshake head", setUp("HEAD", "/", ""), "", nil, "", ""},
		"head: a GET":                         {secret + "handshake head", setUp("GET", "/", ""), "", nil, "", "X-Signature"},
		"no head":                             {secret, setUp("HEAD", "/", ""), "", nil, "", "write handshake head"},
		"get":                                 {secret + "handshake get", setUp("GET", "/", ""), "", nil, "", ""},
		"get: a POST":                         {secret + "handshake get", setUp("POST", "/", ""), "", nil, "", "X-Signature"},
		"get: signed":                         {secret + "handshake get", setUp("GET", "/", "", "X-Signature", strings.Repeat("0", 64)), "", nil, "", "secret"},
		"two":                                 {secret + "handshake get\nhandshake head", setUp("HEAD", "/", ""), "", nil, "", ""},
		"echo":                                {secret + "handshake echo query challenge", setUp("GET", "/?challenge=a%20b", ""), "a b", map[string]string{"X-Content-Type-Options": "nosniff"}, "", ""},
		"echo: duplicate":                     {secret + "handshake echo query challenge", setUp("GET", "/?challenge=a&challenge=b", ""), "", nil, "", "not printable"},
		"echo: a POST":                        {secret + "handshake echo query challenge", setUp("POST", "/?challenge=a", ""), "", nil, "", "X-Signature"},
		"echo a header":                       {secret + "handshake echo header x-challenge", setUp("GET", "/", "", "X-Challenge", "abc"), "abc", nil, "", ""},
		"echo: line breaks":                   {secret + "handshake echo query challenge", setUp("GET", "/?challenge=a%0d%0ab", ""), "", nil, "", "not printable"},
		"echo: an expression":                 {secret + "handshake echo query challenge", setUp("GET", "/?challenge=%7B%7Bnow%7D%7D", ""), "", nil, "", "contains one of"},
		"ping":                                {secret + "handshake ping header X-Event ping", setUp("POST", "/", `{"a":1}`, "X-Event", "ping"), "", nil, "", ""},
		"ping: another value":                 {secret + "handshake ping header X-Event ping", setUp("POST", "/", "", "X-Event", "push"), "", nil, "", "X-Signature"},
		"ping: signed":                        {secret + "handshake ping header X-Event ping", setUp("POST", "/", "", "X-Event", "ping", "X-Signature", strings.Repeat("0", 64)), "", nil, "", "secret"},
		"ping in JSON":                        {secret + "handshake ping json type ping", setUp("POST", "/", `{"type":"ping"}`), "", nil, "", ""},
		"ping in JSON: another value":         {secret + "handshake ping json type ping", setUp("POST", "/", `{"type":"push"}`), "", nil, "", "X-Signature"},
		"ping in a form":                      {secret + "handshake ping form check 1", setUp("POST", "/", "check=1", "Content-Type", "application/x-www-form-urlencoded"), "", nil, "", ""},
		"ping in a form: no Content-Type":     {secret + "handshake ping form check 1", setUp("POST", "/", "check=1"), "", nil, "", "X-Signature"},
		"ping in JSON: long body":             {secret + "handshake ping json type ping", setUp("POST", "/", `{"type":"ping"}`, "Content-Length", "4096"), "", nil, "", "X-Signature"},
		"ping in the URL":                     {secret + "handshake ping query check 1", setUp("POST", "/?check=1", ""), "", nil, "", ""},
		"secret":                              {"accept_handshake\nhandshake secret header X-Hook-Secret", setUp("POST", "/", "", "X-Hook-Secret", "abc"), "", map[string]string{"X-Hook-Secret": "abc"}, "abc", ""},
		"secret: no accept_handshake":         {secret + "handshake secret header X-Hook-Secret", setUp("POST", "/", "", "X-Hook-Secret", "abc"), "", nil, "", "write accept_handshake"},
		"secret: signed":                      {secret + "accept_handshake\nhandshake secret header X-Hook-Secret", setUp("POST", "/", "", "X-Hook-Secret", "abc", "X-Signature", strings.Repeat("0", 64)), "", nil, "", "secret"},
		"secret in JSON":                      {"accept_handshake\nhandshake secret json token", setUp("POST", "/", `{"token":"abc"}`), "", nil, "abc", ""},
		"secret in JSON: missing":             {"accept_handshake\nhandshake secret json token", setUp("POST", "/", `{"event":"abc"}`), "", nil, "", "no secret is configured"},
		"secret in JSON: no accept_handshake": {secret + "handshake secret json token", setUp("POST", "/", `{"token":"abc"}`), "", nil, "", "write accept_handshake"},
		"secret: a control character":         {"accept_handshake\nhandshake secret json token", setUp("POST", "/", `{"token":"a\u001b[2J"}`), "", nil, "", "printable"},
		"no secret yet":                       {"accept_handshake\nhandshake secret json token", setUp("POST", "/", `{}`, "X-Signature", strings.Repeat("0", 64)), "", nil, "", "no secret is configured"},
		"cloudevents": {
			secret + "handshake cloudevents a.example b.example", setUp("OPTIONS", "/", "", origin("B.example")...), "",
			map[string]string{"WebHook-Allowed-Origin": "B.example", "WebHook-Allowed-Rate": "*", "Allow": "POST"},
			"", "",
		},
		"cloudevents: a rate": {
			secret + "handshake cloudevents a.example", setUp("OPTIONS", "/", "", append(origin("a.example"), "WebHook-Request-Rate", "60")...), "",
			map[string]string{"WebHook-Allowed-Rate": "60"},
			"", "",
		},
		"cloudevents: no rate": {
			secret + "handshake cloudevents a.example", setUp("OPTIONS", "/", "", append(origin("a.example"), "WebHook-Request-Rate", "60\r\nX: y")...), "",
			map[string]string{"WebHook-Allowed-Rate": "*"},
			"", "",
		},
		"cloudevents: no allowed origin": {secret + "handshake cloudevents", setUp("OPTIONS", "/", "", origin("a.example")...), "", nil, "", "write handshake cloudevents a.example"},
		"cloudevents: another origin":    {secret + "handshake cloudevents a.example", setUp("OPTIONS", "/", "", origin("b.example")...), "", nil, "", "write handshake cloudevents b.example"},
		"cloudevents: two origins":       {secret + "handshake cloudevents a.example", setUp("OPTIONS", "/", "", append(origin("a.example"), origin("b.example")...)...), "", nil, "", "more than once"},
		"cloudevents: no handshake":      {secret, setUp("OPTIONS", "/", "", origin("a.example")...), "", nil, "", "write handshake cloudevents a.example"},
		"cloudevents: a POST":            {secret + "handshake cloudevents a.example", setUp("POST", "/", "", origin("a.example")...), "", nil, "", "X-Signature"},
		"cloudevents: a long origin":     {secret + "handshake cloudevents", setUp("OPTIONS", "/", "", origin(strings.Repeat("a", 9999))...), "", nil, "", "aaa…"},
	} {
		t.Run(what, func(t *testing.T) {
			p, err := customWith(t, c.options)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := answered(p, c.request)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || len(err.Error()) > 500 {
					t.Fatalf("got %+v, %v; want a refusal with %q", answer, err, c.refused)
				}
				return
			}
			if err != nil || answer == nil || string(answer.Body) != c.body || answer.Secret != c.secret {
				t.Fatalf("got %+v, %v", answer, err)
			}
			for name, want := range c.headers {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestInvalidHandshakesAreConfigErrors(t *testing.T) {
	for options, want := range map[string]string{
		"handshake":                               "missing a kind",
		"handshake haed":                          "unrecognized kind: haed",
		"handshake head header X":                 "too many arguments",
		"handshake echo":                          "missing a place",
		"handshake echo json challenge":           "query or header",
		"handshake echo query":                    "missing a name",
		"handshake ping header X-Event":           "missing a value",
		"handshake secret query token":            "header or json",
		"handshake secret json a..b":              "a..b",
		"handshake secret header \"a b\"":         "invalid header name",
		"handshake cloudevents https://a.example": "is not an origin",
		"handshake cloudevents *":                 "is not an origin",
		"accept_handshake":                        "accept_handshake has no effect",
		"handshake head\naccept_handshake\nhandshake get\naccept_handshake": "duplicate option",
	} {
		if _, err := customWith(t, "secret {env.CUSTOM_SECRET}\n"+options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", options, err, want)
		}
	}
}

// TestHandshakeJSONMatchesTheReference checks the JSON of each kind of
// handshake.
func TestHandshakeJSONMatchesTheReference(t *testing.T) {
	c, err := customWith(t, "secret {env.CUSTOM_SECRET}\nhandshake head\nhandshake echo query challenge\nhandshake ping form check 1\nhandshake secret header X-Hook-Secret\nhandshake cloudevents a.example\naccept_handshake")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	const want = `"handshakes":[{"kind":"head"},{"kind":"echo","from":"query","name":"challenge"},{"kind":"ping","from":"form","name":"check","value":"1"},` +
		`{"kind":"secret","from":"header","name":"X-Hook-Secret"},{"kind":"cloudevents","origins":["a.example"]}]`
	if !strings.Contains(string(raw), want) || !strings.Contains(string(raw), `"accept_handshake":true`) {
		t.Errorf("got %s", raw)
	}
}
