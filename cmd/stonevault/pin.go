package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stonevault/audit"
	"stonevault/internal/client"
	"stonevault/internal/keyring"
)

// pinStore keeps what is remembered of a profile's audit log, in a file of its own beside the profile, and what was
// remembered of the logs before in numbered ones.
type pinStore struct {
	a    *app
	path string
}

const pinSuffix = ".audit.json"

func (a *app) pinStore() (*pinStore, error) {
	path, err := a.profilePath()
	return &pinStore{a, strings.TrimSuffix(path, ".json") + pinSuffix}, err
}

// numbered is the file of an older log.
func (s *pinStore) numbered(n int) string {
	return fmt.Sprintf("%s.%d.json", strings.TrimSuffix(s.path, ".json"), n)
}

// load returns the pin and the bytes that it was read from, nil where there is none.
func (s *pinStore) load() (*client.Pin, []byte, error) { return readPin(s.path) }

func readPin(path string) (*client.Pin, []byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fileError("read", path, err)
	}
	p := new(client.Pin)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, nil, fmt.Errorf("%s, which remembers the audit log, is damaged (%w); look who changed it, and remove it to remember the log as it is now", shown(path), err)
	}
	return p, b, nil
}

// all returns the pin and those of older logs, the newest first.
func (s *pinStore) all() (pins []*client.Pin, err error) {
	free, err := s.firstFree()
	if err != nil {
		return nil, err
	}
	path := s.path
	for n := free - 1; n >= 0; n-- {
		p, _, err := readPin(path)
		if err != nil {
			return nil, err
		}
		if p != nil {
			pins = append(pins, p)
		}
		path = s.numbered(n)
	}
	return pins, nil
}

// firstFree is the number for the next older log.
func (s *pinStore) firstFree() (int, error) {
	for n := 1; ; n++ {
		_, err := os.Lstat(s.numbered(n))
		if errors.Is(err, fs.ErrNotExist) {
			return n, nil
		}
		if err != nil {
			return 0, fileError("look at", s.numbered(n), err)
		}
	}
}

// swap puts a pin in the place of what was read before, and tells whether that was still there. With keep, what was
// there becomes a numbered file.
func (s *pinStore) swap(ctx context.Context, was []byte, next *client.Pin, keep bool) (bool, error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return false, fileError("make", filepath.Dir(s.path), err)
	}
	unlock, err := keyring.Lock(ctx, strings.TrimSuffix(s.path, ".json")+".lock")
	if err != nil {
		return false, fileError("lock", s.path, err)
	}
	defer unlock()
	is, err := os.ReadFile(s.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, fileError("read", s.path, err)
	case !bytes.Equal(is, was) || (is == nil) != (was == nil):
		return false, nil
	}
	if keep && was != nil {
		n, err := s.firstFree()
		if err != nil {
			return false, err
		}
		if err := s.a.writePrivate(s.numbered(n), was); err != nil {
			return false, err
		}
	}
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return false, err
	}
	return true, s.a.writePrivate(s.path, append(b, '\n'))
}

// writePrivate replaces a file as a whole, so that it is there after a power cut, and nobody else can read it.
func (a *app) writePrivate(path string, b []byte) error {
	out, err := a.createOutput(path, true)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.writer().Write(b); err != nil {
		return fileError("write", path, err)
	}
	return out.commit(attributes{0o600, a.now()})
}

// updatePin puts what change makes of the pin into its place. change gets nil at first contact. Another process may
// move the pin meanwhile: then change is asked again, with what that one left, so that a pin never moves back, nor to
// a head that was not shown to continue the newest one.
func (a *app) updatePin(ctx context.Context, p *profile, change func(*client.Pin) (*client.Pin, error)) (*client.Pin, error) {
	store, err := a.pinStore()
	if err != nil {
		return nil, err
	}
	for {
		known, was, err := store.load()
		if err != nil {
			return nil, err
		}
		// A person has signed in to another vault under this profile since: its log is another one too.
		other := known != nil && !p.isRoot(known.Root)
		if other {
			known = nil
		}
		next, err := change(known)
		if err != nil || next.Equal(known) {
			return next, err
		}
		if done, err := store.swap(ctx, was, next, other); done || err != nil {
			return next, err
		}
	}
}

// checkPin holds the vault's audit log against what is remembered of it, with one request, and remembers its newest
// head. The first time it remembers what it sees.
func (a *app) checkPin(ctx context.Context, c *client.Client, p *profile) (*client.Pin, error) {
	return a.updatePin(ctx, p, func(known *client.Pin) (*client.Pin, error) {
		if known != nil {
			return c.FollowLog(ctx, known)
		}
		log, err := c.AuditLog(ctx)
		if err != nil {
			return nil, err
		}
		return client.NewPin(p.Root, log)
	})
}

// followHeads shows that heads which the log's key has signed, as receipts have them, are of the history that is
// remembered, and remembers the newest. pin is what was remembered before.
func (a *app) followHeads(ctx context.Context, c *client.Client, p *profile, pin *client.Pin, heads ...audit.Tree) error {
	_, err := a.updatePin(ctx, p, func(known *client.Pin) (*client.Pin, error) {
		if known == nil {
			known = pin
		}
		return c.FollowHeads(ctx, known, heads...)
	})
	return err
}
