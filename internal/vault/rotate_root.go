package vault

import (
	"context"
	"fmt"
	"time"

	"stonevault/audit"
	"stonevault/identity"
)

// NextRoot is a root before it is in use. Fingerprint and Recovery are for the sheet, which somebody has to have first.
type NextRoot struct {
	Fingerprint identity.Fingerprint
	Recovery    *Recovery // of another suite; nil where the recovery identity stays
	suite       identity.Suite
	key         *identity.SigningKey
}

// NewRoot makes a root of a suite and, where that is another one than now, a recovery identity. It changes nothing.
func (v *Vault) NewRoot(ctx context.Context, suite identity.Suite) (*NextRoot, error) {
	key, err := identity.GenerateSigningKey(v.rand, suite)
	if err != nil {
		return nil, err
	}
	next := &NextRoot{Fingerprint: key.Verifying().Fingerprint(), suite: suite, key: key}
	if has, _, err := v.RecoveryState(ctx); err != nil || !has || suite == v.reign().suite {
		return next, err
	}
	secret, err := identity.Generate(v.rand, suite)
	next.Recovery = &Recovery{secret, next.Fingerprint}
	return next, err
}

// BeginRootRotation puts next in the place of the root in use, whose seed is destroyed in the same transaction, when it
// has signed that next follows it. Rotate then gives all identities other keys, which next certifies.
func (v *Vault) BeginRootRotation(ctx context.Context, a Actor, next *NextRoot) error {
	s := succession{NextRoot: next, former: v.reign()}
	at := millis(v.now())
	statement, err := identity.NewSuccession(s.former.key, s.key.Verifying(), v.id, at)
	if err != nil {
		return err
	}
	s.row = Identity{
		ID: IdentityID(v.newID()), Kind: KindRoot, Suite: s.suite, CreatedAt: at, Certificate: statement,
		Fingerprint: s.Fingerprint, Public: s.key.Verifying().Bytes(),
	}
	err = v.change(ctx, func(tx Tx) error { return v.succeed(ctx, tx, a, s) })
	v.keys.forget()
	switch followed := v.FollowRoot(context.WithoutCancel(ctx)); {
	case err == nil && followed != nil: // it holds, and is heard of later
		v.log.WarnContext(ctx, "the new root cannot be read yet", "error", followed)
	case err != nil && followed == nil && v.reign().print == next.Fingerprint: // it was committed all the same
		err = nil
	}
	return err
}

// succession is a change of roots.
type succession struct {
	*NextRoot
	row    Identity // of the next root
	former *reign
}

// succeed is the transaction of BeginRootRotation.
func (v *Vault) succeed(ctx context.Context, tx Tx, a Actor, s succession) error {
	for _, kind := range []RotationKind{RotateRoot, RotateRecovery} {
		if state, err := rotation(ctx, tx, kind); err != nil {
			return err
		} else if state.Running {
			return ErrRotating
		}
	}
	old, err := tx.Identities().Current(ctx, KindRoot, "")
	if err != nil {
		return err
	}
	if old.ID != s.former.row {
		return errDeposed
	}
	row := s.row
	row.Version = old.Version + 1
	if row.WrappedSeeds, err = v.master.Seal(seedContext(row), s.key.Seed()); err != nil {
		return err
	}
	if err := tx.Identities().Retire(ctx, old.ID, row.CreatedAt); err != nil {
		return err
	}
	if err := tx.Identities().DestroySeeds(ctx, old.ID); err != nil {
		return err
	}
	if err := v.noteDestroyed(ctx, tx); err != nil {
		return err
	}
	if err := tx.Identities().Insert(ctx, row); err != nil {
		return err
	}
	for _, e := range []struct {
		t   audit.Type
		row Identity
	}{{audit.KeyRetired, old}, {audit.KeyPublished, row}, {audit.KeyDestroyed, old}} {
		if err := v.recordKey(ctx, tx, e.t, &a, e.row, Person{}); err != nil {
			return err
		}
	}
	if err := v.succeedRecovery(ctx, tx, a, s); err != nil {
		return err
	}
	former, err := v.formerRoots(ctx, tx, s.former)
	if err != nil {
		return err
	}
	next := &reign{vault: v.id, row: row.ID, key: s.key}
	if err := keepFormerRoots(ctx, tx, next, append(former, old.Fingerprint)); err != nil {
		return err
	}
	if err := tx.Settings().Put(ctx, settingSuite, []byte{byte(s.suite)}); err != nil {
		return err
	}
	if err := v.recordRoot(ctx, tx, &a, row, s.suite != old.Suite, "begun", 0); err != nil {
		return err
	}
	return noteRotation(ctx, tx, RotateRoot, Rotation{Running: true})
}

// succeedRecovery certifies the recovery identity by the next root or, in another suite, puts another one in its place.
func (v *Vault) succeedRecovery(ctx context.Context, tx Tx, a Actor, s succession) error {
	old, err := tx.Identities().Current(ctx, KindRecovery, "")
	if isMissing(err) {
		return nil // it comes with the first account
	}
	if err != nil {
		return err
	}
	by := &reign{suite: s.suite, key: s.key}
	if s.Recovery == nil {
		if old.Suite != s.suite {
			return fmt.Errorf("vault: the recovery identity is of %v, and another one of %v is needed", old.Suite, s.suite)
		}
		public, err := v.keys.public.Public(old.Suite, old.Public)
		if err != nil {
			return err
		}
		certificate, err := identity.NewCertificate(by.key, subject(old), public, s.row.CreatedAt)
		if err != nil {
			return err
		}
		return tx.Identities().Certify(ctx, old.ID, certificate)
	}
	row, err := v.certifyBy(by, Identity{Kind: KindRecovery, Version: old.Version + 1}, s.Recovery.Secret.Public())
	if err != nil {
		return err
	}
	return v.replaceRecovery(ctx, tx, a, old, row)
}

func (v *Vault) recordRoot(ctx context.Context, tx Tx, by *Actor, row Identity, suite bool, state string, rewritten int) error {
	what := "root"
	if suite {
		what = "suite"
	}
	return v.record(ctx, tx, audit.KeyRotated, by, audit.Values{
		"what": what, "state": state, "version": row.Version, "fingerprint": row.Fingerprint.Hex(), "rewritten": rewritten,
	}, nil)
}

// rotateRoot gives other keys to all whom a former root certified, has the envelopes rewritten, and then trusts the
// former roots no more.
func (v *Vault) rotateRoot(ctx context.Context, p *progress) error {
	for first := true; ; first = false {
		if !first { // what is on its way needs a moment
			select {
			case <-time.After(rotateNote):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := v.FollowRoot(ctx); err != nil {
			return err
		}
		var stale []Identity
		err := v.db.View(ctx, func(tx Tx) (err error) {
			stale, err = v.certifiedBefore(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range stale {
			if err := v.renew(ctx, nil, row); err != nil {
				return err
			}
		}
		left := Rotation{}
		for _, kind := range []RotationKind{RotateIdentity, RotateRecovery} {
			state, err := v.rotate(ctx, kind, func(s Rotation) {
				p.set(func(mine *Rotation) { mine.Total, mine.Done, mine.Failed = s.Total, s.Done, s.Failed })
				if err := p.note(ctx, false); err != nil {
					v.log.WarnContext(ctx, "the progress of a rotation cannot be written down", "error", err)
				}
			})
			if err != nil {
				return err
			}
			left.Running = left.Running || state.Running
			if kind == RotateIdentity { // which is about all envelopes, as everybody has got other keys
				left.Total, left.Done, left.Failed = state.Total, state.Done, state.Failed
			}
		}
		if left.Running {
			continue
		}
		p.set(func(s *Rotation) { *s = left })
		if ended, err := v.endRootRotation(ctx, p); ended || err != nil {
			return err
		}
	}
}

// certifiedBefore are the identities in use that another root than the one in use certified. The recovery identity is none
// of them: it was certified in the transaction that changed the root.
func (v *Vault) certifiedBefore(ctx context.Context, tx Tx) (stale []Identity, err error) {
	root, err := tx.Identities().Current(ctx, KindRoot, "")
	if err != nil {
		return nil, err
	}
	all, err := tx.Identities().InUse(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range all {
		if !managedKinds[row.Kind] {
			continue
		}
		by, err := v.certifiedBy(row)
		if err != nil {
			return nil, err
		}
		if by != root.Fingerprint {
			stale = append(stale, row)
		}
	}
	return stale, nil
}

// endRootRotation forgets the former roots, if nothing is left that one of them certified. Where an envelope does not
// verify, they stay.
func (v *Vault) endRootRotation(ctx context.Context, p *progress) (ended bool, err error) {
	state := p.state
	err = v.change(ctx, func(tx Tx) error {
		stale, err := v.certifiedBefore(ctx, tx)
		if err != nil {
			return err
		}
		outlived, err := tx.Identities().Outlived(ctx)
		if err != nil {
			return err
		}
		if ended = len(stale) == 0 && (len(outlived) == 0 || state.Failed > 0); !ended {
			return nil
		}
		roots, err := tx.Identities().OfKind(ctx, KindRoot)
		if err != nil {
			return err
		}
		now := roots[len(roots)-1]
		if state.Failed == 0 {
			if err := keepFormerRoots(ctx, tx, nil, nil); err != nil {
				return err
			}
		}
		other := len(roots) > 1 && roots[len(roots)-2].Suite != now.Suite
		if err := v.recordRoot(ctx, tx, nil, now, other, "done", state.Done); err != nil {
			return err
		}
		return noteRotation(ctx, tx, RotateRoot, state)
	})
	if err != nil || !ended {
		return ended, err
	}
	p.report(state)
	return true, v.FollowRoot(ctx)
}
