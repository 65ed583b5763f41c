package caddymodule

import (
	"context"
	"sync/atomic"
	"time"
)

// VerifiedDelivery is a delivery that `verify_webhook` has verified. Handlers behind
// it get it from the context of the request ([FromContext]). It is valid until the
// handler behind the gate returns.
type VerifiedDelivery struct {
	// Provider is the provider's name, Endpoint the endpoint's name in logs and
	// metrics.
	Provider, Endpoint string
	// ID is the delivery ID, Event the event type; empty if there is none.
	ID, Event string
	// Timestamp is when the delivery was signed; the zero time if no time is
	// signed.
	Timestamp time.Time
	// Key identifies the delivery, the same on every retry, as in
	// `Webhook-Verified-Key`. Empty if nothing distinguishes the delivery
	// from a copy.
	Key string
	// Unsigned lists which of these the signature does not cover, as in
	// `Webhook-Verified-Unsigned`.
	Unsigned string
	// Window is how long the endpoint remembers a handled delivery.
	Window time.Duration
	// Copies: copies of the delivery are forwarded as well (`replay off`).
	Copies bool

	stored atomic.Bool
}

// Stored reports to the gate that a handler has stored the delivery durably under
// its key, so that storing it again has no effect. The gate then commits in the
// background, and the response does not wait for that. Call it before the response
// is written.
func (v *VerifiedDelivery) Stored() { v.stored.Store(true) }

// FromContext returns the verified delivery of a request, nil if `verify_webhook` has
// not verified it: it is not before the handler, or it has forwarded a request in mode
// monitor that it would have refused as not genuine.
func FromContext(ctx context.Context) *VerifiedDelivery {
	v, _ := ctx.Value(verifiedKey{}).(*VerifiedDelivery)
	return v
}

// NewContext returns a context with a verified delivery, for handlers that
// forward one later than its request.
func NewContext(ctx context.Context, v *VerifiedDelivery) context.Context {
	return context.WithValue(ctx, verifiedKey{}, v)
}

type verifiedKey struct{}

// appContext is the context of a request that is forwarded: bounded by
// app_timeout, and with the verified delivery.
type appContext struct {
	lazyDeadline
	verified VerifiedDelivery
}

// Value implements context.Context.
func (c *appContext) Value(key any) any {
	if key == (verifiedKey{}) {
		return &c.verified
	}
	return c.lazyDeadline.Value(key)
}

// describe fills in the verified delivery.
func (d *delivery) describe(replay *Replay) {
	v := &d.app.verified
	v.Provider, v.Endpoint, v.Key, v.Window = d.provider.info.Name, d.endpoint, d.keyText(), time.Duration(replay.Window)
	v.ID, v.Event, v.Timestamp = d.verified.ID, d.verified.Event, d.verified.Timestamp
	v.Unsigned = d.provider.unsigned.of(d.verified)
	v.Copies = replay.Off
}
