package caddymodule

import (
	"io"
	"time"
)

// patientReader reads a body whose sender may stop sending, for mode monitor: after
// some time it ends with io.EOF, and what has not arrived can still be read after
// resume. A read deadline of the server would break the connection instead.
type patientReader struct {
	src     io.Reader
	timer   *time.Timer // nil after resume: reads wait as long as src does
	late    bool        // the time is over
	buf     []byte
	left    []byte // of buf, not yet returned
	err     error  // of src
	reading bool   // a read of src has not ended
	ended   chan readResult
}

type readResult struct {
	n   int
	err error
}

// patientBuffer is the size of the buffer in bytes.
const patientBuffer = 32 << 10

func newPatientReader(src io.Reader, patience time.Duration) *patientReader {
	return &patientReader{src: src, timer: time.NewTimer(patience), ended: make(chan readResult, 1)}
}

// resume lets later reads wait for the rest.
func (r *patientReader) resume() {
	r.timer.Stop()
	r.timer, r.late = nil, false
}

// Read implements io.Reader.
func (r *patientReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 && r.err == nil && !r.wait() {
		return 0, io.EOF
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	if len(r.left) == 0 && r.err != nil {
		return n, r.err
	}
	return n, nil
}

// wait waits for a read of src. It returns false if the time is over.
func (r *patientReader) wait() bool {
	if r.late {
		return false
	}
	if !r.reading {
		if r.buf == nil {
			r.buf = make([]byte, patientBuffer)
		}
		r.reading = true
		go func() {
			n, err := r.src.Read(r.buf)
			r.ended <- readResult{n, err}
		}()
	}
	var over <-chan time.Time
	if r.timer != nil {
		over = r.timer.C
	}
	select {
	case result := <-r.ended:
		r.reading = false
		r.left, r.err = r.buf[:result.n], result.err
		return true
	case <-over:
		r.late = true
		return false
	}
}

// closedAtEnd closes its reader when it has been read to its end, or fails.
type closedAtEnd struct{ io.ReadCloser }

// Read implements io.Reader.
func (r closedAtEnd) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil {
		_ = r.Close() // of a body, which does not fail
	}
	return n, err
}
