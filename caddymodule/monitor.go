package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// What the handler does with what is not genuine, fresh and new.
const (
	modeEnforce = "enforce"
	modeMonitor = "monitor"
)

// watch takes a delivery its way in mode monitor: everything is checked as
// always, and everything goes on to the app, with what would have become of it.
// What a check has not read stays unread, and streams through.
//
// Only a body that cannot be handed on whole is refused: one that breaks off,
// and one for which there is no room.
func (h *Handler) watch(d *delivery, next caddyhttp.Handler) error {
	if err := h.checkHeaders(d); err != nil {
		h.note(d, err)
		return d.letThrough(next)
	}
	started := time.Now()
	rest, err := h.readPrefix(d)
	if err != nil {
		return h.refuse(d, err)
	}
	defer d.body.Release()
	if rest != nil {
		h.note(d, h.tooLong(d))
		return d.letThroughLonger(rest, next)
	}
	if time.Since(started) > time.Duration(h.BodyTimeout) {
		h.note(d, h.bodyTimeout())
		return d.letThrough(next)
	}
	if err := h.verify(d); err != nil {
		h.note(d, err)
		return d.letThrough(next)
	}
	d.deriveKeys(h)
	return h.watchVerified(d, next)
}

// watchVerified goes on with a delivery that is genuine.
func (h *Handler) watchVerified(d *delivery, next caddyhttp.Handler) error {
	if d.verified.Answer != nil {
		if err := h.keepHandshakeSecret(d); err != nil {
			h.note(d, err)
			return d.letThrough(next)
		}
		d.end(Handshake, "")
		return d.letThrough(next)
	}
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

// note records what would have been refused.
func (h *Handler) note(d *delivery, err error) {
	r := asRefusal(err)
	d.end(r.outcome, r.reason)
	h.log.log(d, r, "would have refused a webhook delivery (mode monitor)")
}

// readPrefix reads the body up to max_body. rest is what comes after it, nil
// if there is nothing.
func (h *Handler) readPrefix(d *delivery) (rest io.Reader, err error) {
	source, most := d.r.Body, h.maxBody(d)
	b, err := readWhole(io.LimitReader(source, most), d.r.ContentLength, h.limits, h.app.budget)
	if err != nil {
		return nil, h.bodyRefusal(d, err)
	}
	d.took(b)
	if b.Size() < most {
		return nil, nil
	}
	var one [1]byte
	n, err := io.ReadFull(source, one[:])
	if n > 0 {
		return io.MultiReader(bytes.NewReader(one[:]), source), nil
	}
	if !errors.Is(err, io.EOF) {
		b.Release()
		return nil, h.bodyRefusal(d, err)
	}
	return nil, nil
}

// letThrough hands a delivery to the app although, or because, it is not
// known to be genuine, fresh and new. It says so.
func (d *delivery) letThrough(next caddyhttp.Handler) error {
	d.observed.step(stepUnverified)
	r := d.r.WithContext(d.r.Context()) // a copy, whose body can be replaced
	if d.body != nil {
		d.replaceBody(r)
		defer r.Body.Close()
	} else {
		r.Trailer = nil // comes later, and nobody could look at it
	}
	stripSpoofed(r.Header)
	// A handshake may be one that no secret has signed.
	if d.verified != nil && len(d.verified.Matches) > 0 {
		d.setIdentity(r.Header)
	}
	r.Header[headerOutcome] = []string{string(d.outcome)}
	return next.ServeHTTP(d.w, r)
}

// letThroughLonger hands on a delivery of whose body only the beginning was
// read.
func (d *delivery) letThroughLonger(rest io.Reader, next caddyhttp.Handler) error {
	start := d.body.Open()
	defer start.Close()
	d.r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(start, rest), d.r.Body}
	d.body.Release()
	d.body = nil
	return d.letThrough(next)
}
