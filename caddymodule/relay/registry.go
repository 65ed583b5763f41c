// Package relay has the handlers `webhook_relay` and `webhook_listeners`, which
// pass deliveries on to a developer's machine that is listening.
//
// The developer's machine connects to webhook_listeners and gets deliveries as
// server-sent events; it sends back what the app there has answered with plain
// requests. To the gate webhook_relay is just another app. docs/local-development.md
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
	// counts as dead.
	silences = 2
	// reconnectWithin is how long a delivery waits for a listener whose
	// connection has just ended: over a reload it comes back at once.
	reconnectWithin = 5 * time.Second
)

// registry holds the relays of the process: the answer to a delivery may arrive
// through a newer config than the delivery did.
type registry struct {
	mu     sync.Mutex
	relays map[string]*relay
}

var relays = registry{relays: make(map[string]*relay)}

// take returns the relay of that name, for one handler, which gives it back.
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

// giveBack forgets a relay with its last handler: a reload that keeps the name
// takes it before the former config gives it back.
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

// relay passes deliveries to whoever listens under its name.
type relay struct {
	name  string
	epoch string // begins the IDs of deliveries, and is another after a restart
	users int    // the handlers that have it. It belongs to the registry's lock

	mu       sync.Mutex
	last     uint64 // the number of the last delivery
	listener *listener
	// waiting are the deliveries that wait for an answer, by ID.
	waiting map[string]*delivery
	// changed is closed, and replaced, when the listener changes.
	changed chan struct{}
	// missed counts deliveries that came while nobody listened, since then.
	missed      int
	missedSince time.Time
	forgotten   bool // no config has it any more
}

// setConnected sets the metric. The lock is held.
func (r *relay) setConnected(machines float64) {
	if !r.forgotten {
		connected.WithLabelValues(r.name).Set(machines)
	}
}

// The errors of a delivery that was not answered.
var (
	errNobody     = errors.New("nobody is listening")
	errLost       = errors.New("the connection to the listening machine was lost before it answered")
	errOverloaded = errors.New("too many deliveries are waiting for the listening machine")
	errBody       = errors.New("the body of the delivery cannot be read")
	errTimeout    = errors.New("the listening machine did not answer in time")
)

// listener is a developer's machine that listens. It lives across connections:
// a machine that connects again with the same session goes on where it was.
type listener struct {
	session   string
	address   string
	heartbeat time.Duration
	logger    *zap.Logger

	// All below belong to the relay's lock.
	stream   *stream   // nil while it is not connected
	detached time.Time // when its last connection ended
	over     bool
	silence  *time.Timer // ends it when nothing has been heard for too long
	regain   *time.Timer // gives up what was not sent yet
}

// stream is one connection of a listener.
type stream struct {
	wake chan struct{} // there is something to send
	stop chan struct{} // closed when the stream is to end
	// farewell is what it says at its end, set before stop is closed.
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

// delivery is one delivery on its way.
type delivery struct {
	id       string
	number   uint64
	message  message
	listener *listener
	started  bool // it is being sent, or was
	answered chan outcome
}

// outcome is how a delivery ended: an answer or an error.
type outcome struct {
	answer *answer
	err    error
}

// welcome is what a listener is told first.
type welcome struct {
	Relay     string  `json:"relay"`
	Heartbeat float64 `json:"heartbeat_seconds"`
	// Resumed: the session goes on, and what was not received comes again.
	Resumed bool `json:"resumed"`
}

// gap is what a listener is told of deliveries that it did not get.
type gap struct {
	Missed int    `json:"missed"`
	Since  string `json:"since"`
}

// attach connects a listener. received is the ID of the last delivery that it
// got, or empty.
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
		current.logger.Info("a newer listener replaces this one", zap.String("relay", r.name), zap.String("address", current.address), zap.String("newer", l.address))
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
	l.logger.Info("a listener has connected", zap.String("relay", r.name), zap.String("address", l.address), zap.Bool("again", hello.Resumed))
	close(r.changed)
	r.changed = make(chan struct{})
	return l, l.stream, hello, r.takeGap()
}

// moveUnsent gives a newer listener what the older one has not got.
func (r *relay) moveUnsent(from, to *listener) {
	for _, d := range r.waiting {
		if d.listener == from && !d.started {
			d.listener = to
		}
	}
}

// takeGap returns what was missed, once.
func (r *relay) takeGap() *gap {
	if r.missed == 0 {
		return nil
	}
	g := &gap{Missed: r.missed, Since: r.missedSince.UTC().Format(time.RFC3339)}
	r.missed = 0
	return g
}

// again marks what the listener has not received as not sent.
func (r *relay) again(l *listener, received string) {
	number := r.numberOf(received)
	for _, d := range r.waiting {
		if d.listener == l && d.number > number {
			d.started = false
		}
	}
	l.stream.poke()
}

// numberOf returns the number in a delivery's ID; 0 if it is none of this
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

// detach notes that a connection has ended. The machine may come back: what it
// has got it may still answer, and what it has not got waits a moment.
func (r *relay) detach(l *listener, s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.stream != s || l.over {
		return
	}
	l.stream, l.detached = nil, time.Now()
	if r.listener != l { // a newer one has its place
		return
	}
	r.setConnected(0)
	l.logger.Info("the connection of a listener has ended", zap.String("relay", r.name), zap.String("address", l.address))
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

// signOfLife notes a sign of life, and reports whether deliveries reach the session.
func (r *relay) signOfLife(session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.listener
	if l == nil || l.session != session {
		return false
	}
	if l.stream == nil { // nothing reaches it, whatever it says
		return false
	}
	r.heard(l)
	return true
}

func (r *relay) heard(l *listener) { l.silence.Reset(l.heartbeat * silences) }

// fellSilent ends a listener that was not heard of for too long.
func (r *relay) fellSilent(l *listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.over = true
	l.stream.end(farewellSilent)
	r.giveUp(l, func(*delivery) bool { return true })
	if r.listener == l {
		r.listener = nil
		r.setConnected(0)
		l.logger.Warn("nothing was heard from a listener: deliveries are no longer relayed to it",
			zap.String("relay", r.name), zap.String("address", l.address), zap.Duration("for", l.heartbeat*silences))
	}
}

// dismiss ends a listener that leaves. What it has got it may still answer.
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
	l.logger.Info("a listener has left", zap.String("relay", r.name), zap.String("address", l.address))
	close(r.changed)
	r.changed = make(chan struct{})
}

// giveUp fails the listener's deliveries that which says.
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
	d.answered <- o // has room for one
}

// noteMissed counts a delivery that came to nobody.
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

// enter gives a delivery to the listener, if there is one and it has room. A
// listener whose connection has just ended is waited for.
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

// tryEnter returns no delivery and no error if the listener may be back soon:
// changed says when.
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

// leave ends a delivery that nobody waits for any more. It returns the answer
// if one has come at the last moment.
func (r *relay) leave(d *delivery, reason error) outcome {
	r.fail(d, reason)
	return <-d.answered
}

// takeBack notes that a stream has ended in the middle of a delivery, which the
// listener cannot have received. It is sent again when the listener is back, or
// goes to the one in its place.
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

// fail ends a delivery with an error, if somebody still waits for it.
func (r *relay) fail(d *delivery, reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[d.id] == d {
		r.finish(d, outcome{err: reason})
	}
}

// awaits reports whether somebody waits for the answer of a session.
func (r *relay) awaits(id, session string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.waiting[id]
	return d != nil && d.listener.session == session
}

// answer takes the answer to a delivery, and reports whether somebody waits for
// it.
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
