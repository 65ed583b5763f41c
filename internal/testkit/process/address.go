package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// Ports for servers are below those that Linux, macOS and Windows use for
// outgoing connections: none of these can take a port before its server listens,
// or while its server restarts.
const (
	firstPort = 16384
	ports     = 32768 - firstPort
)

// nextPort starts at a random port, because several test programs run at once.
var nextPort = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(rand.Uint32N(ports))
	return n
}()

// FreeAddress returns a free loopback address. Within one program it returns each
// address only once.
func FreeAddress() (string, error) {
	var errs []error
	for range 100 {
		port := firstPort + nextPort.Add(1)%ports
		address := net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10))
		l, err := net.Listen("tcp", address)
		if err == nil {
			return address, l.Close()
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("looking for a free port: %w", errors.Join(errs...))
}
