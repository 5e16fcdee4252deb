package local

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

var noSpace = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED}

// renameNew renames below dir and fails with fs.ErrExist rather than replace.
func renameNew(dir, from, to string) error {
	from, to = filepath.Join(dir, from), filepath.Join(dir, to)
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(old, name, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// syncDir makes the names in dir durable. A directory's handle can be flushed only when it was opened
// for writing, which os.Open does not do. Volumes that cannot flush one (FAT, network shares) say so,
// and then nothing better is to be had.
func syncDir(dir string) error {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(path, windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err == nil {
		err = windows.FlushFileBuffers(h)
		windows.CloseHandle(h)
	}
	for _, cannot := range []error{windows.ERROR_ACCESS_DENIED, windows.ERROR_INVALID_FUNCTION, windows.ERROR_NOT_SUPPORTED} {
		if errors.Is(err, cannot) {
			return nil
		}
	}
	if err != nil {
		return &os.PathError{Op: "sync", Path: dir, Err: err}
	}
	return nil
}
