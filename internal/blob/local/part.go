package local

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// directAfter is how much one opening writes before it takes blocks. Many openings end before it; at
// four times as much the page cache cost more time than the blocks save.
const directAfter = 1 << 20

var errClosed = errors.New("the part has been closed")

// part is one opening of a part. Write, ReadAt and Close are for one goroutine; Sync may run beside them
// in another, and covers what was written before it was called.
//
// The file is never longer than what was written: whole blocks pass the page cache through d, and Sync
// writes the bytes behind the last aligned offset through f. They stay in the block, and a later block
// begins with them. Allocating ahead, as writer does, measured no faster, and would have to be undone.
type part struct {
	s    *Store
	id   stone.FileID
	path string // below s.dir

	syncing sync.Mutex // held by Sync, and by Close so that it waits; taken before mu
	fresh   bool       // the name may not be durable; guarded by syncing

	mu sync.Mutex // guards the rest
	pipeline
	f       *os.File // through the page cache
	d       *os.File // past it, on the same file; nil until blocks are taken
	refused bool     // the file system has no direct writes
	opened  int64    // length at the beginning
	written int64    // bytes accepted; the block holds the last of them
	closed  bool
}

var _ vault.Part = (*part)(nil)

// Write appends. After an error the part can only be closed.
func (p *part) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for len(b) > 0 {
		err := p.failed()
		if err == nil {
			err = p.s.room()
		}
		if err != nil {
			return total, fail("write part", p.id.String(), err)
		}
		n, err := p.writeSome(b)
		total += n
		b = b[n:]
		if err != nil {
			p.setErr(err)
			return total, fail("write part", p.id.String(), err)
		}
	}
	return total, nil
}

func (p *part) writeSome(b []byte) (int, error) {
	if room := p.opened + directAfter - p.written; p.d == nil && !p.refused && room > 0 {
		b = b[:min(int64(len(b)), room)]
	} else if p.d == nil && !p.refused {
		if err := p.tryDirect(); err != nil {
			return 0, err
		}
	}
	if p.d == nil {
		n, err := p.f.WriteAt(b, p.written)
		p.written += int64(n)
		return n, err
	}
	n := p.add(b)
	p.written += int64(n)
	if p.fill == blockSize {
		p.launch(p.written - blockSize)
	}
	return n, nil
}

// tryDirect goes over to blocks where the file system has direct writes. The first one begins with what
// lies behind the last aligned offset, since all of it has to be written again.
func (p *part) tryDirect() error {
	d, err := p.s.root.OpenFile(p.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if p.s.sys.direct(d, true) != nil {
		p.refused = true
		return d.Close()
	}
	p.d = d
	p.begin(p.writeBlock)
	head := make([]byte, p.written%alignment)
	if _, err := p.f.ReadAt(head, p.written-int64(len(head))); err != nil {
		return noEOF(err)
	}
	p.add(head)
	return nil
}

// writeBlock writes b at off, through the page cache where the file system refuses it past it.
func (p *part) writeBlock(b []byte, off int64) error {
	_, err := p.d.WriteAt(b, off)
	if errors.Is(err, syscall.EINVAL) {
		_, err = p.f.WriteAt(b, off)
	}
	return err
}

// ReadAt reads what was written, durable or not.
func (p *part) ReadAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.readAt(b, off)
	if err != nil && err != io.EOF {
		err = fail("read part", p.id.String(), err)
	}
	return n, err
}

func (p *part) readAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("the offset is negative")
	}
	p.flights.Wait()
	if err := p.failed(); err != nil {
		return 0, err
	}
	end := p.written - int64(p.fill) // of what is in the file; the block has the rest
	n := 0
	if off < end && len(b) > 0 {
		var err error
		if n, err = p.f.ReadAt(b[:min(int64(len(b)), end-off)], off); err != nil {
			return n, noEOF(err)
		}
	}
	if at := off + int64(n); n < len(b) && at >= end && at < p.written {
		n += copy(b[n:], p.block[at-end:p.fill])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Sync makes durable all that was written before it was called, and then the part's name if it is new.
// Write may go on meanwhile: it waits while blocks are written out, and not for the device's sync.
func (p *part) Sync() error {
	p.syncing.Lock()
	defer p.syncing.Unlock()
	if err := p.flush(); err != nil {
		return fail("sync part", p.id.String(), err)
	}
	err := p.s.sys.syncFile(p.f)
	if err == nil && p.fresh {
		err = p.s.sys.syncDir(filepath.Join(p.s.dir, filepath.Dir(p.path)))
		p.fresh = err != nil
	}
	if err != nil {
		p.setErr(err) // a second try might succeed without having written anything
		return fail("sync part", p.id.String(), err)
	}
	return nil
}

// BeginSync is Sync: a file is cut wherever it is opened.
func (p *part) BeginSync() (wait func() error) { return p.Sync }

// flush hands everything that was written to the file system.
func (p *part) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failed(); err != nil {
		return err
	}
	if whole := p.fill &^ (alignment - 1); whole > 0 {
		next := p.takeBlock()
		rest := copy(next[:], p.block[whole:p.fill])
		p.fill = whole
		p.launch(p.written - int64(whole+rest))
		p.block, p.fill = next, rest
	}
	if p.fill > 0 {
		if _, err := p.f.WriteAt(p.block[:p.fill], p.written-int64(p.fill)); err != nil {
			p.setErr(err)
			return err
		}
	}
	p.flights.Wait()
	return p.failed()
}

// Close drops what was not synced, or some of it.
func (p *part) Close() error {
	p.syncing.Lock()
	defer p.syncing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.flights.Wait()
	p.releaseBlocks()
	if p.d != nil {
		_ = p.d.Close() // every write to it has been waited for
	}
	if err := p.f.Close(); err != nil {
		return fail("close part", p.id.String(), err)
	}
	return nil
}

func (p *part) failed() error {
	if p.closed {
		return errClosed
	}
	return p.firstErr()
}

// noEOF is for reads of what must be there.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
