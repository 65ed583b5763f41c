package caddymodule

import (
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// slowTransport is a handler between verify_webhook and reverse_proxy that delays
// the transport: for some deliveries, its reads block until a channel is closed. This
// simulates a transport whose goroutine is not scheduled for a while.
type slowTransport struct {
	t    *testing.T
	slow map[string]*markedDelivery
	rest map[string]*markedDelivery // checked, but not delayed
	gate chan struct{}
	// again delays the bodies that the transport gets from GetBody for a retry,
	// instead of the first bodies.
	again bool
	// overtaken makes the handler return during a late read.
	overtaken bool

	mu      sync.Mutex
	readers []*late
	asked   int // how often GetBody was called
}

func newSlowTransport(t *testing.T, slow, rest []*markedDelivery) *slowTransport {
	s := &slowTransport{t: t, slow: byID(slow), rest: byID(rest), gate: make(chan struct{})}
	doBetween(t, s.serve)
	return s
}

func (s *slowTransport) serve(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	id := r.Header.Get("Webhook-Verified-Id")
	p, gate := s.slow[id], s.gate
	if p == nil {
		p, gate = s.rest[id], nil
	}
	if s.overtaken {
		gate = make(chan struct{})
	}
	if getBody := r.GetBody; getBody != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			s.mu.Lock()
			s.asked++
			s.mu.Unlock()
			body, err := getBody()
			if err != nil {
				return nil, err
			}
			return s.lend(body, p, gate), nil
		}
	}
	if s.again {
		r.Body = s.lend(r.Body, p, nil)
		return next.ServeHTTP(w, r)
	}
	l := s.lend(r.Body, p, gate)
	r.Body = l
	err := next.ServeHTTP(w, r)
	if s.overtaken {
		close(gate)
		select {
		case <-l.begun:
		case <-l.ended:
		}
	}
	return err
}

// lend returns a body whose reads block until gate is closed. A nil gate does not
// block.
func (s *slowTransport) lend(body io.ReadCloser, p *markedDelivery, gate <-chan struct{}) *late {
	l := &late{ReadCloser: body, t: s.t, p: p, gate: gate, ended: make(chan struct{})}
	if s.overtaken {
		l.begun = make(chan struct{})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = append(s.readers, l)
	return l
}

// late returns the readers with a gate, and the others.
func (s *slowTransport) late() (late, others []*late) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.readers {
		if l.gate != nil {
			late = append(late, l)
		} else {
			others = append(others, l)
		}
	}
	return late, others
}

// late is a body whose reads can be delayed.
type late struct {
	io.ReadCloser
	t    *testing.T
	p    *markedDelivery
	gate <-chan struct{}
	// If it is not nil, it is closed during the first read.
	begun chan struct{}

	at      int // number of bytes read
	failure error
	once    sync.Once
	ended   chan struct{} // closed after the last read
}

func (l *late) Read(p []byte) (int, error) {
	if l.gate != nil {
		<-l.gate
	}
	n, err := l.read(p)
	if wrong := l.p.check(l.at, p[:n]); wrong != nil {
		l.t.Errorf("the transport reads %v", wrong)
	}
	l.at += n
	if err != nil && err != io.EOF {
		l.failure = err
		l.end() // Close may not be called
	}
	return n, err
}

// read reads in one call or, if overtaken is set, in steps.
func (l *late) read(p []byte) (n int, err error) {
	if l.begun == nil {
		return l.ReadCloser.Read(p)
	}
	for n < len(p) && err == nil {
		var more int
		more, err = l.ReadCloser.Read(p[n:min(n+64, len(p))])
		if l.at+n == 0 {
			close(l.begun)
		} else {
			runtime.Gosched() // to the handler
		}
		n += more
	}
	return n, err
}

func (l *late) Close() error {
	err := l.ReadCloser.Close()
	l.end()
	return err
}

func (l *late) end() { l.once.Do(func() { close(l.ended) }) }

// bodyMemory returns how many bytes the bodies of the running config use.
func bodyMemory(t *testing.T) int64 {
	t.Helper()
	app, err := caddy.ActiveContext().App(appID)
	if err != nil {
		t.Fatal(err)
	}
	memory, disk := app.(*App).budget.InUse()
	return memory + disk
}
