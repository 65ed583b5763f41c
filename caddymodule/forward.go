package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// forward hands the delivery to the next handler. The first final status that
// comes back ends the claim before it goes on to the provider; an error, a
// panic or no answer at all releases it.
//
// The provider hanging up does not cancel the app's work: it runs on, bounded
// by app_timeout, and the provider's retry gets its result.
func (h *Handler) forward(d *delivery, c *claim, next caddyhttp.Handler) error {
	d.end(Verified, "")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.r.Context()), time.Duration(h.AppTimeout))
	defer cancel()
	r := d.r.WithContext(ctx)
	d.replaceBody(r)
	// Whoever still reads now is cut off, and the buffer can be used again.
	defer r.Body.Close()
	stripSpoofed(r.Header)
	stripSpoofed(r.Trailer)
	d.setIdentity(r.Header)
	if h.Mode == modeMonitor {
		r.Header[headerOutcome] = []string{string(Verified)}
	}

	w := &statusWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: d.w}, onStatus: c.end}
	// After a panic, and after every way to return without a status. What has
	// ended the claim before makes this do nothing.
	defer func() { c.end(w.failure) }()
	err := next.ServeHTTP(w, r)
	if err != nil {
		var handlerErr caddyhttp.HandlerError
		if errors.As(err, &handlerErr) {
			w.failure = handlerErr.StatusCode
		}
		return err
	}
	if !w.wroteStatus {
		c.end(http.StatusOK) // what the server sends for a handler that wrote nothing
	}
	return nil
}

// statusWriter tells about the first final status before it goes out.
type statusWriter struct {
	*caddyhttp.ResponseWriterWrapper
	onStatus    func(status int)
	wroteStatus bool
	failure     int // the status of an error, 0 if unknown
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	// Informational answers are not final, except for a change of protocol.
	if !w.wroteStatus && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.wroteStatus = true
		w.onStatus(status)
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	w.implicitOK()
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (w *statusWriter) ReadFrom(r io.Reader) (int64, error) {
	w.implicitOK()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController calls for Flush.
func (w *statusWriter) FlushError() error {
	w.implicitOK()
	return http.NewResponseController(w.ResponseWriterWrapper.ResponseWriter).Flush()
}

// implicitOK is the 200 of a handler that writes a body without a status.
func (w *statusWriter) implicitOK() {
	if !w.wroteStatus {
		w.WriteHeader(http.StatusOK)
	}
}

// Interface guards.
var (
	_ http.ResponseWriter = (*statusWriter)(nil)
	_ io.ReaderFrom       = (*statusWriter)(nil)
)
