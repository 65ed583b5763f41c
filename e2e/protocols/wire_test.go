package protocols

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"
)

const (
	// patience bounds waiting for what certainly comes.
	patience = 30 * time.Second
	// connected bounds the life of a connection.
	connected = 3 * time.Minute
)

// field is one header or trailer field, or a pseudo-header.
type field struct{ name, value string }

// connection is a client's end of a connection on which the test writes every
// frame itself, right or wrong.
type connection interface {
	// open begins a request. end says that no body follows.
	open(fields []field, end bool) (stream, error)
	// close drops the connection with all its streams.
	close()
}

// stream is one request. Errors of data and trailers say that the server has
// stopped reading; what it makes of the request is in its response.
type stream interface {
	data(p []byte, end bool) error
	trailers(fields []field) error
	// reset breaks the request off.
	reset()
	// response waits for the final status. The error is errBroken if the server
	// broke off the request, or the connection, instead, and errLate if it does nothing.
	response() (int, error)
}

var (
	errBroken = errors.New("broken off by the server")
	errLate   = errors.New("no response within " + patience.String())
)

// wires are the protocols that are attacked.
var wires = map[string]func(*testing.T, string, *tls.Config) connection{
	"HTTP-2": dialHTTP2,
	"HTTP-3": dialHTTP3,
}

// overEach runs a test over each protocol.
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

// lower returns fields as these protocols have them.
func lower(fields []field) []field {
	var all []field
	for _, f := range fields {
		all = append(all, field{strings.ToLower(f.name), f.value})
	}
	return all
}
