package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stonevault/internal/vault"
	"stonevault/stone"
)

const partSuffix = ".part"

var _ vault.Parts = (*Store)(nil)

func partPath(id stone.FileID) string {
	name := id.String()
	return filepath.Join(name[:2], name+partSuffix)
}

// OpenPart opens a part at a length that was synced before, or makes it where at is 0, and cuts what
// lies behind; the cut becomes durable with the next Sync. ctx bounds the opening alone, so that what a
// cancelled request has brought can still be synced. It is for one user at a time.
func (s *Store) OpenPart(ctx context.Context, id stone.FileID, at int64) (vault.Part, error) {
	p, err := s.openPart(ctx, id, at)
	if err != nil {
		return nil, fail("open part", id.String(), err)
	}
	return p, nil
}

func (s *Store) openPart(ctx context.Context, id stone.FileID, at int64) (*part, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if at < 0 {
		return nil, errors.New("the offset is negative")
	}
	path := partPath(id)
	flags := os.O_RDWR
	if at == 0 {
		flags |= os.O_CREATE
		if err := s.makeDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	if err := s.forgetFinished(id); err != nil {
		return nil, err
	}
	f, err := s.root.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		err = vault.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errIrregular
	case info.Size() < at:
		err = fmt.Errorf("%w: %d bytes of %d are there", vault.ErrNotFound, info.Size(), at)
	default:
		err = f.Truncate(at)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &part{s: s, id: id, path: path, fresh: at == 0, f: f, opened: at, written: at}, nil
}

// forgetFinished removes the name of a part that an object has as well: FinishPart was stopped half
// way. To open it would be to write into the object.
func (s *Store) forgetFinished(id stone.FileID) error {
	path := partPath(id)
	part, err := s.lstat(path)
	if err != nil || part == nil {
		return err
	}
	for _, kind := range []string{".body", ".env"} {
		object, err := s.lstat(strings.TrimSuffix(path, partSuffix) + kind)
		if err != nil {
			return err
		}
		if object != nil && os.SameFile(part, object) {
			return s.root.Remove(path)
		}
	}
	return nil
}

// lstat gives nil for what is not there.
func (s *Store) lstat(path string) (fs.FileInfo, error) {
	info, err := s.root.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// FinishPart makes a closed part, whose last Sync covers all of it, the object name, which has to carry
// the part's id. It may be called again after a stop at any moment. Once it returns nil, a power failure
// can bring back the part's name at most, beside the object: WalkParts shows it, DeletePart removes it,
// and OpenPart and FinishPart know it for what it is.
func (s *Store) FinishPart(ctx context.Context, id stone.FileID, name string) error {
	path, err := objectPath(name)
	if err == nil && !strings.HasPrefix(name, id.String()) {
		err = fmt.Errorf("the object %q has another id", name)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.finishPart(partPath(id), path)
	}
	if err != nil {
		return fail("finish part", id.String(), err)
	}
	return nil
}

func (s *Store) finishPart(part, path string) error {
	pi, err := s.lstat(part)
	if err != nil {
		return err
	}
	oi, err := s.lstat(path)
	if err != nil {
		return err
	}
	undo := func() {} // a name that somebody else gave stays
	switch {
	case pi != nil && !pi.Mode().IsRegular():
		return errIrregular
	case pi == nil && oi == nil:
		return vault.ErrNotFound
	case pi == nil, oi != nil && os.SameFile(pi, oi):
		// Done before, as a whole or half; what is left may not be durable.
	case oi != nil:
		return vault.ErrExists
	default:
		if undo, err = s.giveName(part, path); err != nil {
			return err
		}
	}
	if err := s.sys.syncDir(filepath.Join(s.dir, filepath.Dir(path))); err != nil {
		undo() // the next try then has a change of its own to sync
		return err
	}
	if err := s.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// DeletePart removes a part; a missing one is no error. An object that was made of it stays.
func (s *Store) DeletePart(ctx context.Context, id stone.FileID) error {
	err := ctx.Err()
	if err == nil {
		err = s.remove(partPath(id))
	}
	if err != nil {
		return fail("delete part", id.String(), err)
	}
	return nil
}

// WalkParts calls fn for every part with its length, in no order, and ends with the first error. fn may
// delete the part that it is given.
func (s *Store) WalkParts(ctx context.Context, fn func(id stone.FileID, size int64) error) error {
	return s.eachFile(ctx, func(path, name string) error {
		base, isPart := strings.CutSuffix(name, partSuffix)
		id, err := stone.ParseFileID(base)
		if !isPart || err != nil || partPath(id) != path {
			return nil
		}
		info, err := s.lstat(path)
		if err != nil {
			return fmt.Errorf("list parts: %w", err)
		}
		if info == nil || !info.Mode().IsRegular() {
			return nil
		}
		return fn(id, info.Size())
	})
}
