package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// rotatedVariable contains the secret that replaces the first one.
const rotatedVariable = "VERIFY_WEBHOOK_TEST_ROTATED"

// hangUps runs many senders, some of which disconnect.
type hangUps struct {
	c       *realCaddy
	clients []*http.Client

	known   map[string]*markedDelivery // the genuine deliveries
	leaving map[string]*departure      // those whose sender disconnects while the app works

	mu      sync.Mutex
	handled map[string]int
}

// departure is a sender that disconnects.
type departure struct {
	p       *markedDelivery
	once    sync.Once
	due     chan struct{}   // closed when the app has received the header
	over    chan struct{}   // closed when another delivery was handled since
	sending context.Context // the context of Caddy's request
}

func newDeparture(p *markedDelivery) *departure {
	return &departure{p: p, due: make(chan struct{}), over: make(chan struct{})}
}

// serve runs before and after verify_webhook. It lets the transport read the body
// when Caddy has noticed that the sender has disconnected.
func (h *hangUps) serve(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	d := h.leaving[r.Header.Get("X-GitHub-Delivery")]
	switch {
	case d == nil:
	case r.Header.Get("Webhook-Verified-Id") == "":
		if d.sending == nil { // not the retry
			d.sending = r.Context()
		}
	default:
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			<-d.sending.Done()
			<-d.over
		}()
		r.Body = &late{ReadCloser: r.Body, t: h.c.t, p: d.p, gate: gone, ended: make(chan struct{})}
	}
	return next.ServeHTTP(w, r)
}

// Some senders disconnect while they send the body, some while the app works,
// some stay connected, and some send forged deliveries. All buffers and hash
// states are reused immediately. The app must receive no bytes of another
// delivery and no forged one, and each retry must get its result.
func TestInvariant10DisconnectingSendersDoNotAffectOthers(t *testing.T) {
	t.Setenv(rotatedVariable, "It's another Secret to Everybody")
	for _, size := range bodySizes {
		t.Run(fmt.Sprintf("%d KiB", size>>10), func(t *testing.T) {
			h := &hangUps{known: make(map[string]*markedDelivery), leaving: make(map[string]*departure), handled: make(map[string]int)}
			const each = 8
			stay, broken, gone, forged := h.genuine(2*each, size), h.genuine(each, size), h.genuine(each, size), newMarkedDeliveries(each, size)
			for _, p := range gone {
				h.leaving[p.id] = newDeparture(p)
			}
			forge(forged, stay[0])
			app := startBareApp(t, func(r *bareRequest) bool { return h.work(t, r) })
			doBetween(t, h.serve)
			h.c = startCaddy(t, "", strings.NewReplacer(
				"verify_webhook", "between\nverify_webhook", "max_body", "secret {env."+rotatedVariable+"}\nmax_body",
			).Replace(proxySite(app.Addr().String())))
			h.clients = []*http.Client{client(t, "HTTP/1.1"), client(t, "HTTP/2")}

			var senders sync.WaitGroup
			for i := range each {
				client := h.clients[i%2]
				senders.Go(func() {
					h.want(stay[2*i], client, 200)
					h.breakOff(broken[i], client)
					h.want(forged[i], client, 401)
					h.leave(gone[i], client)
					h.want(stay[2*i+1], client, 200)
					close(h.leaving[gone[i].id].over)
				})
			}
			senders.Wait()
			for i := range each { // with the other protocol
				h.want(broken[i], h.clients[(i+1)%2], 200)
				h.want(gone[i], h.clients[(i+1)%2], 200)
			}
			h.c.stop()
			for id := range h.known {
				if h.handled[id] != 1 {
					t.Errorf("%s reached the app %d times", id, h.handled[id])
				}
			}
			if n := h.c.countOutcome(Malformed); n != each {
				t.Errorf("%d of %d bodies ended early", n, each)
			}
		})
	}
}

// genuine returns deliveries that are signed with one of the two secrets.
func (h *hangUps) genuine(count, size int) []*markedDelivery {
	all := newMarkedDeliveries(count, size)
	for i, p := range all {
		if i%2 == 1 {
			p.resign("It's another Secret to Everybody")
		}
		h.known[p.id] = p
	}
	return all
}

func (p *markedDelivery) resign(secret string) {
	p.headers = githubHeaders(p.id, "")
	p.headers[1] = "sha256=" + sign(secret, string(p.body))
}

// forge makes the signatures of deliveries invalid.
func forge(deliveries []*markedDelivery, genuine *markedDelivery) {
	for i, p := range deliveries {
		switch i % 3 {
		case 0:
			p.resign("another secret")
		case 1:
			p.headers[1] = genuine.headers[1]
		default:
			p.body[len(p.body)-1] ^= 1
		}
	}
}

// work is the app's handler.
func (h *hangUps) work(t *testing.T, r *bareRequest) bool {
	id := r.Header.Get("Webhook-Verified-Id")
	p := h.known[id]
	if p == nil {
		t.Errorf("%s has reached the app", id)
		return false
	}
	if d := h.leaving[id]; d != nil {
		d.once.Do(func() { close(d.due) })
	}
	if err := p.readWhole(r.Body); err != nil {
		t.Error(err)
		return false
	}
	h.mu.Lock()
	h.handled[id]++
	h.mu.Unlock()
	r.answer(http.StatusOK)
	return true
}

func (h *hangUps) want(p *markedDelivery, client *http.Client, status int) {
	if got, _, err := h.c.post(h.c.t.Context(), client, p); got != status || err != nil {
		h.c.t.Errorf("%s: got %d, %v; want %d", p.id, got, err, status)
	}
}

// leave sends a delivery and disconnects when the app has begun to work.
func (h *hangUps) leave(p *markedDelivery, client *http.Client) {
	ctx, hangUp := context.WithCancel(h.c.t.Context())
	go func() {
		<-h.leaving[p.id].due
		hangUp()
	}()
	if status, _, err := h.c.post(ctx, client, p); !errors.Is(err, context.Canceled) {
		h.c.t.Errorf("%s: the sender should disconnect, but got %d, %v", p.id, status, err)
	}
}

var errHungUp = errors.New("hung up")

// breakOff sends half of the body and disconnects.
func (h *hangUps) breakOff(p *markedDelivery, client *http.Client) {
	half := io.MultiReader(bytes.NewReader(p.body[:len(p.body)/2]), iotest.ErrReader(errHungUp))
	r, err := http.NewRequestWithContext(h.c.t.Context(), http.MethodPost, "http://"+h.c.addr+"/in", half)
	if err != nil {
		h.c.t.Error(err)
		return
	}
	r.ContentLength = int64(len(p.body))
	for i := 0; i < len(p.headers); i += 2 {
		r.Header.Set(p.headers[i], p.headers[i+1])
	}
	resp, err := client.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, errHungUp) {
		h.c.t.Errorf("%s: the sender should disconnect, but got %v", p.id, err)
	}
}

// stop stops Caddy after it has finished the requests in flight.
func (c *realCaddy) stop() {
	if err := caddy.Stop(); err != nil {
		c.t.Error(err)
	}
}

// countOutcome counts the lines of an outcome in the access log.
func (c *realCaddy) countOutcome(o Outcome) int {
	c.t.Helper()
	n := 0
	for line := range strings.Lines(c.logged()) {
		var entry struct {
			Msg     string  `json:"msg"`
			Outcome Outcome `json:"webhook_outcome"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			c.t.Fatal(err)
		}
		if entry.Msg == "handled request" && entry.Outcome == o {
			n++
		}
	}
	return n
}
