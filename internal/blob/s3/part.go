package s3

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"stonevault/internal/vault"
	"stonevault/stone"
)

var (
	errClosed = errors.New("the part has been closed")
	errSent   = fmt.Errorf("what lies behind the first %d bytes of a part cannot be read back: %w", headLength, vault.ErrPartSent)
)

// part is one opening of a part. Write, ReadAt and Close are for one goroutine; Sync may run beside them in another,
// and covers what was written before it was called.
type part struct {
	s   *Store
	id  stone.FileID
	ctx context.Context

	syncing   sync.Mutex // held by Sync, and by Close so that it waits; taken before mu; guards the next ones
	states    []uint64   // that are there, newest first
	last      uint64     // the one that this opening goes on from, or 0
	synced    int64      // bytes that the newest state has of this opening, or -1
	next      uint64     // 0 for 1
	attempted bool       // a state has been sent, if only perhaps
	tidying   sync.WaitGroup

	mu       sync.Mutex // guards the rest
	assembly assembly   // the flight's while there is one
	flight   *flight    // the last block that was sent, or nil
	began    bool       // the upload was begun by this opening
	buffer   buffer     // what is behind the blocks
	start    int64      // bytes in blocks
	head     string     // key of what the first bytes are, or ""
	written  int64      // bytes accepted
	err      error
	closed   bool
}

var _ vault.Part = (*part)(nil)

// flight is a block on its way.
type flight struct {
	done  chan struct{}
	err   error    // when done
	after progress // when done
}

// Write appends. After an error the part can only be closed.
func (p *part) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for len(b) > 0 {
		if err := p.failed(); err != nil {
			return total, fail("write part", p.id.String(), err)
		}
		n := p.buffer.add(b)
		total += n
		b = b[n:]
		p.written += int64(n)
		if p.buffer.full() {
			p.launch()
		}
	}
	return total, nil
}

// launch sends the block that is full, once the one before it has arrived.
func (p *part) launch() {
	if p.land() != nil {
		return // Write finds it
	}
	full, f := p.buffer.move(), &flight{done: make(chan struct{})}
	p.flight = f
	head := ""
	if p.start == 0 {
		head = p.s.partPrefix(p.id) + "head-" + rand.Text()
		p.head = head
	}
	p.start += int64(len(full.b))
	p.began = p.began || p.assembly.empty()
	go func() {
		defer close(f.done)
		f.err = p.send(head, full.b)
		f.after = p.assembly.progress
		full.release()
	}()
}

func (p *part) send(head string, block []byte) error {
	if head != "" {
		if err := p.s.put(p.ctx, head, put{mark: rand.Text(), replace: true}, block[:min(headLength, len(block))]); err != nil {
			return err
		}
	}
	if err := p.assembly.add(p.ctx, block); err != nil || !p.assembly.staged() {
		return err
	}
	return p.assembly.seal(p.ctx)
}

// land waits for the block that is on its way.
func (p *part) land() error {
	if p.flight == nil {
		return nil
	}
	<-p.flight.done
	if p.flight.err != nil && p.err == nil {
		p.err = p.flight.err
	}
	return p.flight.err
}

func (p *part) failed() error {
	if p.closed {
		return errClosed
	}
	return p.err
}

// ReadAt reads what was written, durable or not: the first headLength bytes, and what no block has taken yet.
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
	if err := p.failed(); err != nil {
		return 0, err
	}
	n := 0
	if end := min(off+int64(len(b)), p.start); off < end {
		if end > headLength {
			return 0, errSent
		}
		if err := p.land(); err != nil {
			return 0, err
		}
		var err error
		if n, err = p.s.read(p.ctx, p.head, "", b[:end-off], off); err != nil {
			return n, err
		}
	}
	if at := off + int64(n) - p.start; n < len(b) && at >= 0 && at < int64(p.buffer.len()) {
		n += copy(b[n:], p.buffer.b[at:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Sync makes durable all that was written before it was called. Write may go on meanwhile. Where somebody else has
// synced the part since it was opened, it is vault.ErrBusy.
func (p *part) Sync() error {
	p.syncing.Lock()
	defer p.syncing.Unlock()
	return p.keepSnapshot(p.snapshot()) // one at a time, so that they hold one block
}

// snapshot is what a Sync makes durable.
type snapshot struct {
	state
	flight *flight // that has to land first, or nil
	tail   buffer
	length int64
	err    error
}

// BeginSync settles what a Sync covers, to the byte, and returns what makes it durable.
func (p *part) BeginSync() (wait func() error) {
	taken := p.snapshot()
	return func() error {
		p.syncing.Lock()
		defer p.syncing.Unlock()
		return p.keepSnapshot(taken)
	}
}

func (p *part) snapshot() *snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := &snapshot{flight: p.flight, length: p.written, err: p.failed()}
	if taken.err == nil {
		taken.state = state{Mark: p.assembly.mark, Head: p.head}
		if p.flight == nil {
			taken.progress = p.assembly.progress
		}
		taken.tail = p.buffer.share() // Write goes on behind it
	}
	return taken
}

func (p *part) keepSnapshot(taken *snapshot) error {
	defer taken.tail.release()
	err := p.sync(taken)
	if err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err // a second try might leave a state out
	}
	return fail("sync part", p.id.String(), err)
}

func (p *part) sync(taken *snapshot) error {
	if taken.err != nil {
		return taken.err
	}
	if p.closed { // Close held syncing as well
		return errClosed
	}
	if f := taken.flight; f != nil {
		<-f.done
		if f.err != nil {
			return f.err
		}
		taken.progress = f.after
	}
	if taken.length <= p.synced {
		return nil // another Sync was later, or nothing has changed
	}
	st, length := taken.state, taken.length
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	number := max(p.next, 1)
	p.attempted = true
	err = p.s.put(p.ctx, p.s.stateKey(p.id, number), put{mark: rand.Text(), length: strconv.FormatInt(length, 10)},
		append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...), taken.tail.b)
	if errors.Is(err, vault.ErrExists) {
		return vault.ErrBusy
	}
	if err != nil {
		return err
	}
	p.keep(number)
	p.synced, p.next = length, number+1
	return nil
}

// keep removes all states but a new one and the one before it, while others go on.
func (p *part) keep(number uint64) {
	p.tidying.Wait()
	kept, gone := []uint64{number}, []uint64(nil)
	for _, n := range p.states {
		if n == p.last {
			kept = append(kept, n)
		} else {
			gone = append(gone, n)
		}
	}
	p.states, p.last = kept, number
	if len(gone) == 0 {
		return
	}
	p.tidying.Go(func() {
		for _, n := range gone {
			_ = p.s.remove(p.ctx, p.s.stateKey(p.id, n)) // a state too many does no harm
		}
	})
}

// Close drops what was not synced.
func (p *part) Close() error {
	p.syncing.Lock()
	defer p.syncing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	_ = p.land()
	p.buffer.release()
	p.tidying.Wait()
	if p.began && !p.attempted {
		p.s.abandon(p.ctx, p.assembly.key, p.assembly.progress)
	}
	return nil
}
