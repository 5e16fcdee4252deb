package vault

import (
	"context"

	"stonevault/identity"
)

// Protection counts the stones that are protected in one way.
type Protection struct {
	Suite      identity.Suite // 0 where the signer is not known
	KeyVersion int            // of the owner's keys: 1, 2, …
	InUse      bool           // those keys
	Stones     int64          // versions of files
}

// Posture says how what a vault keeps is protected.
type Posture struct {
	Suite        identity.Suite // of what is sealed from now on
	Stones       []Protection
	Outlived     int // keys that others have taken the place of, whose seeds are still needed
	Master       MasterVersion
	FormerNeeded bool  // the master key before that is still there
	Sealed       int64 // secrets in the database
	SealedNow    int64 // of them, those under the master key in use
	Recovery     Identity
	HasRecovery  bool
	Confirmed    bool
	UnderWay     map[RotationKind]Rotation
}

// Posture looks at all that there is. It reads whole tables.
func (v *Vault) Posture(ctx context.Context) (p Posture, err error) {
	if p.HasRecovery, p.Confirmed, err = v.RecoveryState(ctx); err != nil {
		return p, err
	}
	err = v.db.View(ctx, func(tx Tx) error {
		p.Suite, p.Sealed, p.SealedNow, p.UnderWay = v.reign().suite, 0, 0, map[RotationKind]Rotation{}
		keys, err := masterKeys(ctx, tx)
		if err != nil {
			return err
		}
		p.Master, p.FormerNeeded = *keys.current, keys.former != nil
		for _, place := range SealedPlaces {
			all, tagged, err := tx.MasterKeys().Count(ctx, place, keys.current.Tag)
			if err != nil {
				return err
			}
			p.Sealed, p.SealedNow = p.Sealed+all, p.SealedNow+tagged
		}
		if p.HasRecovery {
			if p.Recovery, err = tx.Identities().Current(ctx, KindRecovery, ""); err != nil {
				return err
			}
		}
		outlived, err := tx.Identities().Outlived(ctx)
		if err != nil {
			return err
		}
		p.Outlived = len(outlived)
		for _, kind := range RotationKinds {
			state, err := rotation(ctx, tx, kind)
			if err != nil {
				return err
			}
			if state.Running {
				p.UnderWay[kind] = state
			}
		}
		p.Stones, err = tx.Versions().Protections(ctx)
		return err
	})
	return p, err
}
