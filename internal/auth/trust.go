package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"stonevault/audit"
)

const (
	// trustFor is how long it is remembered between requests that somebody is good. With the half second in which a
	// transfer asks once, it stays below a second what another server, or a command, has ended.
	trustFor   = 400 * time.Millisecond
	trustLimit = 4096 // sessions and API tokens remembered at once
)

// trust is a session or an API token that was good a moment ago.
type trust struct {
	principal Principal
	at        time.Time
}

// id is what a principal is remembered by: ids of sessions and of API tokens are drawn alike, and never meet.
func (p Principal) id() string {
	if p.Token != "" {
		return p.Token
	}
	return p.Session
}

// trusted remembers who was good a moment ago.
type trusted struct {
	mu      sync.Mutex // guards what follows
	by      map[string]trust
	tokens  map[string]string // the id of an API token, by its hash
	forgets uint64            // counts what this server has ended
}

func newTrusted() *trusted {
	return &trusted{by: map[string]trust{}, tokens: map[string]string{}}
}

// find returns who has this id, if that is still remembered. before goes into a later remember.
func (t *trusted) find(id string, now time.Time) (p Principal, ok bool, before uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ok := t.by[id]
	age := now.Sub(was.at)
	return was.principal, ok && age >= 0 && age < trustFor, t.forgets
}

// findToken is find by the hash of an API token.
func (t *trusted) findToken(hash []byte, now time.Time) (p Principal, ok bool, before uint64) {
	t.mu.Lock()
	id := t.tokens[string(hash)]
	t.mu.Unlock()
	return t.find(id, now)
}

// remember trusts somebody, unless this server has ended anything since before was read: it could be this. hash is
// that of an API token.
func (t *trusted) remember(p Principal, hash []byte, now time.Time, before uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forgets != before {
		return
	}
	if len(t.by) >= trustLimit || len(t.tokens) >= trustLimit {
		clear(t.by)
		clear(t.tokens)
	}
	t.by[p.id()] = trust{p, now}
	if hash != nil {
		t.tokens[string(hash)] = p.id()
	}
}

// forget ends the trust in all that is a person's, or in everybody where person is empty.
func (t *trusted) forget(person string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgets++
	for id, was := range t.by {
		if person == "" || was.principal.Person == person {
			delete(t.by, id)
		}
	}
}

// Heed is told of each event of the audit log once it is committed, and has this server look up again whom it may have
// changed the standing of: whatever is about an account or about sessions, and the settings, which are about everybody.
// Since no change is made without its event, none can be forgotten here; without Heed it counts after trustFor.
func (s *Service) Heed(e audit.Event) {
	whose, _ := e.Subject["person"].(string)
	account, session := e.Type >= audit.AccountCreated && e.Type < audit.KeyPublished, e.Type >= audit.SessionOpened && e.Type < audit.FilePut
	switch {
	case e.Type == audit.SettingsChanged:
		s.trusted.forget("")
	case (account || session) && whose != "":
		s.trusted.forget(whose)
	}
}

// Authenticate tells whose access token or API token this is: ErrUnauthenticated, or an error of the store. Who was
// good is trusted for trustFor, unless Heed is told otherwise.
func (s *Service) Authenticate(ctx context.Context, token string) (Principal, error) {
	if IsAPIToken(token) {
		return s.authenticateToken(ctx, token)
	}
	c, err := s.tokens.verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	now := s.now()
	p, ok, before := s.trusted.find(c.Session, now)
	if !ok {
		p, err = s.look(ctx, nil, before, func(tx Tx) (Principal, error) { return s.standingSession(ctx, tx, c.Session, now) })
		if err != nil {
			return Principal{}, err
		}
	}
	if p.Session != c.Session || p.Person != c.Subject || p.Epoch != *c.Epoch {
		return Principal{}, ErrUnauthenticated
	}
	return p, nil
}

// Stands is nil where somebody who was recognised before would still be, for what takes long, such as a transfer. It is
// ErrUnauthenticated, or an error of the store, which is asked once in trustFor at most.
func (s *Service) Stands(ctx context.Context, p Principal) error {
	now := s.now()
	current, ok, before := s.trusted.find(p.id(), now)
	if !ok {
		var err error
		current, err = s.look(ctx, nil, before, func(tx Tx) (Principal, error) { return s.standing(ctx, tx, p, now) })
		if err != nil {
			return err
		}
	}
	if current.id() != p.id() || current.Person != p.Person || current.Epoch != p.Epoch {
		return ErrUnauthenticated
	}
	return nil
}

// standing is who somebody is now who was recognised before, or ErrUnauthenticated where the session or the API token
// does not stand any more.
func (s *Service) standing(ctx context.Context, tx Tx, p Principal, now time.Time) (Principal, error) {
	if p.Token == "" {
		return s.standingSession(ctx, tx, p.Session, now)
	}
	token, err := tx.APIToken(ctx, p.Token)
	if err != nil {
		return Principal{}, err
	}
	return s.standingToken(ctx, tx, token, token.Hash, now)
}

// look asks the store who somebody is, and remembers it. What is not there is ErrUnauthenticated.
// hash is that of an API token, where it is known.
func (s *Service) look(ctx context.Context, hash []byte, before uint64, find func(Tx) (Principal, error)) (p Principal, err error) {
	at := s.now()
	err = s.store.ViewAuth(ctx, func(tx Tx) (err error) {
		p, err = find(tx)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnauthenticated):
		return Principal{}, ErrUnauthenticated
	case err != nil:
		return Principal{}, fmt.Errorf("auth: look up who asks: %w", err)
	}
	s.trusted.remember(p, hash, at, before)
	return p, nil
}

// standingSession is who has a session, or ErrUnauthenticated where it does not stand.
func (s *Service) standingSession(ctx context.Context, tx Tx, id string, now time.Time) (Principal, error) {
	session, err := tx.Session(ctx, id)
	if err != nil {
		return Principal{}, err
	}
	account, err := tx.Account(ctx, session.Person)
	if err != nil {
		return Principal{}, err
	}
	if account.Person != session.Person || !session.RevokedAt.IsZero() || !now.Before(session.ExpiresAt) || !account.Active {
		return Principal{}, ErrUnauthenticated
	}
	return s.principal(ctx, tx, account, session)
}
