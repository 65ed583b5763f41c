package caddymodule

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
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/body"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

// Tried is what became of a request that was sent to a [Trial].
type Tried struct {
	// Outcome and Reason are what the placeholders say. The reason is for
	// the operator; the sender never sees it.
	Outcome Outcome
	Reason  string

	// Status, Header and Body are what the sender gets: the app's answer,
	// or ours. The body of a refusal is empty.
	Status int
	Header http.Header
	Body   []byte

	// Reached: the delivery went on to the app, with these headers and this
	// body.
	Reached       bool
	ReachedHeader http.Header
	ReachedBody   []byte
}

// Trial is a real handler that stands in no server: provisioned as Caddy would
// provision it, with a memory store of its own and, behind it, an app that
// keeps what reaches it. It shows what the handler makes of a request. Open one
// with [OpenTrial], or use [Try] for a single request.
type Trial struct {
	// App answers what reaches it. Nil: 200, empty.
	App http.Handler

	handler *Handler
	close   context.CancelFunc
}

// OpenTrial provisions a handler for trials. config is the handler's JSON as it
// stands in Caddy's config; it may name a store. now is the time by which
// timestamps are judged; nil is the present. The trial must be closed.
func OpenTrial(ctx context.Context, config json.RawMessage, now func() time.Time) (*Trial, error) {
	return openTrial(ctx, config, &Handler{logger: zap.NewNop(), now: now})
}

func openTrial(ctx context.Context, config json.RawMessage, h *Handler) (*Trial, error) {
	if err := caddy.StrictUnmarshalJSON(config, h); err != nil {
		return nil, fmt.Errorf("reading the handler's config: %w", err)
	}
	h.app = newTrialApp()
	c, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	t := &Trial{handler: h, close: cancel}
	if err := t.open(c); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// newTrialApp returns an app with a memory store of its own.
func newTrialApp() *App {
	a := &App{budget: body.NewBudget(defaultBodyMemory, defaultBodyDisk)}
	a.store = a.addStore("trial", func() (replay.Store, func() error, error) {
		return memory.New(memory.Options{}), nil, nil
	})
	return a
}

// open does what Caddy does when it loads a config.
func (t *Trial) open(ctx caddy.Context) error {
	if err := t.handler.Provision(ctx); err != nil {
		return err
	}
	if err := t.handler.Validate(); err != nil {
		return err
	}
	return t.handler.app.openStores()
}

// Close gives back what the handler holds.
func (t *Trial) Close() {
	// They hold nothing whose loss could matter.
	_ = t.handler.Cleanup()
	_ = t.handler.app.Cleanup()
	t.close()
}

// Try sends one request to a handler with this provider, whose JSON is an
// object with its `name` and options, as in the handler's config. now is as for
// [OpenTrial].
func Try(ctx context.Context, provider json.RawMessage, now func() time.Time, r *http.Request) (Tried, error) {
	config, err := json.Marshal(Handler{ProviderRaw: provider})
	if err != nil {
		return Tried{}, fmt.Errorf("reading the provider's config: %w", err)
	}
	trial, err := OpenTrial(ctx, config, now)
	if err != nil {
		return Tried{}, err
	}
	defer trial.Close()
	return trial.Send(r), nil
}

// Send sends a request the handler's whole way. r is best as a server receives
// it ([http.ReadRequest], httptest.NewRequest); what a client's request lacks
// is filled in, and an https URL counts as TLS. Its body is read, its headers
// are changed.
func (t *Trial) Send(r *http.Request) Tried {
	w := &trialAnswer{header: make(http.Header)}
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(asReceived(r), repl, w, nil)
	var tried Tried
	err := t.handler.ServeHTTP(w, r, t.app(&tried))
	if err != nil && w.status == 0 {
		w.status = http.StatusInternalServerError
		if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
			w.status = handlerErr.StatusCode
		}
	}
	outcome, _ := repl.GetString(placeholderPrefix + "outcome")
	tried.Outcome = Outcome(outcome)
	tried.Reason, _ = repl.GetString(placeholderPrefix + "reason")
	tried.Status, tried.Header, tried.Body = w.status, w.header, w.body
	if tried.Status == 0 {
		tried.Status = http.StatusOK // what a server sends for a handler that wrote nothing
	}
	return tried
}

// app is the next handler: it keeps what reaches it.
func (t *Trial) app(tried *Tried) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		tried.Reached = true
		tried.ReachedHeader = r.Header.Clone()
		var err error
		if tried.ReachedBody, err = io.ReadAll(r.Body); err != nil {
			return err
		}
		if t.App == nil {
			w.WriteHeader(http.StatusOK)
			return nil
		}
		again := r.Clone(r.Context())
		if again.Body, err = r.GetBody(); err != nil {
			return err
		}
		defer again.Body.Close()
		t.App.ServeHTTP(w, again)
		return nil
	})
}

// asReceived fills in what a server sets and a client need not.
func asReceived(r *http.Request) *http.Request {
	r = r.WithContext(r.Context()) // a copy; headers stay shared
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

// trialAnswer keeps the answer that the sender would get.
type trialAnswer struct {
	status int
	header http.Header
	body   []byte
}

// Header implements http.ResponseWriter.
func (a *trialAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *trialAnswer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *trialAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// Interface guard.
var _ http.ResponseWriter = (*trialAnswer)(nil)
