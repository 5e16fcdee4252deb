package local

import "sync"

// writerBlocks are all the memory that a writer takes: one is written while the caller fills the
// other. A third measured no faster.
const writerBlocks = 2

// pipeline writes blocks while its owner fills the next one. Its methods are for one goroutine at a
// time; the goroutines that write share free and err.
type pipeline struct {
	write func(p []byte, off int64) error // set by begin

	block   *block      // being filled, or nil
	fill    int         // bytes in block
	taken   int         // blocks in use
	free    chan *block // blocks to fill again
	flights sync.WaitGroup

	errMu sync.Mutex
	err   error // first failure; guarded by errMu
}

func (l *pipeline) begin(write func(p []byte, off int64) error) {
	l.write = write
	l.free = make(chan *block, writerBlocks)
}

// add copies as much of p as the block has room for. A full block must be launched before the next add.
func (l *pipeline) add(p []byte) int {
	if l.block == nil {
		l.block = l.takeBlock()
	}
	n := copy(l.block[l.fill:], p)
	l.fill += n
	return n
}

// launch writes the filled part of the block at off while the caller goes on.
func (l *pipeline) launch(off int64) {
	b, n := l.block, l.fill
	l.block, l.fill = nil, 0
	l.flights.Go(func() {
		if err := l.write(b[:n], off); err != nil {
			l.setErr(err)
		}
		l.free <- b
	})
}

func (l *pipeline) takeBlock() *block {
	select {
	case b := <-l.free:
		return b
	default:
	}
	if l.taken < writerBlocks {
		l.taken++
		return blocks.Get().(*block)
	}
	return <-l.free
}

// releaseBlocks gives all blocks back once the last is written, and what was not launched with them.
func (l *pipeline) releaseBlocks() {
	if l.block != nil {
		l.free <- l.block
		l.block, l.fill = nil, 0
	}
	for ; l.taken > 0; l.taken-- {
		blocks.Put(<-l.free)
	}
}

func (l *pipeline) setErr(err error) {
	l.errMu.Lock()
	defer l.errMu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func (l *pipeline) firstErr() error {
	l.errMu.Lock()
	defer l.errMu.Unlock()
	return l.err
}
