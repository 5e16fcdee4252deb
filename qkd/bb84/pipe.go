package bb84

import (
	"io"
	"sync"
)

// pipe is a connection inside the process. What was written waits at the other end until it is read.
func pipe() (a, b *pipeEnd) {
	var halves [2]*half
	for i := range halves {
		h := &half{}
		h.arrived.L = &h.mu
		halves[i] = h
	}
	return &pipeEnd{halves[0], halves[1]}, &pipeEnd{halves[1], halves[0]}
}

type pipeEnd struct{ in, out *half }

// half is one direction of a pipe.
type half struct {
	mu      sync.Mutex
	arrived sync.Cond
	waiting []byte
	read    int // how much of waiting was read
	closed  error
}

func (p *pipeEnd) Read(b []byte) (int, error) {
	h := p.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.read == len(h.waiting) {
		if h.closed != nil {
			return 0, h.closed
		}
		h.arrived.Wait()
	}
	n := copy(b, h.waiting[h.read:])
	if h.read += n; h.read == len(h.waiting) {
		h.waiting, h.read = h.waiting[:0], 0
	}
	return n, nil
}

func (p *pipeEnd) Write(b []byte) (int, error) {
	h := p.out
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return 0, io.ErrClosedPipe
	}
	h.waiting = append(h.waiting, b...)
	h.arrived.Signal()
	return len(b), nil
}

// close ends both directions. Who still waits for bytes gets err, or io.EOF where that is nil; who writes io.ErrClosedPipe.
func (p *pipeEnd) close(err error) {
	if err == nil {
		err = io.EOF
	}
	for _, h := range []*half{p.in, p.out} {
		h.mu.Lock()
		if h.closed == nil {
			h.closed = err
		}
		h.arrived.Broadcast()
		h.mu.Unlock()
	}
}
