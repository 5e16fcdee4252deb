//go:build !linux

package datadir

import "os"

// occupy takes room on the disk for a stretch of a file.
func occupy(f *os.File, offset, n int64) error { return fillWithZeros(f, offset, n) }
