//go:build unix

package boltfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func readOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// DiskFull reports whether err means that a disk, or a quota, is full.
func DiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// unlock releases bbolt's lock. Closing f is not enough while the file is still
// mapped.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
