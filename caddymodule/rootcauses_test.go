package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Tests of the root causes of last year's advisories on webhook code that concern
// the handler.

// A sender that is not a trusted proxy can change the signed URL neither with
// X-Forwarded-* nor by connecting from this machine.
func TestRootCauseForwardedHeadersOrLoopbackTrusted(t *testing.T) {
	const signedURL = "https://signed.example.com/in?x=1"
	site := siteOf("square", "")
	for name, test := range map[string]struct {
		global string
		status int
	}{
		"not trusted": {"", 401},
		"trusted":     {"servers {\ntrusted_proxies static 127.0.0.1/32\n}", 200},
	} {
		t.Run(name, func(t *testing.T) {
			c := startCaddy(t, test.global, site)
			got := c.send(client(t, "HTTP/1.1"), strings.NewReader(content),
				"X-Square-Hmacsha256-Signature", sign64(secret, signedURL+content),
				"X-Forwarded-Proto", "https", "X-Forwarded-Host", "signed.example.com", "X-Forwarded-For", "127.0.0.1", "Forwarded", "host=signed.example.com;proto=https")
			if got.status != test.status {
				t.Errorf("status %d, want %d", got.status, test.status)
			}
		})
	}
	t.Run("no signature, from this machine", func(t *testing.T) {
		b := trial(t, config("github", ""))
		for _, address := range []string{"127.0.0.1:80", "[::1]:80", "@", ""} {
			r := request(content, "X-Forwarded-For", "127.0.0.1", "X-Real-IP", "127.0.0.1")
			r.RemoteAddr, r.Host = address, "localhost"
			b.expect(t, r, MissingSignature, 401)
		}
	})
}

// Values that an unauthenticated sender can vary must not become keys of maps,
// metrics or stores.
func TestRootCauseUnauthenticatedKeysGrowState(t *testing.T) {
	b := trial(t, config("github", ""))
	store := b.faultyStore()
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	series := func() int { return len(gather(t, registry)) }
	vary := func(i int) *http.Request {
		r := request(fmt.Sprint(content, i), "X-GitHub-Delivery", fmt.Sprint(i), "X-GitHub-Event", fmt.Sprint("event", i), fmt.Sprint("X-Varied-", i), "x")
		r.Method, r.Host, r.RemoteAddr = fmt.Sprint("METHOD", i), fmt.Sprint("host", i), fmt.Sprint("192.0.2.1:", i)
		r.RequestURI = fmt.Sprint("/in/", i)
		switch i % 3 {
		case 1:
			r.Header.Set("X-Hub-Signature-256", fmt.Sprintf("sha256=%064x", i))
		case 2:
			r.Header.Set("X-Hub-Signature-256", fmt.Sprint("unreadable", i))
		}
		return r
	}
	for i := range 3 {
		b.Send(vary(i))
	}
	before, buckets := series(), len(b.handler.log.buckets)
	for i := range 300 {
		if got := b.Send(vary(i)); got.Status < 400 {
			t.Fatalf("%d: %s", i, got.Outcome)
		}
	}
	if after := series(); after != before {
		t.Errorf("metrics grew from %d to %d series", before, after)
	}
	if after := len(b.handler.log.buckets); after != buckets {
		t.Errorf("the rate limiter of the log grew from %d to %d buckets", buckets, after)
	}
	if store.count("claim") > 0 {
		t.Error("the store was called for unauthenticated requests")
	}
}
