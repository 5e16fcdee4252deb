//go:build unix

package masterkey

import (
	"io/fs"
	"os"
)

// tooOpen tells whether others than the owner may use a file.
func tooOpen(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
