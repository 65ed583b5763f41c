package protocols

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// forged is in every byte that a sender cannot have verified: in bodies that are not
// whole or not signed, in trailers, in headers named as the identity. It must not
// reach the app in any way.
const forged = "FORGED"

// identity is the prefix of the headers that say what was verified.
const identity = "Webhook-Verified-"

// app is the upstream. It keeps all that it has received: every request that was
// verified, and every byte of all connections.
type app struct {
	address string

	mu       sync.Mutex
	raw      bytes.Buffer
	verified []received
	held     chan struct{} // if it is set, requests wait until it is closed
	arrived  chan struct{} // gets a value for each request that is held
}

// received is a request that was verified.
type received struct {
	header, trailer http.Header
	body            []byte
	length          int64
	chunked         bool
}

func startApp(t *testing.T) *app {
	t.Helper()
	a := &app{arrived: make(chan struct{}, 100)}
	server := httptest.NewUnstartedServer(a)
	server.Listener = tapped{server.Listener, a}
	server.Start()
	t.Cleanup(server.Close)
	a.address = server.Listener.Addr().String()
	return a
}

// ServeHTTP accepts what was verified. All else comes by an error route.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte(forged + ": the body is not whole: " + err.Error())
	}
	if r.Header.Get(identity+"Provider") == "" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	a.mu.Lock()
	a.verified = append(a.verified, received{r.Header, r.Trailer, body, r.ContentLength, len(r.TransferEncoding) > 0})
	held := a.held
	a.mu.Unlock()
	if held != nil {
		a.arrived <- struct{}{}
		<-held
	}
	w.WriteHeader(http.StatusAccepted)
}

// hold makes requests wait until release is called.
func (a *app) hold(t *testing.T) (release func()) {
	held := make(chan struct{})
	a.mu.Lock()
	a.held = held
	a.mu.Unlock()
	release = sync.OnceFunc(func() {
		a.mu.Lock()
		a.held = nil
		a.mu.Unlock()
		close(held)
	})
	t.Cleanup(release)
	return release
}

// seen returns all requests so far that were verified.
func (a *app) seen() []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]received(nil), a.verified...)
}

// onlyVerified fails the test if a byte that was not verified has reached the app.
func (a *app) onlyVerified(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := bytes.Index(a.raw.Bytes(), []byte(forged)); at >= 0 {
		t.Errorf("the app got %q", a.raw.Bytes()[max(0, at-300):min(a.raw.Len(), at+100)])
	}
	for _, r := range a.verified {
		if bytes.Contains(r.body, []byte(forged)) || len(r.trailer) > 0 || r.chunked || r.length != int64(len(r.body)) {
			t.Errorf("the app got %.100q, declared as %d, chunked %t, trailers %v", r.body, r.length, r.chunked, r.trailer)
		}
	}
}

// tapped is a listener whose connections keep what they read.
type tapped struct {
	net.Listener
	app *app
}

func (l tapped) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return tap{conn, l.app}, err
}

type tap struct {
	net.Conn
	app *app
}

func (c tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	c.app.raw.Write(p[:n])
	return n, err
}

// startAuth starts the server that forward_auth asks, which allows everything, and
// returns its address. It gets the headers before they are looked at, but no body.
func startAuth(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); len(body) > 0 {
			t.Errorf("forward_auth sends the body %.100q", body)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
