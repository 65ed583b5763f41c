package queuetest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/queue"
)

// model is the simplest possible queue. It is the reference for the others.
type model struct {
	now     time.Duration
	entries map[string]*modelEntry
	paused  bool
}

type modelEntry struct {
	state              queue.State // never InFlight
	due, put, since    time.Duration
	ended              time.Duration
	attempts, failures int
	token              string        // of the last lease
	leased             time.Duration // expiry of the lease
}

func (e *modelEntry) tombstone() bool {
	return e.state == queue.Delivered || e.state == queue.Discarded
}

func (m *model) state(key string) queue.State {
	e := m.entries[key]
	switch {
	case e == nil, e.tombstone() && e.put+remember <= m.now:
		return 0
	case e.state == queue.Waiting && e.leased > m.now:
		return queue.InFlight
	default:
		return e.state
	}
}

// expire removes expired entries and tombstones.
func (m *model) expire(keep time.Duration) {
	for key, e := range m.entries {
		switch {
		case e.state == queue.Dead && e.ended+keep <= m.now,
			e.tombstone() && e.put+remember <= m.now:
			delete(m.entries, key)
		}
	}
}

// finish ends an entry and leaves a tombstone for a while.
func (m *model) finish(key string, state queue.State) {
	e := m.entries[key]
	e.state, e.token = state, ""
	if e.put+remember <= m.now {
		delete(m.entries, key)
	}
}

// due returns the entries that can be leased, in the order in which they are
// due.
func (m *model) due() (keys []string) {
	for key, e := range m.entries {
		if m.state(key) == queue.Waiting && e.due <= m.now && !m.paused {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(m.entries[a].due, m.entries[b].due) })
	return keys
}

// agreement checks that random operations have the same results in a queue and
// in the model.
var agreement = map[string]func(*testing.T, Instance){
	"a queue agrees with the model": func(t *testing.T, q Instance) {
		for seed := range uint64(6) {
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			c := comparison{t: t, r: r, q: q, model: &model{entries: map[string]*modelEntry{}}, prefix: fmt.Sprint(seed, "-")}
			c.run(200)
			q = c.q
			c.empty()
		}
	},
}

// comparison performs the same operations on a queue and on the model. Time
// advances in steps of 20 minutes, and leases and other times begin and end
// between the steps, so that rounding in an engine makes no difference.
type comparison struct {
	t      *testing.T
	r      *rand.Rand
	q      Instance
	model  *model
	leases []queue.Lease
	prefix string
	step   string
}

func (c *comparison) run(steps int) {
	for n := range steps {
		c.step = fmt.Sprintf("step %d", n)
		switch p := c.r.IntN(100); {
		case p < 25:
			c.put()
		case p < 40:
			c.lease()
		case p < 62:
			c.finish()
		case p < 67:
			c.renew()
		case p < 80:
			c.pass()
		case p < 85:
			c.retry()
		case p < 89:
			c.discard()
		case p < 92:
			c.forget()
		case p < 95:
			c.expire()
		case p < 98:
			c.pause()
		default:
			c.crash()
		}
		c.compare()
	}
}

const someKeys = 8

func (c *comparison) key() string { return c.prefix + strconv.Itoa(c.r.IntN(someKeys)) }

func (c *comparison) keys() []string { return []string{c.key(), c.prefix + "unknown"} }

func (c *comparison) between(longest time.Duration) time.Duration {
	const step = 20 * time.Minute
	return step*time.Duration(c.r.IntN(int(longest/step))) + step/2
}

func (c *comparison) fail(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf(c.step+": "+format, args...)
}

func (c *comparison) put() {
	put := newPut(c.key())
	put.Delay = c.between(2 * time.Hour)
	if c.r.IntN(2) == 0 {
		put.Delay = 0
	}
	want := c.model.state(put.Key)
	got, err := c.q.Put(c.t.Context(), put)
	if err != nil || got.Existing != want {
		c.fail("Put(%s) = %v, %v; want %v", put.Key, got.Existing, err, want)
	}
	if want == 0 {
		c.model.entries[put.Key] = &modelEntry{state: queue.Waiting, due: c.model.now + put.Delay, put: c.model.now, since: c.model.now}
	}
}

func (c *comparison) lease() {
	n, d := 1+c.r.IntN(4), c.between(2*time.Hour)
	due := c.model.due()
	taken, _, err := c.q.Lease(c.t.Context(), name, n, d)
	if err != nil || len(taken) != min(n, len(due)) {
		c.fail("Lease(%d) = %v, %v; due are %v", n, keysOf(taken), err, due)
	}
	for i, l := range taken {
		e := c.model.entries[l.Entry.Key]
		// Entries that are due at the same time can have any order.
		if e == nil || !slices.Contains(due, l.Entry.Key) || e.due != c.model.entries[due[i]].due {
			c.fail("Lease(%d) = %v; due are %v", n, keysOf(taken), due)
		}
		if l.Entry.Attempts != e.attempts || l.Entry.Failures != e.failures {
			c.fail("%s has %d attempts, %d failures; want %d, %d", l.Entry.Key, l.Entry.Attempts, l.Entry.Failures, e.attempts, e.failures)
		}
		c.near("RetryAge", l.Entry.RetryAge, c.model.now-e.since)
	}
	for _, l := range taken {
		e := c.model.entries[l.Entry.Key]
		e.token, e.leased = l.Token, c.model.now+d
	}
	c.leases = append(c.leases, taken...)
}

func (c *comparison) near(what string, got, want time.Duration) {
	c.t.Helper()
	if d := got - want; d < -time.Minute || d > time.Minute {
		c.fail("%s is %v, want %v", what, got, want)
	}
}

// anyLease returns one of the leases, which may have ended.
func (c *comparison) anyLease() (queue.Lease, bool) {
	if len(c.leases) == 0 {
		return queue.Lease{}, false
	}
	return c.leases[c.r.IntN(len(c.leases))], true
}

func (c *comparison) finish() {
	l, ok := c.anyLease()
	if !ok {
		return
	}
	o := queue.Outcome{
		Action: queue.Action(1 + c.r.IntN(int(queue.PutBack))), Delay: c.between(3 * time.Hour), Uncounted: c.r.IntN(3) == 0,
		Result: queue.Result{Status: 500},
	}
	e := c.model.entries[l.Entry.Key]
	var want error
	switch {
	case e != nil && e.token == l.Token:
		c.end(l.Entry.Key, e, o)
	case o.Action == queue.Deliver && c.model.state(l.Entry.Key) == queue.Delivered,
		o.Action == queue.Discard && c.model.state(l.Entry.Key) == queue.Discarded:
	default:
		want = queue.ErrNotLeased
	}
	if err := c.q.Finish(c.t.Context(), l, o); !errors.Is(err, want) {
		c.fail("Finish(%s, %+v) = %v, want %v", l.Entry.Key, o, err, want)
	}
}

func (c *comparison) end(key string, e *modelEntry, o queue.Outcome) {
	e.token, e.leased = "", 0
	if o.Action == queue.PutBack {
		return
	}
	if !o.Uncounted {
		e.attempts++
		e.failures++
	}
	switch o.Action {
	case queue.Deliver:
		c.model.finish(key, queue.Delivered)
	case queue.Discard:
		c.model.finish(key, queue.Discarded)
	case queue.Bury:
		e.state, e.ended = queue.Dead, c.model.now
	default:
		e.due = c.model.now + o.Delay
	}
}

func (c *comparison) renew() {
	l, ok := c.anyLease()
	if !ok {
		return
	}
	d := c.between(2 * time.Hour)
	e := c.model.entries[l.Entry.Key]
	var want error
	if e == nil || e.token != l.Token {
		want = queue.ErrNotLeased
	} else {
		e.leased = max(e.leased, c.model.now+d)
	}
	if err := c.q.Renew(c.t.Context(), l, d); !errors.Is(err, want) {
		c.fail("Renew(%s) = %v, want %v", l.Entry.Key, err, want)
	}
}

func (c *comparison) pass() {
	d := 20 * time.Minute * time.Duration(1+c.r.IntN(24))
	c.model.now += d
	c.q.Advance(c.t, d)
}

func (c *comparison) retry() {
	keys := c.keys()
	e, want := c.model.entries[keys[0]], 0
	if s := c.model.state(keys[0]); s == queue.Waiting || s == queue.Dead {
		e.state, e.due, e.since, e.failures, e.token, want = queue.Waiting, c.model.now, c.model.now, 0, "", 1
	}
	if n, err := c.q.Retry(c.t.Context(), name, keys); n != want || err != nil {
		c.fail("Retry(%s) = %d, %v; want %d", keys[0], n, err, want)
	}
}

func (c *comparison) discard() {
	keys, want := c.keys(), 0
	if s := c.model.state(keys[0]); s == queue.Waiting || s == queue.Dead {
		c.model.finish(keys[0], queue.Discarded)
		want = 1
	}
	if n, err := c.q.Discard(c.t.Context(), name, keys); n != want || err != nil {
		c.fail("Discard(%s) = %d, %v; want %d", keys[0], n, err, want)
	}
}

func (c *comparison) forget() {
	keys, want := c.keys(), 0
	if s := c.model.state(keys[0]); s == queue.Delivered || s == queue.Discarded {
		delete(c.model.entries, keys[0])
		want = 1
	}
	if n, err := c.q.Forget(c.t.Context(), name, keys); n != want || err != nil {
		c.fail("Forget(%s) = %d, %v; want %d", keys[0], n, err, want)
	}
}

func (c *comparison) expire() { c.expireBoth(c.between(10 * time.Hour)) }

func (c *comparison) expireBoth(keep time.Duration) {
	c.model.expire(keep)
	if _, err := c.q.Expire(c.t.Context(), name, keep); err != nil {
		c.fail("Expire: %v", err)
	}
}

func (c *comparison) pause() {
	c.model.paused = !c.model.paused && c.r.IntN(2) == 0
	if err := c.q.SetPaused(c.t.Context(), name, c.model.paused); err != nil {
		c.fail("SetPaused: %v", err)
	}
}

// crash reopens the queue. Leases may or may not survive a crash, so all are
// ended first.
func (c *comparison) crash() {
	for _, l := range c.leases {
		if e := c.model.entries[l.Entry.Key]; e != nil && e.token == l.Token {
			e.token, e.leased = "", 0
			if err := c.q.Finish(c.t.Context(), l, queue.Outcome{Action: queue.PutBack}); err != nil {
				c.fail("Finish: %v", err)
			}
		}
	}
	c.leases = nil
	c.q = c.q.Reopen(c.t)
}

func (c *comparison) compare() {
	for n := range someKeys {
		key := c.prefix + strconv.Itoa(n)
		want := c.model.state(key)
		e, err := c.q.Get(c.t.Context(), name, key)
		if (want == 0) != errors.Is(err, queue.ErrNotFound) || want != 0 && (err != nil || e.State != want) {
			c.fail("%s is %v, %v; want %v", key, e.State, err, want)
		}
	}
	var want [queue.Discarded + 1]int64
	tombstones, expired := int64(0), int64(0)
	for key, e := range c.model.entries {
		want[c.model.state(key)]++
		switch {
		case !e.tombstone():
		case c.model.state(key) == 0:
			expired++ // may still count
		default:
			tombstones++
		}
	}
	s, err := c.q.Stats(c.t.Context(), name)
	if err != nil || s.Waiting != want[queue.Waiting] || s.InFlight != want[queue.InFlight] || s.Dead != want[queue.Dead] ||
		s.Tombstones < tombstones || s.Tombstones > tombstones+expired || s.Paused != c.model.paused {
		c.fail("Stats = %+v, %v; want %v", s, err, want)
	}
}

// empty removes everything, so that the counts restart at 0.
func (c *comparison) empty() {
	c.q.Advance(c.t, 10*remember)
	c.model.now += 10 * remember
	if err := c.q.SetPaused(c.t.Context(), name, false); err != nil {
		c.fail("SetPaused: %v", err)
	}
	var keys []string
	for n := range someKeys {
		keys = append(keys, c.prefix+strconv.Itoa(n))
	}
	if _, err := c.q.Discard(c.t.Context(), name, keys); err != nil {
		c.fail("Discard: %v", err)
	}
	c.expireBoth(0)
	c.step = "the end"
	counts(c.t, c.q, 0, 0, 0, 0)
}
