package quantum

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/qkd/bb84"
)

// wholeShare is what Eavesdropper.Share is when she attacks every pulse.
const wholeShare = 1_000_000

// Eavesdropper is a simulated one on the fibre between two people. Whoever of them begins a session, she is there.
type Eavesdropper struct {
	People [2]Person // in the order of their ids
	Attack bb84.Attack
	Share  int64 // of the pulses that she attacks, in millionths, 1 to 1,000,000
	By     Person
	Since  time.Time // when she was switched on, or changed
}

// Fraction is her share of the pulses, up to 1.
func (e Eavesdropper) Fraction() float64 { return float64(e.Share) / wholeShare }

// same tells whether she does the same.
func (e Eavesdropper) same(f Eavesdropper) bool { return e.Attack == f.Attack && e.Share == f.Share }

// Between are two people in the order of their ids.
func Between(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// EavesdropperQuery asks for a page of eavesdroppers, in the order of the ids of their people.
type EavesdropperQuery struct {
	Person string // on whose fibres; empty for all
	After  [2]string
	Limit  int
}

// checkAttack refuses what Eve cannot do to a source.
func checkAttack(source bb84.Source, attack bb84.Attack) error {
	switch attack {
	case bb84.Intercept, bb84.Breidbart:
		return nil
	case bb84.Splitting:
		if source == bb84.Single {
			return &InvalidError{"attack", "splits pulses of several photons, which this source does not send"}
		}
		return nil
	}
	return &InvalidError{"attack", fmt.Sprintf("must be %s, %s or %s", bb84.Intercept, bb84.Breidbart, bb84.Splitting)}
}

// Eavesdrop puts an eavesdropper on the fibre between two people, or changes what she does. Sessions that began before are
// as they were; so are keys that lie in a pool.
func (s *Service) Eavesdrop(ctx context.Context, by Asker, between [2]string, attack bb84.Attack, share float64) error {
	if err := by.may(access.QuantumEavesdrop); err != nil {
		return err
	}
	e := Eavesdropper{Attack: attack, Share: millionths(share), By: Person{ID: by.Person}, Since: s.now()}
	switch {
	case between[0] == between[1]:
		return &InvalidError{"other", "is the same person; a fibre has two ends"}
	case !(share > 0 && share <= 1) || e.Share == 0:
		return &InvalidError{"share", "must be above 0, a millionth at least, and at most 1"}
	}
	if err := checkAttack(s.setup.Protocol.Source, attack); err != nil {
		return err
	}
	return s.change(ctx, func(tx Tx) (err error) {
		for i, id := range Between(between[0], between[1]) {
			if e.People[i], err = tx.Person(ctx, id); err != nil {
				return err
			}
		}
		was, err := tx.Eavesdropper(ctx, e.People[0].ID, e.People[1].ID)
		what := "changed"
		switch {
		case errors.Is(err, ErrNotFound):
			what = "on"
		case err != nil || was.same(e):
			return err
		}
		if err := tx.PutEavesdropper(ctx, e); err != nil {
			return err
		}
		return s.recordEavesdropper(ctx, tx, by, e, what)
	})
}

// StopEavesdropping takes the eavesdropper away, or is ErrNotFound.
func (s *Service) StopEavesdropping(ctx context.Context, by Asker, between [2]string) error {
	if err := by.may(access.QuantumEavesdrop); err != nil {
		return err
	}
	return s.change(ctx, func(tx Tx) error {
		e, err := tx.Eavesdropper(ctx, between[0], between[1])
		if err != nil {
			return err
		}
		if err := tx.DeleteEavesdropper(ctx, e.People[0].ID, e.People[1].ID); err != nil {
			return err
		}
		return s.recordEavesdropper(ctx, tx, by, e, "off")
	})
}

// Eavesdroppers are those on the fibres of the asker's, or all where he is an admin.
func (s *Service) Eavesdroppers(ctx context.Context, by Asker, after [2]string, limit int) (list []Eavesdropper, err error) {
	err = s.store.ViewQuantum(ctx, func(tx Tx) (err error) {
		list, err = tx.Eavesdroppers(ctx, EavesdropperQuery{Person: by.whose(), After: after, Limit: limit})
		return err
	})
	return list, err
}

// eve is who listens to the fibre between two people.
func eve(ctx context.Context, tx Tx, a, b string) (bb84.Eve, error) {
	e, err := tx.Eavesdropper(ctx, a, b)
	if errors.Is(err, ErrNotFound) {
		return bb84.Eve{}, nil
	}
	return bb84.Eve{Attack: e.Attack, Fraction: e.Fraction()}, err
}

// recordEavesdropper records for each of the two what became of her.
func (s *Service) recordEavesdropper(ctx context.Context, tx Tx, by Asker, e Eavesdropper, what string) error {
	for _, p := range e.People {
		if _, err := s.audit.Record(ctx, tx.Audit(), audit.Event{
			Type: audit.QuantumEavesdropper, Time: s.now(), Actor: by.Values(), Subject: p.account(),
			Operational: audit.Values{"what": what, "attack": string(e.Attack), "share": e.Share},
		}); err != nil {
			return err
		}
	}
	return nil
}
