package peers

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Times is how long things take; tests make them less. Others take over after Life, and a server that has not renewed
// its row for Patience knows itself lost: what lies between is for clocks that differ and requests under way.
type Times struct{ Renew, Patience, Life time.Duration }

// Usual are the times of servers.
var Usual = Times{Renew: 3 * time.Second, Patience: 10 * time.Second, Life: 20 * time.Second}

const (
	// releaseFor is how long a release may take; what fails is tried again with the next renewal.
	releaseFor = 10 * time.Second
	// Wait asks again after pauses between these.
	shortPause, longPause = 5 * time.Millisecond, 250 * time.Millisecond
)

// Config is what a Member is made of. All fields are required but Admit.
type Config struct {
	Store  Store
	Place  string
	Name   string
	Terms  Terms
	Times  Times
	Now    func() time.Time
	Failed func(error) // gets the errors of Run, which goes on after each
	// Admit refuses to join others. It is asked within the transaction, and more than once.
	Admit func(others []Server) error
}

// Member is this server among the others. It may be used by many goroutines. A nil one is alone: it may take
// everything, and knows nobody.
type Member struct {
	c Config

	mu   sync.Mutex // guards what follows
	self *presence
	held map[string]bool // names that this process has taken
	left map[string]bool // names whose release has failed
	heed func(name string)
}

// presence is one row of this server's.
type presence struct {
	id   string
	ctx  context.Context // ends when it is lost
	end  context.CancelCauseFunc
	lost *time.Timer
}

// Join makes this server one of a vault's. Run must be called to keep it one.
func Join(ctx context.Context, c Config) (*Member, error) {
	m := &Member{c: c, held: make(map[string]bool), left: make(map[string]bool)}
	if err := m.enter(ctx, true); err != nil {
		return nil, err
	}
	return m, nil
}

// enter writes a row, the first time in the place of one that this directory had.
func (m *Member) enter(ctx context.Context, first bool) error {
	id := make([]byte, 16)
	rand.Read(id)
	was := m.ID()
	began, now := time.Now(), m.c.Now()
	row := Server{
		ID: hex.EncodeToString(id), Place: m.c.Place, Name: m.c.Name, Terms: m.c.Terms,
		StartedAt: now, ExpiresAt: now.Add(m.c.Times.Life),
	}
	err := m.c.Store.UpdatePeers(ctx, func(tx Tx) error {
		all, err := tx.Servers(ctx)
		if err != nil {
			return err
		}
		var others []Server
		for _, s := range all {
			switch there := now.Before(s.ExpiresAt); {
			case there && s.Place != row.Place:
				others = append(others, s)
				continue
			case there && !first && s.ID != was:
				return ErrDisplaced
			}
			if err := tx.DeleteServer(ctx, s.ID); err != nil {
				return err
			}
		}
		if err := m.admit(others, now); err != nil {
			return err
		}
		return tx.InsertServer(ctx, row)
	})
	if err != nil {
		return err
	}
	p := &presence{id: row.ID}
	p.ctx, p.end = context.WithCancelCause(context.Background())
	p.lost = time.AfterFunc(m.c.Times.Patience-time.Since(began), func() { p.end(ErrLost) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self = p
	clear(m.left)
	return nil
}

func (m *Member) admit(others []Server, now time.Time) error {
	for _, s := range others {
		if ahead := s.ExpiresAt.Sub(now) - m.c.Times.Life; ahead > m.c.Times.Patience/2 {
			return fmt.Errorf("the clock of the server %s is %v ahead of this machine's; servers of one vault need the same time", s.Name, ahead.Round(time.Second))
		}
	}
	if m.c.Admit == nil {
		return nil
	}
	return m.c.Admit(others)
}

// Run keeps this server one of them until ctx ends.
func (m *Member) Run(ctx context.Context) {
	ticker := time.NewTicker(m.c.Times.Renew)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := m.renew(ctx); err != nil && ctx.Err() == nil {
			m.c.Failed(err)
		}
	}
}

// renew prolongs this server's row, or writes another where it is lost.
func (m *Member) renew(ctx context.Context) error {
	p := m.presence()
	if p.ctx.Err() != nil {
		return m.enter(ctx, false)
	}
	ctx, cancel := context.WithTimeout(ctx, m.c.Times.Patience)
	defer cancel()
	left := m.unreleased()
	defer m.drop(left, false)
	began := time.Now()
	var wanted []string
	err := m.c.Store.UpdatePeers(ctx, func(tx Tx) error {
		if err := tx.RenewServer(ctx, p.id, m.c.Now().Add(m.c.Times.Life)); err != nil {
			return err
		}
		for _, name := range left {
			if err := tx.DeleteLease(ctx, name, p.id); err != nil {
				return err
			}
		}
		var err error
		wanted, err = tx.Wanted(ctx, p.id)
		return err
	})
	if errors.Is(err, ErrNotFound) { // somebody has thought it gone
		p.end(ErrLost)
		return errors.Join(ErrLost, m.enter(ctx, false))
	}
	if err != nil {
		return fmt.Errorf("this server cannot show that it is there: %w", err)
	}
	p.lost.Reset(m.c.Times.Patience - time.Since(began)) // where it has fired, the row is lost all the same
	m.mu.Lock()
	heed := m.heed
	for _, name := range left {
		delete(m.left, name)
	}
	m.mu.Unlock()
	if heed != nil {
		for _, name := range wanted {
			heed(name)
		}
	}
	return nil
}

// unreleased reserves the names whose leases are still to be removed.
func (m *Member) unreleased() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.left {
		if !m.held[name] {
			m.held[name] = true
			names = append(names, name)
		}
	}
	return names
}

func (m *Member) presence() *presence {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Leave removes this server's row, and with it all that it has taken.
func (m *Member) Leave(ctx context.Context) error {
	if m == nil {
		return nil
	}
	p := m.presence()
	p.end(ErrLost)
	p.lost.Stop()
	return m.c.Store.UpdatePeers(ctx, func(tx Tx) error { return tx.DeleteServer(ctx, p.id) })
}

// Present is ErrLost while this server is not one of them.
func (m *Member) Present() error {
	if m != nil && m.presence().ctx.Err() != nil {
		return ErrLost
	}
	return nil
}

// ID is this server's, and empty where it is alone. It changes when the server is lost.
func (m *Member) ID() string {
	if m == nil || m.presence() == nil {
		return ""
	}
	return m.presence().id
}

// Heed has fn called, now and then, with each name that this server has taken and another asks for.
func (m *Member) Heed(fn func(name string)) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heed = fn
}

// Others tells which servers are there beside this one, by their ids.
func (m *Member) Others(ctx context.Context) (map[string]bool, error) {
	if m == nil {
		return nil, nil
	}
	live, err := Live(ctx, m.c.Store, m.c.Now())
	others := make(map[string]bool)
	for _, s := range live {
		if s.Place != m.c.Place {
			others[s.ID] = true
		}
	}
	return others, err
}

// Take takes all of some names, or is ErrTaken where another has one of them. The context has the values of ctx and does
// not end with it, so that what was begun is brought to its end; it ends at the release, and when this server is lost.
func (m *Member) Take(ctx context.Context, names ...string) (held context.Context, release func(), err error) {
	if m == nil {
		return context.WithoutCancel(ctx), func() {}, nil
	}
	if err := m.reserve(names); err != nil {
		return nil, nil, err
	}
	p := m.presence()
	taken := false
	err = p.ctx.Err()
	if err == nil {
		err = m.c.Store.UpdatePeers(ctx, func(tx Tx) (err error) {
			taken, err = m.take(ctx, tx, p, names)
			return err
		})
	} else {
		err = ErrLost
	}
	if err == nil && !taken {
		err = ErrTaken
	}
	if err != nil {
		m.drop(names, err != ErrTaken) // where the answer was lost, it may have been taken
		return nil, nil, err
	}
	held, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(p.ctx, func() { cancel(ErrLost) })
	return held, sync.OnceFunc(func() {
		stop()
		cancel(context.Canceled)
		m.release(context.WithoutCancel(ctx), p, names)
	}), nil
}

func (m *Member) take(ctx context.Context, tx Tx, p *presence, names []string) (bool, error) {
	live, err := liveIn(ctx, tx, m.c.Now())
	if err != nil {
		return false, err
	}
	free := true
	for _, name := range names {
		holder, err := tx.Holder(ctx, name)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && holder == p.id:
		case err != nil:
			return false, err
		case slices.ContainsFunc(live, func(s Server) bool { return s.ID == holder }):
			free = false
			if err := tx.Want(ctx, name); err != nil {
				return false, err
			}
		}
	}
	for _, name := range names {
		if !free {
			break
		}
		if err := tx.PutLease(ctx, name, p.id); err != nil {
			return false, err
		}
	}
	return free, nil
}

// reserve takes names among the goroutines of this process.
func (m *Member) reserve(names []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(names, func(name string) bool { return m.held[name] }) {
		return ErrTaken
	}
	for _, name := range names {
		m.held[name] = true
	}
	return nil
}

// drop ends reserve. The lease may still be there, and is removed with the next renewal.
func (m *Member) drop(names []string, left bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		delete(m.held, name)
		if left {
			m.left[name] = true
		}
	}
}

func (m *Member) release(ctx context.Context, p *presence, names []string) {
	ctx, cancel := context.WithTimeout(ctx, releaseFor)
	defer cancel()
	err := m.c.Store.UpdatePeers(ctx, func(tx Tx) error {
		for _, name := range names {
			if err := tx.DeleteLease(ctx, name, p.id); err != nil {
				return err
			}
		}
		return nil
	})
	m.drop(names, err != nil)
}

// Wait is Take that waits for others.
func (m *Member) Wait(ctx context.Context, names ...string) (held context.Context, release func(), err error) {
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		held, release, err = m.Take(ctx, names...)
		if !errors.Is(err, ErrTaken) {
			return held, release, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Alone runs job, until ctx ends, where no other server does one of that name. It tells whether it ran.
func (m *Member) Alone(ctx context.Context, name string, job func(context.Context)) (ran bool, err error) {
	held, release, err := m.Take(ctx, "job/"+name)
	if errors.Is(err, ErrTaken) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer release()
	held, cancel := context.WithCancel(held)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	job(held)
	return true, nil
}
