package caddymodule

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// bareApp is an upstream that reads and writes raw connections.
type bareApp struct {
	net.Listener
	talk func(net.Conn)
	work sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	conns   []net.Conn
}

// startBare starts an app that serves each connection with talk.
func startBare(t *testing.T, talk func(net.Conn)) *bareApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &bareApp{Listener: l, talk: talk}
	a.work.Go(a.accept)
	t.Cleanup(a.stop) // after Caddy has stopped
	return a
}

// stop closes the connections that Caddy left open, and waits for goroutines.
func (a *bareApp) stop() {
	a.Close()
	a.mu.Lock()
	for _, conn := range a.conns {
		conn.Close()
	}
	a.stopped = true
	a.mu.Unlock()
	a.work.Wait()
}

func (a *bareApp) accept() {
	for {
		conn, err := a.Accept()
		if err != nil {
			return
		}
		if !a.keep(conn) {
			conn.Close()
			return
		}
		a.work.Go(func() {
			defer conn.Close()
			a.talk(conn)
		})
	}
}

// keep registers a connection for stop to close. It returns false after stop.
func (a *bareApp) keep(conn net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, conn)
	return !a.stopped
}

// bareRequest is a request whose body has not been read.
type bareRequest struct {
	*http.Request
	net.Conn
}

// startBareApp starts an app whose serve function reads, responds or closes in
// any order. If serve returns true, the next request on the connection is read.
func startBareApp(t *testing.T, serve func(*bareRequest) bool) *bareApp {
	t.Helper()
	return startBare(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(in)
			if err != nil && !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("reading a request: %v", err)
			}
			if err != nil || !serve(&bareRequest{r, conn}) {
				return
			}
		}
	})
}

// answer writes a complete response and leaves the connection open.
func (r *bareRequest) answer(status int) {
	// The error is ignored: the client may have disconnected.
	_, _ = fmt.Fprintf(r.Conn, "HTTP/1.1 %d Done\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\ndone", status)
}

// readThenAnswer reads the body and then responds, as most apps do.
func (r *bareRequest) readThenAnswer(t *testing.T, p *markedDelivery) bool {
	if err := p.readWhole(r.Body); err != nil {
		t.Error(err)
		return false
	}
	r.answer(http.StatusOK)
	return true
}

// isReset reports whether Caddy has closed the connection.
func isReset(err error) bool {
	for _, end := range []error{syscall.ECONNRESET, syscall.EPIPE, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
