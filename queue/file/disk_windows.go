package file

import (
	"math"

	"golang.org/x/sys/windows"
)

// freeBytes returns how much space the user of this process can use on the disk
// of dir.
func freeBytes(dir string) (free int64, known bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var available uint64
	if windows.GetDiskFreeSpaceEx(name, &available, nil, nil) != nil {
		return 0, false
	}
	return int64(min(available, math.MaxInt64)), true
}
