package body

import (
	"fmt"
	"os"
)

const (
	// spoolStep is the step in which the disk budget is charged.
	spoolStep = 64 << 10
	// spoolBuffer is the size of the buffer for copying to and from files. To
	// write and read back 25 MiB on ext4 takes 11.6 ms of CPU time with 64 KiB,
	// 10.0 with 256 KiB and 8.1 with 1 MiB, which is much for one body.
	spoolBuffer = 256 << 10
)

// spool is a temporary file that only this process can reach.
type spool struct {
	*os.File
	path string // what is to be removed at the end; empty if it is gone already
}

// newSpool makes a file with mode 0600 in dir and removes its name at once, so
// that not even a crash leaves it behind. Windows cannot remove an open file:
// there createTemp has it removed with its last handle, and close makes sure.
func newSpool(dir string, remove func(string) error) (*spool, error) {
	f, err := createTemp(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: making a temporary file: %w", ErrBudget, err)
	}
	s := &spool{File: f}
	if remove(f.Name()) != nil {
		s.path = f.Name()
	}
	return s, nil
}

// close has no error worth telling: the body was read back or is not wanted.
func (s *spool) close() {
	_ = s.File.Close()
	if s.path != "" {
		_ = os.Remove(s.path)
	}
}
