package body

import "sync/atomic"

// Budget bounds what all bodies that are held at one moment occupy together.
// It is meant to be one per process. Share a pointer; all methods may be called
// from several goroutines at once.
//
// Memory is counted by the size of the buffers: that of the body rounded up to
// a power of two, or past 1 MiB to 64 KiB (a body of unknown length may have up
// to four times its size). Disk is counted in steps of 64 KiB. Two things are not
// counted: buffers that rest in the pool until the next garbage collections
// take them, and 4 KiB for each body that is being copied to or from a file
// while no memory is left. The latter lasts as long as the copying, and
// net/http spends more on a connection.
//
// As every file takes a step of disk at least, the disk budget also bounds the
// files that are open: 1 GiB is 16,384 of them.
type Budget struct {
	memory, disk account
}

// NewBudget returns a budget of so many bytes in memory and on disk. At 0 or
// less none may be used.
func NewBudget(memory, disk int64) *Budget {
	b := new(Budget)
	b.Resize(memory, disk)
	return b
}

// Resize changes the limits. Bodies that are held keep what they have, even if
// it is more than that.
func (b *Budget) Resize(memory, disk int64) {
	b.memory.limit.Store(max(memory, 0))
	b.disk.limit.Store(max(disk, 0))
}

// InUse returns how many bytes are held in memory and on disk.
func (b *Budget) InUse() (memory, disk int64) {
	return b.memory.used.Load(), b.disk.used.Load()
}

// copyBuffer returns a buffer to copy to or from a file with, and what was
// charged for it: with no memory left, the smallest one is free of charge.
func (b *Budget) copyBuffer() (buf *buffer, charge int64) {
	if b.memory.take(spoolBuffer) {
		return newBuffer(spoolBuffer), spoolBuffer
	}
	return newBuffer(minBuffer), 0
}

// account counts the bytes of one kind.
type account struct {
	used, limit atomic.Int64
}

// take charges n bytes, or nothing if that would pass the limit.
func (a *account) take(n int64) bool {
	for {
		used := a.used.Load()
		if n > a.limit.Load()-used {
			return false
		}
		if a.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (a *account) give(n int64) {
	if n != 0 {
		a.used.Add(-n)
	}
}
