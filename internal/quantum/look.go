package quantum

import (
	"context"
	"errors"

	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/qkd"
	"stonevault/qkd/kme"
)

// Asker is who wants something of the sessions.
type Asker struct {
	auditlog.Actor
	Role access.Role // admins see those of others
}

func (a Asker) may(action access.Action) error {
	if access.Decide(a.Role, action, access.Vault) != access.Allowed {
		return ErrForbidden
	}
	return nil
}

func (a Asker) admin() bool { return a.Role == access.Admin }

// whose restricts a query to what the asker sees.
func (a Asker) whose() string {
	if a.admin() {
		return ""
	}
	return a.Person
}

// Start runs a session of the asker's with another person, who must be known to the KMEs, and fills their pool. An aborted
// session is no error.
func (s *Service) Start(ctx context.Context, by Asker, with string) (Session, error) {
	if known, err := s.kmes.Known(ctx, with); err != nil || !known || with == by.Person {
		return Session{}, errors.Join(ErrNotFound, err)
	}
	id, err := s.kmes.Fill(WithCaller(ctx, by.Actor), kme.Pair{Master: by.Person, Slave: with})
	switch {
	case errors.Is(err, qkd.ErrUnauthorised), errors.Is(err, qkd.ErrBadRequest): // one of the two was switched off meanwhile
		return Session{}, errors.Join(ErrNotFound, err)
	case err != nil && (id == "" || !errors.Is(err, qkd.ErrNoKeys)):
		return Session{}, err
	}
	return s.Session(ctx, by, id)
}

// Session is one that the asker may see.
func (s *Service) Session(ctx context.Context, by Asker, id string) (v Session, err error) {
	err = s.store.ViewQuantum(ctx, func(tx Tx) (err error) {
		v, err = tx.Session(ctx, id)
		return err
	})
	switch {
	case err != nil:
		return Session{}, err
	case !by.admin() && by.Person != v.Master.ID && by.Person != v.Slave.ID:
		return Session{}, ErrNotFound
	}
	return s.seen(v), nil
}

// Sessions are those that the asker may see, the newest first, without results.
func (s *Service) Sessions(ctx context.Context, by Asker, before *Session, limit int) (list []Session, err error) {
	err = s.store.ViewQuantum(ctx, func(tx Tx) (err error) {
		list, err = tx.Sessions(ctx, SessionQuery{Person: by.whose(), Before: before, Limit: limit})
		return err
	})
	for i := range list {
		list[i] = s.seen(list[i])
	}
	return list, err
}

// Pools are those with keys that the asker may see.
func (s *Service) Pools(ctx context.Context, by Asker, after kme.Pair, limit int) (list []Pool, err error) {
	err = s.store.ViewQuantum(ctx, func(tx Tx) (err error) {
		list, err = tx.Pools(ctx, PoolQuery{Person: by.whose(), After: after, Limit: limit})
		return err
	})
	return list, err
}

// seen is a session as it is shown: what runs for too long has lost its server.
func (s *Service) seen(v Session) Session {
	if v.State == Running && s.now().Sub(v.StartedAt) > lost {
		v.State, v.EndedAt = Failed, v.StartedAt.Add(lost)
	}
	return v
}
