package body

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// deleteOnClose is FILE_FLAG_DELETE_ON_CLOSE: Windows removes the file with its
// last handle, also when the process is killed.
const deleteOnClose = 0x04000000

// createTemp makes a file that goes with the process.
func createTemp(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	for {
		name := filepath.Join(dir, "webhook-body-"+rand.Text())
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|deleteOnClose, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}
