package caddymodule

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// gitlabSite returns the config of an endpoint whose secret is sent in a header,
// with an error route to the app.
func gitlabSite(options string) string {
	return siteOf("gitlab", options) + `
	handle_errors {
		reverse_proxy APP
	}`
}

func TestTokenReachesNeitherAppNorErrorRouteNorFilteredLog(t *testing.T) {
	page, err := os.ReadFile("../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	filter := "request>headers>X-Gitlab-Token delete"
	if !strings.Contains(string(page), "`"+filter+"`") {
		t.Fatal("docs/providers.md does not document how to keep the token out of logs")
	}
	c := startCaddy(t, "", gitlabSite(""))
	// The test's own logger is the default one.
	text := strings.Replace(c.caddyfile("", gitlabSite("")), "format json", "format filter {\nwrap json\n"+filter+"\n}", 1)
	c.stop() // a reload can close a connection
	c.loadText(text)
	client := client(t, "HTTP/1.1")
	got := c.send(client, strings.NewReader(content), "X-Gitlab-Token", secret, "Idempotency-Key", "1")
	if got.status != 200 {
		t.Fatalf("status %d", got.status)
	}
	// Genuine, but the app fails: the error route gets the request, and Caddy
	// logs the error.
	c.app.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(headerKey) != "" {
			panic(http.ErrAbortHandler)
		}
	})
	c.send(client, strings.NewReader(content+" "), "X-Gitlab-Token", secret, "Idempotency-Key", "2")
	seen := c.app.arrivals()
	if len(seen) < 3 {
		t.Fatalf("the app received %d requests", len(seen))
	}
	for _, a := range seen {
		if token := a.header.Get("X-Gitlab-Token"); token != "" {
			t.Errorf("the app received the token")
		}
	}
	if strings.Contains(c.logged(), secret) {
		t.Error("the secret is in the log")
	}
}

func TestMonitorForwardsTheToken(t *testing.T) {
	b := trial(t, config("gitlab", `"mode":"monitor"`))
	for _, token := range []string{secret, "another"} {
		got := b.Send(request(content, "X-Gitlab-Token", token))
		if !got.Reached || got.ReachedHeader.Get("X-Gitlab-Token") != token {
			t.Errorf("with the token %s: %s, the app received %q", token, got.Outcome, got.ReachedHeader.Get("X-Gitlab-Token"))
		}
	}
}

// A handler in front may keep the request's header map.
func TestTokenIsRemovedFromSharedHeaderMaps(t *testing.T) {
	b := trial(t, config("gitlab", ""))
	r := request(content, "X-Gitlab-Token", secret, "Idempotency-Key", "1")
	r.Body = io.NopCloser(strings.NewReader(content))
	b.faultyStore().claim = errStore
	b.expect(t, r, StoreUnavailable, 503)
	if r.Header.Get("X-Gitlab-Token") != "" {
		t.Error("the error route gets the token")
	}
}
