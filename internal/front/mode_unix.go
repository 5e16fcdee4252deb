//go:build unix

package front

import "io/fs"

func readByAll(info fs.FileInfo) bool { return info.Mode().Perm()&0o004 != 0 }
