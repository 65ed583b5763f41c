//go:build unix

package relay

import (
	"io"
	"net"
	"sync"
	"testing"
)

// network is a proxy between the laptop and Caddy that can fail.
type network struct {
	t       *testing.T
	address string // the address to which the laptop connects
	to      string

	mu    sync.Mutex
	pairs map[*pair]bool
}

// pair is a connection of the laptop and its connection to Caddy.
type pair struct {
	near, far net.Conn
	silent    chan struct{} // closed: data is discarded
}

func newNetwork(t *testing.T, to string) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, address: l.Addr().String(), to: to, pairs: make(map[*pair]bool)}
	t.Cleanup(func() {
		_ = l.Close()
		n.cut()
	})
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go n.connect(near)
		}
	}()
	return n
}

func (n *network) connect(near net.Conn) {
	far, err := net.Dial("tcp", n.to)
	if err != nil {
		_ = near.Close()
		return
	}
	p := &pair{near, far, make(chan struct{})}
	n.mu.Lock()
	n.pairs[p] = true
	n.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(far, near) })
	both.Go(func() { p.copy(near, far) })
	both.Wait()
	n.mu.Lock()
	delete(n.pairs, p)
	n.mu.Unlock()
}

// copy copies until one end closes the connection. If the pair is silent, it discards
// data.
func (p *pair) copy(to io.WriteCloser, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-p.silent:
			if err != nil {
				return // without closing the other end
			}
			continue
		default:
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// cut closes all connections.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pairs {
		_ = p.near.Close()
		_ = p.far.Close()
	}
}

// change discards the data of all connections without closing them, as if a machine
// moves to another network. New connections work.
func (n *network) change() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.pairs {
		select {
		case <-p.silent:
		default:
			close(p.silent)
		}
	}
}
