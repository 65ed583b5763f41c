package body

import (
	"math/bits"
	"sync"
)

const (
	minBuffer = 4 << 10 // the smallest pooled size; all are powers of two
	maxBuffer = 1 << 20 // the largest pooled size

	minBufferBits = 12
)

// pools contains one pool for each power of two from minBuffer to maxBuffer.
var pools [9]sync.Pool

// buffer is the element of the pools. A pointer can be stored without an
// allocation, a slice cannot.
type buffer struct {
	data []byte
}

// bufferSize returns the length of the buffer that newBuffer returns for n
// bytes.
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

// newBuffer returns a buffer of bufferSize(n) bytes. It may contain data of an
// earlier body, so only bytes that were written must be exposed.
func newBuffer(n int64) *buffer {
	size := bufferSize(n)
	if size <= maxBuffer {
		if buf, ok := pools[poolOf(size)].Get().(*buffer); ok {
			return buf
		}
	}
	return &buffer{data: make([]byte, size)}
}

// recycle returns the buffer to its pool, or leaves it to the garbage
// collector.
func (b *buffer) recycle() {
	if len(b.data) <= maxBuffer {
		pools[poolOf(int64(len(b.data)))].Put(b)
	}
}

func poolOf(size int64) int { return bits.Len64(uint64(size)) - 1 - minBufferBits }

// roundUp rounds n up to a multiple of step.
func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }
