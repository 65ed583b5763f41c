package caddymodule

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Error routes get the request of the first handler in the route. If
// a handler in front has copied the request, as tracing and forward_auth do,
// changes to our copy do not reach it; but all copies share the body, the
// header map and the trailer map. So an unverified body must end in a state
// in which no copy can read from it.

const (
	// discardMost and discardTimeout limit how much of an unverified body is
	// read to keep the connection. net/http reads as much after a handler that
	// did not read the body.
	discardMost    = 256 << 10
	discardTimeout = time.Second
)

// discardBody ensures that no copy of the request can read an unverified body. It does nothing
// if the body has been read completely.
func (h *Handler) discardBody(d *delivery) {
	if !d.bodyUnread {
		return
	}
	if h.drainBody(d) {
		d.bodyUnread = false
		return
	}
	d.cutBody()
}

// drainBody reads and discards a short HTTP/1 body, so that the connection can be
// used again and a sender that reads the response only after sending everything
// gets one. It does not read a body with a larger Content-Length, or the body of
// a sender that waits for 100 Continue.
//
// A body that has arrived must be read to its end here rather than cut: at the
// end, the server starts to watch the connection. It would mistake the expired
// deadline of a cut for a client that disconnected, and cancel the error route.
func (h *Handler) drainBody(d *delivery) bool {
	r := d.r
	if r.ProtoMajor != 1 || r.Body == nil || r.ContentLength > discardMost || r.Header["Expect"] != nil {
		return false
	}
	rc := http.NewResponseController(d.w)
	if rc.SetReadDeadline(time.Now().Add(min(discardTimeout, time.Duration(h.BodyTimeout)))) != nil {
		return false
	}
	n, err := drain(io.LimitReader(r.Body, discardMost+1), r.ContentLength)
	_ = rc.SetReadDeadline(time.Time{}) // the first call succeeded
	return err == nil && n <= discardMost
}

const (
	// discardBuffer is the size of the buffers for draining, in bytes. [io.Discard]
	// has 8 KiB, and needs eight times as many system calls for a long body.
	discardBuffer = 64 << 10
	// maxDrains is the maximum number of such buffers in use at once, 2 MiB in
	// total. Slow senders cannot occupy more.
	maxDrains = 32
)

var (
	drains         = make(chan struct{}, maxDrains)
	discardBuffers = sync.Pool{New: func() any { return new([discardBuffer]byte) }}
	// The struct hides the ReadFrom of io.Discard, which uses its own buffer.
	discard io.Writer = struct{ io.Writer }{io.Discard}
)

// drain reads r to its end and returns the number of bytes. declared is the
// Content-Length, -1 if unknown.
func drain(r io.Reader, declared int64) (int64, error) {
	if declared >= 0 && declared <= 8<<10 {
		return io.Copy(io.Discard, r)
	}
	select {
	case drains <- struct{}{}:
		defer func() { <-drains }()
	default:
		return io.Copy(io.Discard, r)
	}
	buf := discardBuffers.Get().(*[discardBuffer]byte)
	defer discardBuffers.Put(buf)
	return io.CopyBuffer(discard, r, buf[:])
}

// cutBody ends a body without reading the rest of it from the network.
//
// On HTTP/2 and HTTP/3 every request has its own stream: Close discards what has
// arrived, and every later read fails.
//
// On HTTP/1 the rest of the body stays on the connection. Close alone would
// let the server parse the rest as the next request, so the server must be
// told to close the connection. Close would also read up to 256 KiB; with an
// expired deadline it discards what is buffered in the process and reads no
// further.
func (d *delivery) cutBody() {
	if !d.bodyUnread {
		return
	}
	d.bodyUnread = false
	if d.r.Body == nil {
		return
	}
	canClose := d.r.ProtoMajor != 1 || (closeConnection(d.w) && d.r.ProtoAtLeast(1, 1))
	source, _ := caddyhttp.IdleTimeoutsFromContext(d.r.Context())
	expired := expireRead(d.w, source)
	if canClose || !expired {
		if source != nil { // the innermost body: a wrapper may not close it
			_ = source.Close()
		}
		_ = d.r.Body.Close()
	}
	// Read what wrappers have buffered. This does not block: the body is closed
	// or the deadline has passed. If the body is not closed, the server gets the
	// same error and closes the connection.
	_, _ = io.Copy(io.Discard, d.r.Body)
}

// expireRead sets a read deadline that has passed. It reports whether the
// server supports deadlines.
func expireRead(w http.ResponseWriter, source *caddyhttp.IdleTimeoutReader) bool {
	past := time.Unix(1, 0)
	if source != nil && source.SetReadDeadline(past) == nil {
		return true
	}
	return http.NewResponseController(w).SetReadDeadline(past) == nil
}

// closeConnection makes an HTTP/1 server close the connection after the
// response. It reports whether the server will do so even if a handler, such
// as `header -Connection`, changes the response header.
//
// The documented way is [http.MaxBytesReader]: it tells the server's own
// ResponseWriter to close the connection once its limit is exceeded. The
// server then also waits a moment before it closes, so that a client that is
// still sending can read the response.
func closeConnection(w http.ResponseWriter) bool {
	own := w
	for {
		wrapper, ok := own.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		own = wrapper.Unwrap()
	}
	header := own.Header()
	header.Del("Connection")
	exceeded := http.MaxBytesReader(own, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = exceeded.Read(make([]byte, 1))
	told := header.Get("Connection") == "close"
	w.Header().Set("Connection", "close")
	return told
}

// withhold removes the body, the secret, and everything that the handler has
// added from the request before error routes get it: an app that is an error
// route must not mistake an unverified or empty body for a verified one.
func (h *Handler) withhold(d *delivery) {
	r := d.r
	if r.ContentLength != 0 && d.isCopy() {
		r.Header[refusedHeader] = []string{"1"}
		h.abortIfBodyIsKept(d)
	}
	r.Body, r.GetBody = http.NoBody, nil
	r.ContentLength, r.TransferEncoding = 0, nil
	clear(r.Trailer) // copies of the request share it
	r.Trailer = nil
	r.Header.Del("Content-Length")
	r.Header.Del("Expect")
	stripSpoofed(r.Header)
	for _, name := range d.provider.info.TokenHeaders {
		delete(r.Header, name)
	}
}

// abortIfBodyIsKept closes the connection, as the directive abort does, if error routes
// could read the body. A placeholder such as {http.request.body} keeps the body in the
// original request. If it is evaluated behind a handler that copies the request, such as
// tracing, the gate's copy has no body: no delivery can be verified, and nothing that is
// done to the copy removes the body from the original.
func (h *Handler) abortIfBodyIsKept(d *delivery) {
	if d.answer.ResponseWriter != nil || !bodyEnded(d.r) {
		return // verified and forwarded; or the original still shares the body that was cut
	}
	repl, ok := d.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	kept, _ := repl.Get("http.request.body") // otherwise empty
	if text, ok := kept.(string); !ok || text == "" {
		return
	}
	h.log.fail("closed the connection of a refused webhook delivery, because its body could reach an error route: a placeholder has read the body of a request that a handler in front has copied; write handlers and matchers with {http.request.body} before tracing and forward_auth, or remove them")
	panic(http.ErrAbortHandler)
}

// bodyEnded reports whether a drained or cut body can be closed again. cutBody does not
// close a body that would leave a rest on the connection, as with HTTP/1.0.
func bodyEnded(r *http.Request) bool {
	if r.Body == nil {
		return true
	}
	n, err := r.Body.Read(make([]byte, 1))
	if n > 0 || err == nil || !r.ProtoAtLeast(1, 1) {
		return errors.Is(err, io.EOF)
	}
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// refusedHeader is an invalid header name, so that every HTTP transport refuses the
// request before it connects. If a handler in front has copied the request, error
// routes get the original, whose Content-Length cannot be changed from here:
// reverse_proxy would send the headers of an unverified request to the app,
// announce a body, and abort.
const refusedHeader = "verify_webhook: refused"

// isCopy reports whether a handler in front has copied the request. The
// replacer refers to the original.
func (d *delivery) isCopy() bool {
	repl, ok := d.r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return false
	}
	method := d.r.Method
	d.r.Method = "" // converting an empty string to an interface needs no allocation
	seen, known := repl.GetString("http.request.method")
	d.r.Method = method
	return !known || seen != ""
}
