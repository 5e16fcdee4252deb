package vault

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"stonevault/audit"
)

// MasterKey seals what the database keeps of secrets. A context binds a sealed value to its place. It may hold several
// keys of the vault, each known by its check, which is public.
type MasterKey interface {
	Seal(context string, plaintext []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
	// Check is that of the key that seals.
	Check() []byte
	// Tag is what values begin with that the key with a check has sealed.
	Tag(check []byte) []byte
	Knows(check []byte) bool
	// Use has a key seal that is known; the others go on opening.
	Use(check []byte) error
	// Wrap seals a key under another, and Unwrap makes it known again.
	Wrap(check, under []byte) (wrapped []byte, err error)
	Unwrap(check, under, wrapped []byte) error
	Forget(check []byte)
}

// MasterVersion is a version of the master key as the database knows it. Times are zero until they come.
type MasterVersion struct {
	Number      int64 // 1, 2, …
	Check, Tag  []byte
	Wrapped     []byte // the key, under the next one, while values may be sealed under it
	CreatedAt   time.Time
	UsedAt      time.Time // from then on it seals
	RetiredAt   time.Time // from then on the next one does
	ClosedAt    time.Time // from then on no transaction keeps what it has sealed
	DestroyedAt time.Time
}

// SealedPlace is a column of values that are sealed under the master key.
type SealedPlace string

const (
	SealedSeeds     SealedPlace = "identities"
	SealedUploads   SealedPlace = "uploads"
	SealedTokenKeys SealedPlace = "token_keys"
	SealedFactors   SealedPlace = "totp"
	SealedWebhooks  SealedPlace = "webhooks"
	SealedFormers   SealedPlace = "webhook_formers"
	SealedLogs      SealedPlace = "audit_logs"
	SealedLogKeys   SealedPlace = "audit_keys"
	SealedPool      SealedPlace = "qkd_pool"
	SealedWaiting   SealedPlace = "qkd_waiting"
	SealedSecrets   SealedPlace = "qkd_secrets"
)

// SealedPlaces are all of them.
var SealedPlaces = []SealedPlace{SealedSeeds, SealedUploads, SealedTokenKeys, SealedFactors, SealedWebhooks, SealedFormers, SealedLogs, SealedLogKeys,
	SealedPool, SealedWaiting, SealedSecrets}

// SealedValue is one value, with the columns of its row that its context is made of; the first of them is its key.
type SealedValue struct {
	Place SealedPlace
	Of    []string
	Value []byte
}

// MasterKeyStore keeps the versions of the master key, and finds what is sealed under them.
type MasterKeyStore interface {
	Insert(ctx context.Context, m MasterVersion) error
	Update(ctx context.Context, m MasterVersion) error
	Withdraw(ctx context.Context, number int64) error // ErrConflict where it is in use
	All(ctx context.Context) ([]MasterVersion, error) // oldest first
	// Beside are values of a place that do not begin with a tag: at most limit, in the order of their keys, from the
	// first after one; that is empty at the beginning.
	Beside(ctx context.Context, place SealedPlace, tag []byte, after string, limit int) ([]SealedValue, error)
	// Reseal gives a value another form, where it still is as it was found.
	Reseal(ctx context.Context, v SealedValue, value []byte) error
	// Count tells how many values a place has, and how many begin with a tag.
	Count(ctx context.Context, place SealedPlace, tag []byte) (all, tagged int64, err error)
}

var (
	// ErrWrongMasterKey is a master key that is not this vault's.
	ErrWrongMasterKey = errors.New("the master key is not the one that this vault was made with")
	// ErrNextMasterKey is an announced master key that this process does not have.
	ErrNextMasterKey = errors.New("the next master key was announced, and is not known yet to all who have the vault open")
	// ErrMasterKeyClosed is a change that was begun under a master key that nothing may be sealed under any more.
	ErrMasterKeyClosed = fmt.Errorf("%w: the master key has been replaced in the meantime; do it again", ErrConflict)
)

// masterVersions are the versions by what they are now.
type masterVersions struct {
	next    *MasterVersion // announced, and not in use
	current *MasterVersion
	former  *MasterVersion // retired, and not destroyed
	gone    [][]byte       // checks of those that are
}

func masterKeys(ctx context.Context, tx Tx) (m masterVersions, err error) {
	all, err := tx.MasterKeys().All(ctx)
	if err != nil {
		return m, err
	}
	for _, row := range all {
		at := &m.former
		switch {
		case !row.DestroyedAt.IsZero():
			m.gone = append(m.gone, row.Check)
			continue
		case row.UsedAt.IsZero():
			at = &m.next
		case row.RetiredAt.IsZero():
			at = &m.current
		}
		if *at != nil {
			return m, fmt.Errorf("vault: versions %d and %d of the master key contradict each other", (*at).Number, row.Number)
		}
		*at = &row
	}
	if len(all) == 0 {
		return m, ErrNotFound
	}
	if m.current == nil {
		return m, errors.New("vault: no version of the master key is in use")
	}
	return m, nil
}

// UseMaster has a master key be what the database says: one version that seals, and perhaps one before that opens.
// ErrWrongMasterKey where the first is not known.
func UseMaster(ctx context.Context, tx Tx, key MasterKey) error {
	m, err := masterKeys(ctx, tx)
	if err != nil {
		return err
	}
	return m.use(key)
}

func (m masterVersions) use(key MasterKey) error {
	if !key.Knows(m.current.Check) {
		return ErrWrongMasterKey
	}
	if err := key.Use(m.current.Check); err != nil {
		return err
	}
	for _, check := range m.gone {
		key.Forget(check)
	}
	if m.former == nil || key.Knows(m.former.Check) {
		return nil
	}
	if err := key.Unwrap(m.former.Check, m.current.Check, m.former.Wrapped); err != nil {
		return fmt.Errorf("vault: the former master key: %w", err)
	}
	return nil
}

// firstMaster is the row of the master key of a new vault.
func (v *Vault) firstMaster() MasterVersion {
	check, now := v.master.Check(), millis(v.now())
	return MasterVersion{Number: 1, Check: check, Tag: v.master.Tag(check), CreatedAt: now, UsedAt: now}
}

// MasterVersions returns all versions of the master key that there were, the oldest first.
func (v *Vault) MasterVersions(ctx context.Context) (all []MasterVersion, err error) {
	err = v.db.View(ctx, func(tx Tx) (err error) {
		all, err = tx.MasterKeys().All(ctx)
		return err
	})
	return all, err
}

// settingMasterReady holds which servers know the announced master key: its check, by their ids.
const settingMasterReady = "master_key_ready"

// FollowMaster brings this process to the master key that the database says is in use, and notes that it is ready for
// the next one. Every server calls it now and then: nothing is sealed under a new key before all know it. wanted is the
// check of a key that is not known here, and nil where all are.
func (v *Vault) FollowMaster(ctx context.Context) (wanted []byte, err error) {
	m, err := v.masterState(ctx)
	switch {
	case err != nil:
		return nil, err
	case !v.master.Knows(m.current.Check):
		return m.current.Check, nil
	}
	if err := m.use(v.master); err != nil || m.next == nil {
		return nil, err
	}
	if !v.master.Knows(m.next.Check) {
		return m.next.Check, nil
	}
	if v.peers == nil {
		return nil, nil
	}
	return nil, v.db.Update(ctx, func(tx Tx) error {
		ready, err := masterReady(ctx, tx)
		if err != nil || ready[v.peers.ID()] == hex.EncodeToString(m.next.Check) {
			return err
		}
		ready[v.peers.ID()] = hex.EncodeToString(m.next.Check)
		text, err := json.Marshal(ready)
		if err != nil {
			return err
		}
		return tx.Settings().Put(ctx, settingMasterReady, text)
	})
}

func masterReady(ctx context.Context, tx Tx) (map[string]string, error) {
	ready := map[string]string{}
	text, err := tx.Settings().Get(ctx, settingMasterReady)
	if isMissing(err) {
		return ready, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &ready)
	}
	return ready, err
}

// NextMaster returns the check of a master key that is announced and not in use yet, or nil.
func (v *Vault) NextMaster(ctx context.Context) (check []byte, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		m, err := masterKeys(ctx, tx)
		if err == nil && m.next != nil {
			check = m.next.Check
		}
		return err
	})
	return check, err
}

// WithdrawMaster takes back the announcement of a master key that is not in use. ErrRotating where it is too late.
func (v *Vault) WithdrawMaster(ctx context.Context) error {
	return v.db.Update(ctx, func(tx Tx) error {
		m, err := masterKeys(ctx, tx)
		switch {
		case err != nil:
			return err
		case m.former != nil:
			return ErrRotating
		case m.next == nil:
			return nil
		}
		return tx.MasterKeys().Withdraw(ctx, m.next.Number)
	})
}

// AnnounceMaster says which master key comes next. It must be kept already where every later start finds it: from now
// on whoever has it may begin to seal under it.
func (v *Vault) AnnounceMaster(ctx context.Context, a Actor, check []byte) error {
	return v.change(ctx, func(tx Tx) error {
		m, err := masterKeys(ctx, tx)
		if err != nil {
			return err
		}
		if m.next != nil || m.former != nil {
			return ErrRotating
		}
		row := MasterVersion{Number: m.current.Number + 1, Check: check, Tag: v.master.Tag(check), CreatedAt: millis(v.now())}
		if err := tx.MasterKeys().Insert(ctx, row); err != nil {
			return err
		}
		return v.recordMaster(ctx, tx, &a, row, "announced", 0)
	})
}

// TurnMaster brings this process to the master key that the database says is in use, and puts an announced one into
// use where it is known, here and to all others who have the vault open. ErrNextMasterKey is one that is not. Only who
// rotates may call it.
func (v *Vault) TurnMaster(ctx context.Context) error {
	others, err := v.peers.Others(ctx)
	if err != nil {
		return err
	}
	m, err := v.masterState(ctx)
	if err != nil {
		return err
	}
	if err := m.use(v.master); err != nil || m.next == nil {
		return err
	}
	if !v.master.Knows(m.next.Check) {
		return ErrNextMasterKey
	}
	wrapped, err := v.master.Wrap(m.current.Check, m.next.Check)
	if err != nil {
		return err
	}
	err = v.change(ctx, func(tx Tx) error {
		now, err := masterKeys(ctx, tx)
		if err != nil {
			return err
		}
		if now.next == nil || now.next.Number != m.next.Number || string(now.next.Check) != string(m.next.Check) {
			return ErrConflict
		}
		ready, err := masterReady(ctx, tx)
		if err != nil {
			return err
		}
		for id := range others {
			if ready[id] != hex.EncodeToString(m.next.Check) {
				return fmt.Errorf("%w: not to %s, which has the vault open too", ErrNextMasterKey, id)
			}
		}
		if err := tx.Settings().Delete(ctx, settingMasterReady); err != nil {
			return err
		}
		now.current.Wrapped, now.current.RetiredAt = wrapped, millis(v.now())
		now.next.UsedAt = now.current.RetiredAt
		if err := tx.MasterKeys().Update(ctx, *now.current); err != nil {
			return err
		}
		if err := tx.MasterKeys().Update(ctx, *now.next); err != nil {
			return err
		}
		if err := v.recordMaster(ctx, tx, nil, *now.next, "begun", 0); err != nil {
			return err
		}
		return noteRotation(ctx, tx, RotateMaster, Rotation{Running: true})
	})
	if err != nil {
		return err
	}
	return v.master.Use(m.next.Check)
}

func (v *Vault) masterState(ctx context.Context) (m masterVersions, err error) {
	err = v.db.View(ctx, func(tx Tx) (err error) {
		m, err = masterKeys(ctx, tx)
		return err
	})
	return m, err
}

// recordMaster records how far a new master key has come.
func (v *Vault) recordMaster(ctx context.Context, tx Tx, by *Actor, m MasterVersion, state string, resealed int) error {
	return v.record(ctx, tx, audit.KeyRotated, by, audit.Values{
		"what": string(RotateMaster), "state": state, "version": m.Number, "fingerprint": fmt.Sprintf("%x", m.Tag), "rewritten": resealed,
	}, nil)
}
