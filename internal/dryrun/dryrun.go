// Package dryrun runs the handler on a request without a server, for `explain`,
// test vectors and tests.
package dryrun

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Provision provisions and validates a handler as Caddy does, with its own memory
// store. now is as for [Open]. Package caddymodule sets this variable, so that it
// need not export what the handler needs.
var Provision func(ctx context.Context, config json.RawMessage, now func() time.Time) (handler caddyhttp.MiddlewareHandler, cleanup func(), err error)

// Aside returns a context in which the handler neither counts in metrics nor
// notifies observers, for a running Caddy instance that tries variations of a
// refused delivery.
func Aside(ctx context.Context) context.Context { return context.WithValue(ctx, asideKey{}, true) }

// IsAside reports whether the context is one of [Aside].
func IsAside(ctx context.Context) bool { return ctx.Value(asideKey{}) != nil }

type asideKey struct{}

// Result is the result of a request.
type Result struct {
	// Outcome and Reason are the values of the placeholders. The reason is only
	// for the operator.
	Outcome string
	Reason  string
	// Handshake: the request was refused, but is a handshake that an option can allow.
	Handshake bool

	// Status, Header and Body are the response that the sender gets. The body
	// of a refusal is empty.
	Status int
	Header http.Header
	Body   []byte

	// Reached: the delivery was forwarded to the app, with these headers and
	// this body.
	Reached       bool
	ReachedHeader http.Header
	ReachedBody   []byte
}

// Endpoint is a provisioned handler without a server. The app behind it records
// requests.
type Endpoint struct {
	// App responds to forwarded deliveries. Nil: 200, empty.
	App http.Handler

	handler caddyhttp.MiddlewareHandler
	cleanup func()
}

// Open provisions a handler. config is its JSON as in Caddy's config and may
// contain a store. now is the clock; nil is the real one. The endpoint must be
// closed.
func Open(ctx context.Context, config json.RawMessage, now func() time.Time) (*Endpoint, error) {
	handler, cleanup, err := Provision(ctx, config, now)
	if err != nil {
		return nil, err
	}
	return New(handler, cleanup), nil
}

// New returns an endpoint with a provisioned handler.
func New(handler caddyhttp.MiddlewareHandler, cleanup func()) *Endpoint {
	return &Endpoint{handler: handler, cleanup: cleanup}
}

// Close releases the handler's resources.
func (e *Endpoint) Close() { e.cleanup() }

// Once sends one request to a handler with this provider, whose JSON is an
// object with its `name` and options, as in the handler's config. now is as for
// [Open].
func Once(ctx context.Context, provider json.RawMessage, now func() time.Time, r *http.Request) (Result, error) {
	config, err := json.Marshal(map[string]json.RawMessage{"provider": provider})
	if err != nil {
		return Result{}, fmt.Errorf("reading the provider's config: %w", err)
	}
	endpoint, err := Open(ctx, config, now)
	if err != nil {
		return Result{}, err
	}
	defer endpoint.Close()
	return endpoint.Send(r), nil
}

// Send sends a request through the handler. r should be a server's request
// ([http.ReadRequest], httptest.NewRequest). In a client's request, missing fields
// are filled in, and an https URL counts as TLS. Send reads the body and changes
// the headers.
func (e *Endpoint) Send(r *http.Request) Result {
	w := &response{header: make(http.Header)}
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(AsReceived(r), repl, w, nil)
	var result Result
	err := e.handler.ServeHTTP(w, r, e.app(&result))
	if err != nil && w.status == 0 {
		w.status = http.StatusInternalServerError
		if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
			w.status = handlerErr.StatusCode
		}
	}
	if h, ok := errors.AsType[interface {
		error
		Handshake() bool
	}](err); ok {
		result.Handshake = h.Handshake()
	}
	result.Outcome, _ = repl.GetString("http.verify_webhook.outcome")
	result.Reason, _ = repl.GetString("http.verify_webhook.reason")
	result.Status, result.Header, result.Body = w.status, w.header, w.body
	if result.Status == 0 {
		result.Status = http.StatusOK // a server's status for a handler that wrote nothing
	}
	return result
}

// app is the next handler, which records the request.
func (e *Endpoint) app(result *Result) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		result.Reached = true
		result.ReachedHeader = r.Header.Clone()
		var err error
		if result.ReachedBody, err = io.ReadAll(r.Body); err != nil {
			return err
		}
		if e.App == nil {
			w.WriteHeader(http.StatusOK)
			return nil
		}
		reread := r.Clone(r.Context())
		if reread.Body, err = r.GetBody(); err != nil {
			return err
		}
		defer reread.Body.Close()
		e.App.ServeHTTP(w, reread)
		return nil
	})
}

// AsReceived returns r with the fields that a server sets.
func AsReceived(r *http.Request) *http.Request {
	r = r.WithContext(r.Context()) // a copy that shares the headers
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	if r.RequestURI == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	if r.TLS == nil && r.URL.Scheme == "https" {
		r.TLS = &tls.ConnectionState{}
	}
	if r.ProtoMajor == 0 {
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	}
	return r
}

// response records the response to the sender.
type response struct {
	status int
	header http.Header
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, p...)
	return len(p), nil
}

// Interface guard.
var _ http.ResponseWriter = (*response)(nil)
