// Package local keeps objects as files in one directory and implements vault.Objects and vault.Parts.
//
//	objects/
//	  3f/                                         first byte of the id: 256 directories, made on demand
//	    3f0a…9c.body                              an object, mode 0600
//	    3f0a…9c.env
//	    3f0a…9c.part                              an object that grows over days; seen by Parts alone
//	    .tmp-J2Q7…                                being written; never seen by Open or Walk
//
// What it promises:
//   - A name appears only after every byte behind it has been synced, and a call returns nil only after
//     the name itself has been synced. A process killed at any moment leaves whole objects and temporary
//     files, and RemoveTemporary removes the latter.
//   - Create never replaces: names are published by a rename that refuses to replace, or by a hard link
//     where a file system has no such rename.
//   - A sync that failed is not tried again. The kernel may have dropped the pages and would report
//     success the second time, so the object is given up and the caller told.
//   - A part survives as far as it was synced. It becomes an object as others do, by a name that does
//     not replace; that name is durable before the part's own is removed.
//
// It is not a lock: whoever deletes, or removes temporary files, must know that no second server uses
// the directory. It neither reads nor checks what the bytes mean.
//
// Temporaries have names, and are not made with O_TMPFILE, because that measured no faster, needs /proc,
// and would be a second path beside the one that Replace and other systems take. Every commit syncs its
// own files and directories: concurrent ones already share the file system's journal commits, and a shared
// syncfs was slower at 8 writers and waits for whatever other programs have written.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"stonevault/internal/vault"
	"stonevault/stone"
)

const (
	tmpPrefix = ".tmp-"
	// listBatch bounds the memory that reading a directory takes.
	listBatch = 512
)

var errIrregular = errors.New("it is not a regular file; something else has written to the object directory")

// Store is a directory of objects. It is safe for concurrent use.
type Store struct {
	// Full tells, if it is not nil, that what room there is belongs to others: then no bytes are taken. It is set
	// before the first use.
	Full func() bool

	dir  string
	root *os.Root

	mu      sync.Mutex
	durable map[string]bool // fan-out directories whose own names are known to be synced; guarded by mu

	// The calls whose failure decides what may be acknowledged. Tests replace them to fail on demand.
	sys struct {
		syncFile  func(*os.File) error
		syncDir   func(dir string) error
		link      func(root *os.Root, from, to string) error
		renameNew func(dir, from, to string) error
		direct    func(f *os.File, on bool) error
	}
}

var _ vault.Objects = (*Store)(nil)

// Open uses dir for objects and makes it if it is missing; its parent must exist.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	// Also when it was there: whoever made it may have been stopped before syncing.
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open object directory: %w", err)
	}
	s := &Store{dir: dir, root: root, durable: make(map[string]bool)}
	s.sys.syncFile = (*os.File).Sync
	s.sys.syncDir = syncDir
	s.sys.link = (*os.Root).Link
	s.sys.renameNew = renameNew
	s.sys.direct = setDirect
	return s, nil
}

// room is vault.ErrNoSpace where no bytes are taken.
func (s *Store) room() error {
	if s.Full != nil && s.Full() {
		return vault.ErrNoSpace
	}
	return nil
}

// Close releases the directory. Every writer must have ended; open objects stay readable.
func (s *Store) Close() error { return s.root.Close() }

// Create starts an object that nobody sees until Commit. size is the expected number of bytes, or -1;
// it decides how the bytes are written and may be wrong. An object that cannot fit is refused at once.
func (s *Store) Create(ctx context.Context, name string, size int64) (vault.ObjectWriter, error) {
	w, err := s.newWriter(ctx, name, size, false)
	if err != nil {
		return nil, fail("create object", name, err)
	}
	return w, nil
}

// Replace puts data at name at once. When it fails, name holds either what it held or data, whole.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	w, err := s.newWriter(ctx, name, int64(len(data)), true)
	if err != nil {
		return fail("replace object", name, err)
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

// Open opens an object for reading. An object that is replaced or deleted meanwhile stays readable.
func (s *Store) Open(ctx context.Context, name string) (vault.Object, error) {
	path, err := objectPath(name)
	if err != nil {
		return nil, fail("open object", name, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fail("open object", name, err)
	}
	f, err := s.root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail("open object", name, vault.ErrNotFound)
	}
	if err != nil {
		return nil, fail("open object", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		f.Close()
		return nil, fail("open object", name, err)
	}
	return &object{f: f, size: info.Size()}, nil
}

// Delete removes an object; a missing one is no error.
func (s *Store) Delete(ctx context.Context, name string) error {
	path, err := objectPath(name)
	if err != nil {
		return fail("delete object", name, err)
	}
	if err := ctx.Err(); err != nil {
		return fail("delete object", name, err)
	}
	if err := s.remove(path); err != nil {
		return fail("delete object", name, err)
	}
	return nil
}

// remove removes a name durably, if it is there.
func (s *Store) remove(path string) error {
	if err := s.root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also when nothing was there: an earlier try may have removed the name and failed to sync.
	err := s.sys.syncDir(filepath.Join(s.dir, filepath.Dir(path)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Walk calls fn for every object, in no order, and ends with the first error. fn may delete the object
// that it is given. Files that are not objects are passed over.
func (s *Store) Walk(ctx context.Context, fn func(name string, size int64) error) error {
	return s.eachFile(ctx, func(path, name string) error {
		if want, err := objectPath(name); err != nil || want != path {
			return nil
		}
		info, err := s.root.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		return fn(name, info.Size())
	})
}

// RemoveTemporary removes what writers that were killed have left and tells how many files that were.
// Call it only while holding the lock on the data directory: it would pull away the files of a living
// server's writers.
func (s *Store) RemoveTemporary(ctx context.Context) (int, error) {
	removed := 0
	err := s.eachFile(ctx, func(path, name string) error {
		if !strings.HasPrefix(name, tmpPrefix) {
			return nil
		}
		if err := s.root.Remove(path); err != nil {
			return fmt.Errorf("remove temporary file: %w", err)
		}
		removed++
		return nil
	})
	return removed, err
}

// eachFile calls fn for every entry of the fan-out directories.
func (s *Store) eachFile(ctx context.Context, fn func(path, name string) error) error {
	for b := range 256 {
		dir := fmt.Sprintf("%02x", b)
		f, err := s.root.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		err = eachEntry(ctx, f, func(e fs.DirEntry) error {
			return fn(filepath.Join(dir, e.Name()), e.Name())
		})
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func eachEntry(ctx context.Context, dir *os.File, fn func(fs.DirEntry) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := dir.ReadDir(listBatch)
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
	}
}

// objectPath checks name and gives its place below the object directory.
func objectPath(name string) (string, error) {
	id, kind, _ := strings.Cut(name, ".")
	if _, err := stone.ParseFileID(id); err != nil || kind != "body" && kind != "env" {
		return "", errors.New("an object's name is 32 lower-case hex digits and .body or .env")
	}
	return filepath.Join(id[:2], name), nil
}

// makeDir makes a fan-out directory and its name durable, once in a process for each.
func (s *Store) makeDir(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.durable[dir] {
		return nil
	}
	if err := s.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.sys.syncDir(s.dir); err != nil {
		return err
	}
	s.durable[dir] = true
	return nil
}

// createTemp makes an empty file beside path.
func (s *Store) createTemp(path string) (*os.File, string, error) {
	tmp := filepath.Join(filepath.Dir(path), tmpPrefix+rand.Text())
	f, err := s.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return f, tmp, err
}

// publish gives the file at tmp the name path instead, if nothing has it.
func (s *Store) publish(tmp, path string) error {
	switch err := s.sys.renameNew(s.dir, tmp, path); {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return vault.ErrExists
	}
	// A file system that cannot rename without replacing.
	if _, err := s.giveName(tmp, path); err != nil {
		return err
	}
	// If this fails, RemoveTemporary removes the second name; the object is whole either way.
	_ = s.root.Remove(tmp)
	return nil
}

// giveName gives a file the name to, if nothing has it. It keeps the name from where the file system has
// links. undo takes the new name back.
func (s *Store) giveName(from, to string) (undo func(), err error) {
	err = s.sys.link(s.root, from, to)
	if err == nil {
		return func() { _ = s.root.Remove(to) }, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		// A file system without links (exFAT, some network mounts); they say so in different words.
		err2 := s.sys.renameNew(s.dir, from, to)
		if err2 == nil {
			return func() { _ = s.root.Rename(to, from) }, nil
		}
		if errors.Is(err2, fs.ErrExist) {
			err = err2
		}
	}
	if errors.Is(err, fs.ErrExist) {
		err = vault.ErrExists
	}
	return nil, err
}

type object struct {
	f    *os.File
	size int64
}

func (o *object) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }
func (o *object) Close() error                            { return o.f.Close() }
func (o *object) Size() int64                             { return o.size }

// fail says what could not be done, and adds the sentinel that callers look for.
func fail(what, name string, err error) error {
	for _, full := range noSpace {
		if errors.Is(err, full) {
			return fmt.Errorf("%s %q: %w: %w", what, name, vault.ErrNoSpace, err)
		}
	}
	return fmt.Errorf("%s %q: %w", what, name, err)
}
