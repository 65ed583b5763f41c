package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/body"
)

// readBody reads the raw body once and puts it back for the next handler.
func (h *Handler) readBody(d *delivery) error {
	r := d.r
	rc := http.NewResponseController(d.w)
	// A length of 0 ends the body only on HTTP/1. On HTTP/2 it can also be one that
	// cannot be read, and the end of the stream may never come.
	mayWait := r.ContentLength != 0 || r.ProtoMajor != 1
	bounded := mayWait && rc.SetReadDeadline(time.Now().Add(time.Duration(h.BodyTimeout))) == nil
	limits := h.limits
	limits.MaxSize = h.maxBody(d)
	challenge := d.signed.MaxBody > 0 && d.signed.MaxBody < limits.MaxSize
	if challenge {
		limits.MaxSize = d.signed.MaxBody
	}
	b, err := readWhole(r.Body, r.ContentLength, limits, h.app.budget)
	if errors.Is(err, body.ErrTooLarge) && challenge {
		return &refusal{outcome: MissingSignature, reason: fmt.Sprintf("no signature, and no handshake, because the body is longer than %d bytes", limits.MaxSize)}
	}
	if err != nil {
		return h.bodyRefusal(d, err)
	}
	if bounded {
		_ = rc.SetReadDeadline(time.Time{}) // it was possible a moment ago
	}
	d.took(b)
	return nil
}

// errShort is a body that ended before its declared length.
var errShort = errors.New("shorter than its declared length")

// readWhole reads a body that must be as long as it was declared, if it was. The
// server checks that for HTTP/1 and HTTP/2, but not for HTTP/3, where the end of
// the stream also ends a body that is shorter (RFC 9114, section 4.1.2, calls it
// malformed). Where the signature does not cover the body, as with a token in a
// header, nothing else would tell a part of it from the whole.
func readWhole(r io.Reader, declared int64, limits body.Limits, budget *body.Budget) (*body.Body, error) {
	b, err := body.Read(r, declared, limits, budget)
	if err != nil {
		return nil, err
	}
	if b.Size() < declared {
		defer b.Release()
		return nil, fmt.Errorf("the body has %d bytes, and is %w of %d", b.Size(), errShort, declared)
	}
	return b, nil
}

// took notes that the body has been read.
func (d *delivery) took(b *body.Body) {
	if b.Spooled() {
		metrics.spooled.Add(float64(b.Size()))
	}
	d.bodyUnread = false
	d.body, d.signed.Body = b, b
	d.observed.step(stepBody)
}

// bodyRefusal says what became of a body that could not be read.
func (h *Handler) bodyRefusal(d *delivery, err error) error {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return h.tooLong(d)
	case errors.As(err, &tooLarge):
		return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the body is longer than request_body allows, which is %d bytes", tooLarge.Limit)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return h.bodyTimeout()
	case errors.Is(err, body.ErrBudget):
		return &refusal{outcome: Overloaded, reason: "no room to hold the body: body_memory and body_disk are used up by bodies in flight, or temporary files cannot be written", err: err}
	case errors.Is(err, errShort):
		return &refusal{outcome: Malformed, reason: err.Error()}
	}
	return &refusal{outcome: Malformed, reason: "the body broke off", err: err}
}

// maxBody is the longest body that is accepted, in bytes. Providers whose secrets
// were read again, or whose sender names the hash, differ from request to request.
func (h *Handler) maxBody(d *delivery) int64 {
	if d.signed.SlowHash {
		return h.slowMaxBody
	}
	return h.MaxBody
}

func (h *Handler) tooLong(d *delivery) *refusal {
	return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the body is longer than max_body, which is %d bytes: if the provider sends longer ones, set max_body", h.maxBody(d))}
}

func (h *Handler) bodyTimeout() *refusal {
	return &refusal{outcome: BodyTimeout, reason: fmt.Sprintf("the body did not arrive in time: body_timeout is %s", time.Duration(h.BodyTimeout))}
}

// replaceBody gives the next handler the bytes that were verified, with their
// length and nothing that belonged to the way they came.
func (d *delivery) replaceBody(r *http.Request) {
	declared := r.ContentLength == d.body.Size() && len(r.Header["Content-Length"]) == 1
	r.TransferEncoding = nil
	r.ContentLength = d.body.Size()
	r.Header.Del("Expect")
	// The signature covers no trailers, and with any reverse_proxy sends the
	// body chunked.
	clear(r.Trailer)
	r.Trailer = nil
	if r.ContentLength == 0 {
		r.Body = http.NoBody
		r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	if !declared { // FastCGI and the like look here
		r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	r.Body = d.body.Open()
	r.GetBody = func() (io.ReadCloser, error) { return d.body.Open(), nil }
}
