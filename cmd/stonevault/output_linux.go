package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// unnamedFile opens a file without a name in dir: it vanishes with its last descriptor.
func unnamedFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	if _, err := os.Stat(descriptorPath(f)); err != nil { // it could not be given a name
		f.Close()
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return f, nil
}

// descriptorPath names an open file whether or not it has a name of its own.
func descriptorPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

func (o *output) openUnnamed() (err error) {
	o.file, err = unnamedFile(filepath.Dir(o.target))
	return err
}

func (o *output) publish() error {
	if o.temp != "" {
		return o.publishNamed()
	}
	defer o.file.Close()
	if !o.force {
		return linkDescriptor(o.file, o.target)
	}
	// A link cannot replace, and a rename needs a name to rename.
	holder, err := os.MkdirTemp(filepath.Dir(o.target), ".stonevault.*.partial")
	if err != nil {
		return err
	}
	forget := o.a.undo.add(func() { os.RemoveAll(holder) })
	defer func() { os.RemoveAll(holder); forget() }()
	temp := filepath.Join(holder, "new")
	if err := linkDescriptor(o.file, temp); err != nil {
		return err
	}
	return os.Rename(temp, o.target)
}

func linkDescriptor(f *os.File, name string) error {
	err := unix.Linkat(unix.AT_FDCWD, descriptorPath(f), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: "", New: name, Err: err}
	}
	return nil
}

// renameNew renames and never replaces.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return linkNew(from, to)
	case err != nil:
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func setModified(f *os.File, t time.Time) error {
	return os.Chtimes(descriptorPath(f), t, t)
}
