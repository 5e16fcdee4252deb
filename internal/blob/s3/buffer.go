package s3

import (
	"sync"
	"sync/atomic"
)

// smallBuffer is up to where bytes are kept in memory of their own size. Above it, a whole block is taken.
const smallBuffer = 256 << 10

// pool lends blocks of memory.
type pool struct {
	size int
	free sync.Pool    // of *[]byte
	lent atomic.Int64 // blocks that are out
	most atomic.Int64 // that ever were, at once
}

func (p *pool) take() *[]byte {
	n := p.lent.Add(1)
	for most := p.most.Load(); n > most && !p.most.CompareAndSwap(most, n); most = p.most.Load() {
	}
	if b, ok := p.free.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

func (p *pool) give(b *[]byte) {
	p.lent.Add(-1)
	p.free.Put(b)
}

// buffer gathers up to one block.
type buffer struct {
	pool  *pool
	b     []byte
	block *[]byte // that b lies in, or nil
}

func (f *buffer) len() int   { return len(f.b) }
func (f *buffer) full() bool { return len(f.b) == f.pool.size }

// add takes as much of p as there is room for.
func (f *buffer) add(p []byte) int {
	p = p[:min(len(p), f.pool.size-len(f.b))]
	if f.block == nil && len(f.b)+len(p) > smallBuffer {
		f.block = f.pool.take()
		f.b = (*f.block)[:copy(*f.block, f.b)]
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
		f.b = (*f.block)[:n]
	}
	return f.b
}

// cut drops what is behind n bytes.
func (f *buffer) cut(n int) { f.b = f.b[:n] }

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
