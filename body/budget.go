package body

import "sync/atomic"

// Budget limits the total size of all bodies that exist at a time. Use one per
// process, and share a pointer. All methods are safe for concurrent use.
//
// Memory is counted by the size of the buffers: that of the body rounded up to
// a power of two, or above 1 MiB to a multiple of 64 KiB (a body of unknown
// length can use up to four times its size). Disk is counted in steps of 64
// KiB. Two things are not counted: unused buffers in the pool until the next
// garbage collections free them, and 4 KiB for each body that is being copied
// to or from a file while the memory budget is exhausted. The latter are used
// only during the copy, and net/http uses more for a connection.
//
// A quarter of the memory, in steps of 64 KiB, is reserved for copies ([Body.Charge]).
// Otherwise senders of slow bodies could use all of it, and no body that must be
// copied to be verified could be verified.
//
// Every file uses at least one step of disk, so the disk budget also limits the
// number of open files: 1 GiB allows 16,384.
type Budget struct {
	memory, disk account
}

// NewBudget returns a budget with the given bytes of memory and disk. A limit
// of 0 or less permits none.
func NewBudget(memory, disk int64) *Budget {
	b := new(Budget)
	b.Resize(memory, disk)
	return b
}

// Resize changes the limits. Existing bodies keep their memory and disk, even
// if they exceed the new limits.
func (b *Budget) Resize(memory, disk int64) {
	b.memory.limit.Store(max(memory, 0))
	b.memory.reserved.Store(max(memory, 0) / 4 / spoolStep * spoolStep)
	b.disk.limit.Store(max(disk, 0))
}

// InUse returns the bytes of memory and disk in use.
func (b *Budget) InUse() (memory, disk int64) {
	return b.memory.used.Load(), b.disk.used.Load()
}

// copyBuffer returns a buffer for copying to or from a file, and its charge. If
// the memory budget is exhausted, it returns the smallest buffer without a
// charge.
func (b *Budget) copyBuffer() (buf *buffer, charge int64) {
	if b.takeBuffer(spoolBuffer) {
		return newBuffer(spoolBuffer), spoolBuffer
	}
	return newBuffer(minBuffer), 0
}

// takeBuffer charges n bytes of memory for a buffer, or nothing if that would use the
// reserve.
func (b *Budget) takeBuffer(n int64) bool { return b.memory.take(n, b.memory.reserved.Load()) }

// takeCopy charges n bytes of memory for a copy, or nothing if that would exceed the
// limit.
func (b *Budget) takeCopy(n int64) bool { return b.memory.take(n, 0) }

// takeDisk charges n bytes of disk, or nothing if that would exceed the limit.
func (b *Budget) takeDisk(n int64) bool { return b.disk.take(n, 0) }

// account counts the bytes of one kind.
type account struct {
	used, limit, reserved atomic.Int64
}

// take charges n bytes, or nothing if less than keep would be left of the limit.
func (a *account) take(n, keep int64) bool {
	for {
		used := a.used.Load()
		if n > a.limit.Load()-keep-used {
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
