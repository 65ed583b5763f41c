package caddymodule

import (
	"sync"
	"time"
)

// renewals are the claims of an endpoint that will be renewed, the oldest first.
// They share one timer: with a timer for each claim, every delivery would
// allocate and start one and stop it a moment later.
type renewals struct {
	mu             sync.Mutex
	oldest, newest *claim
	timer          *time.Timer // nil until the first claim
	armed          bool        // the timer has been set and has not fired
}

// add schedules the renewal of a claim. after must be the same for all claims of
// the endpoint: the list is in the order of the renewals.
func (r *renewals) add(c *claim, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.due, c.older, c.newer, c.waits = time.Now().Add(after), r.newest, nil, true
	if r.newest != nil {
		r.newest.newer = c
	} else {
		r.oldest = c
	}
	r.newest = c
	if !r.armed {
		r.arm(after)
	}
}

// remove cancels the renewal of a claim. It does nothing if the renewal has begun.
func (r *renewals) remove(c *claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlink(c)
}

func (r *renewals) unlink(c *claim) {
	if !c.waits {
		return
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		r.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		r.newest = c.older
	}
	c.older, c.newer, c.waits = nil, nil, false
}

func (r *renewals) arm(after time.Duration) {
	r.armed = true
	if r.timer == nil {
		r.timer = time.AfterFunc(after, r.run)
		return
	}
	r.timer.Reset(after)
}

// run renews the claims that are due, and sets the timer for the next one.
func (r *renewals) run() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for r.oldest != nil && !r.oldest.due.After(now) {
		c := r.oldest
		r.unlink(c)
		go c.renew()
	}
	r.armed = false
	if r.oldest != nil {
		r.arm(r.oldest.due.Sub(now))
	}
}
