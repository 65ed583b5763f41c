// Package relay provides the handlers `webhook_relay` and `webhook_listeners`, which
// forward deliveries to a developer's machine that is listening.
//
// The developer's machine connects to webhook_listeners and gets deliveries as
// server-sent events. It returns the responses of its app with plain requests. For
// the gate, webhook_relay is an app like any other. docs/local-development.md
// describes the protocol.
package relay

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Times of the protocol, as defaults.
const (
	defaultHeartbeat = 15 * time.Second
	// silences is how many heartbeats may be missing before a connection
	// counts as lost.
	silences = 2
	// reconnectWithin is how long a delivery waits for a listener whose
	// connection has just ended: after a reload it reconnects at once.
	reconnectWithin = 5 * time.Second
)

// registry contains the relays of the process. The response to a delivery may
// arrive through a newer config than the delivery.
type registry struct {
	mu     sync.Mutex
	relays map[string]*relay
}

var relays = registry{relays: make(map[string]*relay)}

// take returns the relay of that name for one handler, which must return it with
// giveBack.
func (s *registry) take(name string) *relay {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.relays[name]
	if r == nil {
		r = &relay{name: name, epoch: rand.Text()[:8], waiting: make(map[string]*delivery), changed: make(chan struct{})}
		s.relays[name] = r
		connected.WithLabelValues(name).Set(0)
	}
	r.users++
	return r
}

// giveBack removes a relay with its last handler. A reload that keeps the name
// takes the relay before the former config returns it.
func (s *registry) giveBack(r *relay) {
	if r == nil { // it was never provisioned
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	delete(s.relays, r.name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten = true
	forget(r.name)
}

// relay forwards deliveries to the machine that is listening under its name.
type relay struct {
	name  string
	epoch string // prefix of delivery IDs, different after a restart
	users int    // the number of its handlers, guarded by the registry's lock

	mu       sync.Mutex
	last     uint64 // the number of the last delivery
	listener *listener
	// waiting are the deliveries that wait for a response, by ID.
	waiting map[string]*delivery
	// changed is closed, and replaced, when the listener changes.
	changed chan struct{}
	// missed counts deliveries that arrived while no machine was listening.
	missed      int
	missedSince time.Time
	forgotten   bool // it is in no config
}

// setConnected sets the metric. The lock is held.
func (r *relay) setConnected(machines float64) {
	if !r.forgotten {
		connected.WithLabelValues(r.name).Set(machines)
	}
}

// The errors of a delivery without a response.
var (
	errNobody     = errors.New("no machine is listening")
	errLost       = errors.New("the connection to the listening machine was lost before it responded")
	errOverloaded = errors.New("too many deliveries are waiting for the listening machine")
	errBody       = errors.New("the body of the delivery cannot be read")
	errTimeout    = errors.New("the listening machine did not respond in time")
)

// listener is a developer's machine that is listening. It outlives connections:
// a machine that reconnects with the same session continues where it was.
type listener struct {
	session   string
	address   string
	heartbeat time.Duration
	logger    *zap.Logger

	// The relay's lock guards the following fields.
	stream   *stream   // nil while it is not connected
	detached time.Time // when its last connection ended
	over     bool
	silence  *time.Timer // ends it after too long a silence
	regain   *time.Timer // fails the deliveries that were not sent yet
}

// stream is one connection of a listener.
type stream struct {
	wake chan struct{} // signals that there is something to send
	stop chan struct{} // closed to end the stream
	// farewell is the reason for the end, set before stop is closed.
	farewell string
}

func newStream() *stream {
	return &stream{wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// end ends the stream. The relay's lock is held.
func (s *stream) end(farewell string) {
	if s == nil || s.farewell != "" {
		return
	}
	s.farewell = farewell
	close(s.stop)
}

// delivery is a delivery in transit.
type delivery struct {
	id       string
	number   uint64
	message  message
	listener *listener
	started  bool // it is being sent, or was sent
	answered chan outcome
}

// outcome is the result of a delivery: a response or an error.
type outcome struct {
	answer *answer
	err    error
}

// welcome is the first event for a listener.
type welcome struct {
	Relay     string  `json:"relay"`
	Heartbeat float64 `json:"heartbeat_seconds"`
	// Resumed: the session continues, and unreceived deliveries are sent again.
	Resumed bool `json:"resumed"`
}

// gap reports deliveries that a listener missed.
type gap struct {
	Missed int    `json:"missed"`
	Since  string `json:"since"`
}

// attach connects a listener. received is the ID of the last delivery that it
// received, or empty.
func (r *relay) attach(l *listener, received string) (*listener, *stream, welcome, *gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hello := welcome{Relay: r.name, Heartbeat: l.heartbeat.Seconds()}
	switch current := r.listener; {
	case current != nil && current.session == l.session:
		hello.Resumed = true
		current.stream.end(farewellReplacedStream)
		current.address, current.heartbeat, current.logger = l.address, l.heartbeat, l.logger
		l = current
	case current != nil:
		current.logger.Info("listener replaced by a newer one", zap.String("relay", r.name), zap.String("address", current.address), zap.String("newer", l.address))
		current.stream.end(farewellReplaced)
		r.regainStop(current)
		r.moveUnsent(current, l)
	}
	if !hello.Resumed {
		l.silence = time.AfterFunc(l.heartbeat*silences, func() { r.fellSilent(l) })
	}
	r.listener = l
	l.stream = newStream()
	r.regainStop(l)
	r.heard(l)
	r.again(l, received)
	r.setConnected(1)
	l.logger.Info("listener connected", zap.String("relay", r.name), zap.String("address", l.address), zap.Bool("again", hello.Resumed))
	close(r.changed)
	r.changed = make(chan struct{})
	return l, l.stream, hello, r.takeGap()
}

// moveUnsent moves the unsent deliveries of an older listener to a newer one.
func (r *relay) moveUnsent(from, to *listener) {
	for _, d := range r.waiting {
		if d.listener == from && !d.started {
			d.listener = to
		}
	}
}

// takeGap returns the missed deliveries, once.
func (r *relay) takeGap() *gap {
	if r.missed == 0 {
		return nil
	}
	g := &gap{Missed: r.missed, Since: r.missedSince.UTC().Format(time.RFC3339)}
	r.missed = 0
	return g
}

// again marks deliveries that the listener has not received as unsent.
func (r *relay) again(l *listener, received string) {
	number := r.numberOf(received)
	for _, d := range r.waiting {
		if d.listener == l && d.number > number {
			d.started = false
		}
	}
	l.stream.poke()
}

// numberOf returns the number in a delivery's ID, or 0 if the ID is from another
// process.
func (r *relay) numberOf(id string) (number uint64) {
	if _, err := fmt.Sscanf(id, r.epoch+"-%d", &number); err != nil {
		return 0
	}
	return number
}

func (s *stream) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// detach records the end of a connection. The machine may reconnect: it may still
// respond to what it has received, and unsent deliveries wait for a moment.
func (r *relay) detach(l *listener, s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.stream != s || l.over {
		return
	}
	l.stream, l.detached = nil, time.Now()
	if r.listener != l { // a newer one has replaced it
		return
	}
	r.setConnected(0)
	l.logger.Info("connection of a listener ended", zap.String("relay", r.name), zap.String("address", l.address))
	l.regain = time.AfterFunc(reconnectWithin, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.stream == nil {
			r.giveUp(l, func(d *delivery) bool { return !d.started })
		}
	})
}

func (r *relay) regainStop(l *listener) {
	if l.regain != nil {
		l.regain.Stop()
	}
}

// signOfLife records a heartbeat, and reports whether deliveries reach the session.
func (r *relay) signOfLife(session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listener
	if l == nil || l.session != session {
		return false
	}
	if l.stream == nil { // no stream: no delivery reaches it
		return false
	}
	r.heard(l)
	return true
}

func (r *relay) heard(l *listener) { l.silence.Reset(l.heartbeat * silences) }

// fellSilent ends a listener after too long a silence.
func (r *relay) fellSilent(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.over = true
	l.stream.end(farewellSilent)
	r.giveUp(l, func(*delivery) bool { return true })
	if r.listener == l {
		r.listener = nil
		r.setConnected(0)
		l.logger.Warn("listener sent no heartbeat: deliveries are no longer relayed to it",
			zap.String("relay", r.name), zap.String("address", l.address), zap.Duration("for", l.heartbeat*silences))
	}
}

// dismiss ends a listener that leaves. It may still respond to what it has received.
func (r *relay) dismiss(session string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listener
	if l == nil || l.session != session {
		return
	}
	l.over = true
	l.stream.end(farewellLeft)
	r.giveUp(l, func(d *delivery) bool { return !d.started })
	r.listener = nil
	r.setConnected(0)
	l.logger.Info("listener left", zap.String("relay", r.name), zap.String("address", l.address))
	close(r.changed)
	r.changed = make(chan struct{})
}

// giveUp fails the listener's deliveries for which the function returns true.
func (r *relay) giveUp(l *listener, which func(*delivery) bool) {
	for _, d := range r.waiting {
		if d.listener == l && which(d) {
			r.miss()
			r.finish(d, outcome{err: errLost})
		}
	}
}

// finish ends a delivery, once. The lock is held.
func (r *relay) finish(d *delivery, o outcome) {
	delete(r.waiting, d.id)
	d.answered <- o // its buffer has room for one
}

// noteMissed counts a delivery that arrived while no machine was listening.
func (r *relay) noteMissed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.miss()
}

// miss counts a delivery that no listener got. The lock is held.
func (r *relay) miss() {
	if r.missed == 0 {
		r.missedSince = time.Now()
	}
	r.missed++
}

// enter passes a delivery to the listener, if there is one with capacity. If its
// connection has just ended, enter waits for it.
func (r *relay) enter(m message, most int64, done <-chan struct{}) (*delivery, error) {
	patience := time.NewTimer(reconnectWithin)
	defer patience.Stop()
	for {
		d, changed, err := r.tryEnter(m, most)
		if d != nil || err != nil {
			return d, err
		}
		select {
		case <-changed:
		case <-patience.C:
			return nil, errNobody
		case <-done:
			r.noteMissed()
			return nil, errTimeout
		}
	}
}

// tryEnter returns no delivery and no error if the listener may reconnect soon:
// changed signals when.
func (r *relay) tryEnter(m message, most int64) (d *delivery, changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listener
	switch {
	case l == nil, l.stream == nil && time.Since(l.detached) >= reconnectWithin:
		return nil, nil, errNobody
	case l.stream == nil:
		return nil, r.changed, nil
	case int64(len(r.waiting)) >= most:
		return nil, nil, errOverloaded
	}
	r.last++
	d = &delivery{id: fmt.Sprintf("%s-%d", r.epoch, r.last), number: r.last, message: m, listener: l, answered: make(chan outcome, 1)}
	r.waiting[d.id] = d
	l.stream.poke()
	return d, nil, nil
}

// leave ends a delivery that is no longer awaited. It returns the response if one
// has arrived at the last moment.
func (r *relay) leave(d *delivery, reason error) outcome {
	r.fail(d, reason)
	return <-d.answered
}

// takeBack records that a stream has ended in the middle of a delivery, which the
// listener cannot have received. The delivery is sent again when the listener is
// back, or to its replacement.
func (r *relay) takeBack(d *delivery, l *listener, s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.waiting[d.id] != d, l.stream != s: // it has ended, or a newer stream sends it
	case r.listener == l:
		d.started = false
	case r.listener != nil:
		d.listener, d.started = r.listener, false
		if r.listener.stream != nil {
			r.listener.stream.poke()
		}
	default:
		r.miss()
		r.finish(d, outcome{err: errLost})
	}
}

// fail ends a delivery with an error, if it is still awaited.
func (r *relay) fail(d *delivery, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[d.id] == d {
		r.finish(d, outcome{err: reason})
	}
}

// awaits reports whether a session's response is awaited.
func (r *relay) awaits(id, session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.waiting[id]
	return d != nil && d.listener.session == session
}

// answer receives the response to a delivery, and reports whether it is awaited.
func (r *relay) answer(id, session string, a *answer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.waiting[id]
	if d == nil || d.listener.session != session {
		return false
	}
	r.heard(d.listener)
	r.finish(d, outcome{answer: a})
	return true
}

// next returns the next delivery to send over a stream, nil if there is none.
func (r *relay) next(l *listener, s *stream) *delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.stream != s {
		return nil
	}
	var open []*delivery
	for _, d := range r.waiting {
		if d.listener == l && !d.started {
			open = append(open, d)
		}
	}
	if len(open) == 0 {
		return nil
	}
	d := slices.MinFunc(open, func(a, b *delivery) int { return cmp.Compare(a.number, b.number) })
	d.started = true
	return d
}
