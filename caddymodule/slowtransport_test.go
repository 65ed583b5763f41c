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

// slowTransport stands between verify_webhook and reverse_proxy, and makes the
// transport late: what it reads of some parcels it reads when the gate opens.
// That is how it is with a transport whose goroutine gets no processor for a
// while.
type slowTransport struct {
	t    *testing.T
	slow map[string]*parcel
	rest map[string]*parcel // only looked at
	gate chan struct{}
	// again: late is not what the handler gives, but what the transport asks
	// for when it sends a body once more.
	again bool
	// overtaken: the handler returns in the midst of a late read, which it
	// lets begin.
	overtaken bool

	mu      sync.Mutex
	readers []*late
	asked   int // how often GetBody was called
}

func newSlowTransport(t *testing.T, slow, rest []*parcel) *slowTransport {
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

// lend puts a body behind a gate; nil is none.
func (s *slowTransport) lend(body io.ReadCloser, p *parcel, gate <-chan struct{}) *late {
	l := &late{ReadCloser: body, t: s.t, p: p, gate: gate, ended: make(chan struct{})}
	if s.overtaken {
		l.begun = make(chan struct{})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers = append(s.readers, l)
	return l
}

// late returns the readers behind a gate, and the others.
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

// late is a body that is read late.
type late struct {
	io.ReadCloser
	t    *testing.T
	p    *parcel
	gate <-chan struct{}
	// If it is not nil, it is closed in the midst of the first read.
	begun chan struct{}

	at      int // how much was read
	failure error
	once    sync.Once
	ended   chan struct{} // closed when nobody reads on
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
		l.end() // it may not be closed at all
	}
	return n, err
}

// read reads all at once or, to be overtaken, in steps.
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

// bodiesHeld returns what the running config's bodies occupy.
func bodiesHeld(t *testing.T) int64 {
	t.Helper()
	app, err := caddy.ActiveContext().App(appID)
	if err != nil {
		t.Fatal(err)
	}
	memory, disk := app.(*App).budget.InUse()
	return memory + disk
}
