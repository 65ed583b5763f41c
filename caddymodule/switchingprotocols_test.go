package caddymodule

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// reverse_proxy writes no response if the app switches to a protocol that was not
// requested, and the server would then send 200. The app has not handled the delivery.
func TestInvariant14UnexpectedProtocolSwitchIsNotRemembered(t *testing.T) {
	for name, headers := range map[string]string{
		"another protocol": "Connection: Upgrade\r\nUpgrade: other\r\n",
		"no protocol":      "",
		"WebSocket":        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n",
		"not printable":    "Connection: Upgrade\r\nUpgrade: \xff\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			app := startBareApp(t, func(r *bareRequest) bool {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(r.Conn, "HTTP/1.1 101 Switching Protocols\r\n"+headers+"\r\n") // the response is checked
				return false
			})
			c := startCaddy(t, "", proxySite(app.Addr().String()))
			client := client(t, "HTTP/1.1")
			for range 2 { // the second one would be a duplicate
				if got := c.send(client, strings.NewReader(content), githubHeaders("1", content)...); got.status != http.StatusServiceUnavailable {
					t.Errorf("the sender got %d", got.status)
				}
			}
			if !strings.Contains(c.logged(), `"outcome":"unhandled","reason":"the app responded with 101`) {
				t.Error("the log does not report it")
			}
		})
	}
}
