package auth

import (
	"context"
	"errors"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// change runs a transaction that records events.
func (s *Service) change(ctx context.Context, fn func(Tx) error) error {
	return auditlog.InTransaction(ctx, s.store.UpdateAuth, fn)
}

func (s *Service) record(ctx context.Context, tx Tx, t audit.Type, by auditlog.Actor, operational, subject audit.Values) error {
	_, err := s.audit.Record(ctx, tx.Audit(), audit.Event{Type: t, Time: s.now(), Operational: operational, Actor: by.Values(), Subject: subject})
	return err
}

// actor is who holds a session.
func actor(a Account, session Session, address string) auditlog.Actor {
	return auditlog.Actor{Person: a.Person, Name: a.Name, Session: session.ID, Client: session.Client, Address: address}
}

// actor is who asks, from an address. Of an API token, the token stands where the session would.
func (p Principal) actor(address string) auditlog.Actor {
	return auditlog.Actor{Person: p.Person, Name: p.Name, Session: p.id(), Client: p.Client, Address: address}
}

// values are the account's part of an event.
func (a Account) values() audit.Values {
	return audit.Values{"person": a.Person, "name": a.Name}
}

// refuse records a sign-in that fails, and returns why. The name that was typed is kept only where it is an
// account's: people type passwords into the wrong field. What the device calls itself is not kept: nobody vouches
// for it, and what no person is named beside cannot be erased with one.
func (s *Service) refuse(ctx context.Context, address string, a Account, reason string, why error) error {
	e := audit.Event{
		Type: audit.SessionRefused, Operational: audit.Values{"reason": reason},
		Actor: auditlog.Actor{Address: address}.Values(),
	}
	if a.Person != "" {
		e.Subject = a.values()
	}
	if err := s.tally.Note(ctx, reason, e); err != nil {
		return errors.Join(err, errNotRecorded)
	}
	return why
}

// errNotRecorded takes the place of an answer that may be given only once it is recorded.
var errNotRecorded = errors.New("auth: the refusal could not be recorded")
