//go:build linux || darwin || freebsd

package file

import "syscall"

// freeBytes returns the space on the disk of dir that the user of this process
// can use.
func freeBytes(dir string) (free int64, known bool) {
	var stat syscall.Statfs_t
	if syscall.Statfs(dir, &stat) != nil {
		return 0, false
	}
	return int64(stat.Bavail) * int64(stat.Bsize), true //nolint:unconvert // the types differ between systems
}
