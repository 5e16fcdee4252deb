package quantum

import (
	"context"
	"errors"
	"math"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/qkd"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

type callerKey struct{}

// WithCaller returns a context that knows from where sessions and keys are asked for, and by which program. Who it is that asks
// is known from elsewhere.
func WithCaller(ctx context.Context, c auditlog.Actor) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerIn is who asks, who acts for a person.
func callerIn(ctx context.Context, p Person) auditlog.Actor {
	c, _ := ctx.Value(callerKey{}).(auditlog.Actor)
	c.Person, c.Name = p.ID, p.Name
	return c
}

// change runs a transaction that records events.
func (s *Service) change(ctx context.Context, fn func(Tx) error) error {
	return auditlog.InTransaction(ctx, s.store.UpdateQuantum, fn)
}

// millionths is a part as events have it.
func millionths(part float64) int64 { return int64(math.Round(part * wholeShare)) }

// recordSession records what became of a session, in the transaction that ends it. r is nil where it failed.
func (s *Service) recordSession(ctx context.Context, tx Tx, id string, r *bb84.Result, keys int, eavesdropped bool) error {
	v, err := tx.Session(ctx, id) // with names
	if err != nil {
		return err
	}
	e := audit.Event{Type: audit.QuantumSession, Time: s.now(), Actor: callerIn(ctx, v.Master).Values(), Subject: v.Slave.account(), Operational: audit.Values{
		"session": id, "state": string(v.State), "reason": "broken-off", "secret_bits": 0, "qber": 0, "keys": keys, "eavesdropper": eavesdropped,
	}}
	if r != nil {
		e.Operational["reason"], e.Operational["secret_bits"], e.Operational["qber"] = "none", r.SecretBits, millionths(r.QBER)
		if r.Aborted {
			e.Operational["reason"] = string(r.Reason)
		}
	}
	_, err = s.audit.Record(ctx, tx.Audit(), e)
	return err
}

// KeysTx is a transaction of the KMEs that the service can record in.
type KeysTx interface {
	kme.Tx
	Quantum() Tx
}

// recordDelivery records that one end has got keys, in the transaction in which they go.
func (s *Service) recordDelivery(ctx context.Context, tx kme.Tx, d kme.Delivery) error {
	keys, ok := tx.(KeysTx)
	if !ok {
		return errors.New("quantum: this transaction keeps no audit log")
	}
	by, whose, what := d.Master, d.Slave, "taken"
	if d.Fetched {
		by, whose, what = d.Slave, d.Master, "fetched"
	}
	e := audit.Event{Type: audit.QuantumDelivered, Time: s.now(), Operational: audit.Values{"what": what, "keys": d.Keys, "bits": d.Bits}}
	actor, found, err := someone(ctx, keys.Quantum(), by)
	if err != nil {
		return err
	}
	if found {
		e.Actor = callerIn(ctx, actor).Values()
	}
	subject, found, err := someone(ctx, keys.Quantum(), whose)
	if err != nil {
		return err
	}
	if found {
		e.Subject = subject.account()
	}
	_, err = s.audit.Record(ctx, keys.Quantum().Audit(), e)
	return err
}

// someone is a person who may have been erased meanwhile. A program may name anything, also what no database takes for text.
func someone(ctx context.Context, tx Tx, id string) (p Person, found bool, err error) {
	if !qkd.ValidSAE(id) {
		return Person{}, false, nil
	}
	p, err = tx.Person(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return Person{}, false, nil
	}
	return p, err == nil, err
}

// Reason is why a program got no keys.
type Reason string

const (
	Nobody  Reason = "nobody"  // its certificate is of nobody who may have any
	Foreign Reason = "foreign" // they are not for it
	Limit   Reason = "limit"   // it asked too often
)

// NoteRefused records that a program got no keys, once and then once a minute. sae is the person whom it acts for, and peer whose
// keys it asked for; either may be anything, and is recorded where it is a person.
func (s *Service) NoteRefused(ctx context.Context, sae, peer string, why Reason) error {
	e := audit.Event{Type: audit.QuantumRefused, Operational: audit.Values{"reason": string(why)}}
	err := s.store.ViewQuantum(ctx, func(tx Tx) error {
		actor, found, err := someone(ctx, tx, sae)
		by := callerIn(ctx, actor)
		if !found {
			by.Client = "" // nobody vouches for it, and what no person is named beside cannot be erased
		}
		e.Actor, e.Subject = by.Values(), nil
		if err != nil || !found {
			return err
		}
		subject, found, err := someone(ctx, tx, peer)
		if found {
			e.Subject = subject.account()
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.tally.Note(ctx, string(why), e)
}

// WhyRefused is why the KMEs have told an SAE nothing.
func (s *Service) WhyRefused(ctx context.Context, sae string) (Reason, error) {
	if known, err := s.kmes.Known(ctx, sae); err != nil || known {
		return Foreign, err
	}
	return Nobody, nil
}
