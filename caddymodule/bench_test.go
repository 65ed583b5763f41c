package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
)

// quiet is a response writer without allocations.
type quiet struct{ header http.Header }

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) Write(p []byte) (int, error) { return len(p), nil }
func (q *quiet) WriteHeader(int)             {}

func (q *quiet) SetReadDeadline(time.Time) error { return nil }

// BenchmarkHandler handles new GitHub deliveries of 1 KiB: each is verified,
// claimed, forwarded and committed. The difference from BenchmarkNothing is the
// cost of the handler.
func BenchmarkHandler(b *testing.B) {
	t := trial(b, config("github", `"replay":{"store":{"type":"memory","name":"bench","max_entries":100000000}}`))
	run(b, t.handler, Verified)
}

// BenchmarkNothing sends the same requests without the gate: it measures what
// Caddy does for each request.
func BenchmarkNothing(b *testing.B) { run(b, nothing{}, "") }

type nothing struct{}

func (nothing) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

func run(b *testing.B, h caddyhttp.MiddlewareHandler, want Outcome) {
	const many = 1 << 14
	deliveries := newDeliveries(many, 1<<10)
	send := deliveries.sender(b, h)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%many == 0 && i > 0 {
			b.StopTimer()
			if handler, ok := h.(*Handler); ok {
				handler.store = trial(b, config("github", "")).handler.store // a new, empty store
			}
			b.StartTimer()
		}
		send()
	}
	deliveries.checkOutcome(b, want)
}

// deliveries holds distinct signed deliveries, generated before measuring.
type deliveries struct {
	bodies     [][]byte
	ids        [][]string
	signatures [][]string      // nil: the header is missing
	last       *caddy.Replacer // of the delivery that was sent last
}

func newDeliveries(n, size int) *deliveries {
	d := &deliveries{bodies: make([][]byte, n), ids: make([][]string, n), signatures: make([][]string, n)}
	for i := range n {
		start := `{"size":` + strconv.Itoa(size) + `,"number":` + strconv.Itoa(i) + `,"padding":"`
		body := start + strings.Repeat("x", size-len(start)-2) + `"}`
		d.bodies[i], d.signatures[i] = []byte(body), []string{"sha256=" + sign(secret, body)}
		d.ids[i] = []string{fmt.Sprintf("%08x-cc78-11e3-81ab-%012x", size, i)}
	}
	return d
}

// sender returns a function that sends the next delivery, cyclically, with few
// allocations itself.
func (d *deliveries) sender(t testing.TB, h caddyhttp.MiddlewareHandler) (send func()) {
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(200)
		return nil
	})
	w := &quiet{header: make(http.Header)}
	reader := bytes.NewReader(nil)
	received := dryrun.AsReceived(request(""))
	received.Body = io.NopCloser(reader)
	length := []string{strconv.Itoa(len(d.bodies[0]))}
	i := 0
	return func() {
		reader.Reset(d.bodies[i])
		received.ContentLength = int64(len(d.bodies[i]))
		header := received.Header
		header["X-Hub-Signature-256"], header["Stripe-Signature"] = d.signatures[i], d.signatures[i]
		header["Content-Length"] = length
		header["X-Github-Event"] = pushEvent
		header["X-Github-Delivery"] = d.ids[i]
		i = (i + 1) % len(d.bodies)
		d.last = caddy.NewReplacer()
		r := caddyhttp.PrepareRequest(received, d.last, w, nil)
		_ = h.ServeHTTP(w, r, next) // the outcome reports more
	}
}

// checkOutcome checks the outcome of the delivery that was sent last.
func (d *deliveries) checkOutcome(t testing.TB, want Outcome) {
	t.Helper()
	if got, _ := d.last.GetString("http.verify_webhook.outcome"); got != string(want) {
		t.Fatalf("the outcome is %q, want %q", got, want)
	}
}

var pushEvent = []string{"push"}
