//go:build !linux

package local

import (
	"errors"
	"os"
)

// Only on Linux do large objects go past the page cache.

func setDirect(*os.File, bool) error { return errors.ErrUnsupported }

func preallocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

func available(*os.File) (int64, bool) { return 0, false }
