package body

import (
	"errors"
	"io"
	"sync/atomic"
)

// ErrReadAgain means that a [Once] was read after its end.
var ErrReadAgain = errors.New("the body has already been read: a second handler cannot forward it")

// Once is a reader for one consumer. After its end, further reads return
// [ErrReadAgain] instead of [io.EOF]: a second consumer would get an empty body,
// and could take it for the complete one.
type Once struct {
	io.ReadCloser
	ended atomic.Bool
}

// Read implements [io.Reader].
func (o *Once) Read(p []byte) (int, error) {
	if o.ended.Load() {
		return 0, ErrReadAgain
	}
	n, err := o.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		o.ended.Store(true)
	}
	return n, err
}

// WriteTo implements [io.WriterTo].
func (o *Once) WriteTo(w io.Writer) (int64, error) {
	if o.ended.Load() {
		return 0, ErrReadAgain
	}
	n, err := io.Copy(w, o.ReadCloser)
	if err == nil {
		o.ended.Store(true)
	}
	return n, err
}
