package s3

import (
	"slices"
	"sync"
	"sync/atomic"
)

// smallBuffer is up to where bytes are kept in memory of their own size. Above it, a whole block is taken.
const smallBuffer = 256 << 10

// pool lends blocks of memory.
type pool struct {
	size int
	free sync.Pool    // of *block
	lent atomic.Int64 // blocks that are out
	most atomic.Int64 // that ever were, at once
}

// block is memory of the pool's size.
type block struct {
	b     []byte
	users atomic.Int32 // the last one gives it back
}

func (p *pool) take() *block {
	n := p.lent.Add(1)
	for most := p.most.Load(); n > most && !p.most.CompareAndSwap(most, n); most = p.most.Load() {
	}
	b, ok := p.free.Get().(*block)
	if !ok {
		b = &block{b: make([]byte, p.size)}
	}
	b.users.Store(1)
	return b
}

func (p *pool) give(b *block) {
	if b.users.Add(-1) == 0 {
		p.lent.Add(-1)
		p.free.Put(b)
	}
}

// buffer gathers up to one block.
type buffer struct {
	pool  *pool
	b     []byte // only appended to once it is shared
	block *block // that b lies in, or nil
}

func (f *buffer) len() int   { return len(f.b) }
func (f *buffer) full() bool { return len(f.b) == f.pool.size }

// add takes as much of p as there is room for.
func (f *buffer) add(p []byte) int {
	p = p[:min(len(p), f.pool.size-len(f.b))]
	if f.block == nil && len(f.b)+len(p) > smallBuffer {
		f.block = f.pool.take()
		f.b = f.block.b[:copy(f.block.b, f.b)]
	}
	f.b = append(f.b, p...)
	return len(p)
}

// grow makes the buffer n bytes long, to be filled; n is a block at most.
func (f *buffer) grow(n int) []byte {
	f.release()
	if n <= smallBuffer {
		f.b = make([]byte, n)
	} else {
		f.block = f.pool.take()
		f.b = f.block.b[:n]
	}
	return f.b
}

// cut drops what is behind n bytes.
func (f *buffer) cut(n int) { f.b = f.b[:n] }

// share returns what has been gathered, in the same memory, which stays until both are released.
func (f *buffer) share() buffer {
	if f.block != nil {
		f.block.users.Add(1)
	}
	return buffer{pool: f.pool, b: slices.Clip(f.b), block: f.block}
}

// move hands over what was gathered and leaves nothing.
func (f *buffer) move() buffer {
	full := *f
	f.b, f.block = nil, nil
	return full
}

// release gives the memory back.
func (f *buffer) release() {
	if f.block != nil {
		f.pool.give(f.block)
	}
	f.b, f.block = nil, nil
}
