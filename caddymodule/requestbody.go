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

// readBody reads the raw body once and makes it available to the next handler.
func (h *Handler) readBody(d *delivery) error {
	r := d.r
	rc := http.NewResponseController(d.w)
	// A length of 0 means an empty body only on HTTP/1. On HTTP/2 the length may
	// also be invalid, and the stream may never end.
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
		_ = rc.SetReadDeadline(time.Time{}) // the first call succeeded
	}
	d.took(b)
	return nil
}

// errShort is a body that ended before its declared length.
var errShort = errors.New("shorter than its declared length")

// readWhole reads a body and checks its length against Content-Length, if there is
// one. The server checks that for HTTP/1 and HTTP/2, but not for HTTP/3, where the
// end of the stream also ends a shorter body (malformed by RFC 9114, section
// 4.1.2). If the signature does not cover the body, as with a token in a header,
// no other check would notice that a part is missing.
func readWhole(r io.Reader, declared int64, limits body.Limits, budget *body.Budget) (*body.Body, error) {
	b, err := body.Read(r, declared, limits, budget)
	if err != nil {
		return nil, err
	}
	return b, checkLength(b, declared)
}

// checkLength releases a body that is shorter than declared, and returns an error.
func checkLength(b *body.Body, declared int64) error {
	if b.Size() >= declared {
		return nil
	}
	defer b.Release()
	return fmt.Errorf("the body has %d bytes, and is %w of %d", b.Size(), errShort, declared)
}

// took records that the body has been read.
func (d *delivery) took(b *body.Body) {
	if b.Spooled() {
		metrics.spooled.Add(float64(b.Size()))
	}
	d.bodyUnread = false
	d.body, d.signed.Body = b, b
	d.observed.step(stepBody)
}

// bodyRefusal returns the refusal for a body that could not be read.
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

// maxBody is the size of the largest accepted body, in bytes. It can change with
// each request: when secrets are reloaded, or if the sender chooses between a form
// and JSON, or between hashes.
func (h *Handler) maxBody(d *delivery) int64 {
	if d.signed.Slow {
		return h.slowMaxBody
	}
	return h.MaxBody
}

func (h *Handler) tooLong(d *delivery) *refusal {
	return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the body is longer than max_body, which is %d bytes: "+raiseMaxBody, h.maxBody(d), larger(h.maxBody(d)))}
}

// raiseMaxBody says how to accept longer bodies, with a number from larger.
const raiseMaxBody = "if the provider sends longer bodies, set max_body, for example `max_body %dMiB`"

// larger returns a max_body in MiB for bodies that are longer than most, the current
// one.
func larger(most int64) int64 { return max(1, most>>20*2) }

func (h *Handler) bodyTimeout() *refusal {
	return &refusal{outcome: BodyTimeout, reason: fmt.Sprintf("the body did not arrive in time: body_timeout is %s", time.Duration(h.BodyTimeout))}
}

// replaceBody gives the next handler the verified bytes and their length, without
// the transfer coding and trailers of the original request.
func (d *delivery) replaceBody(r *http.Request) {
	r.TransferEncoding = nil
	r.ContentLength = d.body.Size()
	r.Header.Del("Expect")
	// The signature does not cover trailers, and if there are any, reverse_proxy
	// sends the body chunked.
	clear(r.Trailer)
	r.Trailer = nil
	if r.ContentLength == 0 {
		r.Body = http.NoBody
		r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	// FastCGI apps read the length from here. The sender's can have leading zeros.
	if sent := r.Header["Content-Length"]; len(sent) != 1 || sent[0] != string(strconv.AppendInt(make([]byte, 0, 20), r.ContentLength, 10)) {
		r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	r.Body = d.body.Open()
	if d.bodyOnce {
		r.Body = &body.Once{ReadCloser: r.Body}
	}
	r.GetBody = func() (io.ReadCloser, error) { return d.body.Open(), nil }
}
