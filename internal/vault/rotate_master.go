package vault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/stone"
)

const (
	// resealBatch is how many values are resealed in a transaction: so few that nobody's change waits for it.
	resealBatch = 100
	// masterGrace is how long what was sealed under a master key just before the next one came may take to be committed.
	masterGrace = 5 * time.Second
	// mastersGrace is masterGrace where other servers have to notice that the next one is in use.
	mastersGrace = 20 * time.Second
)

// sealContexts say what the values of each place are bound to, from what SealedValue.Of has. The places of other
// packages come with the configuration.
func sealContexts(others map[SealedPlace]func(of []string) string) map[SealedPlace]func(of []string) string {
	all := map[SealedPlace]func(of []string) string{
		SealedSeeds: func(of []string) string {
			version, _ := strconv.Atoi(of[2])
			return seedContext(Identity{ID: IdentityID(of[0]), Kind: IdentityKind(of[1]), Version: version})
		},
		SealedUploads: func(of []string) string {
			id, _ := stone.ParseFileID(of[0])
			return uploadContext(id)
		},
		SealedLogs: func(of []string) string {
			id, _ := strconv.ParseInt(of[0], 10, 64)
			return auditlog.SeedContext(auditlog.Log{ID: id, Origin: of[1]})
		},
		SealedLogKeys: func(of []string) string {
			number, _ := strconv.ParseInt(of[0], 10, 64)
			return auditlog.KeyContext(auditlog.Key{Number: number, Person: of[1]})
		},
	}
	for place, context := range others {
		all[place] = context
	}
	return all
}

// resealing is one run of the rotation of the master key.
type resealing struct {
	*progress
	keys masterVersions
}

// rotateMaster seals everything under the master key that is in use, and then destroys the one before. Every value
// says by its tag which key it is under, so that it may be interrupted anywhere.
func (v *Vault) rotateMaster(ctx context.Context, p *progress) error {
	keys, err := v.masterState(ctx)
	if err != nil {
		return err
	}
	if err := keys.use(v.master); err != nil || keys.former == nil {
		return err
	}
	r := &resealing{progress: p, keys: keys}
	if err := r.count(ctx); err != nil {
		return err
	}
	if err := r.note(ctx, true); err != nil {
		return err
	}
	for {
		wrote, err := r.pass(ctx)
		switch {
		case err != nil:
			return errors.Join(err, r.note(context.WithoutCancel(ctx), true))
		case wrote > 0:
			continue
		case r.keys.former.ClosedAt.IsZero():
			// What was sealed a moment ago under the former key is let in; what comes after is refused.
			if err := errors.Join(r.note(ctx, true), r.await(ctx)); err != nil {
				return err
			}
			if err := r.step(ctx, func(m *MasterVersion, now time.Time) { m.ClosedAt = now }, nil); err != nil {
				return err
			}
		default:
			return r.destroy(ctx)
		}
	}
}

// count tells how much there is to do.
func (r *resealing) count(ctx context.Context) error {
	return r.v.db.View(ctx, func(tx Tx) error {
		left := 0
		for _, place := range SealedPlaces {
			all, tagged, err := tx.MasterKeys().Count(ctx, place, r.keys.current.Tag)
			if err != nil {
				return err
			}
			left += int(all - tagged)
		}
		r.set(func(state *Rotation) { state.Total = max(state.Total, state.Done+left) })
		return nil
	})
}

// pass reseals whatever is not under the key in use, and tells how much there was.
func (r *resealing) pass(ctx context.Context) (found int, err error) {
	for _, place := range SealedPlaces {
		after := ""
		for {
			var values []SealedValue
			err := r.v.db.View(ctx, func(tx Tx) (err error) {
				values, err = tx.MasterKeys().Beside(ctx, place, r.keys.current.Tag, after, resealBatch)
				return err
			})
			if err != nil {
				return found, err
			}
			if len(values) == 0 {
				break
			}
			if err := r.reseal(ctx, values); err != nil {
				return found, err
			}
			found, after = found+len(values), values[len(values)-1].Of[0]
		}
	}
	return found, nil
}

// reseal seals values anew. One that somebody has changed meanwhile is left to the next pass.
func (r *resealing) reseal(ctx context.Context, values []SealedValue) error {
	next := make([][]byte, len(values))
	for i, s := range values {
		context, ok := r.v.contexts[s.Place]
		if !ok {
			return fmt.Errorf("vault: nobody says how the values of %s are sealed", s.Place)
		}
		plain, err := r.v.master.Open(context(s.Of), s.Value)
		if err != nil {
			return fmt.Errorf("vault: %s %s is sealed under no known master key, and the former one stays until it is restored or removed: %w", s.Place, s.Of[0], err)
		}
		if next[i], err = r.v.master.Seal(context(s.Of), plain); err != nil {
			return err
		}
		clear(plain)
	}
	done := 0
	err := r.v.db.Update(ctx, func(tx Tx) error {
		done = 0
		for i, s := range values {
			switch err := tx.MasterKeys().Reseal(ctx, s, next[i]); {
			case err == nil:
				done++
			case !errors.Is(err, ErrConflict):
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.set(func(state *Rotation) { state.Done += done; state.Total = max(state.Total, state.Done) })
	return r.note(ctx, false)
}

// await lets what was sealed under the former key arrive.
func (r *resealing) await(ctx context.Context) error {
	rest := r.v.grace - r.v.now().Sub(r.keys.former.RetiredAt)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(max(rest, 0), r.v.grace)):
		return nil
	}
}

// step changes the row of the former key.
func (r *resealing) step(ctx context.Context, change func(m *MasterVersion, now time.Time), also func(tx Tx) error) error {
	next := *r.keys.former
	change(&next, millis(r.v.now()))
	err := r.v.db.Update(ctx, func(tx Tx) error {
		now, err := masterKeys(ctx, tx)
		if err != nil {
			return err
		}
		if now.former == nil || now.former.Number != next.Number {
			return ErrConflict
		}
		if err := tx.MasterKeys().Update(ctx, next); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
	if err == nil {
		r.keys.former = &next
	}
	return err
}

// destroy forgets the former key, which nothing needs any more: it is closed, and a whole pass after that found
// nothing under it.
func (r *resealing) destroy(ctx context.Context) error {
	var state Rotation
	r.set(func(now *Rotation) { now.Running = false; state = *now })
	err := r.step(ctx, func(m *MasterVersion, now time.Time) { m.Wrapped, m.DestroyedAt = nil, now }, func(tx Tx) error {
		if err := r.v.recordMaster(ctx, tx, nil, *r.keys.current, "done", state.Done); err != nil {
			return err
		}
		return noteRotation(ctx, tx, r.kind, state)
	})
	if err != nil {
		return err
	}
	r.v.master.Forget(r.keys.former.Check)
	r.report(state)
	return nil
}
