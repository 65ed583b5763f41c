package body

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// A buffer grows at once to this many times its size. So a sender can
	// occupy at most that many times the bytes that it has sent (and minBuffer
	// at first). The declared length limits the growth, so longer steps are
	// possible: 1 MiB is reached after 4 KiB and 64 KiB, and only 7 % of it is
	// copied. Without a declared length, short steps waste less memory.
	growDeclared = 16
	growUnknown  = 4

	// maxEmptyReads is the maximum number of successive reads that return
	// neither data nor an error.
	maxEmptyReads = 100
)

var errBadCount = errors.New("reader returned an impossible count")

// Read reads r to its end and returns the body, which the caller must Release.
// declared is the Content-Length, -1 if unknown. It is a hint for the size of
// buffers and is not trusted: buffers grow with the bytes received.
//
// Bodies of up to [Limits.InMemory] bytes are stored in memory while the budget
// allows it, all others in a temporary file.
//
// The error is [ErrTooLarge] if the body or its declared length is larger than
// [Limits.MaxSize]; at most one byte more is read. It is [ErrBudget] if the
// budget is exhausted. Any other error is from r and is wrapped. After an error
// no resources are in use. budget must not be nil.
func Read(r io.Reader, declared int64, limits Limits, budget *Budget) (*Body, error) {
	limits = limits.normalized()
	if declared > limits.MaxSize {
		return nil, ErrTooLarge
	}
	b := &Body{budget: budget}
	b.holds.Store(1)

	complete := false
	defer func() { // also runs if r panics, as http.ErrAbortHandler does
		if !complete {
			b.drop()
		}
	}()
	f := filling{Body: b, r: r, declared: declared, limits: limits}
	if err := f.run(); err != nil {
		return nil, err
	}
	complete = true
	return b, nil
}

// filling is a body that is being read: first into its buffer, which grows, and
// if the buffer cannot grow, through it into the file.
type filling struct {
	*Body
	r        io.Reader
	declared int64
	limits   Limits

	n int // bytes in the buffer; the rest of size is in the file
}

func (f *filling) run() error {
	for empty := 0; empty < maxEmptyReads; {
		room := f.room()
		if len(room) == 0 && f.size < f.declared {
			if err := f.makeRoom(); err != nil {
				return err
			}
			continue
		}
		probing := len(room) == 0
		if probing {
			// The end is expected: check before charging more memory.
			room = f.probe[:]
		}

		n, err := f.r.Read(room)
		if n < 0 || n > len(room) {
			return errBadCount // memory beyond it belongs to another body
		}
		if n > 0 {
			empty = 0
			if err := f.accept(n, probing); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return f.finish()
		}
		if err != nil {
			return fmt.Errorf("reading body: %w", err)
		}
		if n == 0 {
			empty++
		}
	}
	return fmt.Errorf("reading body: %w", io.ErrNoProgress)
}

// room returns the part of the buffer to read into, at most one byte beyond
// MaxSize.
func (f *filling) room() []byte {
	if f.buf == nil {
		if f.declared == 0 {
			return nil
		}
		f.firstBuffer()
	}
	free := f.buf.data[f.n:]
	return free[:min(int64(len(free)), f.limits.MaxSize-f.size+1)]
}

// accept adds n bytes that are in the buffer, or in probe.
func (f *filling) accept(n int, probing bool) error {
	if int64(n) > f.limits.MaxSize-f.size {
		return ErrTooLarge
	}
	if probing {
		if err := f.makeRoom(); err != nil {
			return err
		}
		f.buf.data[f.n] = f.probe[0]
	}
	f.n += n
	f.size += int64(n)
	return nil
}

// firstBuffer starts small even without a limit or budget, because copying to
// the file also needs a buffer.
func (f *filling) firstBuffer() {
	if f.budget.takeBuffer(minBuffer) {
		f.memory = minBuffer
	}
	f.buf = newBuffer(minBuffer)
}

// makeRoom is called when the buffer is full or not allocated.
func (f *filling) makeRoom() error {
	if f.buf == nil {
		f.firstBuffer()
		return nil
	}
	if f.grow() {
		return nil
	}
	return f.spill()
}

// grow moves to a larger buffer, if permitted and the budget allows both,
// because both exist during the copy.
func (f *filling) grow() bool {
	if f.file != nil {
		return false
	}
	size := f.nextSize()
	if size <= f.memory || !f.budget.takeBuffer(size) {
		return false
	}
	bigger := newBuffer(size)
	copy(bigger.data, f.buf.data[:f.n])
	f.buf.recycle()
	f.budget.memory.give(f.memory)
	f.buf, f.memory = bigger, size
	return true
}

func (f *filling) nextSize() int64 {
	factor, end := int64(growUnknown), max(f.limits.InMemory, spoolBuffer)
	if f.size < f.declared {
		factor = growDeclared
		if f.declared <= f.limits.InMemory {
			end = f.declared
		} else {
			end = spoolBuffer // to be written to the file
		}
	}
	return bufferSize(min(f.memory*factor, end, f.limits.MaxSize))
}

// spill moves the contents of the buffer to the end of the file.
func (f *filling) spill() error {
	if missing := f.size - f.disk; missing > 0 {
		missing = roundUp(missing, spoolStep)
		if !f.budget.takeDisk(missing) {
			return ErrBudget
		}
		f.disk += missing
	}
	if f.file == nil {
		file, err := newSpool(f.limits.Dir, os.Remove)
		if err != nil {
			return err
		}
		f.file = file
	}
	if _, err := f.file.Write(f.buf.data[:f.n]); err != nil {
		return fmt.Errorf("%w: writing the temporary file: %w", ErrBudget, err)
	}
	f.n = 0
	if f.memory > spoolBuffer { // sufficient for the rest
		f.dropBuffer()
		f.buf, f.memory = f.budget.copyBuffer()
	}
	return nil
}

func (f *filling) finish() error {
	if f.buf == nil {
		return nil
	}
	if f.size == 0 {
		f.dropBuffer()
		return nil
	}
	if f.file == nil && f.memory > 0 && f.size <= f.limits.InMemory {
		return nil
	}
	if f.n > 0 {
		if err := f.spill(); err != nil {
			return err
		}
	}
	f.dropBuffer()
	return nil
}

func (f *filling) dropBuffer() {
	f.buf.recycle()
	f.buf = nil
	f.budget.memory.give(f.memory)
	f.memory = 0
}
