package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"stonevault/audit"
	"stonevault/stone"
)

// settingAllIdentities holds since when all identities are to have other keys, while not all of them do.
const settingAllIdentities = "identity_rotation_all"

// signedBatch is how many files are looked up at once.
const signedBatch = 1000

// managedKinds are those whose seeds the vault keeps, and that can get others.
var managedKinds = map[IdentityKind]bool{KindPerson: true, KindGroup: true, KindVault: true}

// BeginPersonRotation gives a person other keys, and leaves it to Rotate to rewrite the envelopes of the person's files.
func (v *Vault) BeginPersonRotation(ctx context.Context, a Actor, name string) error {
	return v.renewFound(ctx, a, func(tx Tx) (Identity, error) {
		p, err := tx.People().ByNameKey(ctx, NameKey(name))
		if err != nil {
			return Identity{}, err
		}
		return tx.Identities().Current(ctx, KindPerson, p.ID)
	})
}

// BeginGroupRotation gives a group other keys.
func (v *Vault) BeginGroupRotation(ctx context.Context, a Actor, id GroupID) error {
	return v.renewFound(ctx, a, func(tx Tx) (Identity, error) { return tx.Identities().OfGroup(ctx, id) })
}

// BeginOwnRotation gives the vault's own identity other keys.
func (v *Vault) BeginOwnRotation(ctx context.Context, a Actor) error {
	return v.renewFound(ctx, a, func(tx Tx) (Identity, error) { return tx.Identities().Current(ctx, KindVault, "") })
}

// BeginRotationOfAll gives all people and groups, and the vault itself, other keys. Interrupted, it goes on with those
// that have none yet.
func (v *Vault) BeginRotationOfAll(ctx context.Context, a Actor) error {
	since := millis(v.now())
	var all []Identity
	err := v.db.Update(ctx, func(tx Tx) error {
		text, err := tx.Settings().Get(ctx, settingAllIdentities)
		switch {
		case err == nil:
			if err := json.Unmarshal(text, &since); err != nil {
				return fmt.Errorf("vault: setting %s is damaged: %w", settingAllIdentities, err)
			}
		case !isMissing(err):
			return err
		default:
			if text, err = json.Marshal(since); err != nil {
				return err
			}
			if err := tx.Settings().Put(ctx, settingAllIdentities, text); err != nil {
				return err
			}
		}
		all, err = tx.Identities().InUse(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range all {
		if !managedKinds[row.Kind] || row.CreatedAt.After(since) {
			continue
		}
		if err := v.renew(ctx, &a, row); err != nil {
			return err
		}
	}
	return v.db.Update(ctx, func(tx Tx) error { return tx.Settings().Delete(ctx, settingAllIdentities) })
}

func (v *Vault) renewFound(ctx context.Context, a Actor, find func(Tx) (Identity, error)) error {
	var old Identity
	err := v.db.View(ctx, func(tx Tx) (err error) {
		old, err = find(tx)
		return err
	})
	if err != nil {
		return err
	}
	return v.renew(ctx, &a, old)
}

// renew puts other keys in the place of an identity's. Whoever has others already, or is gone, is left alone.
func (v *Vault) renew(ctx context.Context, a *Actor, old Identity) error {
	_, row, err := v.newManaged(Identity{Kind: old.Kind, Person: old.Person, Group: old.Group, Version: old.Version + 1})
	if err != nil {
		return err
	}
	return v.change(ctx, func(tx Tx) error {
		now, err := v.inPlaceOf(ctx, tx, old)
		if isMissing(err) || err == nil && now.ID != old.ID {
			return nil
		}
		if err != nil {
			return err
		}
		whose, err := whoseKey(ctx, tx, old)
		if err != nil {
			return err
		}
		if err := tx.Identities().Retire(ctx, old.ID, row.CreatedAt); err != nil {
			return err
		}
		if err := v.insertKey(ctx, tx, row); err != nil {
			return err
		}
		if err := v.recordKey(ctx, tx, audit.KeyRetired, a, old, whose); err != nil {
			return err
		}
		if err := v.recordKey(ctx, tx, audit.KeyPublished, a, row, whose); err != nil {
			return err
		}
		if err := v.recordRenewed(ctx, tx, a, row, whose, "begun", 0); err != nil {
			return err
		}
		state, err := rotation(ctx, tx, RotateIdentity)
		if err != nil {
			return err
		}
		if !state.Running {
			state = Rotation{Running: true}
		}
		return noteRotation(ctx, tx, RotateIdentity, state)
	})
}

// inPlaceOf is the identity in use of the same person or group, or of the vault.
func (v *Vault) inPlaceOf(ctx context.Context, tx Tx, row Identity) (Identity, error) {
	if row.Kind == KindGroup {
		return tx.Identities().OfGroup(ctx, row.Group)
	}
	return tx.Identities().Current(ctx, row.Kind, row.Person)
}

// whoseKey is the person whose identity it is, the zero Person for others'.
func whoseKey(ctx context.Context, tx Tx, row Identity) (Person, error) {
	if row.Kind != KindPerson {
		return Person{}, nil
	}
	return tx.People().ByID(ctx, row.Person)
}

func (v *Vault) recordRenewed(ctx context.Context, tx Tx, by *Actor, row Identity, whose Person, state string, rewritten int) error {
	var subject audit.Values
	if whose.ID != "" {
		subject = accountOf(whose)
	}
	return v.record(ctx, tx, audit.KeyRotated, by, audit.Values{
		"what": string(RotateIdentity), "state": state, "version": row.Version, "fingerprint": row.Fingerprint.Hex(), "rewritten": rewritten,
	}, subject)
}

// rotateIdentities rewrites the envelopes of all that was signed with keys that others have taken the place of, and
// destroys the seeds that nothing needs any more. Whose envelopes they are, the rows say.
func (v *Vault) rotateIdentities(ctx context.Context, p *progress) error {
	outlived, needed, err := v.outlived(ctx)
	if err != nil {
		return err
	}
	p.set(func(state *Rotation) { state.Total = state.Done + sum(needed) })
	if err := p.note(ctx, true); err != nil {
		return err
	}
	r := &rotator{progress: p, dwindling: true, done: p.state.Done, envelopes: func(ctx context.Context, hand func(stone.FileID) error) error {
		for _, row := range outlived {
			if err := v.signedBy(ctx, row, hand); err != nil {
				return err
			}
		}
		return nil
	}}
	if err := r.run(ctx); err != nil {
		return err
	}
	for _, row := range outlived {
		if err := v.destroySeeds(ctx, row); err != nil {
			return err
		}
	}
	v.keys.forget()
	// Some may have come since, and an envelope on its way keeps the keys of before it.
	if outlived, needed, err = v.outlived(ctx); err != nil {
		return err
	}
	running := slices.Contains(needed, 0) || sum(needed) > r.failed
	p.set(func(state *Rotation) {
		state.Running, state.Done, state.Failed = running, r.done, r.failed
	})
	if running {
		return p.note(ctx, true)
	}
	p.report(p.state)
	return v.db.Update(ctx, func(tx Tx) error {
		// One that has begun meanwhile is under way.
		state := p.state
		now, err := tx.Identities().Outlived(ctx)
		if err != nil {
			return err
		}
		state.Running = len(now) > len(outlived)
		p.set(func(s *Rotation) { s.Running = state.Running })
		return noteRotation(ctx, tx, RotateIdentity, state)
	})
}

func sum(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// outlived are the identities that others have taken the place of, and how many envelopes still need each.
func (v *Vault) outlived(ctx context.Context) (rows []Identity, needed []int, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		needed = nil
		if rows, err = tx.Identities().Outlived(ctx); err != nil {
			return err
		}
		for _, row := range rows {
			n, err := tx.Versions().CountSignedBy(ctx, row.Fingerprint)
			if err != nil {
				return err
			}
			needed = append(needed, n)
		}
		return nil
	})
	return rows, needed, err
}

// signedBy hands out the files whose envelopes are signed with an identity.
func (v *Vault) signedBy(ctx context.Context, row Identity, hand func(stone.FileID) error) error {
	var after stone.FileID
	for {
		var ids []stone.FileID
		err := v.db.View(ctx, func(tx Tx) (err error) {
			ids, err = tx.Versions().SignedBy(ctx, row.Fingerprint, after, signedBatch)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err := hand(id); err != nil {
				return err
			}
		}
		after = ids[len(ids)-1]
	}
}

// destroySeeds removes the seeds of an identity that no envelope needs any more: none is signed with it, and none that
// is on its way to its place could be taken back to one that is.
func (v *Vault) destroySeeds(ctx context.Context, row Identity) error {
	var onTheirWay []stone.FileID
	err := v.db.View(ctx, func(tx Tx) (err error) {
		onTheirWay, err = tx.Intents().Rewrites(ctx, row.Person)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range onTheirWay {
		if err := v.settle(ctx, id); err != nil {
			return err
		}
	}
	return v.change(ctx, func(tx Tx) error {
		n, err := tx.Versions().CountSignedBy(ctx, row.Fingerprint)
		if err != nil || n > 0 {
			return err
		}
		if onTheirWay, err := tx.Intents().Rewrites(ctx, row.Person); err != nil || len(onTheirWay) > 0 {
			return err
		}
		whose, err := whoseKey(ctx, tx, row)
		if isMissing(err) {
			return nil // erased meanwhile, with all keys
		}
		if err != nil {
			return err
		}
		now, err := v.inPlaceOf(ctx, tx, row)
		if err != nil {
			return err
		}
		if err := tx.Identities().DestroySeeds(ctx, row.ID); err != nil {
			return err
		}
		if err := v.noteDestroyed(ctx, tx); err != nil {
			return err
		}
		if err := v.recordKey(ctx, tx, audit.KeyDestroyed, nil, row, whose); err != nil {
			return err
		}
		return v.recordRenewed(ctx, tx, nil, now, whose, "done", 0)
	})
}
