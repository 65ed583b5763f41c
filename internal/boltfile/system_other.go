//go:build !unix && !windows

package boltfile

import (
	"errors"
	"io/fs"
	"os"
)

func readOnly(err error) bool { return errors.Is(err, fs.ErrPermission) }

// DiskFull reports whether err means that a disk, or a quota, is full.
func DiskFull(error) bool { return false }

func unlock(*os.File) {} // closing the file unlocks it
