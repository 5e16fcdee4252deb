//go:build !linux && !darwin && !windows

package local

import "errors"

// renameNew is for file systems without hard links, which these systems have to do without.
func renameNew(dir, from, to string) error { return errors.ErrUnsupported }
