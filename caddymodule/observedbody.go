package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// maxPeeks is how many bodies of requests that were refused by their headers are
// read for observers at once. Others are refused without reading.
const maxPeeks = 20

var peeks = make(chan struct{}, maxPeeks)

// peekBody reads, for observers, the body of a request that was refused by its
// headers, because a stale timestamp cannot be explained without it. It reads at
// most what they want, for as long as a body is drained, and nothing if the sender
// waits for 100 Continue.
func (h *Handler) peekBody(d *delivery, outcome Outcome) {
	limit := d.observed.bodyLimit(outcome)
	r := d.r
	if limit <= 0 || !d.bodyUnread || r.Body == nil || r.ContentLength > limit || r.Header["Expect"] != nil {
		return
	}
	select {
	case peeks <- struct{}{}:
		defer func() { <-peeks }()
	default:
		return
	}
	rc := http.NewResponseController(d.w)
	if rc.SetReadDeadline(time.Now().Add(min(discardTimeout, time.Duration(h.BodyTimeout)))) != nil {
		return
	}
	kept, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	_ = rc.SetReadDeadline(time.Time{}) // it succeeded before
	cut := err != nil || int64(len(kept)) > limit
	d.observed.body, d.observed.bodyCut = kept[:min(int64(len(kept)), limit)], cut
	if !cut {
		d.bodyUnread = false // read to its end
	}
}

// readFull reads until p is full or the reader ends.
func readFull(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
