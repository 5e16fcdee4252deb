//go:build unix

package main

import (
	"io/fs"
	"os"
	"syscall"
)

// isOwn tells whether a file is this account's, under one name, and closed to everybody else.
func isOwn(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid() && s.Nlink == 1 && info.Mode().Perm()&0o077 == 0
}
