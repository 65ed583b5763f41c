package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// controlNames returns the names of all control headers, and one for each prefix.
func controlNames() []string {
	var names []string
	for name := range controlHeaders {
		names = append(names, name)
	}
	for prefix := range controlPrefixes {
		names = append(names, prefix+"Key")
	}
	return names
}

// spellings returns variants of a header name that some apps do not distinguish.
func spellings(name string) []string {
	return []string{name, http.CanonicalHeaderKey(strings.ToLower(name)), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.ReplaceAll(name, "-", "!"), strings.ReplaceAll(name, "-", "~")}
}

func TestControlHeadersDoNotReachTheApp(t *testing.T) {
	b := trial(t, config("github", ""))
	for _, name := range controlNames() {
		for i, spelling := range spellings(name) {
			r := github("", fmt.Sprint(content, name, i))
			r.Header[spelling] = []string{"control"}
			got := b.expect(t, r, Verified, 200)
			for name, values := range got.ReachedHeader {
				if values[0] == "control" {
					t.Errorf("%s reaches the app", name)
				}
			}
		}
	}
}

func TestControlHeadersDoNotReachErrorRoutes(t *testing.T) {
	b := trial(t, config("github", ""))
	r := request(content)
	for _, name := range controlNames() {
		r.Header[name] = []string{"control"}
	}
	b.expect(t, r, MissingSignature, 401)
	for name, values := range r.Header {
		if values[0] == "control" {
			t.Errorf("%s reaches the error route", name)
		}
	}
}

// A copy of a genuine delivery must get the same response from the app as the
// delivery itself, with any added headers.
func TestControlHeadersDoNotMakeADeliveryFail(t *testing.T) {
	c := startCaddy(t, "", strings.Replace(siteOf("github", ""), "reverse_proxy APP", "reverse_proxy APP {\nrequest_buffers 1MiB\n}", 1))
	c.app.answers(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotModified)
		case r.Header.Get("Range") != "":
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		case r.Header.Get("Early-Data") != "":
			w.WriteHeader(http.StatusTooEarly)
		case r.Header.Get("X-HTTP-Method-Override") != "":
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	extra := map[string]string{
		"Incremental": "?1", "If-None-Match": "*", "Range": "bytes=9-", "Early-Data": "1", "X-HTTP-Method-Override": "DELETE",
		"Te": "trailers", "Upgrade": "websocket", "Connection": "X-Hub-Signature-256, X-GitHub-Event, Upgrade",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13", "Expect": "100-continue",
	}
	for name, value := range extra {
		body := content + name
		got := c.send(client(t, "HTTP/1.1"), strings.NewReader(body), append(githubHeaders("", body), name, value)...)
		seen := c.app.arrivals()
		if got.status != 200 || len(seen) != 1 || seen[0].body != body || seen[0].length != int64(len(body)) {
			t.Errorf("%s: status %d, the app received %+v", name, got.status, seen)
		} else if seen[0].header.Get("X-Hub-Signature-256") == "" || seen[0].header.Get("X-GitHub-Event") == "" {
			t.Errorf("%s: headers of the provider are missing", name)
		}
	}
}

func TestTrailersDoNotMakeTheBodyChunked(t *testing.T) {
	c := startCaddy(t, "", siteOf("github", ""))
	overBoth(t, func(t *testing.T, client *http.Client) {
		body := content + t.Name()
		r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/in", onlyReader{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		headers := githubHeaders("", body)
		r.Header.Set(headers[0], headers[1])
		r.Trailer = http.Header{"X-Github-Event": {"forged"}}
		got := c.do(client, r)
		seen := c.app.arrivals()
		if got.status != 200 || len(seen) != 1 || seen[0].length != int64(len(body)) || len(seen[0].trailer) != 0 {
			t.Errorf("status %d, the app received %+v", got.status, seen)
		}
	})
}

func TestProviderHeadersAreNotControlHeaders(t *testing.T) {
	for _, name := range []string{"Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "User-Agent", "Authorization", "Date", "Digest", "X-Forwarded-For", "X-Request-Id", "Idempotency-Key"} {
		if isControl(name) {
			t.Errorf("%s is removed", name)
		}
	}
}

func TestEveryControlHeaderIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []controlTable{controlHeaders, controlPrefixes} {
		for name, why := range table {
			if !strings.Contains(strings.ToLower(string(page)), "`"+strings.ToLower(name)) || !strings.Contains(string(page), why) {
				t.Errorf("docs/security.md does not document %s: %s", name, why)
			}
		}
	}
}
