package caddymodule

import (
	"strings"
	"testing"
)

// TestInvariant09UnsignedRequestsDoNotFillCaddysErrorLog: an endpoint without a secret
// responds 503 to everything that may be a delivery, like one whose keys cannot be
// fetched. Caddy logs every error of 500 or above with the headers of the request.
func TestInvariant09UnsignedRequestsDoNotFillCaddysErrorLog(t *testing.T) {
	const requests = 200
	endpoint := "verify_webhook asana {\naccept_handshake\nreplay {\nstore memory STORE\n}\n}\nrespond 200"
	for name, test := range map[string]struct {
		site   string
		status int
	}{
		"no error route": {endpoint, 503},
		"an error route": {endpoint + "\nhandle_errors {\nrespond 202\n}", 202}, // it gets all of them, and Caddy logs them at level DEBUG
	} {
		t.Run(name, func(t *testing.T) {
			c := startCaddy(t, "", test.site)
			client := client(t, "HTTP/1.1")
			for range requests {
				got := c.send(client, strings.NewReader(content), "X-Hook-Signature", strings.Repeat("0", 64), "X-Padding", strings.Repeat("x", 1000))
				if got.status != test.status || got.header.Get("Retry-After") == "" || got.body != "" {
					t.Fatalf("got %+v", got)
				}
			}
			lines := 0
			for line := range strings.Lines(c.logged()) {
				if strings.Contains(line, `"logger":"http.log.error"`) && strings.Contains(line, `"level":"error"`) {
					lines++
				}
			}
			if most := requests / 2; lines > most {
				t.Errorf("%d requests wrote %d lines to Caddy's error log, want at most %d", requests, lines, most)
			}
		})
	}
}
