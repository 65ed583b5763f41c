package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// forward passes the delivery to the next handler. The first final status ends the
// claim before it is sent to the provider; an error, a panic, no response and no
// handler at all release it.
//
// If the provider disconnects, the app keeps running, limited by app_timeout, and
// the provider's retry gets the result.
func (h *Handler) forward(d *delivery, c *claim, next caddyhttp.Handler) error {
	// In every case, including a panic. It has no effect if the claim has
	// already ended.
	defer c.fail(0)
	d.outcome = Verified // for placeholders; counted when final
	defer d.endVerified()
	d.app.begin(context.WithoutCancel(d.r.Context()), time.Duration(h.AppTimeout))
	defer d.app.cancel()
	d.forwarded = *d.r.WithContext(&d.app)
	r := &d.forwarded
	d.describe(&h.Replay)
	d.replaceBody(r)
	// Late readers get an error, and the buffer can be reused.
	defer r.Body.Close()
	d.setIdentity(r.Header)
	h.removeToken(r.Header)
	if h.Mode == modeMonitor {
		r.Header[headerOutcome] = []string{string(Verified)}
	}

	d.answer.ResponseWriter, d.answer.claim, d.answer.observed = d.w, c, d.observed
	d.observed.step(stepForwarded)
	// Caddy sets this variable if no handler of the chain responds. An earlier
	// value is not about this chain.
	caddyhttp.SetVar(d.r.Context(), unhandledVar, nil)
	if err := next.ServeHTTP(&d.answer, r); err != nil {
		var handlerErr caddyhttp.HandlerError
		errors.As(err, &handlerErr)
		d.response = handlerErr.StatusCode
		c.fail(handlerErr.StatusCode)
		h.withhold(d)
		return err
	}
	if reason := d.unhandledReason(); reason != "" {
		c.fail(0)
		return h.refuse(d, &refusal{outcome: Unhandled, reason: reason})
	}
	if d.response = d.answer.status; d.response == 0 {
		d.response = http.StatusOK // the server's status for a handler that wrote nothing
	}
	c.end(http.StatusOK)
	// The body has been read. A handler in front that replaces the response, such
	// as intercept, must not forward the request again as a verified one.
	h.withhold(d)
	return nil
}

// handled reports whether the app's status counts as handled.
func (h *Handler) handled(status int) bool {
	for _, want := range h.Replay.Handled {
		if caddyhttp.StatusCodeMatches(status, want) {
			return true
		}
	}
	return false
}

// endVerified records the outcome of a forwarded delivery, unless it has changed.
func (d *delivery) endVerified() {
	if d.outcome == Verified {
		d.end(Verified, "")
	}
}

const (
	// unhandledVar is Caddy's name for a request that no handler responded to.
	unhandledVar      = "unhandled"
	switchedProtocols = "the app responded with 101 Switching Protocols, which does not handle a delivery: respond with 200"
	nothingBehind     = "no handler behind verify_webhook responded, so the delivery was not handled: write, for example, reverse_proxy localhost:5000 behind it, with a matcher that matches this path"
)

// unhandledReason returns why no handler has responded, and "" if one has. A handler that
// returns without an error and writes nothing has responded with 200.
func (d *delivery) unhandledReason() string {
	if d.answer.wroteStatus {
		return ""
	}
	if caddyhttp.GetVar(d.r.Context(), unhandledVar) == true {
		return nothingBehind
	}
	// reverse_proxy writes nothing if the app switches to a protocol that was not
	// requested.
	if repl, ok := d.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if status, _ := repl.Get("http.reverse_proxy.status_code"); status == http.StatusSwitchingProtocols {
			return switchedProtocols
		}
	}
	return ""
}

// statusWriter ends the claim with the first final status before it is sent.
type statusWriter struct {
	caddyhttp.ResponseWriterWrapper
	claim       *claim
	observed    *observed
	wroteStatus bool
	status      int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	// Informational responses are not final, except for a protocol upgrade.
	if !w.wroteStatus && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.wroteStatus, w.status = true, status
		w.observed.step(stepResponse)
		w.claim.end(status)
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

// Hijack is what http.ResponseController calls for Hijack. The app's response on a
// hijacked connection is unknown, so the delivery does not count as handled.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriterWrapper.ResponseWriter).Hijack()
	if err == nil {
		w.claim.fail(0)
	}
	return conn, rw, err
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
	_ http.Hijacker       = (*statusWriter)(nil)
)
