package queue

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// sampled bounds the lines of each kind: an app that fails must not fill a disk.
func sampled(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, 10*time.Second, 20, 100)
	}))
}

// log returns the logger for lines that can come often.
func (h *Handler) log() *zap.Logger { return h.bounded }

// logAttempt logs how an attempt ended. What works at once is not news.
func (h *Handler) logAttempt(e durable.Entry, out durable.Outcome, kind string, res result, took time.Duration) {
	level, message := zapcore.WarnLevel, "delivering a webhook failed; it is tried again"
	switch {
	case kind == "delivered" && e.Attempts == 0:
		level, message = zapcore.DebugLevel, "delivered a webhook"
	case kind == "delivered":
		level, message = zapcore.InfoLevel, "delivered a webhook after a retry"
	case kind == "refused": // that the app is down is logged once
		level = zapcore.DebugLevel
	case kind == "dead":
		level, message = zapcore.ErrorLevel, "a webhook delivery is dead: it is not tried again unless you retry it by hand"
	case kind == "unreadable":
		level, message = zapcore.ErrorLevel, "a stored webhook delivery could not be read; it is tried again"
	}
	c := h.log().Check(level, message)
	if c == nil {
		return
	}
	fields := []zap.Field{
		zap.String("queue", e.Queue), zap.String("key", e.Key),
		zap.Int("attempt", attemptNumber(e)), zap.Int("status", res.status), zap.Duration("duration", took), zap.Duration("age", e.Age),
	}
	if res.err != nil {
		fields = append(fields, zap.Error(res.err))
	}
	if out.Action == durable.Retry {
		fields = append(fields, zap.Duration("next_in", out.Delay))
	}
	c.Write(fields...)
}

// propagator writes and reads what links an attempt to the request that was
// accepted.
var propagator = propagation.TraceContext{}

// traceOf returns the trace that a request belongs to, empty if there is none.
func traceOf(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// attemptSpan is the span of an attempt.
type attemptSpan struct {
	ctx  context.Context
	span trace.Span
}

// noteTracer keeps the tracer of a request that was accepted: the `tracing`
// handler has it, and does not give it away without a request.
func (h *Handler) noteTracer(ctx context.Context) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		tracer := span.TracerProvider().Tracer("github.com/verify-webhook/caddy-verify-webhook")
		h.tracer.Store(&tracer)
	}
}

// startSpan begins the span of an attempt, a trace of its own that is linked to
// the request that was accepted. Without a tracer it does nothing: then the
// stored request still has the headers of its trace.
func (h *Handler) startSpan(ctx context.Context, e durable.Entry) attemptSpan {
	tracer := h.tracer.Load()
	if tracer == nil {
		return attemptSpan{ctx, trace.SpanFromContext(ctx)}
	}
	accepted := trace.SpanContextFromContext(propagator.Extract(context.Background(), propagation.MapCarrier{"traceparent": e.Request.Attributes[attributeTrace]}))
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("webhook.queue", e.Queue), attribute.String("webhook.key", e.Key), attribute.Int("webhook.attempt", attemptNumber(e))),
	}
	if accepted.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: accepted}))
	}
	ctx, span := (*tracer).Start(ctx, "webhook_queue attempt", options...)
	return attemptSpan{ctx, span}
}

// end ends the span.
func (s attemptSpan) end(h *Handler, res result) {
	if res.status != 0 {
		s.span.SetAttributes(attribute.Int("http.response.status_code", res.status))
	}
	if !h.succeeded(res) {
		text := ""
		if res.err != nil {
			text = res.err.Error()
		}
		s.span.SetStatus(codes.Error, text)
	}
	s.span.End()
}
