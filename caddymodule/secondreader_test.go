package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi" // the transport fastcgi
)

// A fallback behind the gate that runs after another upstream has read the body must
// not get an empty body as a verified one, which FastCGI apps and apps behind
// request_buffers take for complete. Such a delivery fails, and is not remembered.
func TestInvariant01FallbackDoesNotGetAnEmptyBody(t *testing.T) {
	transports := map[string]string{"FastCGI": "transport fastcgi", "HTTP": "", "HTTP with request_buffers": "request_buffers 8MiB"}
	for first, firstOptions := range transports {
		for second, secondOptions := range transports {
			for _, size := range []int{100, 4 << 10, 64 << 10, 2 << 20} { // FastCGI buffers 4 KiB
				t.Run(fmt.Sprintf("%s, then %s, %d bytes", first, second, size), func(t *testing.T) {
					failing, failingAddress := startUpstream(t, first, http.StatusNotFound)
					fallback, fallbackAddress := startUpstream(t, second, http.StatusOK)
					c := startCaddy(t, "", strings.Replace(siteOf("github", ""), "reverse_proxy APP", `reverse_proxy `+failingAddress+` {
						`+firstOptions+`
						@failed status 404
						handle_response @failed {
							reverse_proxy `+fallbackAddress+` {
								`+secondOptions+`
							}
						}
					}`, 1))
					body := strings.Repeat("x", size)
					for range 2 {
						if got := c.send(client(t, "HTTP/1.1"), strings.NewReader(body), githubHeaders("1", body)...); got.status < 500 {
							t.Errorf("the sender got %d", got.status)
						}
					}
					if seen := failing.arrivals(); len(seen) != 2 || seen[0].body != body {
						t.Errorf("the first app received %d deliveries", len(seen))
					}
					for _, a := range fallback.arrivals() {
						// An HTTP server reports a body that is shorter than declared.
						if a.isIdentified() && !strings.Contains(a.body, "[unexpected EOF]") {
							t.Errorf("the fallback received %d bytes of %d as a verified delivery", len(a.body), size)
						}
					}
				})
			}
		}
	}
}

// startUpstream starts an app that responds with a status.
func startUpstream(t *testing.T, transport string, status int) (*realApp, string) {
	if transport == "FastCGI" {
		return startFastCGI(t, status)
	}
	app := newRealApp(t)
	app.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	return app, app.Listener.Addr().String()
}

// Handlers that read a body and put it back in front of the rest, as firewalls do, read
// the end twice.
func TestBodyThatIsPutBackReachesTheApp(t *testing.T) {
	doBetween(t, func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		read, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(read), r.Body))
		return next.ServeHTTP(w, r)
	})
	c := startCaddy(t, "", proxySite("APP"))
	got := c.send(client(t, "HTTP/1.1"), strings.NewReader(content), githubHeaders("1", content)...)
	if seen := c.app.arrivals(); got.status != http.StatusOK || len(seen) != 1 || seen[0].body != content {
		t.Errorf("status %d, the app received %+v", got.status, seen)
	}
}

// Error routes of a subroute run after its routes have read the body.
func TestErrorRoutesBehindTheGateReadNoBodyTwice(t *testing.T) {
	h := trial(t, config("github", "")).handler
	proxy := caddyhttp.RouteList{{Handlers: []caddyhttp.MiddlewareHandler{new(reverseproxy.Handler)}}}
	sub := &caddyhttp.Subroute{Routes: proxy, Errors: &caddyhttp.HTTPErrorConfig{Routes: proxy}}
	for name, before := range map[string]past{"behind the gate": {gate: h, maybe: h, readOnce: func() { h.bodyOnce.Store(true) }}, "elsewhere": {}} {
		c := &routeCheck{verified: make(map[string][]scope), open: make(map[string][]scope), spoiled: make(map[*Handler]bool)}
		h.bodyOnce.Store(false)
		c.subroute(sub, before, noResponder)
		if behind := before.gate != nil; h.bodyOnce.Load() != behind || strings.Contains(strings.Join(c.found, ""), "an error route") != behind {
			t.Errorf("%s: %q, read once: %t", name, c.found, h.bodyOnce.Load())
		}
	}
}
