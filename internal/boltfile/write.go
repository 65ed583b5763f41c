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
	// maxGroup bounds a transaction, maxPending what waits for the disk.
	maxGroup   = 1024
	maxPending = 1 << 16
	// patience is how long a patient write waits for others, maxPatient how
	// many of them do.
	patience   = 5 * time.Millisecond
	maxPatient = 16
)

// Writer is an open file that many goroutines write to.
type Writer struct {
	*DB

	mu      sync.Mutex
	pending []*write
	patient int         // how many writes have been added that wait for others
	due     bool        // the pending writes wait no longer
	timer   *time.Timer // makes them due
	closed  bool

	wake    chan struct{} // something is pending, or closed is set
	stopped chan struct{} // the goroutine that writes has ended
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

// Close finishes the writes that are under way and closes the file. Calls that
// come later fail with [ErrClosed].
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

// A Change is what one caller does in a transaction that it may share. If it
// returns refused, it must have changed nothing, and the transaction goes on
// without it. If it returns an error, the whole transaction fails.
type Change func(tx *bolt.Tx) (refused, err error)

// write is a change on its way to the disk.
type write struct {
	change  Change
	refused error
	done    chan error
}

// Write makes a change durable before it returns. If ctx ends first the change
// may still be made. after, if it is not nil, is called with the result before
// Write returns and, if ctx ends first, later.
func (w *Writer) Write(ctx context.Context, change Change, after func(error)) error {
	return w.writeOne(ctx, change, after, false)
}

// WritePatiently is [Writer.Write] for a change that can wait: it shares the
// transaction of the next write that cannot, or of others that can, and begins
// one after 5 ms at the latest. So it costs a lone write that comes meanwhile
// no time.
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
		return fmt.Errorf("%s %w: %d writes wait for the disk", w.options.Kind, ErrUnwritable, len(w.pending))
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

// hurry makes patient writes due.
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

// take returns the next group of writes, none if all can wait, and whether the
// file is closed and there will be no more.
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

// write is the one goroutine that writes. While it is writing a group, the
// next one gathers.
func (w *Writer) write() {
	defer close(w.stopped)
	debug.SetPanicOnFault(true) // reading a mapped page may fail
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
		if w.Trouble() == nil {
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

// gather lets other goroutines run before the next group is taken. On busy
// cores some of them have a write to share the fsync; on idle ones there are
// none, and a lone write loses no time. Once is for those that the last group
// has woken, twice for those that waited behind them.
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
