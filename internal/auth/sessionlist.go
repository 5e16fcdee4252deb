package auth

import (
	"context"

	"stonevault/audit"
	"stonevault/internal/access"
)

// Sessions lists the sessions of a person that stand, the newest first.
func (s *Service) Sessions(ctx context.Context, by Principal, person string, r PageRequest) (page Page[Session], err error) {
	span, err := r.span()
	if err != nil {
		return page, err
	}
	err = s.store.ViewAuth(ctx, func(tx Tx) error {
		if _, err := s.allowed(ctx, tx, by, access.SessionsSee, person); err != nil {
			return err
		}
		rows, err := tx.Sessions(ctx, person, s.now(), span)
		page = pageOf(rows, r, func(s Session) Place { return Place{s.CreatedAt, s.ID} })
		return err
	})
	return page, wrapped("list sessions", err)
}

// EndSession ends one session of a person. One that does not stand is ErrNotFound.
func (s *Service) EndSession(ctx context.Context, by Principal, person, id, address string) error {
	err := s.change(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.SessionsEnd, person)
		if err != nil {
			return err
		}
		session, err := tx.Session(ctx, id)
		if err != nil {
			return err
		}
		now := s.now()
		if session.Person != person || !session.RevokedAt.IsZero() || !now.Before(session.ExpiresAt) {
			return ErrNotFound
		}
		session.RevokedAt = now
		if err := tx.UpdateSession(ctx, session); err != nil {
			return err
		}
		return s.record(ctx, tx, audit.SessionEnded, by.actor(address), audit.Values{"reason": "revoked", "all": false}, account.values())
	})
	return wrapped("end a session", err)
}

// EndSessions ends all sessions of a person, and raises the epoch with it. With keep, which is for oneself, the session
// that asks goes on, and the epoch stays as it is: the others are ended each by its own row, which every request looks
// at as it does at the epoch.
func (s *Service) EndSessions(ctx context.Context, by Principal, person string, keep bool, address string) error {
	if keep && (by.Session == "" || by.Person != person) {
		return &InvalidError{"keep", "goes with one's own sessions, where one of them asks"}
	}
	err := s.change(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.SessionsEnd, person)
		if err != nil {
			return err
		}
		if err := s.endSessions(ctx, tx, by, account, keep, "revoked", address); err != nil || keep {
			return err
		}
		return tx.RaiseEpoch(ctx, person, s.now())
	})
	return wrapped("end sessions", err)
}

// endSessions ends the sessions of an account in a transaction, but for the one that asks where keep says so.
func (s *Service) endSessions(ctx context.Context, tx Tx, by Principal, account Account, keep bool, reason, address string) error {
	except := ""
	if keep {
		except = by.Session
	}
	if _, err := tx.RevokeSessions(ctx, account.Person, except, s.now()); err != nil {
		return err
	}
	return s.record(ctx, tx, audit.SessionEnded, by.actor(address), audit.Values{"reason": reason, "all": true}, account.values())
}
