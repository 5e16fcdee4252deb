package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

const (
	// reserveSize is how much is kept for a full disk, in bytes, and reserveStep how much of it is given at once.
	reserveSize = 64 << 20
	reserveStep = 4 << 20
	// reserveShare bounds the reserve on a small disk: this part of what is free when it is made.
	reserveShare = 8
)

// Reserve is a file of the data directory that takes room so that others cannot: once the disk is full, the
// database gets it back piece by piece, and what happens can still be recorded. It may be used by many
// goroutines, of one process.
type Reserve struct {
	path string
	free func(path string) (free, total uint64, err error)

	mu   sync.Mutex
	want int64 // under mu: its size while there is room
	size int64 // under mu
}

// Reserve opens the reserve, or makes it, as large as the disk allows. free tells how many bytes are free where
// a path lies. Where it could not be filled up it is returned with the error, as it is. Call it with the lock held.
func (d Dir) Reserve(free func(path string) (free, total uint64, err error)) (*Reserve, error) {
	r := &Reserve{path: filepath.Join(d.path, reserveName), free: free}
	info, err := os.Stat(r.path)
	if err == nil {
		r.size = info.Size()
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look at the reserve: %w", err)
	}
	avail, _, err := free(d.path)
	if err != nil {
		return nil, fmt.Errorf("look at the free space: %w", err)
	}
	r.want = max(min(reserveSize, (int64(avail)+r.size)/reserveShare), reserveStep/4)
	return r, r.Refill()
}

// Release gives some of the reserve back to the disk, and tells whether there was any left.
func (r *Reserve) Release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return false
	}
	left := max(r.size-reserveStep, 0)
	if err := os.Truncate(r.path, left); err != nil {
		return false
	}
	r.size = left
	return true
}

// Short tells whether some of the reserve is in use: then nothing may take room that can wait. It sees first
// whether there is room again.
func (r *Reserve) Short() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size < r.want && (r.refill() != nil || r.size < r.want)
}

// Refill takes back what was given, once there is room for that and as much again. Where there is not yet, that
// is no error.
func (r *Reserve) Refill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refill()
}

// refill is called under mu.
func (r *Reserve) refill() error {
	if r.size >= r.want {
		return nil
	}
	avail, _, err := r.free(filepath.Dir(r.path))
	if err != nil {
		return fmt.Errorf("look at the free space: %w", err)
	}
	if int64(avail) < 2*(r.want-r.size) {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	defer f.Close()
	if err := occupy(f, r.size, r.want-r.size); err != nil {
		return errors.Join(fmt.Errorf("make the reserve: %w", err), f.Truncate(r.size))
	}
	r.size = r.want
	return nil
}

// fillWithZeros occupies room where the system cannot do it without writing.
func fillWithZeros(f *os.File, offset, n int64) error {
	_, err := io.CopyN(io.NewOffsetWriter(f, offset), zeros{}, n)
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
