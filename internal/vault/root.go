package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"stonevault/identity"
)

// settingFormerRoots holds the fingerprints of former roots whose certificates still hold, while there are some.
const settingFormerRoots = "former_roots"

// reign is the root in use, and the former ones that certified what is not certified anew yet.
type reign struct {
	vault   string
	row     IdentityID
	version int
	suite   identity.Suite // of all that is certified and sealed from now on
	key     *identity.SigningKey
	print   identity.Fingerprint
	former  map[identity.Fingerprint]bool
	deposed map[identity.Fingerprint]bool // all roots before, former ones too
	// successions are the statements of the roots before about the next one, the oldest first.
	successions [][]byte
}

// reign is never nil in a vault that has been opened.
func (v *Vault) reign() *reign { return v.root.Load() }

// readReign reads the root in use.
func (v *Vault) readReign(ctx context.Context, tx Tx) (*reign, error) {
	roots, err := tx.Identities().OfKind(ctx, KindRoot)
	if err != nil {
		return nil, fmt.Errorf("vault: root: %w", err)
	}
	if len(roots) == 0 {
		return nil, errors.New("vault: there is no root")
	}
	row := roots[len(roots)-1]
	vault, err := tx.Settings().Get(ctx, settingVaultID)
	if err != nil {
		return nil, fmt.Errorf("vault: setting %s: %w", settingVaultID, err)
	}
	r := &reign{vault: string(vault), row: row.ID, version: row.Version, suite: row.Suite, deposed: make(map[identity.Fingerprint]bool)}
	for _, root := range roots {
		r.deposed[root.Fingerprint] = root.ID != row.ID
		if len(root.Certificate) > 0 {
			r.successions = append(r.successions, root.Certificate)
		}
	}
	if now := v.root.Load(); now != nil && now.row == row.ID {
		r.key = now.key
	} else if r.key, err = v.openRoot(row); err != nil {
		return nil, err
	}
	r.print = row.Fingerprint
	former, err := v.formerRoots(ctx, tx, r)
	if err != nil {
		return nil, err
	}
	r.former = make(map[identity.Fingerprint]bool, len(former))
	for _, print := range former {
		r.former[print] = true
	}
	return r, nil
}

func (v *Vault) openRoot(row Identity) (*identity.SigningKey, error) {
	seed, err := v.master.Open(seedContext(row), row.WrappedSeeds)
	if err != nil {
		return nil, fmt.Errorf("vault: root: %w", err)
	}
	key, err := identity.SigningKeyFromSeed(row.Suite, seed)
	if err != nil {
		return nil, fmt.Errorf("vault: root: %w", err)
	}
	if key.Verifying().Fingerprint() != row.Fingerprint {
		return nil, errors.New("vault: the root's row does not fit its key")
	}
	return key, nil
}

// formerList is what settingFormerRoots holds. The root in use signs it, so that nobody who writes to the database brings
// back a root, or brings one of his own.
type formerList struct {
	Roots     []string `json:"roots"` // fingerprints in hex
	Signature []byte   `json:"signature"`
}

// statement is what is signed: for this vault and no other root.
func (l formerList) statement(vault string, root IdentityID) ([]byte, error) {
	return json.Marshal([]any{vault, string(root), l.Roots})
}

func (v *Vault) formerRoots(ctx context.Context, tx Tx, r *reign) (former []identity.Fingerprint, err error) {
	text, err := tx.Settings().Get(ctx, settingFormerRoots)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l formerList
	err = json.Unmarshal(text, &l)
	if err == nil {
		var signed []byte
		if signed, err = l.statement(r.vault, r.row); err == nil {
			err = r.key.Verifying().Verify(identity.StatementFormerRoots, signed, l.Signature)
		}
	}
	for _, hex := range l.Roots {
		print, parseErr := parseAnyFingerprint(hex)
		former, err = append(former, print), errors.Join(err, parseErr)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: setting %s is damaged: %w", settingFormerRoots, err)
	}
	return former, nil
}

func keepFormerRoots(ctx context.Context, tx Tx, r *reign, former []identity.Fingerprint) error {
	if len(former) == 0 {
		return tx.Settings().Delete(ctx, settingFormerRoots)
	}
	var l formerList
	for _, print := range former {
		l.Roots = append(l.Roots, print.Hex())
	}
	signed, err := l.statement(r.vault, r.row)
	if err != nil {
		return err
	}
	if l.Signature, err = r.key.Sign(identity.StatementFormerRoots, signed); err != nil {
		return err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return tx.Settings().Put(ctx, settingFormerRoots, text)
}

// parseAnyFingerprint reads a fingerprint of whichever suite has one of its length.
func parseAnyFingerprint(hex string) (print identity.Fingerprint, err error) {
	for _, suite := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		if print, err = identity.ParseFingerprint(suite, hex); err == nil {
			return print, nil
		}
	}
	return "", err
}

// FollowRoot makes the root that the database has the one in use here. A server calls it every now and then, as another
// process may have replaced it.
func (v *Vault) FollowRoot(ctx context.Context) error {
	return v.db.View(ctx, func(tx Tx) error { return v.followRoot(ctx, tx) })
}

// followRoot is FollowRoot in a transaction, which may see less than another one has seen.
func (v *Vault) followRoot(ctx context.Context, tx Tx) error {
	r, err := v.readReign(ctx, tx)
	if err != nil {
		return err
	}
	v.following.Lock()
	defer v.following.Unlock()
	if now := v.root.Load(); now == nil || r.version >= now.version {
		v.root.Store(r)
	}
	return nil
}

// trusts tells whether certificates of a root hold, as far as is known here; see knowRoots.
func (v *Vault) trusts(root identity.Fingerprint) bool {
	r := v.reign()
	return r.print == root || r.former[root]
}

// knowRoots looks for the root anew where the transaction has found identities that are certified by one that is not known
// here: another process may have replaced it a moment ago.
func (v *Vault) knowRoots(ctx context.Context, tx Tx, rows ...Identity) error {
	for _, row := range rows {
		c, err := v.keys.public.Certificate(row.Suite, row.Certificate)
		if err == nil && !v.trusts(c.Root.Fingerprint()) { // what does not hold is refused where it is used
			return v.followRoot(ctx, tx)
		}
	}
	return nil
}

// errDeposed is a key that was certified by a root that is in use no more. The next try has the root in use.
var errDeposed = fmt.Errorf("%w: the vault's root was replaced at this moment", ErrUnavailable)

// insertKey adds an identity, which the root in use has certified.
func (v *Vault) insertKey(ctx context.Context, tx Tx, row Identity) error {
	by, err := v.certifiedBy(row)
	if err != nil {
		return err
	}
	now, err := tx.Identities().Current(ctx, KindRoot, "")
	if err != nil {
		return err
	}
	if by != now.Fingerprint {
		return errors.Join(errDeposed, v.followRoot(ctx, tx))
	}
	return tx.Identities().Insert(ctx, row)
}

// certifiedBy is the root that certified an identity.
func (v *Vault) certifiedBy(row Identity) (identity.Fingerprint, error) {
	c, err := v.keys.public.Certificate(row.Suite, row.Certificate)
	if err != nil {
		return "", refused("identity %s: %w", row.ID, err)
	}
	return c.Root.Fingerprint(), nil
}
