package caddymodule

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// Observation is one delivery whose outcome is final.
type Observation struct {
	// Received is when the request arrived, Ended when its outcome was final.
	Received, Ended time.Time
	// Endpoint and Provider are as in logs and metrics.
	Endpoint, Provider string
	// Method, Host and URI are as they reached the server.
	Method, Host, URI string
	// Scheme and SignedHost were used to verify the signature: a trusted proxy
	// can set others than those of the request.
	Scheme, SignedHost string
	// RemoteAddr is the sender's address.
	RemoteAddr string
	Outcome    Outcome
	// Reason says why the delivery was not forwarded; for the operator.
	Reason string
	// ID, Event and Key are those of a verified delivery, otherwise empty.
	ID, Event, Key string
	// Secret is the label or position of the secret that matched.
	Secret string
	// Unsigned lists what the signature does not cover.
	Unsigned string
	// Size is the length of the body in bytes, -1 if it was not read.
	Size int64
	// Status is the app's, 0 if the app was not called or did not respond.
	Status int
	// AppTime is how long the app took until its final status.
	AppTime time.Duration
	// Response is the status for the sender, 0 if another handler or the server
	// has chosen it.
	Response int
	// Steps are the steps of the delivery.
	Steps []Step
	// Header is the original header of the request without credentials: see
	// redactHeader.
	Header http.Header
	// Body is the part of the body that an observer wants; nil if none does or
	// if it was not read. BodyCut: it is incomplete.
	Body    []byte
	BodyCut bool

	keys replay.Keys
}

// Step is one step of a delivery.
type Step struct {
	Name string
	// After is the time since the request arrived.
	After time.Duration
}

// Observer is notified of every delivery that arrives after it was added, when the
// outcome is final. The sender waits meanwhile, so its method must return at once.
type Observer interface{ DeliveryEnded(Observation) }

// BodyObserver is an observer that can request bodies.
type BodyObserver interface {
	Observer
	// BodyLimit returns how many bytes it wants of the body of a delivery with
	// this outcome. A copy has the outcome [Duplicate] here, whatever its own is.
	BodyLimit(Outcome) int64
}

// observers belong to the process, because two configs serve during a reload.
type observers struct {
	mu  sync.Mutex
	all atomic.Pointer[[]Observer] // nil if there is none: one load for each delivery
}

var observing observers

// Observe notifies o until stop is called.
func Observe(o Observer) (stop func()) {
	observing.change(func(all []Observer) []Observer { return append(all, o) })
	return sync.OnceFunc(func() {
		observing.change(func(all []Observer) []Observer {
			return slices.DeleteFunc(all, func(other Observer) bool { return other == o })
		})
	})
}

// change replaces the list with a changed copy.
func (s *observers) change(change func([]Observer) []Observer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Observer
	if p := s.all.Load(); p != nil {
		all = slices.Clone(*p)
	}
	if all = change(all); len(all) == 0 {
		s.all.Store(nil)
		return
	}
	s.all.Store(&all)
}

// observed collects what the observers get of a delivery. It is nil, and its methods
// do nothing, if there were no observers when the delivery arrived.
type observed struct {
	observers []Observer
	began     time.Time
	header    http.Header

	mu        sync.Mutex // an app's handler may respond from another goroutine
	steps     []Step
	forwarded time.Time
	appTime   time.Duration
	body      []byte
	bodyCut   bool
}

// observe starts to record a delivery, if there are observers. The headers must
// still be the sender's.
func (d *delivery) observe() {
	all := observing.all.Load()
	if all == nil || d.metrics.uncounted {
		return
	}
	d.observed = &observed{observers: *all, began: time.Now(), header: redactHeader(d.r.Header, &d.provider.info)}
}

// The steps of a delivery.
const (
	stepHeaders    = "headers checked"
	stepBody       = "body read"
	stepVerified   = "signature verified"
	stepClaimed    = "claimed: it is new"
	stepCopy       = "it is a copy"
	stepForwarded  = "forwarded to the app"
	stepUnverified = "forwarded to the app unverified (mode monitor)"
	stepResponse   = "the app responded"
	stepCommitted  = "remembered as handled"
	stepReleased   = "claim released: a retry is forwarded"
)

func (o *observed) step(name string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	switch name {
	case stepForwarded:
		o.forwarded = now
	case stepResponse:
		if !o.forwarded.IsZero() {
			o.appTime = now.Sub(o.forwarded)
		}
	}
	o.steps = append(o.steps, Step{name, now.Sub(o.began)})
}

// bodyLimit is the maximum number of bytes that observers want of the body.
func (o *observed) bodyLimit(outcome Outcome) (limit int64) {
	if o == nil {
		return 0
	}
	for _, one := range o.observers {
		if b, ok := one.(BodyObserver); ok {
			limit = max(limit, b.BodyLimit(outcome))
		}
	}
	return limit
}

// copyBody keeps the part of the body that observers want. Call it before the body
// is released.
func (d *delivery) copyBody(outcome Outcome) {
	limit := d.observed.bodyLimit(outcome)
	if limit <= 0 || d.body == nil || d.observed.body != nil {
		return
	}
	r := d.body.Open()
	defer r.Close()
	kept := make([]byte, min(limit, d.body.Size()))
	n, _ := readFull(r, kept) // unreadable bytes are missing
	d.observed.body, d.observed.bodyCut = kept[:n], int64(n) < d.body.Size()
}

// notify notifies the observers of the result of a delivery.
func (d *delivery) notify() {
	if d.observed == nil {
		return
	}
	d.copyBody(d.outcome)
	seen := d.observed
	seen.mu.Lock()
	defer seen.mu.Unlock()
	o := Observation{
		Received: d.signed.Now, Ended: time.Now(),
		Endpoint: d.endpoint, Provider: d.provider.info.Name,
		Method: d.signed.Method, Host: d.r.Host, URI: d.signed.RequestURI, RemoteAddr: d.r.RemoteAddr,
		Scheme: d.signed.Scheme, SignedHost: d.signed.Host,
		Outcome: d.outcome, Reason: d.reason, Size: -1, Status: d.answer.status, Response: d.response,
		Steps: seen.steps, AppTime: seen.appTime, Header: seen.header, Body: seen.body, BodyCut: seen.bodyCut,
	}
	switch {
	case d.body != nil:
		o.Size = d.body.Size()
	case seen.body != nil && !seen.bodyCut:
		o.Size = int64(len(seen.body))
	}
	if v := d.verified; v != nil {
		o.ID, o.Event, o.Key = v.ID, v.Event, d.keyText()
		o.Unsigned = d.provider.unsigned.of(v)
		if len(v.Matches) > 0 {
			o.Secret = v.Matches[0].Secret.Label
		}
		o.keys = replay.Keys{Blocking: slices.Clone(d.keys.Blocking), Notes: slices.Clone(d.keys.Notes)}
	}
	for _, observer := range seen.observers {
		observer.DeliveryEnded(o)
	}
}

// ClaimState returns the state of an observed delivery in the replay store.
func (e Endpoint) ClaimState(ctx context.Context, o Observation) (replay.State, bool, error) {
	if len(o.keys.Blocking) == 0 {
		return replay.Free, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := e.h.shared.use(ctx); err != nil {
		return replay.Free, false, err
	}
	defer e.h.shared.done()
	states, err := e.h.store.Lookup(ctx, o.keys.Blocking[:1])
	if err != nil {
		return replay.Free, false, err
	}
	return states[0], true, nil
}
