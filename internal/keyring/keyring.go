// Package keyring keeps a person's few small secrets between runs of a program: in the operating
// system's secret store where there is one, else in a file that only that person can read.
//
// It never makes the system ask for anything unless the caller says that somebody is there to answer. A
// change is made under a lock between processes. It encrypts nothing itself: a file is as safe as the
// account that owns it, and the caller is told when one is written.
package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	system "github.com/zalando/go-keyring"
)

var (
	// ErrNotFound is a secret that is not kept.
	ErrNotFound = errors.New("keyring: there is no such secret")
	// ErrUnattended is a secret in the system's store, which may ask for a password, while nobody is there.
	ErrUnattended = errors.New("keyring: the secret is in the system's keyring, which is not asked while nobody is there to answer")
)

// service is what the system's store files the secrets under.
const service = "stonevault"

// lockPoll is how often a lock that somebody holds is tried again.
const lockPoll = 20 * time.Millisecond

// Keyring keeps secrets whose files, locks and marks are in one directory.
type Keyring struct {
	Dir string
	// Attended says that a person is there to answer the system's questions.
	Attended bool
	// InFile is told when a secret goes into a file because the system has no store. May be nil.
	InFile func(path string)
}

// Secret is one entry. Names are of letters, digits, "-" and "_".
type Secret struct {
	ring *Keyring
	name string
}

// Secret returns the entry of that name, whether or not anything is kept there.
func (k *Keyring) Secret(name string) *Secret { return &Secret{k, name} }

// user is the entry's name in the system's store, where several directories meet.
func (s *Secret) user() string {
	dir, err := filepath.Abs(s.ring.Dir)
	if err != nil {
		dir = s.ring.Dir
	}
	sum := sha256.Sum256([]byte(dir))
	return s.name + "@" + hex.EncodeToString(sum[:8])
}

func (s *Secret) path(suffix string) string { return filepath.Join(s.ring.Dir, s.name+suffix) }

const (
	fileSuffix = ".secret"
	// markSuffix names an empty file: the secret is in the system's store. So that who never stored one
	// wakes no store up.
	markSuffix = ".in-keyring"
	lockSuffix = ".lock"
)

// Load returns the secret.
func (s *Secret) Load() ([]byte, error) {
	b, err := os.ReadFile(s.path(fileSuffix))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if _, err := os.Stat(s.path(markSuffix)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotFound
		}
		return nil, err
	}
	if !s.ring.Attended {
		return nil, ErrUnattended
	}
	text, err := system.Get(service, s.user())
	switch {
	case errors.Is(err, system.ErrNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("keyring: the system's keyring: %w", err)
	}
	return []byte(text), nil
}

// Update replaces the secret by what fn makes of it; nil is none. It holds a lock against other
// processes while fn runs, and changes nothing when fn fails.
func (s *Secret) Update(ctx context.Context, fn func(old []byte) ([]byte, error)) error {
	if err := os.MkdirAll(s.ring.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := Lock(ctx, s.path(lockSuffix))
	if err != nil {
		return err
	}
	defer unlock()
	old, err := s.Load()
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	secret, err := fn(old)
	if err != nil {
		return err
	}
	if secret == nil {
		return s.remove()
	}
	return s.save(secret)
}

// Replace stores secret, whatever was there and whether or not that can be read.
func (s *Secret) Replace(ctx context.Context, secret []byte) error {
	if err := os.MkdirAll(s.ring.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := Lock(ctx, s.path(lockSuffix))
	if err != nil {
		return err
	}
	defer unlock()
	return s.save(secret)
}

// save puts the secret where it can go and takes it away from where it was.
func (s *Secret) save(secret []byte) error {
	if s.ring.Attended && hasStore() && system.Set(service, s.user(), string(secret)) == nil {
		if err := writeFile(s.path(markSuffix), nil); err != nil {
			return err
		}
		return removeFile(s.path(fileSuffix))
	}
	_, err := os.Stat(s.path(fileSuffix))
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := writeFile(s.path(fileSuffix), secret); err != nil {
		return err
	}
	if fresh && s.ring.InFile != nil {
		s.ring.InFile(s.path(fileSuffix))
	}
	return removeFile(s.path(markSuffix))
}

func (s *Secret) remove() error {
	if _, err := os.Stat(s.path(markSuffix)); err == nil {
		if !s.ring.Attended {
			return ErrUnattended
		}
		if err := system.Delete(service, s.user()); err != nil && !errors.Is(err, system.ErrNotFound) {
			return fmt.Errorf("keyring: the system's keyring: %w", err)
		}
	}
	return errors.Join(removeFile(s.path(fileSuffix)), removeFile(s.path(markSuffix)))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile replaces a file by a private one, whole and durable, or not at all.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Lock waits for the lock file at path, against other processes. It never removes that file, because another process may wait for
// it.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		switch ok, err := TryLock(f); {
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("keyring: lock %s: %w", path, err)
		case ok:
			return func() { f.Close() }, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}
