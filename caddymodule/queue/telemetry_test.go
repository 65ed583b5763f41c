package queue

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A panic of a handler inside deliver must not crash Caddy.
func TestPanicInDeliverIsAFailure(t *testing.T) {
	s := start(t, strings.Replace(usualSite(""), "reverse_proxy APP", "route {\ntest_panics\nreverse_proxy APP\n}", 1))
	s.mustSend("1", 202)
	if got := s.app.next(t); got.attempt() != "2" || got.body != event("1").body {
		t.Errorf("the app received attempt %s of %q", got.attempt(), got.body)
	}
	s.delivered("orders", 1)
	if lines := s.logged("a handler in deliver panicked"); len(lines) != 1 || !strings.Contains(lines[0]["stack"].(string), "panics") {
		t.Errorf("logged %v", lines)
	}
}

// panics is a handler that panics at the first attempt. At the second, it reads the
// body twice, once with GetBody, as a transport does for a retry.
type panics struct{}

func (panics) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_panics", New: func() caddy.Module { return new(panics) }}
}

func (panics) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Header.Get("Webhook-Verified-Attempt") == "1" {
		panic("boom")
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		return err
	}
	var err error
	if r.Body, err = r.GetBody(); err != nil {
		return err
	}
	return next.ServeHTTP(w, r)
}

// spans records the spans.
var spans = tracetest.NewSpanRecorder()

// traced is a handler like Caddy's `tracing`, without an exporter.
type traced struct{}

func init() {
	caddy.RegisterModule(traced{})
	caddy.RegisterModule(panics{})
	httpcaddyfile.RegisterHandlerDirective("test_panics", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return panics{}, nil
	})
	httpcaddyfile.RegisterHandlerDirective("test_traced", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return traced{}, nil
	})
}

func (traced) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_traced", New: func() caddy.Module { return new(traced) }}
}

func (traced) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	ctx, span := tracer.Start(r.Context(), "accepted")
	defer span.End()
	return next.ServeHTTP(w, r.WithContext(ctx))
}

func TestEachAttemptIsASpanThatLinksToTheAcceptedRequest(t *testing.T) {
	s := start(t, "route {\ntest_traced\n"+usualSite("")+"\n}")
	s.app.answers(statuses(500, 200))
	s.mustSend("1", 202)
	s.delivered("orders", 1)
	s.stop()

	var accepted sdktrace.ReadOnlySpan
	var attempts []sdktrace.ReadOnlySpan
	for _, span := range spans.Ended() {
		if span.Name() == "accepted" {
			accepted = span
		} else {
			attempts = append(attempts, span)
		}
	}
	if accepted == nil || len(attempts) != 2 {
		t.Fatalf("%d attempts were traced", len(attempts))
	}
	for i, span := range attempts {
		if links := span.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != accepted.SpanContext().SpanID() || links[0].SpanContext.TraceID() != accepted.SpanContext().TraceID() {
			t.Errorf("attempt %d links to %v, want %s", i+1, links, accepted.SpanContext().SpanID())
		}
		found := attribute.NewSet(span.Attributes()...)
		for _, want := range []attribute.KeyValue{
			attribute.String("webhook.queue", "orders"), attribute.Int("webhook.attempt", i+1), attribute.Int("http.response.status_code", []int{500, 200}[i]),
		} {
			if got, ok := found.Value(want.Key); !ok || got != want.Value {
				t.Errorf("attempt %d has %s %v, want %v", i+1, want.Key, got.AsInterface(), want.Value.AsInterface())
			}
		}
		if failed := span.Status().Code == codes.Error; failed != (i == 0) {
			t.Errorf("attempt %d is %v", i+1, span.Status())
		}
	}
}

// Without tracing, the stored request still has its trace context.
func TestTraceContextOfTheProviderReachesTheApp(t *testing.T) {
	s := start(t, usualSite(""))
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	d := event("1")
	d.header = http.Header{"Traceparent": {trace}}
	s.send(d)
	if got := s.app.next(t); got.header.Get("Traceparent") != trace {
		t.Errorf("the app received %q", got.header.Get("Traceparent"))
	}
}

func TestLogContainsTheResultOfADelivery(t *testing.T) {
	s := start(t, usualSite("\n\t\tstop_on 410"))
	s.app.answers(statuses(500, 200))
	s.mustSend("1", 202)
	s.delivered("orders", 1)
	s.app.answers(statuses(410))
	s.mustSend("2", 202)
	s.dead("orders", 1)
	for message, status := range map[string]float64{
		"delivering a webhook failed": 500, "delivered a webhook after a retry": 200, "a webhook delivery is dead": 410,
	} {
		lines := s.logged(message)
		if len(lines) != 1 || lines[0]["status"] != status || lines[0]["queue"] != "orders" || lines[0]["key"] == "" || lines[0]["logger"] != "http.handlers.webhook_queue" {
			t.Errorf("%s: %v", message, lines)
		}
		for _, line := range lines {
			for name, value := range line {
				if text, ok := value.(string); ok && strings.Contains(text, secret) {
					t.Errorf("%s: %s contains the secret", message, name)
				}
			}
		}
	}
}
