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
	bounded := r.ContentLength != 0 && rc.SetReadDeadline(time.Now().Add(time.Duration(h.BodyTimeout))) == nil
	b, err := body.Read(r.Body, r.ContentLength, h.limits, h.app.budget)
	if err != nil {
		return h.bodyRefusal(err)
	}
	if bounded {
		_ = rc.SetReadDeadline(time.Time{}) // it was possible a moment ago
	}
	d.took(b)
	return nil
}

// took notes that the body has been read.
func (d *delivery) took(b *body.Body) {
	if b.Spooled() {
		meters.spooled.Add(float64(b.Size()))
	}
	d.bodyUnread = false
	d.body, d.signed.Body = b, b
}

const (
	// discardMost and discardTimeout bound what is read of a body for which
	// nobody vouches. As much as net/http reads after a handler that did not.
	discardMost    = 256 << 10
	discardTimeout = time.Second
)

// discardBody reads the body of a delivery that its headers have given away,
// if it is short and on its way, and keeps nothing of it. Then the connection
// lives on, and a sender that looks for an answer only after its last byte
// gets one. Of a longer body, of one that is held back, and where the sender
// asked before sending it, nothing more is read: the connection has to end.
func (h *Handler) discardBody(d *delivery) {
	r := d.r
	if r.ProtoMajor != 1 || r.ContentLength <= 0 || r.ContentLength > discardMost || r.Header["Expect"] != nil {
		return
	}
	rc := http.NewResponseController(d.w)
	if rc.SetReadDeadline(time.Now().Add(min(discardTimeout, time.Duration(h.BodyTimeout)))) != nil {
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		d.bodyUnread = false
	}
	_ = rc.SetReadDeadline(time.Time{}) // it was possible a moment ago
}

// bodyRefusal says what became of a body that could not be read.
func (h *Handler) bodyRefusal(err error) error {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.Is(err, body.ErrTooLarge):
		return h.tooLong()
	case errors.As(err, &tooLarge):
		return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the body is longer than request_body allows, which is %d bytes", tooLarge.Limit)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return h.bodyTimeout()
	case errors.Is(err, body.ErrBudget):
		return &refusal{outcome: Overloaded, reason: "no room to hold the body: body_memory and body_disk are used up by bodies in flight, or temporary files cannot be written", err: err}
	}
	return &refusal{outcome: Malformed, reason: "the body broke off", err: err}
}

func (h *Handler) tooLong() *refusal {
	return &refusal{outcome: TooLarge, reason: fmt.Sprintf("the body is longer than max_body, which is %d bytes", h.MaxBody)}
}

func (h *Handler) bodyTimeout() *refusal {
	return &refusal{outcome: BodyTimeout, reason: fmt.Sprintf("the body did not arrive in time: body_timeout is %s", time.Duration(h.BodyTimeout))}
}

// replaceBody gives the next handler the bytes that were verified, with their
// length and nothing that belonged to the way they came.
func (d *delivery) replaceBody(r *http.Request) {
	declared := r.ContentLength == d.body.Size() && r.Header["Content-Length"] != nil
	r.TransferEncoding = nil
	r.ContentLength = d.body.Size()
	r.Header.Del("Expect")
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

// withhold takes from the request, which error routes get next, the body and
// all that we have told of it: an app that serves as an error route must not
// take an unverified or empty body for a verified one.
func (d *delivery) withhold() {
	d.r.Body, d.r.GetBody = http.NoBody, nil
	d.r.ContentLength, d.r.TransferEncoding = 0, nil
	d.r.Trailer = nil
	d.r.Header.Del("Content-Length")
	stripSpoofed(d.r.Header)
}
