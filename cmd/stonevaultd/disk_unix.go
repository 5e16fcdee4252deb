//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// diskSpace returns the bytes that the owner may still write below path, and those of the whole disk.
func diskSpace(path string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), nil
}
