//go:build !linux

package boltfile

func unmapPages(uintptr, int64) {}
