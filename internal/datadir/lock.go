package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// InUseError says that another process holds the lock.
type InUseError struct {
	Path string
	PID  int // 0 where it is not known
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("another process (%d)", e.PID)
	}
	return fmt.Sprintf("%s uses %s; stop it first, or choose another directory with --data", who, e.Path)
}

// errHeld is what tryLock returns where somebody else holds the lock.
var errHeld = errors.New("the lock is held")

// Lock is the right to serve a directory.
type Lock struct {
	file *os.File
	made bool // by this Lock, which has not been claimed
}

// Lock takes the lock or returns *InUseError. The directory must exist. Nothing in it has changed when a
// Lock that was never claimed is released.
func (d Dir) Lock() (*Lock, error) { return d.lock(lockName) }

// LockRotation takes the lock of the one command that may replace a key, beside a server or not.
func (d Dir) LockRotation() (*Lock, error) { return d.lock(rotateName) }

func (d Dir) lock(name string) (*Lock, error) {
	path := filepath.Join(d.path, name)
	for {
		f, made, err := openLock(path)
		if err != nil {
			return nil, fmt.Errorf("lock the data directory: %w", err)
		}
		if err := tryLock(f); err != nil {
			defer f.Close()
			if errors.Is(err, errHeld) {
				return nil, &InUseError{d.path, readPID(f)}
			}
			return nil, fmt.Errorf("lock the data directory: %w", err)
		}
		// Whoever held it may have removed the name in between: then this is a lock on nothing.
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock the data directory: %w", err)
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return &Lock{f, made}, nil
		}
		f.Close()
	}
}

// Locked tells whether somebody holds the lock, and who, without taking it for longer than that.
func (d Dir) Locked() (held bool, pid int, err error) {
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	if err := tryLock(f); errors.Is(err, errHeld) {
		return true, readPID(f), nil
	} else if err != nil {
		return false, 0, err
	}
	return false, 0, unlock(f)
}

func openLock(path string) (f *os.File, made bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		return f, false, err
	}
	return f, err == nil, err
}

func readPID(f *os.File) int {
	b := make([]byte, 20)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// Claim writes this process's number into the lock.
func (l *Lock) Claim() error {
	l.made = false
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock the data directory: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("lock the data directory: %w", err)
	}
	return nil
}

// Release gives the lock back.
func (l *Lock) Release() error {
	if l.made {
		// While it is held, so that nobody else's is removed.
		return errors.Join(os.Remove(l.file.Name()), l.file.Close())
	}
	return l.file.Close()
}
