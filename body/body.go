// Package body holds a request body that has been read once and may be read
// again: by whoever checks its signature, by the next handler, and by a
// transport that sends it a second time.
//
// A [Body] lives in a pooled buffer or, past a threshold, in a temporary file
// that no name leads to. What all bodies occupy together is bounded by a
// [Budget]. Every user of a body has a hold on it: the owner until
// [Body.Release], each reader until its Close. The buffer returns to its pool,
// the file is closed and the budget is given back when the last hold is gone,
// and not before, whatever the order and the goroutines: net/http's transport
// may still read a request's body after the handler has returned.
//
// The package starts no goroutines and knows nothing of HTTP servers.
package body

import (
	"errors"
	"io"
	"math"
	"sync/atomic"
)

var (
	// ErrTooLarge says that the body is longer than [Limits.MaxSize].
	ErrTooLarge = errors.New("body is longer than its limit")

	// ErrBudget says that the body can be held neither in memory nor on disk:
	// the [Budget] is used up, or the temporary file could not be made or
	// written (then the operating system's error is wrapped too). It is never
	// the sender's fault; a later try may succeed.
	ErrBudget = errors.New("no room to hold the body")

	// ErrClosed says that a body was used after Release, or a reader after Close.
	ErrClosed = errors.New("body is closed")
)

// Limits bound one body.
type Limits struct {
	// MaxSize is the longest body that is accepted, in bytes. At 0 or less only
	// an empty body is.
	MaxSize int64

	// InMemory is how long a body may be, in bytes, to be held in memory. A
	// longer one goes to a temporary file; at 0 or less every body does that is
	// not empty.
	InMemory int64

	// Dir is the directory of temporary files; empty means [os.TempDir]. On a
	// tmpfs the "disk" budget is memory.
	Dir string
}

func (l Limits) normalized() Limits {
	// One less than the largest, so that one byte more can be counted.
	l.MaxSize = min(max(l.MaxSize, 0), math.MaxInt64-1)
	l.InMemory = max(l.InMemory, 0)
	return l
}

// Body is a request body, complete and unchanging. Make one with [Read]. All
// methods may be called from several goroutines at once.
type Body struct {
	budget   *Budget
	size     int64
	buf      *buffer      // nil if the body is empty or in the file
	file     *spool       // nil if the body is in memory
	memory   int64        // bytes of the memory budget held
	disk     int64        // bytes of the disk budget held
	charged  atomic.Int64 // bytes of the memory budget held for copies
	holds    atomic.Int64
	released atomic.Bool
	probe    [1]byte     // see filling.run; here because it would escape alone
	first    reader      // what the first Open returns; most bodies are opened once
	opened   atomic.Bool // first is in use
}

// Size returns the length of the body in bytes.
func (b *Body) Size() int64 { return b.size }

// Spooled reports whether the body is in a temporary file.
func (b *Body) Spooled() bool { return b.file != nil }

// Bytes returns the body if it is in memory (not nil, even if it is empty), and
// nil if it is in a file or has been released. The slice must not be changed,
// nor used after Release.
func (b *Body) Bytes() []byte {
	if b.file != nil || b.released.Load() {
		return nil
	}
	return b.inMemory()
}

func (b *Body) inMemory() []byte {
	if b.buf == nil {
		return []byte{}
	}
	return b.buf.data[:b.size:b.size]
}

// WriteTo writes the whole body to w, from its start at every call. After
// Release it returns [ErrClosed].
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	if b.released.Load() || !b.hold() {
		return 0, ErrClosed
	}
	defer b.drop()
	return b.writeFrom(0, w, &b.released)
}

// ReadAt implements [io.ReaderAt]. After Release it returns [ErrClosed].
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if b.released.Load() || !b.hold() {
		return 0, ErrClosed
	}
	defer b.drop()
	n := 0
	for n < len(p) {
		more, err := b.readAt(p[n:], off+int64(n))
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Open returns a reader of the body from its start, independent of all others.
// It also implements [io.WriterTo]. It must be closed, or what the body
// occupies is never given back; closing it twice does no harm.
//
// Close may be called at any time, also while another goroutine reads: it
// never waits, and what is read after it is [ErrClosed]. Otherwise a reader is
// for one goroutine at a time. After Release, Open returns a closed reader.
func (b *Body) Open() io.ReadCloser {
	r := &b.first
	if b.opened.Swap(true) {
		r = new(reader)
	}
	r.body = b
	if b.released.Load() || !b.hold() {
		r.closed.Store(true)
	}
	return r
}

// Release gives up the owner's hold. Readers that are open live on. Only the
// first call counts.
func (b *Body) Release() {
	if b.released.CompareAndSwap(false, true) {
		b.drop()
	}
}

// Charge takes n bytes from the memory budget, for a copy of the body or of a
// part of it that somebody is about to make. The error is [ErrBudget] if there
// is no room. What was charged is given back by Settle, or with the body.
func (b *Body) Charge(n int64) error {
	if !b.budget.memory.take(max(n, 0)) {
		return ErrBudget
	}
	b.charged.Add(max(n, 0))
	return nil
}

// Settle gives back what was charged for copies that are no longer used.
func (b *Body) Settle() { b.budget.memory.give(b.charged.Swap(0)) }

// hold adds a hold, unless the last one is gone: nothing brings back a buffer
// that may already be another body's.
func (b *Body) hold() bool {
	for {
		n := b.holds.Load()
		if n == 0 {
			return false
		}
		if b.holds.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (b *Body) drop() {
	if b.holds.Add(-1) == 0 {
		b.free()
	}
}

// free gives everything back. The fields keep their values: late users may
// still look at them, and are stopped by hold.
func (b *Body) free() {
	if b.file != nil {
		b.file.close()
	}
	if b.buf != nil {
		b.buf.recycle()
	}
	b.Settle()
	b.budget.memory.give(b.memory)
	b.budget.disk.give(b.disk)
}

// readAt fills p from offset off, as [io.ReaderAt] does. The caller has a hold.
func (b *Body) readAt(p []byte, off int64) (int, error) {
	if off >= b.size {
		return 0, io.EOF
	}
	if b.file == nil {
		return copy(p, b.inMemory()[off:]), nil
	}
	n, err := b.file.ReadAt(p[:min(int64(len(p)), b.size-off)], off)
	if n > 0 || err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // somebody cut the file short
	}
	return 0, err
}

// writeFrom writes what follows off to w until stop is set. The caller has a hold.
func (b *Body) writeFrom(off int64, w io.Writer, stop *atomic.Bool) (int64, error) {
	if off >= b.size {
		return 0, nil
	}
	if b.file == nil {
		n, err := writeAll(w, b.inMemory()[off:])
		return int64(n), err
	}

	buf, charge := b.budget.copyBuffer()
	defer b.budget.memory.give(charge)
	defer buf.recycle()
	var written int64
	for off+written < b.size {
		if stop.Load() {
			return written, ErrClosed
		}
		n, err := b.readAt(buf.data, off+written)
		if err != nil {
			return written, err
		}
		n, err = writeAll(w, buf.data[:n])
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func writeAll(w io.Writer, p []byte) (int, error) {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}
