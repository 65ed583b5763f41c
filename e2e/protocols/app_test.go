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

// forged marks all unverified data: incomplete or unsigned bodies, trailers, and headers
// with the names of identity headers. It must not reach the app.
const forged = "FORGED"

// identity is the prefix of the identity headers.
const identity = "Webhook-Verified-"

// app is the upstream. It records every verified request, and every byte of all
// connections.
type app struct {
	address string

	mu       sync.Mutex
	raw      bytes.Buffer
	verified []received
	held     chan struct{} // if set, requests wait until it is closed
	arrived  chan struct{} // receives a value for each waiting request
}

// received is a verified request.
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

// ServeHTTP accepts verified requests. All others arrive through an error route.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte(forged + ": incomplete body: " + err.Error())
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

// seen returns all verified requests so far.
func (a *app) seen() []received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]received(nil), a.verified...)
}

// onlyVerified fails the test if an unverified byte reached the app.
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

// tapped is a listener whose connections record the bytes that they read.
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

// startAuth starts the server of forward_auth, which allows all requests, and returns its
// address. It receives the headers before verification, but no body.
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
