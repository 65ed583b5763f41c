package body

import (
	"io"
	"sync/atomic"
)

// reader reads one body from its start. From Open to Close it has a hold; each
// call takes one more for as long as it lasts. So Close can come in the middle
// of a call without waiting for it, and the call still ends on a live buffer.
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

// WriteTo writes what has not been read yet.
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
