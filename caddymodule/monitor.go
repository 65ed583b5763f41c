package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// What the handler does with deliveries that are not genuine, fresh and new.
const (
	modeEnforce = "enforce"
	modeMonitor = "monitor"
)

// watch handles a delivery in mode monitor: it is checked as in mode enforce, and
// forwarded in any case, with the outcome that it would have had. The part of the
// body that no check has read is streamed to the app.
//
// Only a body that cannot be forwarded completely is refused: one that ends too
// early, and one for which there is not enough memory or disk space.
func (h *Handler) watch(d *delivery, next caddyhttp.Handler) error {
	if err := h.checkHeaders(d); err != nil {
		h.note(d, err)
		return d.letThrough(next)
	}
	rest, cut, err := h.readPrefix(d)
	if err != nil {
		return h.refuse(d, err)
	}
	defer d.body.Release()
	if cut != nil {
		h.note(d, cut)
		return d.letThroughLonger(rest, next)
	}
	if err := h.verify(d); err != nil {
		h.note(d, err)
		return d.letThrough(next)
	}
	d.deriveKeys(h)
	return h.watchVerified(d, next)
}

// watchVerified handles a delivery with a valid signature.
func (h *Handler) watchVerified(d *delivery, next caddyhttp.Handler) error {
	if d.verified.Answer != nil {
		if err := h.keepHandshakeSecret(d); err != nil {
			h.note(d, err)
			return d.letThrough(next)
		}
		d.end(Handshake, "")
		return d.letThrough(next)
	}
	if err := checkAppReads(d); err != nil {
		h.note(d, err)
		return d.letThrough(next)
	}
	// A genuine delivery, whatever its outcome: handlers that forward only such
	// deliveries must not refuse it.
	d.describe(&h.Replay)
	if !h.wantsEvent(d.verified.Event) {
		d.end(Ignored, notInEvents)
		return d.letThrough(next)
	}
	if err := h.useStore(d); err != nil {
		h.note(d, err)
		return d.letThrough(next)
	}
	defer h.doneWithStore(d)
	claim, verdict, err := h.claim(d)
	switch {
	case err != nil:
		h.note(d, err)
	case verdict == replay.Ours:
		return h.forward(d, claim, next)
	case verdict == replay.Duplicate:
		d.end(Duplicate, handledBefore)
	case verdict == replay.Replayed:
		h.note(d, &refusal{outcome: Replayed, reason: replayedReason})
	default:
		h.note(d, &refusal{outcome: InProgress, reason: beingHandled})
	}
	return d.letThrough(next)
}

// note logs a delivery that would have been refused.
func (h *Handler) note(d *delivery, err error) {
	r := asRefusal(err)
	d.end(r.outcome, r.reason)
	h.log.log(d, r, "would have refused a webhook delivery (mode monitor)")
}

// readPrefix reads the body up to max_body, and for at most body_timeout: slow senders
// must not occupy the memory and disk space for bodies. If it has not read all, cut is
// the refusal in mode enforce, and rest is the rest of the body.
func (h *Handler) readPrefix(d *delivery) (rest io.Reader, cut *refusal, err error) {
	source, most := newPatientReader(d.r.Body, time.Duration(h.BodyTimeout)), h.maxBody(d)
	defer source.resume()
	b, err := body.Read(io.LimitReader(source, most), d.r.ContentLength, h.limits, h.app.budget)
	if err == nil && !source.late {
		err = checkLength(b, d.r.ContentLength)
	}
	if err != nil {
		return nil, nil, h.bodyRefusal(d, err)
	}
	d.took(b)
	if source.late {
		return source, h.bodyTimeout(), nil
	}
	if b.Size() < most {
		return nil, nil, nil
	}
	var one [1]byte
	n, err := io.ReadFull(source, one[:])
	switch {
	case source.late:
		return source, h.bodyTimeout(), nil
	case n > 0:
		return io.MultiReader(bytes.NewReader(one[:]), source), h.tooLong(d), nil
	case errors.Is(err, io.EOF):
		return nil, nil, nil
	}
	b.Release()
	return nil, nil, h.bodyRefusal(d, err)
}

// letThrough forwards a delivery that is not known to be genuine, fresh and new,
// with a header that states its outcome.
func (d *delivery) letThrough(next caddyhttp.Handler) error {
	d.observed.step(stepUnverified)
	ctx := d.r.Context()
	if d.app.verified.Provider != "" {
		ctx = NewContext(ctx, &d.app.verified)
	}
	r := d.r.WithContext(ctx) // a copy, whose body can be replaced
	if d.body != nil {
		d.replaceBody(r)
		defer r.Body.Close()
	} else {
		r.Trailer = nil // arrives later, and could not be checked
	}
	stripSpoofed(r.Header)
	// A handshake may be unsigned.
	if d.verified != nil && len(d.verified.Matches) > 0 {
		d.setIdentity(r.Header)
	}
	r.Header[headerOutcome] = []string{string(d.outcome)}
	return next.ServeHTTP(d.w, r)
}

// letThroughLonger forwards a delivery of whose body only the beginning was read.
func (d *delivery) letThroughLonger(rest io.Reader, next caddyhttp.Handler) error {
	// The rest may arrive slowly: the beginning is released when the app has it.
	start := closedAtEnd{d.body.Open()}
	defer start.Close()
	d.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(start, rest), d.r.Body}
	d.body.Release()
	d.body = nil
	return d.letThrough(next)
}
