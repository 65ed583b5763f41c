package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// Times of the dispatcher.
const (
	// leaseTime is how long an entry stays in flight after its Caddy instance has
	// crashed. The lease is renewed during an attempt.
	leaseTime = 30 * time.Second
	// pollInterval is how often a queue is polled for entries of other processes,
	// and after a failure of the store.
	pollInterval = time.Second
	// startInterval is how often to check whether a starting config is running.
	startInterval = 10 * time.Millisecond
	// An app that is down is probed with one delivery, at increasing intervals.
	firstProbe = 250 * time.Millisecond
	lastProbe  = 5 * time.Second
	// expiryGrace is how long an app must be down before entries past give_up
	// are buried without an attempt: it may start after Caddy.
	expiryGrace = time.Minute
	// finishTimeout limits one attempt to record a result.
	finishTimeout = 10 * time.Second
	// aheadOfRecords is how many deliveries, in multiples of the concurrency,
	// the app may have handled before their results are recorded.
	aheadOfRecords = 4
)

// random is the source of jitter.
func random() float64 { return rand.Float64() } //nolint:gosec // not a secret

// dispatcher delivers the entries of one queue, with the handler of the
// running config.
type dispatcher struct {
	name  string
	queue durable.Queue

	ctx    context.Context // of attempts
	cancel context.CancelCauseFunc
	wake   chan struct{}
	quit   chan struct{} // closed to stop leasing entries
	ended  chan struct{} // closed when run has returned

	storeFails bool // used only by run

	mu       sync.Mutex
	handlers []*Handler // of started configs; the last one is used
	trying   int        // attempts in flight
	open     int        // attempts in flight or not recorded yet
	idle     chan struct{}
	state    appState
}

// appState is the state of the app.
type appState struct {
	down  bool
	since time.Time
	// until is when the next probe may start.
	until time.Time
	pause time.Duration
}

// errStopping is the cause of attempts that a stop cancels.
var errStopping = errors.New("stopped by Caddy")

func newDispatcher(name string, q durable.Queue) *dispatcher {
	d := &dispatcher{
		name: name, queue: q,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	return d
}

// add adds a handler, remove removes it. Attempts in flight finish with their
// handler.
func (d *dispatcher) add(h *Handler) {
	d.mu.Lock()
	d.handlers = append(d.handlers, h)
	d.mu.Unlock()
	d.poke()
}

// remove reports whether another handler is left.
func (d *dispatcher) remove(h *Handler) (left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handlers = slices.DeleteFunc(d.handlers, func(other *Handler) bool { return other == h })
	return len(d.handlers) > 0
}

// current returns the handler of the running config, nil if it has none. A config
// whose start can still fail is not running, nor is one that is being replaced.
func (d *dispatcher) current() *Handler {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range slices.Backward(d.handlers) {
		if h.group.running() {
			return h
		}
	}
	return nil
}

// keeps returns for how long dead entries are kept: the longest time of the started
// configs.
func (d *dispatcher) keeps() (longest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.handlers {
		longest = max(longest, time.Duration(h.Keep))
	}
	if longest == 0 {
		return defaultKeep
	}
	return longest
}

// poke makes run look for due entries.
func (d *dispatcher) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run leases due entries until quit is closed.
func (d *dispatcher) run() {
	defer close(d.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.quit:
			return
		case <-d.wake:
		case <-timer.C:
		}
		timer.Reset(d.fill())
	}
}

// fill starts as many attempts as possible, and returns when to look again unless
// poked.
func (d *dispatcher) fill() time.Duration {
	h := d.current()
	if h == nil {
		return startInterval
	}
	room, wait := d.room(h)
	if room == 0 {
		return wait
	}
	ctx, cancel := context.WithTimeout(d.ctx, finishTimeout)
	defer cancel()
	leases, next, err := d.queue.Lease(ctx, d.name, room, leaseTime)
	d.noteStore(h, err)
	for _, l := range leases {
		d.start(h, l)
	}
	switch {
	case err != nil || next < 0:
		return pollInterval
	case len(leases) == room:
		return pollInterval // the end of an attempt pokes
	default:
		return min(max(next, time.Millisecond), pollInterval)
	}
}

// noteStore logs failure and recovery of the store.
func (d *dispatcher) noteStore(h *Handler, err error) {
	switch {
	case err == nil && d.storeFails:
		h.logger.Info("the store of a webhook queue works again", zap.String("queue", d.name))
	case err != nil && !d.storeFails && !errors.Is(err, durable.ErrClosed):
		h.logger.Error("the store of a webhook queue failed, so nothing is delivered; retrying every second", zap.String("queue", d.name), zap.Error(err))
	}
	d.storeFails = err != nil
}

// room returns how many attempts may start now and, if none, when to look again.
func (d *dispatcher) room(h *Handler) (n int, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state.down {
		if left := d.state.until.Sub(h.now()); left > 0 {
			return 0, left
		}
		return max(0, 1-d.trying), pollInterval
	}
	return max(0, min(h.Concurrency-d.trying, aheadOfRecords*h.Concurrency-d.open)), pollInterval
}

// start starts an attempt. Another one can start when the app has responded, before
// the result is recorded.
func (d *dispatcher) start(h *Handler, l durable.Lease) {
	d.mu.Lock()
	d.trying++
	d.open++
	probe := d.state.down
	expired := probe && l.Entry.RetryAge >= h.policy.GiveUp && h.now().Sub(d.state.since) >= min(expiryGrace, h.policy.GiveUp)
	d.mu.Unlock()
	select {
	case <-d.quit: // Lease returned after it
		go d.end(func() { d.finish(h, l, durable.Outcome{Action: durable.PutBack}) })
		d.tried()
		return
	default:
	}
	if expired {
		go d.end(func() { d.bury(h, l, result{err: errDown, refused: true}, 0) })
		d.tried()
		return
	}
	go d.end(func() {
		renewal := d.renew(h, l)
		defer renewal.stop()
		started := time.Now()
		span := h.startSpan(d.ctx, l.Entry)
		res := h.attempt(span.ctx, l)
		span.end(h, res)
		d.learn(h, res, probe)
		d.tried()
		d.settle(h, l, res, time.Since(started))
	})
}

var errDown = errors.New("the app cannot be reached, and give_up has passed")

// tried allows another attempt to start.
func (d *dispatcher) tried() {
	d.mu.Lock()
	d.trying--
	d.mu.Unlock()
	d.poke()
}

// end finishes an attempt.
func (d *dispatcher) end(work func()) {
	defer func() {
		d.mu.Lock()
		d.open--
		if d.open == 0 && d.idle != nil {
			close(d.idle)
			d.idle = nil
		}
		d.mu.Unlock()
		d.poke()
	}()
	work()
}

// learn records whether the app is reachable, and the pause that it asks for.
func (d *dispatcher) learn(h *Handler, res result, probe bool) {
	if res.stored != nil || errors.Is(res.err, errStopping) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := h.now()
	was := d.state
	switch {
	case res.refused && !was.down:
		d.state = appState{down: true, since: now, pause: firstProbe, until: now.Add(firstProbe)}
		h.log().Warn("the app cannot be reached; one delivery at a time probes it", zap.String("queue", d.name), zap.Error(res.err))
	case res.refused && probe:
		d.state.pause = min(2*max(was.pause, firstProbe), lastProbe)
		d.state.until = now.Add(d.state.pause)
	case res.refused: // one of several in flight
	case res.slow:
		if !was.down {
			d.state = appState{down: true, since: now, pause: firstProbe}
			h.log().Warn("the app asks for a pause with Retry-After", zap.String("queue", d.name), zap.Int("status", res.status), zap.Duration("pause", res.retryAfter))
		}
		if until := now.Add(res.retryAfter); until.After(d.state.until) {
			d.state.until = until
		}
	case was.down && (probe || h.succeeded(res)) && !was.until.After(now):
		d.state = appState{}
		h.log().Info("the app responds again", zap.String("queue", d.name), zap.Duration("after", now.Sub(was.since)))
	}
}

// isDown reports whether the app is down.
func (d *dispatcher) isDown() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.down
}

// probeIn is how long until the app is probed.
func (d *dispatcher) probeIn(h *Handler) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, d.state.until.Sub(h.now()))
}

// settle records the result of an attempt.
func (d *dispatcher) settle(h *Handler, l durable.Lease, res result, took time.Duration) {
	out := durable.Outcome{Result: res.outcome(h.now())}
	switch {
	case h.succeeded(res):
		out.Action = durable.Deliver
		d.record(h, l, out, "delivered", res, took)
	case errors.Is(res.err, errStopping):
		d.finish(h, l, durable.Outcome{Action: durable.PutBack})
	case errors.Is(res.stored, durable.ErrDamaged):
		d.bury(h, l, result{err: res.stored}, took)
	case res.stored != nil:
		out.Action, out.Uncounted, out.Delay = durable.Retry, true, pollInterval
		d.record(h, l, out, "unreadable", res, took)
	case res.err == nil && h.stops(res.status):
		d.bury(h, l, res, took)
	default:
		d.retry(h, l, res, took)
	}
}

// retry schedules another attempt, unless it is time to give up.
func (d *dispatcher) retry(h *Handler, l durable.Lease, res result, took time.Duration) {
	failures := l.Entry.Failures + 1
	if l.Entry.Request.Attributes[attributeTried] != "" {
		failures++
	}
	delay, more := h.policy.Next(failures, l.Entry.RetryAge+took, res.retryAfter, random)
	if !more {
		d.bury(h, l, res, took)
		return
	}
	out := durable.Outcome{Action: durable.Retry, Delay: delay, Result: res.outcome(h.now())}
	kind := "failed"
	if res.refused {
		out.Uncounted, out.Delay, kind = true, min(d.probeIn(h), delay), "refused"
	}
	d.record(h, l, out, kind, res, took)
}

func (d *dispatcher) bury(h *Handler, l durable.Lease, res result, took time.Duration) {
	d.record(h, l, durable.Outcome{Action: durable.Bury, Uncounted: res.refused, Result: res.outcome(h.now())}, "dead", res, took)
}

// record ends a lease, counts and logs it.
func (d *dispatcher) record(h *Handler, l durable.Lease, out durable.Outcome, kind string, res result, took time.Duration) {
	observeAttempt(d.name, kind, took)
	h.logAttempt(l.Entry, out, kind, res, took)
	d.finish(h, l, out)
}

// finish ends a lease, and retries while the store fails: a delivery whose result is
// not recorded is delivered again.
func (d *dispatcher) finish(h *Handler, l durable.Lease, out durable.Outcome) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), finishTimeout)
		err := d.queue.Finish(ctx, l, out)
		cancel()
		switch {
		case err == nil:
			return
		case errors.Is(err, durable.ErrNotLeased), errors.Is(err, durable.ErrClosed):
			observeUnrecorded(d.name)
			h.log().Warn("the result of a webhook delivery could not be recorded; it may be delivered again", zap.String("queue", d.name), zap.String("key", l.Entry.Key), zap.Error(err))
			return
		}
		h.log().Error("recording the result of a webhook delivery failed; retrying", zap.String("queue", d.name), zap.String("key", l.Entry.Key), zap.Error(err))
		select {
		case <-time.After(pause):
		case <-d.ctx.Done(): // stopped; the lease expires with the process
			observeUnrecorded(d.name)
			return
		}
	}
}

// renewal renews a lease during an attempt.
type renewal struct{ quit, ended chan struct{} }

func (d *dispatcher) renew(h *Handler, l durable.Lease) *renewal {
	r := &renewal{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(r.ended)
		ticker := time.NewTicker(leaseTime / 3)
		defer ticker.Stop()
		for {
			select {
			case <-r.quit:
				return
			case <-ticker.C:
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), leaseTime/6)
			err := d.queue.Renew(ctx, l, leaseTime)
			cancel()
			if errors.Is(err, durable.ErrNotLeased) {
				h.log().Warn("the lease of a webhook delivery was lost while the app works on it; it may be delivered twice", zap.String("queue", d.name), zap.String("key", l.Entry.Key))
				return
			}
		}
	}()
	return r
}

// stop returns after the last renewal of the lease.
func (r *renewal) stop() {
	close(r.quit)
	<-r.ended
}

// stop stops leasing, waits for attempts in flight until the deadline, and returns
// the rest to the queue.
func (d *dispatcher) stop(deadline time.Time) {
	close(d.quit)
	if !d.drained(deadline) {
		d.cancel(errStopping)
		d.drained(time.Now().Add(putBackTime))
	}
	d.cancel(errStopping)
}

// putBackTime is how long a stop waits until canceled entries are returned to the
// queue. Any others are waiting again when their lease expires.
const putBackTime = time.Second

// drained waits until no attempt is in flight or unrecorded, and none can start.
func (d *dispatcher) drained(deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-d.ended:
	case <-timer.C:
		return false
	}
	select {
	case <-d.allEnded():
		return true
	case <-timer.C:
		return false
	}
}

// allEnded returns a channel that is closed when no attempt is open.
func (d *dispatcher) allEnded() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended := make(chan struct{})
	if d.open == 0 {
		close(ended)
	} else {
		d.idle = ended
	}
	return ended
}
