package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// hostile sends what a genuine provider does not. Whatever of it reaches the
// app is told by its body, which has no delivery's number.
type hostile struct {
	run      *fullRun
	client   *http.Client
	sent     atomic.Int64
	accepted atomic.Int64 // 2xx answers
	example  atomic.Pointer[string]
}

const hostileBody = `{"id":"hostile","event_id":"hostile","type":"invoice.paid","n":`

// hostileWays change a genuine delivery.
var hostileWays = []func(*http.Request){
	forged, unsigned, stale, garbled, huge, many, longer,
}

func forged(r *http.Request) { setBody(r, hostileBody+"1}") }

func unsigned(r *http.Request) {
	r.Header = http.Header{"Content-Type": {"application/json"}}
	setBody(r, hostileBody+"2}")
}

// stale has no time that anything could accept.
func stale(r *http.Request) {
	setBody(r, hostileBody+"3}")
	for name := range r.Header {
		if strings.Contains(strings.ToLower(name), "timestamp") {
			r.Header.Set(name, "99999999999999999999")
		}
	}
}

func garbled(r *http.Request) {
	setBody(r, "\x00\xff{{{"+strings.Repeat("[", 10_000))
	for name := range r.Header {
		if strings.Contains(strings.ToLower(name), "signature") {
			r.Header.Set(name, "=,,;v1=\t"+strings.Repeat("v1,", 300))
		}
	}
}

func huge(r *http.Request) {
	setBody(r, hostileBody+"4}")
	for name := range r.Header {
		r.Header.Set(name, strings.Repeat("a", 16<<10))
	}
}

func many(r *http.Request) {
	setBody(r, hostileBody+"5}")
	for name := range r.Header {
		for range 20 {
			r.Header.Add(name, r.Header.Get(name))
		}
	}
}

func longer(r *http.Request) { setBody(r, hostileBody+strings.Repeat("6", 300<<10)+"}") }

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// start sends until ctx ends. The result waits for the last request.
func (h *hostile) start(ctx context.Context) (wait func()) {
	var all sync.WaitGroup
	every := func(pause time.Duration, do func(context.Context, *rand.Rand)) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(pause))) // the same in every run
			for ctx.Err() == nil {
				do(ctx, random)
				h.sent.Add(1)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	for i := range 2 {
		every(time.Duration(9+i)*time.Millisecond, h.request)
	}
	for i := range 4 {
		every(time.Duration(30+i)*time.Millisecond, h.breakOff)
		every(time.Duration(40+i)*time.Millisecond, h.slowly)
	}
	return all.Wait
}

// pick returns a genuine delivery, never to be sent as it is.
func (h *hostile) pick(random *rand.Rand) (fullSent, *http.Request) {
	sent := h.run.fullDelivery(random.IntN(1000))
	d := sent.provider.Make("hostile", fullPublic+sent.path(), time.Now())
	r, err := http.NewRequest(http.MethodPost, h.run.sites[sent.site].url+sent.path(), bytes.NewReader(d.Body)) // request sets the context
	if err != nil {
		panic(err)
	}
	r.Header = d.Header
	return sent, r
}

func (h *hostile) request(ctx context.Context, random *rand.Rand) {
	sent, r := h.pick(random)
	which := random.IntN(len(hostileWays))
	hostileWays[which](r)
	resp, err := h.client.Do(r.WithContext(ctx))
	if err != nil {
		return // Caddy is away, or has closed the connection
	}
	defer resp.Body.Close()
	if acknowledges(resp.StatusCode) {
		h.accepted.Add(1)
		text := fmt.Sprintf("%s: hostile request %d was answered %d", sent.path(), which, resp.StatusCode)
		h.example.CompareAndSwap(nil, &text)
	}
}

// breakOff closes the connection in the middle of a body.
func (h *hostile) breakOff(ctx context.Context, random *rand.Rand) {
	h.half(ctx, random, func(conn net.Conn) {
		if tcp, ok := conn.(*net.TCPConn); ok && random.IntN(2) == 0 {
			_ = tcp.SetLinger(0) // a reset
		}
	})
}

// slowly sends a byte now and then, and then none.
func (h *hostile) slowly(ctx context.Context, random *rand.Rand) {
	h.half(ctx, random, func(conn net.Conn) {
		for range 20 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
		}
	})
}

// half sends the headers and a half of the body.
func (h *hostile) half(ctx context.Context, random *rand.Rand, then func(net.Conn)) {
	_, r := h.pick(random)
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.URL.Host)
	if err != nil {
		return
	}
	defer conn.Close()
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 4000\r\n", r.URL.Path, r.URL.Host)
	_ = r.Header.Write(&head)
	head.WriteString("\r\n" + hostileBody)
	if _, err := conn.Write(head.Bytes()); err != nil {
		return
	}
	then(conn)
}
