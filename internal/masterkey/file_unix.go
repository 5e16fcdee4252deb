//go:build unix

package masterkey

import (
	"io/fs"
	"os"
	"syscall"
)

// tooOpen tells whether others than the owner may use a file. A credential of systemd's belongs to root and
// lets one more user in by an access list, which shows as a right of root's group (systemd.exec(5)).
func tooOpen(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid == 0 && s.Gid == 0 && mode == 0o440 {
		return false
	}
	return mode&0o077 != 0
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
