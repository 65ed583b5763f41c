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
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(200)
		return nil
	})
	w := &quiet{header: make(http.Header)}
	// Every delivery needs its own signature: make them before the clock runs.
	const many = 1 << 14
	bodies, signatures := make([][]byte, many), make([][]string, many)
	for i := range many {
		bodies[i] = bytes.Repeat([]byte{'x'}, 1024)
		copy(bodies[i], strconv.Itoa(i))
		signatures[i] = []string{"sha256=" + sign(secret, string(bodies[i]))}
	}
	reader := bytes.NewReader(nil)
	received := asReceived(request(""))
	received.Body = io.NopCloser(reader)
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
		reader.Reset(bodies[i%many])
		received.ContentLength = 1024
		header := received.Header
		header["X-Hub-Signature-256"] = signatures[i%many]
		header["Content-Length"] = oneKiB
		header["X-Github-Event"] = pushEvent
		header["X-Github-Delivery"] = signatures[i%many]
		r := caddyhttp.PrepareRequest(received, caddy.NewReplacer(), w, nil)
		if err := h.ServeHTTP(w, r, next); err != nil {
			b.Fatal(err)
		}
	}
}

var pushEvent, oneKiB = []string{"push"}, []string{"1024"}
