package body

import (
	"io"
	"sync/atomic"
)

// reader reads one body from its start. It has a reference from Open to Close;
// each call adds one for its duration. So Close can be called during another
// call without waiting for it, and that call still uses a valid buffer.
type reader struct {
	body   *Body
	off    int64
	closed atomic.Bool
}

func (r *reader) Read(p []byte) (int, error) {
	if r.closed.Load() || !r.body.hold() {
		return 0, ErrClosed
	}
	defer r.body.drop()
	n, err := r.body.readAt(p, r.off)
	r.off += int64(n)
	return n, err
}

// WriteTo writes the unread part.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	if r.closed.Load() || !r.body.hold() {
		return 0, ErrClosed
	}
	defer r.body.drop()
	n, err := r.body.writeFrom(r.off, w, &r.closed)
	r.off += n
	return n, err
}

func (r *reader) Close() error {
	if r.closed.CompareAndSwap(false, true) {
		r.body.drop()
	}
	return nil
}
