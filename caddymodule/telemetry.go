package caddymodule

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// end records the outcome of the delivery, once: for placeholders and the access
// log, which read it later, and for metrics and the trace.
func (d *delivery) end(o Outcome, reason string) {
	d.outcome, d.reason = o, reason
	d.metrics.count(o)
	d.addToSpan()
	d.notify()
}

// addToAccessLog adds our fields to the request's line in Caddy's access log,
// if the server keeps one. They are filled in when the line is written.
func (d *delivery) addToAccessLog() {
	server, _ := d.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server == nil || server.Logs == nil {
		return
	}
	extra, ok := d.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if ok {
		extra.Add(zap.Inline(d))
	}
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (d *delivery) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	add := func(name, value string) {
		if value != "" {
			enc.AddString(name, value)
		}
	}
	add("webhook_provider", d.provider.info.Name)
	add("webhook_endpoint", d.endpoint)
	add("webhook_outcome", string(d.outcome))
	add("webhook_reason", d.reason)
	if v := d.verified; v != nil {
		add("webhook_id", signature.Excerpt(v.ID, maxLogged))
		add("webhook_event", signature.Excerpt(v.Event, maxLogged))
		add("webhook_key", d.keyText())
	}
	return nil
}

// addToSpan adds attributes to the span of Caddy's `tracing` handler, if there is
// one. It leaves out everything that an unauthenticated sender could choose.
func (d *delivery) addToSpan() {
	if !d.traced() {
		return
	}
	attributes := []attribute.KeyValue{
		attribute.String("webhook.provider", d.provider.info.Name),
		attribute.String("webhook.endpoint", d.endpoint),
		attribute.String("webhook.outcome", string(d.outcome)),
	}
	add := func(name, value string) {
		if value != "" {
			attributes = append(attributes, attribute.String(name, value))
		}
	}
	add("webhook.reason", d.reason)
	if v := d.verified; v != nil {
		add("webhook.id", signature.Excerpt(v.ID, maxLogged))
		add("webhook.event", signature.Excerpt(v.Event, maxLogged))
		add("webhook.key", d.keyText())
	}
	if d.body != nil {
		attributes = append(attributes, attribute.Int64("webhook.body_bytes", d.body.Size()), attribute.Bool("webhook.body_spooled", d.body.Spooled()))
	}
	d.span.SetAttributes(attributes...)
}

// traced reports whether there is a span to add to.
func (d *delivery) traced() bool { return d.span != nil && d.span.IsRecording() }

// traceEvent adds an event to the span. Call traced first, so that attributes cost
// nothing without tracing.
func (d *delivery) traceEvent(name string, attributes ...attribute.KeyValue) {
	d.span.AddEvent(name, trace.WithAttributes(attributes...))
}
