package boltfile

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// maxGroup limits the writes of a transaction, maxPending the waiting
	// writes.
	maxGroup   = 1024
	maxPending = 1 << 16
	// patience is how long a patient write waits for others, maxPatient the
	// maximum number of patient writes that wait.
	patience   = 5 * time.Millisecond
	maxPatient = 16
)

// Writer is an open file that many goroutines write to.
type Writer struct {
	*DB

	mu      sync.Mutex
	pending []*write
	patient int         // number of pending writes that can wait for others
	due     bool        // the pending writes must not wait any longer
	timer   *time.Timer // sets due
	closed  bool

	wake    chan struct{} // a write is pending, or closed is set
	stopped chan struct{} // closed when the writing goroutine has ended
}

// OpenWriter opens a file as [Open] does.
func OpenWriter(o Options) (*Writer, error) {
	db, err := Open(o)
	if err != nil {
		return nil, err
	}
	w := &Writer{DB: db, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	w.timer = time.AfterFunc(patience, w.hurry)
	w.timer.Stop()
	go w.write()
	return w, nil
}

// Close completes pending writes and closes the file. Later calls fail with
// [ErrClosed].
func (w *Writer) Close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	if again {
		return w.closedError()
	}
	w.signal()
	<-w.stopped
	return w.DB.Close()
}

// A Change is one caller's part of a transaction, which it can share with
// others. If it returns refused, it must have changed nothing, and the
// transaction continues without it. If it returns an error, the whole
// transaction fails.
type Change func(tx *bolt.Tx) (refused, err error)

// write is a pending change.
type write struct {
	change  Change
	refused error
	done    chan error
}

// Write makes a change durable before it returns. If ctx ends first, the change
// may still be made. If after is not nil, it is called with the result, before
// Write returns or, if ctx ends first, later.
func (w *Writer) Write(ctx context.Context, change Change, after func(error)) error {
	return w.writeOne(ctx, change, after, false)
}

// WritePatiently is [Writer.Write] for a change that can wait. It shares the
// transaction of the next write that cannot wait, or of others that can, and
// starts a transaction after at most 5 ms. So it does not delay a concurrent
// single write.
func (w *Writer) WritePatiently(ctx context.Context, change Change, after func(error)) error {
	return w.writeOne(ctx, change, after, true)
}

func (w *Writer) writeOne(ctx context.Context, change Change, after func(error), patient bool) error {
	one := &write{change: change, done: make(chan error, 1)}
	if err := w.submit(one, patient); err != nil {
		if after != nil {
			after(err)
		}
		return err
	}
	select {
	case err := <-one.done:
		if after != nil {
			after(err)
		}
		return err
	case <-ctx.Done():
		if after != nil {
			go func() { after(<-one.done) }()
		}
		return fmt.Errorf("waiting for the %s: %w", w.options.Kind, ctx.Err())
	}
}

// submit passes one to the writer.
func (w *Writer) submit(one *write, patient bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return w.closedError()
	}
	if len(w.pending) >= maxPending {
		return fmt.Errorf("%s %w: %d writes are waiting for the disk", w.options.Kind, ErrUnwritable, len(w.pending))
	}
	w.pending = append(w.pending, one)
	if patient {
		w.patient++
	}
	switch {
	case !patient, w.patient >= maxPatient:
		w.due = true
		w.signal()
	case w.patient == 1 && !w.due:
		w.timer.Reset(patience)
	}
	return nil
}

// hurry sets due.
func (w *Writer) hurry() {
	w.mu.Lock()
	w.due = true
	w.mu.Unlock()
	w.signal()
}

func (w *Writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns the next group of writes, or none if all can wait, and whether
// the file is closed and no more writes will follow.
func (w *Writer) take() (group []*write, last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.due && !w.closed {
		return nil, false
	}
	n := min(len(w.pending), maxGroup)
	group = w.pending[:n:n]
	w.pending = w.pending[n:]
	if len(w.pending) == 0 {
		w.pending, w.patient, w.due = nil, 0, false
		w.timer.Stop()
	}
	return group, w.closed && n == 0
}

// write is the only goroutine that writes. While it writes a group, the next
// one gathers.
func (w *Writer) write() {
	defer close(w.stopped)
	debug.SetPanicOnFault(true) // reading a mapped page can fail
	probe := time.NewTicker(ProbeEvery)
	defer probe.Stop()
	for {
		gather()
		group, last := w.take()
		if last {
			return
		}
		if len(group) > 0 {
			w.commit(group)
			continue
		}
		if w.WriteError() == nil {
			probe.Stop()
		} else {
			probe.Reset(ProbeEvery)
		}
		select {
		case <-w.wake:
		case <-probe.C:
			w.Probe()
		}
	}
}

// gather yields to other goroutines before the next group is taken. On busy
// cores some of them have a write that can share the fsync. On idle cores there
// are none, and a single write is not delayed. The first yield is for
// goroutines that the last group has woken, the second for those that waited
// behind them.
func gather() {
	runtime.Gosched()
	runtime.Gosched()
}

func (w *Writer) commit(group []*write) {
	err := w.Update(func(tx *bolt.Tx) error {
		for _, one := range group {
			var err error
			if one.refused, err = one.change(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, one := range group {
		if err == nil {
			one.done <- one.refused
		} else {
			one.done <- err
		}
	}
}
