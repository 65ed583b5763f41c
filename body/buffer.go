package body

import (
	"math/bits"
	"sync"
)

const (
	minBuffer = 4 << 10 // the smallest that is pooled; all are powers of two
	maxBuffer = 1 << 20 // the largest that is pooled

	minBufferBits = 12
)

// pools has one pool for each power of two from minBuffer to maxBuffer.
var pools [9]sync.Pool

// buffer is what pools hold: the pointer goes in and out without allocating,
// which a slice would not.
type buffer struct {
	data []byte
}

// bufferSize returns the length of the buffer that newBuffer gives for n bytes.
func bufferSize(n int64) int64 {
	switch {
	case n <= minBuffer:
		return minBuffer
	case n <= maxBuffer:
		return 1 << bits.Len64(uint64(n-1))
	default:
		return roundUp(n, spoolStep)
	}
}

// newBuffer returns a buffer of bufferSize(n) bytes. They are whatever a former
// body left there: only what has been written may be shown to anybody.
func newBuffer(n int64) *buffer {
	size := bufferSize(n)
	if size <= maxBuffer {
		if buf, ok := pools[poolOf(size)].Get().(*buffer); ok {
			return buf
		}
	}
	return &buffer{data: make([]byte, size)}
}

// recycle returns the buffer to its pool, or to the garbage collector.
func (b *buffer) recycle() {
	if len(b.data) <= maxBuffer {
		pools[poolOf(int64(len(b.data)))].Put(b)
	}
}

func poolOf(size int64) int { return bits.Len64(uint64(size)) - 1 - minBufferBits }

// roundUp rounds n up to a multiple of step.
func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }
