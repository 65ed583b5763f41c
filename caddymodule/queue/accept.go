package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// acceptance is a verified delivery that is about to be stored.
type acceptance struct {
	h        *Handler
	v        *caddymodule.VerifiedDelivery
	r        *http.Request
	received time.Time
	key      string
	// tried is the number of attempts while the provider waited, delay the time
	// until the next one.
	tried int
	delay time.Duration
}

// putTimeout limits how long a provider waits for the store.
const putTimeout = 15 * time.Second

// Attributes of a stored request.
const (
	attributeMethod = "original_method"
	attributeTrace  = "traceparent"
	attributeTried  = "tried"
)

// store stores the delivery durably. If it is already stored, nothing changes,
// except that a dead delivery, which the provider has resent, is retried.
func (a *acceptance) store() error {
	h := a.h
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.r.Context()), putTimeout)
	defer cancel()
	q, done, err := h.group.use(ctx)
	if err != nil {
		metrics.putErrors.WithLabelValues(h.Name).Inc()
		return fmt.Errorf("opening the store: %w", err)
	}
	defer done()
	start := time.Now()
	existing, err := a.put(ctx, q)
	observePut(h.Name, start, existing, err)
	if err != nil {
		return err
	}
	h.group.poke(h.Name)
	if c := h.logger.Check(zap.DebugLevel, "stored a webhook delivery"); c != nil {
		c.Write(zap.String("queue", h.Name), zap.String("key", a.key), zap.String("provider", a.v.Provider), zap.String("id", a.v.ID), zap.Int64("body_bytes", a.r.ContentLength))
	}
	return nil
}

func (a *acceptance) put(ctx context.Context, q durable.Queue) (existing durable.State, err error) {
	name := a.h.Name
	body, err := a.r.GetBody()
	if err != nil {
		return 0, err
	}
	defer body.Close()
	result, err := q.Put(ctx, durable.Put{
		Queue: name, Key: a.key,
		Request: a.request(), Body: body, BodySize: a.r.ContentLength,
		Accepted: a.received, Delay: a.delay, Remember: a.v.Window,
		Limits: durable.Limits{MaxEntries: a.h.MaxEntries, MaxBytes: a.h.MaxBytes},
	})
	if err != nil {
		return 0, err
	}
	if result.Existing == durable.Dead {
		_, err = q.Retry(ctx, name, []string{a.key})
	}
	return result.Existing, err
}

// request returns the stored form of the request.
func (a *acceptance) request() durable.Request {
	r := a.r
	out := durable.Request{
		Method: r.Method, OriginalURI: r.RequestURI, URI: r.URL.RequestURI(),
		Proto: r.Proto, Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS != nil,
		Header: r.Header, Attributes: make(map[string]string),
	}
	if orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		out.OriginalURI = orig.RequestURI
		if !strings.HasPrefix(out.OriginalURI, "/") { // it contains scheme and host, as in requests to a proxy
			out.OriginalURI = orig.URL.RequestURI()
		}
		if orig.Method != r.Method {
			out.Attributes[attributeMethod] = orig.Method
		}
	}
	if trace := traceOf(r.Context()); trace != "" {
		out.Attributes[attributeTrace] = trace
	}
	if a.tried > 0 {
		out.Attributes[attributeTried] = "1"
	}
	return out
}

// logPutError logs why a delivery could not be stored. The provider gets 503 and
// retries.
func (h *Handler) logPutError(err error) {
	message := "storing a webhook delivery failed; the provider gets 503 and retries"
	if errors.Is(err, durable.ErrFull) {
		message = "the webhook queue is full; providers get 503 and retry"
	}
	h.log().Error(message, zap.String("queue", h.Name), zap.Error(err))
}

// tryApp tries the app while the provider waits, in mode when_down. done means
// that the app has responded, and that the provider got its response.
func (a *acceptance) tryApp(w http.ResponseWriter) (done bool, err error) {
	h := a.h
	if h.group.appIsDown(h.Name) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(a.r.Context(), time.Duration(h.Timeout))
	defer cancel()
	r := a.r.WithContext(ctx)
	r.Header = a.r.Header.Clone()
	setAttempt(r.Header, a.key, 1, a.received)
	body, err := a.r.GetBody()
	if err != nil {
		return false, err
	}
	defer body.Close()
	r.Body = h.readOnce(body)
	caddyhttp.SetVar(ctx, unhandledVar, nil)
	out := &passThrough{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	result := h.run(out, r)
	if out.passed {
		if result.aborted { // the provider gets an incomplete response, as from the app
			panic(http.ErrAbortHandler)
		}
		return true, result.err
	}
	h.readRetryAfter(&result, out.header)
	observeAttempt(h.Name, "tried_first", time.Since(a.received))
	h.group.observe(h, result)
	if !result.refused {
		a.tried = 1
		delay, ok := h.policy.Next(1, 0, result.retryAfter, random)
		if ok {
			a.delay = delay
		}
	}
	h.log().Warn("the app did not accept a webhook delivery; it is stored and delivered later",
		zap.String("queue", h.Name), zap.String("key", a.key), zap.Int("status", result.status), zap.Error(result.err))
	return false, nil
}

// passThrough forwards a response to the provider, unless its status is 5xx.
type passThrough struct {
	caddyhttp.ResponseWriterWrapper
	header http.Header // until a status decides
	status int
	passed bool
}

// Header implements http.ResponseWriter.
func (w *passThrough) Header() http.Header {
	if w.passed {
		return w.ResponseWriterWrapper.Header()
	}
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *passThrough) WriteHeader(status int) {
	switch {
	case w.passed, w.status != 0, status < 200:
		return
	case status >= 500:
		w.status = status
		return
	}
	w.status = status
	to := w.ResponseWriterWrapper.Header()
	for name, values := range w.header {
		to[name] = append(to[name], values...)
	}
	w.passed = true
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *passThrough) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if !w.passed {
		return len(p), nil
	}
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (w *passThrough) ReadFrom(r io.Reader) (int64, error) {
	w.WriteHeader(http.StatusOK)
	if !w.passed {
		return io.Copy(io.Discard, r)
	}
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what http.ResponseController calls for Flush.
func (w *passThrough) FlushError() error {
	if !w.passed {
		return nil
	}
	return http.NewResponseController(w.ResponseWriterWrapper.ResponseWriter).Flush()
}

func (w *passThrough) finalStatus() int { return w.status }
