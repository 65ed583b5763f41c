package protocols

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"
)

const (
	// patience limits the wait for events that must happen.
	patience = 30 * time.Second
	// connected limits the lifetime of a connection.
	connected = 3 * time.Minute
)

// field is one header or trailer field, or a pseudo-header.
type field struct{ name, value string }

// connection is a client's connection on which the test writes every frame, valid or
// not.
type connection interface {
	// open starts a request. end means that no body follows.
	open(fields []field, end bool) (stream, error)
	// close closes the connection with all its streams.
	close()
}

// stream is one request. Errors of data and trailers mean that the server stopped
// reading; its response contains the result.
type stream interface {
	data(p []byte, end bool) error
	trailers(fields []field) error
	// reset aborts the request.
	reset()
	// response waits for the final status. The error is errBroken if the server
	// aborted the request or the connection, and errLate if it does not respond.
	response() (int, error)
}

var (
	errBroken = errors.New("aborted by the server")
	errLate   = errors.New("no response within " + patience.String())
)

// wires are the protocols under attack.
var wires = map[string]func(*testing.T, string, *tls.Config) connection{
	"HTTP-2": dialHTTP2,
	"HTTP-3": dialHTTP3,
}

// overEach runs a test with each protocol.
func overEach(t *testing.T, s *site, test func(t *testing.T, dial func() connection)) {
	t.Helper()
	for name, dial := range wires {
		t.Run(name, func(t *testing.T) {
			test(t, func() connection {
				t.Helper()
				c := dial(t, s.address, s.tls)
				t.Cleanup(c.close)
				return c
			})
		})
	}
}

// post returns the fields of a POST.
func (s *site) post(path string, more ...field) []field {
	return with([]field{{":method", "POST"}, {":scheme", "https"}, {":authority", s.authority}, {":path", path}}, lower(more)...)
}

// lower returns fields with lower-case names, as these protocols require.
func lower(fields []field) []field {
	var all []field
	for _, f := range fields {
		all = append(all, field{strings.ToLower(f.name), f.value})
	}
	return all
}
