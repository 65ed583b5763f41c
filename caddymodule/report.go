package caddymodule

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// end records, once, what became of the delivery: for placeholders, metrics,
// the access log and the trace.
func (d *delivery) end(o Outcome, reason string) {
	d.outcome, d.reason = o, reason
	d.meters.count(o)
	d.addToAccessLog()
	d.addToSpan()
}

// addToAccessLog adds fields to the request's line in Caddy's access log.
func (d *delivery) addToAccessLog() {
	extra, ok := d.r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields)
	if !ok {
		return
	}
	set := func(name, value string) {
		if value != "" {
			extra.Set(zap.String(name, value))
		}
	}
	set("webhook_provider", d.provider)
	set("webhook_endpoint", d.endpoint)
	set("webhook_outcome", string(d.outcome))
	set("webhook_reason", d.reason)
	if v := d.verified; v != nil {
		set("webhook_id", v.ID)
		set("webhook_event", v.Event)
		set("webhook_key", d.keyText())
	}
}

// addToSpan adds attributes to the span of Caddy's `tracing` handler, if there
// is one. Whatever a stranger could have sent stays out.
func (d *delivery) addToSpan() {
	span := trace.SpanFromContext(d.r.Context())
	if !span.IsRecording() {
		return
	}
	attributes := []attribute.KeyValue{
		attribute.String("webhook.provider", d.provider),
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
		add("webhook.id", v.ID)
		add("webhook.event", v.Event)
		add("webhook.key", d.keyText())
	}
	if d.body != nil {
		attributes = append(attributes, attribute.Int64("webhook.body_bytes", d.body.Size()), attribute.Bool("webhook.body_spooled", d.body.Spooled()))
	}
	span.SetAttributes(attributes...)
}

// traceEvent marks a moment on the span, if there is one.
func (d *delivery) traceEvent(name string, attributes ...attribute.KeyValue) {
	span := trace.SpanFromContext(d.r.Context())
	if span.IsRecording() {
		span.AddEvent(name, trace.WithAttributes(attributes...))
	}
}
