package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func TestHijackedConnectionReleasesTheClaim(t *testing.T) {
	b := trial(t, config("github", ""))
	store := b.faultyStore()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = b.serve(w, r, func(w http.ResponseWriter, _ *http.Request) error {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return err
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			return rw.Flush()
		})
	}))
	defer server.Close()
	r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for i, h := 0, githubHeaders("1", content); i < len(h); i += 2 {
		r.Header.Set(h[i], h[i+1])
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if store.count("release") != 1 || store.count("commit") != 0 {
		t.Errorf("calls of the store: %v", store.calls)
	}
}

func TestFlushReachesTheSender(t *testing.T) {
	b := trial(t, config("github", ""))
	rec := httptest.NewRecorder()
	err := b.serve(rec, dryrun.AsReceived(github("1", content)), func(w http.ResponseWriter, _ *http.Request) error {
		return http.NewResponseController(w).Flush()
	})
	if err != nil || !rec.Flushed {
		t.Errorf("flushed %t, %v", rec.Flushed, err)
	}
}

// urlOf is a provider that records the URL that it would verify.
type urlOf struct {
	oddProvider
	url *string
}

func (p urlOf) CheckHeaders(r *signature.Request) error {
	*p.url = r.Method + " " + r.URL()
	return signature.Refuse(signature.MissingSignature, "enough")
}

func TestURLIsTheOneThatTheProviderRequested(t *testing.T) {
	b := trial(t, config("github", ""))
	var url string
	b.use(urlOf{url: &url})
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"as it came":                       {func(*http.Request) {}, "POST https://hooks.example.com/in"},
		"without TLS":                      {func(r *http.Request) { r.TLS, r.URL.Scheme = nil, "http" }, "POST http://hooks.example.com/in"},
		"with a query":                     {func(r *http.Request) { r.RequestURI = "/in?b=%2f&a" }, "POST https://hooks.example.com/in?b=%2f&a"},
		"from an untrusted client":         {func(r *http.Request) { r.Header.Set("X-Forwarded-Host", "evil.example.com") }, "POST https://hooks.example.com/in"},
		"from an untrusted client, scheme": {func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "http") }, "POST https://hooks.example.com/in"},
	} {
		r := request(content)
		test.change(r)
		b.Send(r)
		if url != test.want {
			t.Errorf("%s: %s, want %s", name, url, test.want)
		}
	}
}

func TestRewritesDoNotChangeTheURLAndTrustedProxiesDo(t *testing.T) {
	for global, want := range map[string]string{
		"": "http://ADDR/in?x=1",
		"servers {\ntrusted_proxies static 127.0.0.1\n}": "https://hooks.example.com/in?x=1",
	} {
		// A scheme that signs the URL verifies only if it gets the expected URL.
		site := `rewrite * /elsewhere
	verify_webhook custom {env.` + secretVariable + `} {
		algorithm hmac-sha256
		signature header X-Signature hex
		signed "{url}{body}"
		replay {
			store memory STORE
		}
	}
	reverse_proxy APP`
		c := startCaddy(t, global, site)
		url := strings.ReplaceAll(want, "ADDR", c.addr)
		got := c.send(client(t, "HTTP/1.1"), strings.NewReader(content), "X-Signature", sign(secret, url+content), "X-Forwarded-Proto", "ftp", "X-Forwarded-Proto", "https",
			"X-Forwarded-Host", "client.example.com", "X-Forwarded-Host", "hooks.example.com")
		seen := c.app.arrivals()
		if got.status != 200 || len(seen) != 1 || seen[0].uri != "/elsewhere?x=1" {
			t.Errorf("with %q: status %d, the app received %+v", global, got.status, seen)
		}
	}
}
