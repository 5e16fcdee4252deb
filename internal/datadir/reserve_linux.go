package datadir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// occupy takes room on the disk for a stretch of a file.
func occupy(f *os.File, offset, n int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, offset, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return fillWithZeros(f, offset, n)
	}
	return err
}
