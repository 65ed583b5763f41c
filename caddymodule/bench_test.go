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

// quiet is a response writer that costs nothing.
type quiet struct{ header http.Header }

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) Write(p []byte) (int, error) { return len(p), nil }
func (q *quiet) WriteHeader(int)             {}

func (q *quiet) SetReadDeadline(time.Time) error { return nil }

// BenchmarkHandler takes new deliveries of GitHub, of 1 KiB, the handler's
// whole way: verified, claimed, handed over and committed. What it allocates
// above BenchmarkNothing is what the handler costs.
func BenchmarkHandler(b *testing.B) {
	t := trial(b, config("github", `"replay":{"store":{"type":"memory","name":"bench","max_entries":100000000}}`))
	run(b, t.handler)
}

// BenchmarkNothing is the same with nothing in front of the app: what Caddy
// does for every request.
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
				handler.store = trial(b, config("github", "")).handler.store // forget them all
			}
			b.StartTimer()
		}
		send()
	}
}

// deliveries are different ones, each with its own signature, that are made
// before anything is measured.
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

// sender returns a function that sends the next delivery, and after the last
// one the first, and allocates little itself.
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
