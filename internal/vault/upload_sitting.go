package vault

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stonevault/internal/peers"
	"stonevault/stone"
)

const (
	// silence is how long a request may read nothing before another one may take its upload over, and
	// takeover how long that one waits for it to end.
	silence  = 5 * time.Second
	takeover = 20 * time.Second
)

// sittings lets one request at a time work on an upload, of those of this server.
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

const uploadLease = "upload/"

// sit lets one request at a time work on an upload, of all servers. The context does not end with ctx: the client may
// go, and what it sent is kept all the same.
func (v *Vault) sit(ctx context.Context, id stone.FileID, interrupt func()) (s *sitting, held context.Context, end func(), err error) {
	if s, err = v.sittings.begin(ctx, id, v.now, interrupt); err != nil {
		return nil, nil, nil, err
	}
	held, release, err := v.peers.Take(ctx, uploadLease+id.String())
	if err != nil {
		s.end()
		if errors.Is(err, peers.ErrTaken) {
			err = ErrBusy
		}
		return nil, nil, nil, lost(err)
	}
	return s, held, func() { release(); s.end() }, nil
}

// yield interrupts a sitting that has gone silent, for another server that asks for its upload.
func (v *Vault) yield(name string) {
	text, ok := strings.CutPrefix(name, uploadLease)
	id, err := stone.ParseFileID(text)
	if !ok || err != nil {
		return
	}
	v.sittings.mu.Lock()
	s := v.sittings.held[id]
	v.sittings.mu.Unlock()
	if s != nil && s.interrupt != nil && v.now().Sub(time.UnixMilli(s.heard.Load())) >= silence {
		s.interrupt()
	}
}
