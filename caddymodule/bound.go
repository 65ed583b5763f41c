package caddymodule

import (
	"context"
	"sync"
	"time"
)

// bound is a context with a deadline, as [context.WithTimeout] makes it, that
// can be part of a larger value and costs nothing until somebody waits for its
// end: most stores, and apps that just answer, never do. It hands over to one
// of the standard library's then, so that its children need no goroutine.
type bound struct {
	values   context.Context // itself never done
	deadline time.Time

	mu     sync.Mutex
	over   bool
	inner  context.Context // nil until somebody waits
	giveUp context.CancelFunc
}

// begin makes b ready, once. It has the values of a context, but not its end;
// values must be one that is never done. Whoever begins it calls cancel.
func (b *bound) begin(values context.Context, timeout time.Duration) {
	b.values, b.deadline = values, time.Now().Add(timeout)
}

// cancel ends it, if it has not ended yet.
func (b *bound) cancel() {
	b.mu.Lock()
	b.over = true
	giveUp := b.giveUp
	b.mu.Unlock() // what follows reaches into the children
	if giveUp != nil {
		giveUp()
	}
}

// timed returns what b hands over to. The caller holds mu.
func (b *bound) timed() context.Context {
	switch {
	case b.inner != nil:
	case b.over: // before the deadline, or nobody has looked
		b.inner, b.giveUp = context.WithCancel(b.values)
		b.giveUp()
	default:
		b.inner, b.giveUp = context.WithDeadline(b.values, b.deadline)
	}
	return b.inner
}

// Deadline implements context.Context.
func (b *bound) Deadline() (time.Time, bool) { return b.deadline, true }

// Done implements context.Context.
func (b *bound) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timed().Done()
}

// Err implements context.Context.
func (b *bound) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inner == nil && !b.over && time.Now().Before(b.deadline) {
		return nil
	}
	return b.timed().Err()
}

// Value implements context.Context. Package context finds what b hands over to
// this way.
func (b *bound) Value(key any) any {
	b.mu.Lock()
	ctx := b.values
	if b.inner != nil {
		ctx = b.inner
	}
	b.mu.Unlock() // what follows may be long
	return ctx.Value(key)
}

// Interface guard.
var _ context.Context = (*bound)(nil)
