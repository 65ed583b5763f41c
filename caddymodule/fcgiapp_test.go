package caddymodule

import (
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"
)

// startFastCGI starts a FastCGI app, such as PHP, that records the requests it receives
// and responds with a status.
func startFastCGI(t *testing.T, status int) (*realApp, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := new(realApp)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = fcgi.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				body = append(body, ("[" + err.Error() + "]")...)
			}
			app.mu.Lock()
			app.seen = append(app.seen, arrival{method: r.Method, header: r.Header, body: string(body), length: r.ContentLength})
			app.mu.Unlock()
			w.WriteHeader(status)
		})) // fails when the listener is closed
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-served
	})
	return app, listener.Addr().String()
}

// isIdentified reports whether the app takes the request for a verified delivery.
func (a arrival) isIdentified() bool {
	for name := range a.header {
		if strings.HasPrefix(strings.ToLower(name), identityPrefix) {
			return true
		}
	}
	return false
}
