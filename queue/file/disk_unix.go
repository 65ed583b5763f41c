//go:build linux || darwin || freebsd

package file

import "syscall"

// freeBytes returns how much space the user of this process can use on the disk
// of dir.
func freeBytes(dir string) (free int64, known bool) {
	var stat syscall.Statfs_t
	if syscall.Statfs(dir, &stat) != nil {
		return 0, false
	}
	return int64(stat.Bavail) * int64(stat.Bsize), true //nolint:unconvert // the types differ between systems
}
