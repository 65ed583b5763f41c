package queue

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// unhandledVar is Caddy's name for a request that no handler responded to.
const unhandledVar = "unhandled"

// unhandled is behind the deliver routes: what reaches it was not delivered.
var unhandled = caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
	caddyhttp.SetVar(r.Context(), unhandledVar, true)
	return nil
})

// result is the result of an attempt.
type result struct {
	status int // of the app's response; 0 without one
	err    error
	// refused: the connection to the app failed, so the app has not received the
	// delivery.
	refused bool
	// aborted: the response ended unexpectedly.
	aborted bool
	// retryAfter is the Retry-After of a 429 or 503, slow whether there is one.
	retryAfter time.Duration
	slow       bool
	// stored is the error of reading the stored delivery.
	stored error
}

// outcome returns the result as the queue stores it.
func (r result) outcome(at time.Time) durable.Result {
	out := durable.Result{Status: r.status, At: at}
	if r.err != nil {
		out.Error = r.err.Error()
	}
	return out
}

// attempt sends a stored delivery through the deliver routes.
func (h *Handler) attempt(ctx context.Context, l durable.Lease) result {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(h.Timeout))
	defer cancel()
	w := &recorder{header: make(http.Header)}
	body := &leasedBody{ctx: ctx, body: l.Body}
	defer body.closeAll()
	r, err := h.prepare(ctx, w, l.Entry, body)
	if err != nil {
		return result{err: err, stored: err}
	}
	res := h.run(w, r)
	if h.succeeded(res) {
		return res
	}
	if ctx.Err() != nil { // reverse_proxy responds with 499 then
		res = result{err: context.Cause(ctx)}
		if errors.Is(res.err, context.DeadlineExceeded) {
			res.err = fmt.Errorf("the app did not respond within %s", time.Duration(h.Timeout))
		}
	}
	res.stored = body.failure()
	h.readRetryAfter(&res, w.header)
	return res
}

// readRetryAfter reads for how long the app asks for a pause.
func (h *Handler) readRetryAfter(res *result, header http.Header) {
	if res.status == http.StatusTooManyRequests || res.status == http.StatusServiceUnavailable {
		res.retryAfter, res.slow = durable.ParseRetryAfter(header.Get("Retry-After"), h.now(), h.policy.MaxRetryAfter)
	}
}

// succeeded reports whether the app has handled the delivery.
func (h *Handler) succeeded(r result) bool { return r.err == nil && h.handled(r.status) }

// run runs the deliver routes and returns the result. Only their own response
// counts: not that of an error route, and not a missing response, which a server
// would send as 200.
func (h *Handler) run(w statusWriter, r *http.Request) (res result) {
	defer func() {
		if p := recover(); p != nil {
			res = h.recovered(p, res)
		}
		res.refused = res.err != nil && refused(res.err)
	}()
	ctx := r.Context()
	err := h.route.ServeHTTP(w, r)
	repl, _ := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	switch failed, _ := repl.Get("http.error"); {
	case err != nil:
		return result{err: reason(err)}
	case failed != nil: // an error route has responded instead of the app
		err, ok := failed.(error)
		if !ok {
			err = fmt.Errorf("%v", failed)
		}
		return result{err: reason(err)}
	case caddyhttp.GetVar(ctx, unhandledVar) == true:
		return result{err: errors.New("no handler in deliver responded: write reverse_proxy in it, without a matcher or with one that matches")}
	case w.finalStatus() == 0:
		return result{err: errors.New("no handler in deliver responded")}
	}
	return result{status: w.finalStatus()}
}

// statusWriter is a response with its status, 0 without one.
type statusWriter interface {
	http.ResponseWriter
	finalStatus() int
}

// reason returns the message of an error, without the status and the position in
// the code that Caddy's errors contain.
func reason(err error) error {
	var handlerErr caddyhttp.HandlerError
	switch {
	case !errors.As(err, &handlerErr):
		return err
	case handlerErr.Err == nil || handlerErr.Err.Error() == "":
		return fmt.Errorf("error %d", handlerErr.StatusCode)
	}
	return handlerErr.Err
}

// recovered is the result of a panic. reverse_proxy panics with ErrAbortHandler
// when the app's response ends unexpectedly. In the background, an unrecovered
// panic would stop Caddy.
func (h *Handler) recovered(p any, res result) result {
	res.aborted = true
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		res.err = errors.New("the app's response ended unexpectedly")
		return res
	}
	res.err = fmt.Errorf("panic: %v", p)
	h.log().Error("a handler in deliver panicked", zap.String("queue", h.Name), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	return res
}

// refused reports whether an error means that the app was not reached.
func refused(err error) bool {
	var dial reverseproxy.DialError
	var op *net.OpError
	switch {
	case errors.As(err, &dial):
		return true
	case errors.As(err, &op) && op.Op == "dial":
		return true
	}
	// Its health checks have marked the upstream as down.
	return strings.Contains(err.Error(), "no upstreams available")
}

// prepare creates the request for the routes, as Caddy's server would from the
// original one.
func (h *Handler) prepare(ctx context.Context, w http.ResponseWriter, e durable.Entry, leased *leasedBody) (*http.Request, error) {
	stored := e.Request
	original, err := url.ParseRequestURI(stored.OriginalURI)
	if err != nil {
		return nil, fmt.Errorf("reading the stored URI: %w", err)
	}
	rewritten, err := url.ParseRequestURI(stored.URI)
	if err != nil {
		return nil, fmt.Errorf("reading the stored URI: %w", err)
	}
	number := attemptNumber(e)
	header := stored.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	setAttempt(header, e.Key, number, e.Accepted)
	r := &http.Request{
		Method: stored.Method, URL: original, RequestURI: stored.OriginalURI,
		Proto: stored.Proto, Header: header, Host: stored.Host, RemoteAddr: parsableAddr(stored.RemoteAddr),
		Body: http.NoBody, ContentLength: leased.body.Size(),
		GetBody: leased.open,
	}
	if method := stored.Attributes[attributeMethod]; method != "" {
		r.Method = method
	}
	var ok bool
	if r.ProtoMajor, r.ProtoMinor, ok = http.ParseHTTPVersion(stored.Proto); !ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	}
	if stored.TLS {
		// An incomplete handshake would count as early data.
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: hostOf(stored.Host)}
	}
	if r.ContentLength > 0 {
		if r.Body, err = leased.open(); err != nil {
			return nil, err
		}
		r.Body = h.readOnce(r.Body)
	}
	repl := caddy.NewReplacer()
	ctx = caddymodule.NewContext(ctx, verifiedAgain(header, e.Key))
	r = caddyhttp.PrepareRequest(r.WithContext(ctx), repl, w, h.server)
	repl.Map(func(name string) (any, bool) { return h.placeholder(name, header, number) })
	// Set here, so that {http.request.orig_uri} is the original one.
	r.Method, r.URL, r.RequestURI = stored.Method, rewritten, stored.URI
	return r, nil
}

// readOnce is for bodies that routes get. Like that of the gate, a second handler in
// them must not forward an empty body.
func (h *Handler) readOnce(in io.ReadCloser) io.ReadCloser {
	if !h.bodyOnce.Load() {
		return in
	}
	return &body.Once{ReadCloser: in}
}

// verifiedAgain restores the verified delivery for handlers such as webhook_sign and
// webhook_relay. Only verified deliveries are stored, together with their identity
// headers.
func verifiedAgain(header http.Header, key string) *caddymodule.VerifiedDelivery {
	v := &caddymodule.VerifiedDelivery{
		Provider: header.Get(caddymodule.HeaderProvider),
		ID:       header.Get(caddymodule.HeaderID),
		Event:    header.Get(caddymodule.HeaderEvent),
		// The headers contain the queue's key if the delivery has none.
		Key:      cmp.Or(header.Get(caddymodule.HeaderKey), key),
		Unsigned: header.Get(caddymodule.HeaderUnsigned),
	}
	if seconds, err := strconv.ParseInt(header.Get(caddymodule.HeaderTimestamp), 10, 64); err == nil {
		v.Timestamp = time.Unix(seconds, 0)
	}
	return v
}

// attemptNumber is the number of the next attempt.
func attemptNumber(e durable.Entry) int {
	number := e.Attempts + 1
	if e.Request.Attributes[attributeTried] != "" {
		number++
	}
	return number
}

// setAttempt adds the headers for the attempt.
func setAttempt(header http.Header, key string, number int, received time.Time) {
	if header[caddymodule.HeaderKey] == nil { // the delivery has no key
		header[caddymodule.HeaderKey] = []string{key}
	}
	header[caddymodule.HeaderAttempt] = []string{strconv.Itoa(number)}
	header[caddymodule.HeaderReceived] = []string{strconv.FormatInt(received.Unix(), 10)}
}

// placeholder returns the values of our placeholders.
func (h *Handler) placeholder(name string, header http.Header, number int) (any, bool) {
	switch name {
	case "http.webhook_queue.name":
		return h.Name, true
	case "http.webhook_queue.attempt":
		return number, true
	case "http.verify_webhook.provider":
		return header.Get(caddymodule.HeaderProvider), true
	case "http.verify_webhook.id":
		return header.Get(caddymodule.HeaderID), true
	case "http.verify_webhook.event":
		return header.Get(caddymodule.HeaderEvent), true
	case "http.verify_webhook.timestamp":
		return header.Get(caddymodule.HeaderTimestamp), true
	case "http.verify_webhook.key":
		return header.Get(caddymodule.HeaderKey), true
	case "http.verify_webhook.outcome":
		return string(caddymodule.Verified), true
	}
	return nil, false
}

// parsableAddr returns an address that Caddy can parse. Connections of Unix sockets
// have the address "@".
func parsableAddr(addr string) string {
	if _, _, err := net.SplitHostPort(addr); err != nil && addr != "@" {
		return "127.0.0.1:0"
	}
	return addr
}

func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// leasedBody opens the body of a leased entry, and records read errors.
type leasedBody struct {
	ctx  context.Context
	body durable.Body

	mu     sync.Mutex
	opened []*bodyReader
	err    error
}

// open is the GetBody of the request.
func (b *leasedBody) open() (io.ReadCloser, error) {
	if b.body.Size() == 0 {
		return http.NoBody, nil
	}
	in, err := b.body.Open(b.ctx)
	if err != nil {
		b.failed(err)
		return nil, err
	}
	r := &bodyReader{of: b, in: in}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened = append(b.opened, r)
	return r, nil
}

func (b *leasedBody) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// failure returns why the body could not be read, nil if it could.
func (b *leasedBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// closeAll closes all readers: a transport may still read after the end of the
// attempt.
func (b *leasedBody) closeAll() {
	b.mu.Lock()
	opened := b.opened
	b.mu.Unlock()
	for _, r := range opened {
		_ = r.Close() // it was only read
	}
}

// bodyReader is a body that can be closed while it is read.
type bodyReader struct {
	of *leasedBody

	mu     sync.Mutex
	in     io.ReadCloser
	closed bool
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := r.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && r.of.ctx.Err() == nil {
		r.of.failed(err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.in.Close()
}

// recorder is the response in the background: it keeps status and header, and
// drains the body.
type recorder struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // informational responses are not final
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

// FlushError is what http.ResponseController calls for Flush.
func (w *recorder) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return nil
}

func (w *recorder) finalStatus() int { return w.status }
