package boltfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

func readOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, windows.ERROR_WRITE_PROTECT)
}

// DiskFull reports whether err means that a disk, or a quota, is full.
func DiskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func unlock(*os.File) {} // closing the file does it
