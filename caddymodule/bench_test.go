package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
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
	run(b, t.handler)
}

// BenchmarkNothing sends the same requests without the gate: it measures what
// Caddy does for each request.
func BenchmarkNothing(b *testing.B) { run(b, nothing{}) }

type nothing struct{}

func (nothing) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

func run(b *testing.B, h caddyhttp.MiddlewareHandler) {
	const many = 1 << 14
	deliveries := newDeliveries(many)
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
}

// deliveries holds distinct signed deliveries, generated before measuring.
type deliveries struct {
	bodies     [][]byte
	signatures [][]string
}

func newDeliveries(n int) *deliveries {
	d := &deliveries{make([][]byte, n), make([][]string, n)}
	for i := range n {
		d.bodies[i] = bytes.Repeat([]byte{'x'}, 1024)
		copy(d.bodies[i], strconv.Itoa(i))
		d.signatures[i] = []string{"sha256=" + sign(secret, string(d.bodies[i]))}
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
	i := 0
	return func() {
		reader.Reset(d.bodies[i])
		received.ContentLength = 1024
		header := received.Header
		header["X-Hub-Signature-256"] = d.signatures[i]
		header["Content-Length"] = oneKiB
		header["X-Github-Event"] = pushEvent
		header["X-Github-Delivery"] = d.signatures[i]
		i = (i + 1) % len(d.bodies)
		r := caddyhttp.PrepareRequest(received, caddy.NewReplacer(), w, nil)
		if err := h.ServeHTTP(w, r, next); err != nil {
			t.Fatal(err)
		}
	}
}

var pushEvent, oneKiB = []string{"push"}, []string{"1024"}
