// Package body stores a request body that is read once from the network and can
// then be read several times: to verify its signature, by the next handler, and
// by a transport that resends it.
//
// A [Body] is in a pooled buffer or, above a threshold, in an unlinked
// temporary file. A [Budget] limits the total size of all bodies. Every user of
// a body has a reference to it: the owner until [Body.Release], each reader
// until its Close. When the last reference is dropped, the buffer returns to
// its pool, the file is closed and the budget is released. This works in any
// order and on any goroutine, because net/http's transport can still read a
// request's body after the handler has returned.
//
// The package starts no goroutines and does not depend on HTTP servers.
package body

import (
	"errors"
	"io"
	"math"
	"sync/atomic"
)

var (
	// ErrTooLarge means that the body is longer than [Limits.MaxSize].
	ErrTooLarge = errors.New("body is longer than its limit")

	// ErrBudget means that the body can be stored neither in memory nor on
	// disk, because the [Budget] is exhausted or the temporary file could not
	// be created or written (then the operating system's error is also
	// wrapped). The sender is not at fault; a retry can succeed.
	ErrBudget = errors.New("no room to hold the body")

	// ErrClosed means that a body was used after Release, or a reader after Close.
	ErrClosed = errors.New("body is closed")
)

// Limits limit one body.
type Limits struct {
	// MaxSize is the maximum size of a body in bytes. At 0 or less, only an
	// empty body is accepted.
	MaxSize int64

	// InMemory is the maximum size in bytes of a body in memory. A longer one
	// is stored in a temporary file. At 0 or less, every body that is not empty
	// is stored in a file.
	InMemory int64

	// Dir is the directory of temporary files; empty means [os.TempDir]. If it
	// is on a tmpfs, the "disk" budget uses memory.
	Dir string
}

func (l Limits) normalized() Limits {
	// One less than the maximum, so that one more byte can be counted.
	l.MaxSize = min(max(l.MaxSize, 0), math.MaxInt64-1)
	l.InMemory = max(l.InMemory, 0)
	return l
}

// Body is a complete, immutable request body. Create one with [Read]. All
// methods are safe for concurrent use.
type Body struct {
	budget   *Budget
	size     int64
	buf      *buffer      // nil if the body is empty or in the file
	file     *spool       // nil if the body is in memory
	memory   int64        // bytes of the memory budget in use
	disk     int64        // bytes of the disk budget in use
	charged  atomic.Int64 // bytes of the memory budget in use for copies
	holds    atomic.Int64
	released atomic.Bool
	// probe, first: fields, because local variables would escape.
	probe  [1]byte     // see filling.run
	first  reader      // what the first Open returns; most bodies are opened once
	opened atomic.Bool // first is in use
}

// Size returns the length of the body in bytes.
func (b *Body) Size() int64 { return b.size }

// Spooled reports whether the body is in a temporary file.
func (b *Body) Spooled() bool { return b.file != nil }

// Bytes returns the body if it is in memory (not nil, even if it is empty), and
// nil if it is in a file or has been released. The caller must not change the
// slice, nor use it after Release.
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

// WriteTo writes the whole body to w, each time from its start. After Release
// it returns [ErrClosed].
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

// Open returns an independent reader that starts at the beginning of the body.
// It also implements [io.WriterTo]. The caller must close it to release the
// memory or file of the body; it can be closed twice.
//
// Close can be called at any time, also while another goroutine reads. It never
// waits, and later reads return [ErrClosed]. Otherwise a reader is not safe for
// concurrent use. After Release, Open returns a closed reader.
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

// Release drops the owner's reference. Open readers remain usable. Only the
// first call has an effect.
func (b *Body) Release() {
	if b.released.CompareAndSwap(false, true) {
		b.drop()
	}
}

// Charge takes n bytes from the memory budget for a copy of the body, or of a
// part of it, that the caller is about to make. It returns [ErrBudget] if the
// budget is exhausted. The bytes are released by Settle, or with the body.
func (b *Body) Charge(n int64) error {
	if !b.budget.takeCopy(max(n, 0)) {
		return ErrBudget
	}
	b.charged.Add(max(n, 0))
	return nil
}

// Settle releases the bytes charged for copies that are no longer in use.
func (b *Body) Settle() { b.budget.memory.give(b.charged.Swap(0)) }

// hold adds a reference, unless the last one was dropped: its buffer may
// already be used by another body.
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

// free releases all resources. The fields keep their values: a late user
// can still read them, and hold returns false.
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

// readAt fills p from offset off, like [io.ReaderAt]. The caller has a
// reference.
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
		err = io.ErrUnexpectedEOF // the file was truncated
	}
	return 0, err
}

// writeFrom writes the body from off to w until stop is set. The caller has a
// reference.
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
