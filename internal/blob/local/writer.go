package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"stonevault/internal/vault"
)

const (
	// largeSize is where direct I/O begins to pay. Below it bytes go to the page cache as they come.
	largeSize = 4 << 20
	// allocateAhead bounds the space that an upload which stops half way holds back from others, and the
	// work of one call on file systems where allocating is not free.
	allocateAhead = 64 << 20
)

var errEnded = errors.New("the object has been committed or aborted")

// writer writes one temporary file. Its methods are for one goroutine. The goroutines that write
// blocks read what is settled before the first of them starts.
type writer struct {
	pipeline
	ctx     context.Context
	s       *Store
	name    string
	path    string // below s.dir, as tmp
	tmp     string
	f       *os.File
	replace bool  // Commit may replace
	expect  int64 // bytes that the caller expects, or -1
	ended   bool

	written   int64 // bytes accepted
	direct    bool  // bytes go through blocks and past the page cache
	allocated int64 // bytes allocated ahead, from the start of the file
	noAhead   bool  // allocating ahead has failed
}

var _ vault.ObjectWriter = (*writer)(nil)

func (s *Store) newWriter(ctx context.Context, name string, size int64, replace bool) (*writer, error) {
	path, err := objectPath(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.room(); err != nil && !replace {
		return nil, err
	}
	if err := s.makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, tmp, err := s.createTemp(path)
	if err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, s: s, name: name, path: path, tmp: tmp, f: f, replace: replace, expect: size}
	if size >= largeSize {
		// Better before the upload than after it. Free space can still run out later.
		if avail, ok := available(f); ok && size > avail {
			w.Abort()
			return nil, fmt.Errorf("%w: %d bytes expected, %d free", vault.ErrNoSpace, size, avail)
		}
		w.tryDirect()
	}
	return w, nil
}

// Write takes bytes in order. After an error the object can only be aborted.
func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fail("write object", w.name, errEnded)
	}
	total := 0
	for len(p) > 0 {
		err := w.failed()
		if err == nil && !w.replace {
			err = w.s.room()
		}
		if err != nil {
			return total, fail("write object", w.name, err)
		}
		n, err := w.writeSome(p)
		total += n
		w.written += int64(n)
		p = p[n:]
		if err != nil {
			w.setErr(err)
			return total, fail("write object", w.name, err)
		}
	}
	return total, nil
}

func (w *writer) writeSome(p []byte) (int, error) {
	if !w.direct {
		if w.written < largeSize {
			p = p[:min(int64(len(p)), largeSize-w.written)]
		}
		n, err := w.f.Write(p)
		if w.written+int64(n) == largeSize {
			w.tryDirect()
		}
		return n, err
	}
	n := w.add(p)
	if w.fill < blockSize {
		return n, nil
	}
	off := w.written + int64(n) - blockSize
	w.allocate(off + blockSize)
	w.launch(off)
	return n, nil
}

// Commit makes the object durable, then visible, then its name durable.
func (w *writer) Commit() error { return w.s.commit(w) }

// Commit does that for several objects at once. Those in one directory share the syncing of their names.
func (s *Store) Commit(writers ...vault.ObjectWriter) error {
	own := make([]*writer, len(writers))
	for i, w := range writers {
		var ok bool
		if own[i], ok = w.(*writer); !ok || own[i].s != s {
			return errors.New("commit objects: a writer is another store's")
		}
	}
	return s.commit(own...)
}

func (s *Store) commit(writers ...*writer) error {
	if len(writers) == 0 {
		return nil
	}
	for _, w := range writers {
		if w.ended {
			return fail("commit object", w.name, errEnded)
		}
	}
	if err := finishAll(writers); err != nil {
		for _, w := range writers {
			w.Abort()
		}
		return err
	}
	dirs := make(map[string]bool)
	for i, w := range writers {
		w.ended = true
		publish := s.publish
		if w.replace {
			publish = s.root.Rename
		}
		if err := publish(w.tmp, w.path); err != nil {
			_ = s.root.Remove(w.tmp)
			for _, later := range writers[i+1:] {
				later.Abort()
			}
			takeBack(writers[:i])
			return fail("commit object", w.name, err)
		}
		dirs[filepath.Dir(w.path)] = true
	}
	for dir := range dirs {
		if err := s.sys.syncDir(filepath.Join(s.dir, dir)); err != nil {
			takeBack(writers)
			return fail("commit object", writers[0].name, err)
		}
	}
	return nil
}

// finishAll syncs the writers' files side by side.
func finishAll(writers []*writer) error {
	errs := make([]error, len(writers))
	var wg sync.WaitGroup
	for i, w := range writers[1:] {
		wg.Go(func() { errs[i+1] = w.finish() })
	}
	errs[0] = writers[0].finish()
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fail("commit object", writers[i].name, err)
		}
	}
	return nil
}

// takeBack removes names that are the writers' own. After a power failure they may be there again.
func takeBack(writers []*writer) {
	for _, w := range writers {
		if !w.replace {
			_ = w.s.root.Remove(w.path)
		}
	}
}

// finish writes what is left, syncs and closes the file.
func (w *writer) finish() error {
	if err := w.failed(); err != nil {
		return err
	}
	if w.fill > 0 {
		off := w.written - int64(w.fill)
		padded := int(alignUp(int64(w.fill)))
		clear(w.block[w.fill:padded])
		w.fill = padded
		w.launch(off)
	}
	w.flights.Wait()
	if err := w.failed(); err != nil {
		return err
	}
	if w.direct { // cuts off padding and what was allocated ahead
		if err := w.f.Truncate(w.written); err != nil {
			return err
		}
	}
	if err := w.s.sys.syncFile(w.f); err != nil {
		return err
	}
	w.releaseBlocks()
	return w.f.Close()
}

// Abort ends the writer and leaves nothing behind.
func (w *writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.flights.Wait()
	w.releaseBlocks()
	// The file is given up whatever these say; RemoveTemporary takes what a failure leaves.
	_ = w.f.Close()
	_ = w.s.root.Remove(w.tmp)
}

// tryDirect goes over to direct writes where the file system has them. Where it has not, bytes go on to
// the page cache from the caller's memory, since a copy into blocks would gain nothing. It is called at
// an aligned offset.
func (w *writer) tryDirect() {
	if w.s.sys.direct(w.f, true) == nil {
		w.direct = true
		w.begin(w.writeBlock)
	}
}

// allocate reserves space up to end and some way beyond: direct writes that do not grow the file are
// faster, may run side by side, and land in long extents.
func (w *writer) allocate(end int64) {
	if w.noAhead || end <= w.allocated {
		return
	}
	from := max(w.allocated, end-blockSize)
	to := from + allocateAhead
	if w.expect >= end {
		to = min(to, alignUp(w.expect))
	}
	if err := preallocate(w.f, from, to-from); err != nil {
		w.noAhead = true // not offered here, or too little space to hold any back: the write will tell
		return
	}
	w.allocated = to
}

// writeBlock writes p at off. Some file systems take the flag for direct writes and then refuse the
// write, or the rest of it after a part: then the same bytes go to the same place through the page cache.
func (w *writer) writeBlock(p []byte, off int64) error {
	_, err := w.f.WriteAt(p, off)
	if !errors.Is(err, syscall.EINVAL) {
		return err
	}
	if err := w.s.sys.direct(w.f, false); err != nil {
		return err
	}
	_, err = w.f.WriteAt(p, off)
	return err
}

// failed is the reason to stop: a block that could not be written, or the caller's context.
func (w *writer) failed() error {
	if err := w.firstErr(); err != nil {
		return err
	}
	return w.ctx.Err()
}
