//go:build !windows

package local

import (
	"os"
	"syscall"
)

var noSpace = []error{syscall.ENOSPC, syscall.EDQUOT}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
