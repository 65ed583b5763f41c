//go:build !unix

package file

import (
	"errors"
	"io/fs"
	"os"
)

func readOnly(err error) bool { return errors.Is(err, fs.ErrPermission) }

func diskFull(error) bool { return false }

func unlock(*os.File) {} // closing the file does it
