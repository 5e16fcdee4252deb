//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// privateUmask keeps every file of this process private until it is finished, and returns the umask that
// finished files get.
func privateUmask() fs.FileMode { return fs.FileMode(syscall.Umask(0o077)) }
