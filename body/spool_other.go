//go:build !windows

package body

import "os"

// createTemp makes a file with mode 0600.
func createTemp(dir string) (*os.File, error) { return os.CreateTemp(dir, "webhook-body-*") }
