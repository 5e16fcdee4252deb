package local

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// setDirect turns O_DIRECT on or off. Some file systems refuse to turn it on. tmpfs takes it, to no
// use: its files are the page cache.
func setDirect(f *os.File, on bool) error {
	return withFD(f, func(fd int) error {
		var st unix.Statfs_t
		if err := unix.Fstatfs(fd, &st); err != nil {
			return err
		}
		if on && st.Type == unix.TMPFS_MAGIC {
			return unix.EOPNOTSUPP
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			return err
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
		return err
	})
}

// preallocate reserves n bytes at off and lets the file reach that far.
func preallocate(f *os.File, off, n int64) error {
	return withFD(f, func(fd int) error {
		for {
			if err := unix.Fallocate(fd, 0, off, n); err != unix.EINTR {
				return err
			}
		}
	})
}

// available tells how many bytes the file system would still take.
func available(f *os.File) (int64, bool) {
	var st unix.Statfs_t
	err := withFD(f, func(fd int) error { return unix.Fstatfs(fd, &st) })
	if err != nil || st.Blocks == 0 { // zero blocks: it does not say
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

func withFD(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = fn(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// renameNew renames below dir and fails with fs.ErrExist rather than replace.
func renameNew(dir, from, to string) error {
	from, to = filepath.Join(dir, from), filepath.Join(dir, to)
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}
