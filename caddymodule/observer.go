package caddymodule

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Observation is one delivery whose outcome is final.
type Observation struct {
	// Received is when the request arrived, Ended when its outcome was final.
	Received, Ended time.Time
	// Endpoint and Provider are as in logs and metrics.
	Endpoint, Provider string
	// Method, Host and URI are as they reached the server.
	Method, Host, URI string
	// RemoteAddr is the sender's address.
	RemoteAddr string
	Outcome    Outcome
	// Reason says why the delivery was not forwarded; for the operator.
	Reason string
	// ID, Event and Key are of a delivery that was verified, else empty.
	ID, Event, Key string
	// Size is the length of the body in bytes, -1 if it was not read.
	Size int64
	// Status is the app's, 0 if the app was not asked or did not respond.
	Status int
}

// Observer is notified of every delivery whose outcome is final. Its method is
// called while the sender waits, so it must return at once.
type Observer interface{ DeliveryEnded(Observation) }

// observers are of the process, like what they observe: during a reload two
// configs serve.
type observers struct {
	mu  sync.Mutex
	all atomic.Pointer[[]Observer] // nil if there is none: one load a delivery
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

// change replaces the list by a changed copy.
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

// notify tells the observers how a delivery ended.
func (d *delivery) notify() {
	all := observing.all.Load()
	if all == nil {
		return
	}
	o := Observation{
		Received: d.signed.Now, Ended: time.Now(),
		Endpoint: d.endpoint, Provider: d.provider,
		Method: d.signed.Method, Host: d.r.Host, URI: d.signed.RequestURI, RemoteAddr: d.r.RemoteAddr,
		Outcome: d.outcome, Reason: d.reason, Size: -1, Status: d.answer.status,
	}
	if d.body != nil {
		o.Size = d.body.Size()
	}
	if v := d.verified; v != nil {
		o.ID, o.Event, o.Key = v.ID, v.Event, d.keyText()
	}
	for _, observer := range *all {
		observer.DeliveryEnded(o)
	}
}
