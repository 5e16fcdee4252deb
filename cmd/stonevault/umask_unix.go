//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// setUmask sets the permission bits that this process's new files lack, and returns those of before.
func setUmask(mask fs.FileMode) fs.FileMode { return fs.FileMode(syscall.Umask(int(mask))) }
