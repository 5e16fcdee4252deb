package local

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// renameNew renames below dir and fails with fs.ErrExist rather than replace.
func renameNew(dir, from, to string) error {
	from, to = filepath.Join(dir, from), filepath.Join(dir, to)
	if err := unix.RenamexNp(from, to, unix.RENAME_EXCL); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
