package conformance_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// hostileTexts lists texts that an attacker can send as a name or value. The second
// is within the limit for headers.
var hostileTexts = map[string]string{
	"control characters":   strings.Repeat("a\x01\x1b", 40_000),
	"within header limits": strings.Repeat("b", 60_000),
}

// enlarge lists the ways to put a text into a request.
var enlarge = map[string]func(r *http.Request, text string){
	"every header's value": func(r *http.Request, text string) {
		for name := range r.Header {
			r.Header[name] = []string{text}
		}
	},
	"after every header's value": func(r *http.Request, text string) {
		for name, values := range r.Header {
			r.Header[name] = []string{values[0] + text}
		}
	},
	"a header's name": func(r *http.Request, text string) { r.Header[text] = []string{"x"} },
	"a query parameter": func(r *http.Request, text string) {
		r.RequestURI += "?" + strings.ReplaceAll(text, "\x1b", "%1b") + "=1"
	},
	"form fields": func(r *http.Request, text string) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		setBody(r, text+"=1&"+text+"=2")
	},
	"a form field's value": func(r *http.Request, text string) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		body, _ := io.ReadAll(r.Body)
		setBody(r, strings.ReplaceAll(string(body), "=", "="+text))
	},
	"JSON members": func(r *http.Request, text string) {
		r.Header.Set("Content-Type", "application/json")
		setBody(r, fmt.Sprintf(`{%[1]q:1,%[1]q:2}`, text))
	},
	"JSON values": func(r *http.Request, text string) {
		body, _ := io.ReadAll(r.Body)
		setBody(r, strings.ReplaceAll(string(body), `":"`, `":"`+strings.Trim(fmt.Sprintf("%q", text), `"`)))
	},
	"the body": func(r *http.Request, text string) { setBody(r, text) },
	"multipart names": func(r *http.Request, text string) {
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		setBody(r, "--b\r\nContent-Disposition: form-data; name=\""+text+"\"\r\n\r\nx\r\n--b--\r\n")
	},
	"the content encoding": func(r *http.Request, text string) { r.Header.Set("Content-Encoding", text) },
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// A reason is logged twice: by the handler and in the access log.
func TestInvariant12LengthOfReasonsIsBounded(t *testing.T) {
	t.Parallel()
	const most = 1000
	longest, refused := "", 0
	for _, p := range provider.Presets() {
		vectors := accepted(t, p.Name)
		if len(vectors) == 0 {
			continue
		}
		trial := openWith(t, vectors[0], nil)
		for how, change := range enlarge {
			for what, text := range hostileTexts {
				r, err := vectors[0].Request.HTTP()
				if err != nil {
					t.Fatal(err)
				}
				change(r, text)
				got := trial.Send(r)
				if got.Reached {
					continue
				}
				refused++
				if len(got.Reason) > len(longest) {
					longest = got.Reason
				}
				if len(got.Reason) > most || strings.ContainsAny(got.Reason, "\x01\x1b") {
					t.Errorf("%s, %s in %s: a reason of %d bytes: %.200q", p.Name, what, how, len(got.Reason), got.Reason)
				}
			}
		}
	}
	t.Logf("%d refused; the longest reason: %s", refused, longest)
	if refused < 1000 {
		t.Errorf("only %d requests were refused", refused)
	}
}
