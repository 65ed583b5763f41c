package boltfile

import "syscall"

// unmapPages removes the pages of a mapped file from the memory of the process.
// They are mapped again when they are next read.
func unmapPages(address uintptr, size int64) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, address, uintptr(size), syscall.MADV_DONTNEED)
}
