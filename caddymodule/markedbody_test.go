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

// parcelSizes are those of the smallest buffer, of one that has grown, of the
// largest that is pooled, and of a body that goes through a file.
var parcelSizes = []int{1 << 10, 64 << 10, 1 << 20, 1<<20 + 4096}

// parcel is a delivery whose body says everywhere whose it is and where in the
// body it belongs: what came from another one, or from elsewhere, is seen.
type parcel struct {
	id      string
	body    []byte
	headers []string

	once     sync.Once
	answered chan struct{} // closed when the sender has an answer, or has gone
}

// parcelLine is how long number and place are, in hex.
const parcelLine = 16

var parcels struct {
	sync.Mutex
	count uint32
}

// newParcel makes a parcel that no other test has.
func newParcel(size int) *parcel {
	parcels.Lock()
	parcels.count++
	number := parcels.count
	parcels.Unlock()

	var line [parcelLine]byte
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], number)
	hex.Encode(line[:], raw[:])
	body := bytes.Repeat(line[:], size/parcelLine)
	for at := 0; at < len(body); at += parcelLine {
		binary.BigEndian.PutUint32(raw[:], uint32(at))
		hex.Encode(body[at+parcelLine/2:], raw[:])
	}
	p := &parcel{id: "parcel-" + strconv.Itoa(int(number)), body: body, answered: make(chan struct{})}
	p.headers = githubHeaders(p.id, string(body))
	return p
}

func newParcels(count, size int) []*parcel {
	all := make([]*parcel, count)
	for i := range all {
		all[i] = newParcel(size)
	}
	return all
}

// gone notes that the sender waits no more.
func (p *parcel) gone() { p.once.Do(func() { close(p.answered) }) }

// check compares what was read at an offset with what belongs there.
func (p *parcel) check(at int, got []byte) error {
	if at+len(got) <= len(p.body) && bytes.Equal(got, p.body[at:at+len(got)]) {
		return nil
	}
	for i := range got {
		if at+i >= len(p.body) || got[i] != p.body[at+i] {
			return fmt.Errorf("%s at %d: got %.40q, which is another's", p.id, at+i, got[i:])
		}
	}
	return nil
}

// readBody reads a body to its end or to where it is cut off, and checks it
// all the way. It returns how much came.
func (p *parcel) readBody(r io.Reader) (int, error) {
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

// readWhole wants all of the body.
func (p *parcel) readWhole(r io.Reader) error {
	n, err := p.readBody(r)
	if err == nil && n != len(p.body) {
		err = fmt.Errorf("%s: %d of %d bytes arrived", p.id, n, len(p.body))
	}
	return err
}

// byID finds a parcel by what the app is told.
func byID(parcels []*parcel) map[string]*parcel {
	m := make(map[string]*parcel, len(parcels))
	for _, p := range parcels {
		m[p.id] = p
	}
	return m
}

// post sends a parcel, and returns the status and the body of the answer.
func (c *realCaddy) post(ctx context.Context, client *http.Client, p *parcel, headers ...string) (int, string, error) {
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

// postAll sends parcels, a few at a time, and wants this status for each.
func (c *realCaddy) postAll(client *http.Client, parcels []*parcel, atOnce, status int, headers ...string) {
	c.t.Helper()
	c.postTimes(client, parcels, atOnce, 1, status, headers)
}

// postUntil sends each parcel until it gets this status, as providers do.
func (c *realCaddy) postUntil(client *http.Client, parcels []*parcel, atOnce, status int, headers ...string) {
	c.t.Helper()
	c.postTimes(client, parcels, atOnce, 20, status, headers)
}

func (c *realCaddy) postTimes(client *http.Client, parcels []*parcel, atOnce, times, status int, headers []string) {
	c.t.Helper()
	queue := make(chan *parcel, len(parcels))
	for _, p := range parcels {
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

// parcelSite is an endpoint in front of an upstream, with a handler of the
// test in between.
func parcelSite(upstream string) string {
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

// between stands between verify_webhook and reverse_proxy.
type between struct{}

// betweenDoes is what it does. It is set before Caddy starts.
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

// doBetween sets what stands in between until the test ends.
func doBetween(t *testing.T, f func(http.ResponseWriter, *http.Request, caddyhttp.Handler) error) {
	betweenDoes = f
	t.Cleanup(func() { betweenDoes = nil }) // after Caddy has stopped
}
