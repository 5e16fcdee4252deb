package vault

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"stonevault/stone"
)

const (
	// silence is how long a request may read nothing before another one may take its upload over, and
	// takeover how long that one waits for it to end.
	silence  = 5 * time.Second
	takeover = 20 * time.Second
)

// sittings lets one request at a time work on an upload.
type sittings struct {
	mu   sync.Mutex
	held map[stone.FileID]*sitting
}

// sitting is one request at work.
type sitting struct {
	all       *sittings
	id        stone.FileID
	heard     atomic.Int64 // when it last read something, Unix milliseconds
	interrupt func()
	ended     chan struct{}
}

// begin waits for a sitting that has gone silent to end, after interrupting it, and is ErrBusy beside one
// that has not.
func (s *sittings) begin(ctx context.Context, id stone.FileID, now func() time.Time, interrupt func()) (*sitting, error) {
	limit := time.NewTimer(takeover)
	defer limit.Stop()
	for {
		s.mu.Lock()
		other := s.held[id]
		if other == nil {
			mine := &sitting{all: s, id: id, interrupt: interrupt, ended: make(chan struct{})}
			mine.heard.Store(now().UnixMilli())
			if s.held == nil {
				s.held = make(map[stone.FileID]*sitting)
			}
			s.held[id] = mine
			s.mu.Unlock()
			return mine, nil
		}
		s.mu.Unlock()
		if now().Sub(time.UnixMilli(other.heard.Load())) < silence {
			return nil, ErrBusy
		}
		if other.interrupt != nil {
			other.interrupt()
		}
		select {
		case <-other.ended:
		case <-limit.C:
			return nil, ErrBusy
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *sitting) end() {
	s.all.mu.Lock()
	delete(s.all.held, s.id)
	s.all.mu.Unlock()
	close(s.ended)
}
