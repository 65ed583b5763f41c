package caddymodule

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// bodySizes lists the sizes of the smallest buffer, of a grown buffer, of the
// largest pooled buffer, and of a body in a temporary file.
var bodySizes = []int{1 << 10, 64 << 10, 1 << 20, 1<<20 + 4096}

// markedDelivery is a delivery whose body contains its number and the offset everywhere,
// so that bytes of another delivery or from another offset are detected.
type markedDelivery struct {
	id      string
	body    []byte
	headers []string

	once     sync.Once
	answered chan struct{} // closed when the sender has a response, or has disconnected
}

// markLength is the length of number and offset in hex.
const markLength = 16

var deliveryNumber struct {
	sync.Mutex
	count uint32
}

// newMarkedDelivery returns a delivery with a number that no other delivery has.
func newMarkedDelivery(size int) *markedDelivery {
	deliveryNumber.Lock()
	deliveryNumber.count++
	number := deliveryNumber.count
	deliveryNumber.Unlock()

	var line [markLength]byte
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], number)
	hex.Encode(line[:], raw[:])
	body := bytes.Repeat(line[:], size/markLength)
	for at := 0; at < len(body); at += markLength {
		binary.BigEndian.PutUint32(raw[:], uint32(at))
		hex.Encode(body[at+markLength/2:], raw[:])
	}
	p := &markedDelivery{id: "delivery-" + strconv.Itoa(int(number)), body: body, answered: make(chan struct{})}
	p.headers = githubHeaders(p.id, string(body))
	return p
}

func newMarkedDeliveries(count, size int) []*markedDelivery {
	all := make([]*markedDelivery, count)
	for i := range all {
		all[i] = newMarkedDelivery(size)
	}
	return all
}

// gone records that the sender no longer waits.
func (p *markedDelivery) gone() { p.once.Do(func() { close(p.answered) }) }

// check compares bytes that were read at an offset with the expected ones.
func (p *markedDelivery) check(at int, got []byte) error {
	if at+len(got) <= len(p.body) && bytes.Equal(got, p.body[at:at+len(got)]) {
		return nil
	}
	for i := range got {
		if at+i >= len(p.body) || got[i] != p.body[at+i] {
			return fmt.Errorf("%s at %d: got %.40q, which is not from this body", p.id, at+i, got[i:])
		}
	}
	return nil
}

// readBody reads and checks a body until its end or an error. It returns the
// number of bytes read.
func (p *markedDelivery) readBody(r io.Reader) (int, error) {
	buf := make([]byte, 8<<10)
	for at := 0; ; {
		n, err := r.Read(buf)
		if wrong := p.check(at, buf[:n]); wrong != nil {
			return at, wrong
		}
		at += n
		if err != nil {
			return at, nil
		}
	}
}

// readWhole reads and checks a body, which must be complete.
func (p *markedDelivery) readWhole(r io.Reader) error {
	n, err := p.readBody(r)
	if err == nil && n != len(p.body) {
		err = fmt.Errorf("%s: %d of %d bytes arrived", p.id, n, len(p.body))
	}
	return err
}

// byID returns deliveries by their ID.
func byID(deliveries []*markedDelivery) map[string]*markedDelivery {
	m := make(map[string]*markedDelivery, len(deliveries))
	for _, p := range deliveries {
		m[p.id] = p
	}
	return m
}

// post sends a delivery, and returns the status and the body of the response.
func (c *realCaddy) post(ctx context.Context, client *http.Client, p *markedDelivery, headers ...string) (int, string, error) {
	defer p.gone()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.addr+"/in", bytes.NewReader(p.body))
	if err != nil {
		return 0, "", err
	}
	headers = slices.Concat(headers, p.headers)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// postAll sends deliveries, atOnce at a time, and checks the status of each.
func (c *realCaddy) postAll(client *http.Client, deliveries []*markedDelivery, atOnce, status int, headers ...string) {
	c.t.Helper()
	c.postTimes(client, deliveries, atOnce, 1, status, headers)
}

// postUntil sends each delivery until it gets a status, as providers do.
func (c *realCaddy) postUntil(client *http.Client, deliveries []*markedDelivery, atOnce, status int, headers ...string) {
	c.t.Helper()
	c.postTimes(client, deliveries, atOnce, 20, status, headers)
}

func (c *realCaddy) postTimes(client *http.Client, deliveries []*markedDelivery, atOnce, times, status int, headers []string) {
	c.t.Helper()
	queue := make(chan *markedDelivery, len(deliveries))
	for _, p := range deliveries {
		queue <- p
	}
	close(queue)
	var senders sync.WaitGroup
	for range atOnce {
		senders.Go(func() {
			for p := range queue {
				var got int
				var text string
				var err error
				for left := times; left > 0 && got != status; left-- {
					got, text, err = c.post(c.t.Context(), client, p, headers...)
				}
				if got != status || err != nil {
					c.t.Errorf("%s: got %d, %q, %v; want %d", p.id, got, text, err, status)
				}
			}
		})
	}
	senders.Wait()
}

// proxySite returns the config of an endpoint in front of an upstream, with a
// handler of the test between both.
func proxySite(upstream string) string {
	return `route {
		verify_webhook github {env.` + secretVariable + `} {
			max_body 4MiB
			replay {
				store memory STORE
			}
		}
		between
		reverse_proxy ` + upstream + `
	}`
}

// between is a handler between verify_webhook and reverse_proxy.
type between struct{}

// betweenDoes is its function. It is set before Caddy starts.
var betweenDoes func(http.ResponseWriter, *http.Request, caddyhttp.Handler) error

func init() {
	caddy.RegisterModule(between{})
	httpcaddyfile.RegisterHandlerDirective("between", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return between{}, nil
	})
}

func (between) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.between", New: func() caddy.Module { return new(between) }}
}

func (between) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if betweenDoes == nil {
		return next.ServeHTTP(w, r)
	}
	return betweenDoes(w, r, next)
}

// doBetween sets the function of between until the test ends.
func doBetween(t *testing.T, f func(http.ResponseWriter, *http.Request, caddyhttp.Handler) error) {
	betweenDoes = f
	t.Cleanup(func() { betweenDoes = nil }) // after Caddy has stopped
}
