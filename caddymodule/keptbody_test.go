package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/logging" // the directive log_append
)

// keepers are handlers with a placeholder that keeps the body in the original request.
var keepers = map[string]string{
	"a matcher":      "@kept vars {http.request.body} never\nheader @kept X-Kept yes",
	"an expression":  "@kept expression `{http.request.body}.contains(\"never\")`\nheader @kept X-Kept yes",
	"a header":       "request_header X-Kept \"{http.request.body_base64}\"",
	"an early field": "log_append <kept {http.request.body}",
}

// If a placeholder has read the body behind a handler that copies the request, the
// original request keeps it. No error route gets it.
func TestInvariant11BodyKeptByAPlaceholderReachesNoErrorRoute(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	for _, front := range []string{"tracing", "forward_auth"} {
		for keeper, handler := range keepers {
			t.Run(front+", "+keeper, func(t *testing.T) {
				app, address := startFastCGI(t, http.StatusOK)
				site := strings.Replace(errorRouteSite(fronts[front]+"\n"+handler, "", ""), "handle_errors {", "handle_errors {\nreverse_proxy "+address+" {\ntransport fastcgi\n}\n", 1)
				c := startCaddy(t, "", site)
				for refusal, by := range refusedBy {
					for _, body := range hostileBodies() {
						got := c.converse("POST /in HTTP/" + body.protocol + "\r\nHost: x\r\n" + by.headers + body.headers + "\r\n" + body.text)
						if strings.Contains(got, "smuggled") {
							t.Errorf("%s, %s: a request in the body was answered", refusal, body.name)
						}
					}
					for _, reader := range []io.Reader{strings.NewReader(evil), onlyReader{strings.NewReader(evil)}} {
						r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/in", reader)
						if err != nil {
							t.Fatal(err)
						}
						if resp, err := client(t, "HTTP/2").Do(r); err == nil { // the stream is aborted otherwise
							resp.Body.Close()
						}
					}
					for _, a := range append(app.arrivals(), c.app.arrivals()...) {
						if text := fmt.Sprint(a.body, a.trailer); strings.Contains(text, "EVIL") {
							t.Errorf("%s: the app received %.200q", refusal, text)
						}
					}
				}
				if !strings.Contains(c.logged(), "closed the connection of a refused webhook delivery") {
					t.Error("the log does not report it")
				}
			})
		}
	}
}
