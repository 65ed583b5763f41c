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

// sampled limits the lines of each kind, so that a failing app cannot fill a disk.
func sampled(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, 10*time.Second, 20, 100)
	}))
}

// log returns the logger for frequent lines.
func (h *Handler) log() *zap.Logger { return h.bounded }

// logAttempt logs the result of an attempt. Successes at the first attempt are DEBUG.
func (h *Handler) logAttempt(e durable.Entry, out durable.Outcome, kind string, res result, took time.Duration) {
	level, message := zapcore.WarnLevel, "delivering a webhook failed; retrying"
	switch {
	case kind == "delivered" && e.Attempts == 0:
		level, message = zapcore.DebugLevel, "delivered a webhook"
	case kind == "delivered":
		level, message = zapcore.InfoLevel, "delivered a webhook after a retry"
	case kind == "refused": // an unreachable app is logged once
		level = zapcore.DebugLevel
	case kind == "dead":
		level, message = zapcore.ErrorLevel, "a webhook delivery is dead: it is not retried unless you retry it manually"
	case kind == "unreadable":
		level, message = zapcore.ErrorLevel, "a stored webhook delivery could not be read; retrying"
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

// propagator writes and reads the link between an attempt and the accepted request.
var propagator = propagation.TraceContext{}

// traceOf returns the trace of a request, empty if there is none.
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

// noteTracer keeps the tracer of an accepted request: the `tracing` handler provides
// it only with a request.
func (h *Handler) noteTracer(ctx context.Context) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		tracer := span.TracerProvider().Tracer("github.com/verify-webhook/caddy-verify-webhook")
		h.tracer.Store(&tracer)
	}
}

// startSpan starts the span of an attempt, a separate trace that is linked to the
// accepted request. Without a tracer it does nothing: the stored request still
// has the headers of its trace.
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
