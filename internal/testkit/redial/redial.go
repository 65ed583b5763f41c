// Package redial lets tests send requests to a Caddy that reloads its config: a reload
// resets connections that wait in the queue of the old socket when Caddy closes it.
// Importing the package is enough for [http.DefaultClient].
package redial

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
)

func init() { http.DefaultTransport.(*http.Transport).DialContext = Dial }

// Dial connects again if the connection is reset.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := error(syscall.ECONNRESET)
	for tries := 0; tries < 5 && errors.Is(err, syscall.ECONNRESET); tries++ {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
	}
	return conn, err
}
