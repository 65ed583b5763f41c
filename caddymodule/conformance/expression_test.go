package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/conformance"
	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// expressions are texts that template engines execute, with the delimiters of Caddy's
// `templates` and with those that operators set with `between`.
var expressions = []string{`{{env "HOME"}}`, `{{now}}`, `{%x%}`, `${x}`, `<%x%>`, `<<x>>`, `<?x?>`, `[[x]]`, `((x))`, "`x`"}

// A handler in front, such as templates, executes expressions in text responses. No
// answer to an unsigned set-up request contains one, whichever part of the request
// contains it.
func TestNoHandshakeEchoesAnExpression(t *testing.T) {
	t.Parallel()
	echoed := 0
	for _, p := range provider.Presets() {
		for _, v := range handshakes(t, p.Name) {
			for _, original := range partsOf(v.Request) {
				answer := openWith(t, v, nil).Send(build(t, v))
				if len(original) < 2 || !bytes.Contains(answer.Body, []byte(original)) {
					continue
				}
				echoed++
				for _, expression := range expressions {
					hostile := v
					hostile.Request = replacePart(t, v.Request, original, expression)
					got := openWith(t, hostile, nil).Send(build(t, hostile))
					if text := string(got.Body); strings.Contains(text, expression) || strings.Contains(text, quoted(t, expression)) {
						t.Errorf("%s, %s: the response to %q is %q", p.Name, v.Name, expression, text)
					}
				}
			}
		}
	}
	if echoed < 8 {
		t.Errorf("only %d parts of requests are echoed", echoed)
	}
}

// partsOf returns the values of a request that an answer can echo.
func partsOf(r conformance.Request) (parts []string) {
	if u, err := url.Parse(r.URL); err == nil {
		for _, values := range u.Query() {
			parts = append(parts, values...)
		}
	}
	for _, values := range r.Headers {
		parts = append(parts, values...)
	}
	var members map[string]any
	if json.Unmarshal(r.Body, &members) == nil {
		parts = append(parts, textsOf(members)...)
	}
	slices.Sort(parts)
	return slices.Compact(parts)
}

// textsOf returns the strings in a JSON value.
func textsOf(value any) (texts []string) {
	switch v := value.(type) {
	case string:
		texts = append(texts, v)
	case map[string]any:
		for _, member := range v {
			texts = append(texts, textsOf(member)...)
		}
	case []any:
		for _, item := range v {
			texts = append(texts, textsOf(item)...)
		}
	}
	return texts
}

// replacePart replaces a value of a request in URL, headers and body.
func replacePart(t *testing.T, r conformance.Request, original, text string) conformance.Request {
	t.Helper()
	r.URL = strings.ReplaceAll(r.URL, url.QueryEscape(original), url.QueryEscape(text))
	headers := make(map[string][]string, len(r.Headers))
	for name, values := range r.Headers {
		for _, value := range values {
			headers[name] = append(headers[name], strings.ReplaceAll(value, original, text))
		}
	}
	r.Headers = headers
	r.Body = bytes.ReplaceAll(r.Body, []byte(original), []byte(quoted(t, text)))
	return r
}

// quoted returns text as in a JSON string.
func quoted(t *testing.T, text string) string {
	t.Helper()
	in, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(in[1 : len(in)-1])
}
