package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// Link gives an object of another store the same name here, without copying it. Both directories must be on
// one file system that has links. Neither store changes an object in place, so that they can share it.
func (s *Store) Link(ctx context.Context, from *Store, name string) error {
	path, err := objectPath(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.link(from, path)
	}
	if err != nil {
		return fail("link object", name, err)
	}
	return nil
}

func (s *Store) link(from *Store, path string) error {
	// Whoever wrote it may have been stopped before syncing.
	f, err := from.root.Open(path)
	if err != nil {
		return err
	}
	err = errors.Join(s.sys.syncFile(f), f.Close())
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := s.makeDir(dir); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(from.dir, path), filepath.Join(s.dir, path)); err != nil {
		return err
	}
	// A symbolic link is linked itself, and is no object.
	info, err := s.root.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.Join(errors.New("it is not a regular file"), s.root.Remove(path))
	}
	return errors.Join(err, s.sys.syncDir(filepath.Join(s.dir, dir)))
}
