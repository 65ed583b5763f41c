package inspector

import (
	"slices"
	"sync"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

// recorder keeps the latest deliveries in memory, within limits, and forwards them
// to watchers. It observes while a config captures or a watcher is connected, and
// costs nothing otherwise. There is one for the process, so that a reload, which
// usually follows an explained refusal, loses nothing.
type recorder struct {
	now func() time.Time

	mu       sync.Mutex
	configs  []*Inspector // the capturing configs, in order of their start
	watchers map[*watcher]struct{}
	stop     func()      // stops observing; nil while not observing
	idle     *time.Timer // stops observing some time after the last watcher has left
	expiry   *time.Timer // removes expired deliveries

	last   uint64    // number of the latest delivery
	kept   []*record // the oldest first
	bytes  int64     // the memory of kept
	toTell []*record // those of kept whose body is only for explanations
}

var deliveries = newRecorder(time.Now)

func newRecorder(now func() time.Time) *recorder {
	return &recorder{now: now, watchers: make(map[*watcher]struct{})}
}

// Limits that no option changes.
const (
	// refusedBodies is for how many refused requests a body is kept for
	// explanations, refusedBody the number of bytes of each.
	refusedBodies = 20
	refusedBody   = 64 << 10
	// lingering is how long deliveries are observed after the last watcher has
	// left, so that a page that is reloaded misses none.
	lingering = 30 * time.Second
)

// defaultCapture applies while a watcher is connected and no config captures.
var defaultCapture = Capture{Last: 500, Total: 32 << 20, For: caddyDuration(time.Hour)}

// capture returns the current limits.
func (r *recorder) capture() Capture {
	if len(r.configs) == 0 {
		return defaultCapture
	}
	return *r.configs[len(r.configs)-1].Capture
}

// begin starts capturing for a config.
func (r *recorder) begin(config *Inspector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.configs = append(r.configs, config)
	r.observe()
	r.shrink()
}

// end stops capturing for a config. Captured deliveries stay until they expire,
// unless no other config captures and no watcher is connected.
func (r *recorder) end(config *Inspector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.configs = slices.DeleteFunc(r.configs, func(other *Inspector) bool { return other == config })
	r.linger()
	r.shrink()
}

// observe starts observing. r.mu must be held.
func (r *recorder) observe() {
	if r.idle != nil {
		r.idle.Stop()
		r.idle = nil
	}
	if r.stop == nil {
		r.stop = caddymodule.Observe(r)
	}
}

// linger stops observing after some time, unless it is needed. r.mu must be held.
func (r *recorder) linger() {
	if len(r.configs) > 0 || len(r.watchers) > 0 || r.stop == nil || r.idle != nil {
		return
	}
	r.idle = time.AfterFunc(lingering, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.configs) > 0 || len(r.watchers) > 0 || r.stop == nil {
			return
		}
		r.stop()
		r.stop, r.idle = nil, nil
	})
}

// BodyLimit implements caddymodule.BodyObserver.
func (r *recorder) BodyLimit(o caddymodule.Outcome) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.capture().Bodies
	if explainable(o) {
		limit = max(limit, refusedBody)
	}
	return limit
}

// DeliveryEnded implements caddymodule.Observer.
func (r *recorder) DeliveryEnded(o caddymodule.Observation) {
	one := newRecord(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	one.number = r.last
	r.kept = append(r.kept, one)
	r.bytes += one.size
	one.shown = r.capture().Bodies
	if int64(len(one.o.Body)) > one.shown {
		r.toTell = append(r.toTell, one)
	}
	r.shrink()
	for w := range r.watchers {
		w.add(one.summary())
	}
}

// shrink removes what exceeds the limits. r.mu must be held.
func (r *recorder) shrink() {
	limits := r.capture()
	for len(r.toTell) > refusedBodies {
		r.dropBody(r.leastTelling(), limits.Bodies)
	}
	oldest := r.now().Add(-time.Duration(limits.For))
	for len(r.kept) > 0 && (len(r.kept) > limits.Last || r.bytes > limits.Total || r.kept[0].o.Ended.Before(oldest)) {
		r.remove()
	}
	if len(r.kept) == 0 {
		r.kept = nil
	}
	if len(r.kept) > 0 && r.expiry == nil {
		r.expiry = time.AfterFunc(r.kept[0].o.Ended.Sub(oldest)+time.Second, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.expiry = nil
			r.shrink()
		})
	}
}

// leastTelling returns the index in toTell of the request whose body is needed
// least. Requests without a signature come first: they are frequent, and their
// headers usually explain them.
func (r *recorder) leastTelling() int {
	return max(0, slices.IndexFunc(r.toTell, func(one *record) bool { return one.o.Outcome == caddymodule.MissingSignature }))
}

// dropBody truncates a body to the captured length of all bodies. Readers keep the
// previous record.
func (r *recorder) dropBody(i int, limit int64) {
	one := r.toTell[i]
	r.toTell = slices.Delete(r.toTell, i, i+1)
	at := slices.Index(r.kept, one)
	if at < 0 {
		return
	}
	cut := *one
	cut.o.Body = slices.Clone(one.o.Body[:min(int64(len(one.o.Body)), limit)])
	cut.o.BodyCut = true
	cut.size = cut.memory()
	r.bytes += cut.size - one.size
	r.kept[at] = &cut
}

// remove removes the oldest delivery.
func (r *recorder) remove() {
	one := r.kept[0]
	r.bytes -= one.size
	r.kept[0] = nil
	r.kept = r.kept[1:]
	if i := slices.Index(r.toTell, one); i >= 0 {
		r.toTell = slices.Delete(r.toTell, i, i+1)
	}
}

// find returns the delivery with a number, nil if it is not kept.
func (r *recorder) find(number uint64) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shrink()
	for _, one := range r.kept {
		if one.number == number {
			return one
		}
	}
	return nil
}

// same returns the other deliveries that are the same as one: its copies and
// retries.
func (r *recorder) same(as *record) (others []Summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.kept {
		if one.number != as.number && one.sameAs(as) {
			others = append(others, one.summary())
		}
	}
	return others
}

// clear removes all captured deliveries.
func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept, r.toTell, r.bytes = nil, nil, 0
	r.shrink()
}

// watcher is a connected page or `watch` command.
type watcher struct {
	// wake has a buffer for one signal.
	wake chan struct{}

	mu      sync.Mutex
	pending []Summary
	missed  int // since the last call of take
}

// maxPending is how many deliveries are buffered for a slow watcher.
const maxPending = 1000

// watch adds a watcher, with the deliveries that are already kept.
func (r *recorder) watch() *watcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shrink()
	w := &watcher{wake: make(chan struct{}, 1)}
	for _, one := range r.kept[max(0, len(r.kept)-maxPending):] {
		w.add(one.summary())
	}
	r.watchers[w] = struct{}{}
	r.observe()
	return w
}

// leave removes a watcher.
func (r *recorder) leave(w *watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.watchers, w)
	r.linger()
}

func (w *watcher) add(s Summary) {
	w.mu.Lock()
	if len(w.pending) >= maxPending {
		w.pending = slices.Delete(w.pending, 0, maxPending/2)
		w.missed += maxPending / 2
	}
	w.pending = append(w.pending, s)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns the deliveries since the last call, and how many are missing
// because they arrived too fast.
func (w *watcher) take() (come []Summary, missed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	come, missed = w.pending, w.missed
	w.pending, w.missed = nil, 0
	return come, missed
}

// Interface guard.
var _ caddymodule.BodyObserver = (*recorder)(nil)
