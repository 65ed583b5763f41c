package body

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// A buffer grows to this many times its size at once: so no sender makes us
	// hold more than that many times what it has sent (and minBuffer at first).
	// The declared length says where growing ends, hence the longer steps: 1 MiB
	// is there after 4 KiB and 64 KiB, and 7 % of it has been copied. Without it
	// short steps waste less.
	growDeclared = 16
	growUnknown  = 4

	// maxEmptyReads is how often a reader may return neither data nor an error.
	maxEmptyReads = 100
)

var errBadCount = errors.New("reader returned an impossible count")

// Read reads r to its end and returns the body, which the caller must Release.
// declared is the Content-Length, -1 if unknown: a hint for the size of
// buffers, that is never trusted to hold memory for what has not come.
//
// Bodies of up to [Limits.InMemory] bytes are held in memory while the budget
// has any, all others in a temporary file.
//
// The error is [ErrTooLarge] if the body or its declared length is more than
// [Limits.MaxSize]: no more than one byte past it is read. It is [ErrBudget] if
// there is no room. Any other error comes from r and is wrapped. After an error
// nothing is held. budget must not be nil.
func Read(r io.Reader, declared int64, limits Limits, budget *Budget) (*Body, error) {
	limits = limits.normalized()
	if declared > limits.MaxSize {
		return nil, ErrTooLarge
	}
	b := &Body{budget: budget}
	b.holds.Store(1)

	complete := false
	defer func() { // also if r panics, as http.ErrAbortHandler does
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

// filling is a body while it is being read: first into its buffer, which grows;
// when the buffer may not grow, through it into the file.
type filling struct {
	*Body
	r        io.Reader
	declared int64
	limits   Limits

	n int // bytes in the buffer; those of size that are not are in the file
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
			// Nothing more is expected: look before paying for room.
			room = f.probe[:]
		}

		n, err := f.r.Read(room)
		if n < 0 || n > len(room) {
			return errBadCount // what lies behind is another body's
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

// room is the part of the buffer to read into, at most one byte past MaxSize.
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

// accept takes in n bytes that are in the buffer, or in probe.
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

// firstBuffer starts small even without limit or budget: some buffer is needed
// for copying to the file as well.
func (f *filling) firstBuffer() {
	if f.budget.memory.take(minBuffer) {
		f.memory = minBuffer
	}
	f.buf = newBuffer(minBuffer)
}

// makeRoom is called when the buffer is full, or not there.
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

// grow moves to a bigger buffer, if one is allowed and the budget has both, as
// both are there for the copying.
func (f *filling) grow() bool {
	if f.file != nil {
		return false
	}
	size := f.nextSize()
	if size <= f.memory || !f.budget.memory.take(size) {
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
			end = spoolBuffer // on its way to the file
		}
	}
	return bufferSize(min(f.memory*factor, end, f.limits.MaxSize))
}

// spill moves what is in the buffer to the end of the file.
func (f *filling) spill() error {
	if missing := f.size - f.disk; missing > 0 {
		missing = roundUp(missing, spoolStep)
		if !f.budget.disk.take(missing) {
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
	if f.memory > spoolBuffer { // the rest needs no more than this
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
