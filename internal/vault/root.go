package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"stonevault/identity"
)

// settingFormerRoots holds the fingerprints of former roots whose certificates still hold, while there are some.
const settingFormerRoots = "former_roots"

// reign is the root in use, and the former ones that certified what is not certified anew yet.
type reign struct {
	row    IdentityID
	suite  identity.Suite // of all that is certified and sealed from now on
	key    *identity.SigningKey
	print  identity.Fingerprint
	former map[identity.Fingerprint]bool
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
	former, err := formerRoots(ctx, tx)
	if err != nil {
		return nil, err
	}
	r := &reign{row: row.ID, suite: row.Suite, former: make(map[identity.Fingerprint]bool)}
	for _, print := range former {
		r.former[print] = true
	}
	for _, root := range roots {
		if len(root.Certificate) > 0 {
			r.successions = append(r.successions, root.Certificate)
		}
	}
	if now := v.root.Load(); now != nil && now.row == row.ID {
		r.key, r.print = now.key, now.print
		return r, nil
	}
	seed, err := v.master.Open(seedContext(row), row.WrappedSeeds)
	if err != nil {
		return nil, fmt.Errorf("vault: root: %w", err)
	}
	if r.key, err = identity.SigningKeyFromSeed(row.Suite, seed); err != nil {
		return nil, fmt.Errorf("vault: root: %w", err)
	}
	if r.print = r.key.Verifying().Fingerprint(); r.print != row.Fingerprint {
		return nil, errors.New("vault: the root's row does not fit its key")
	}
	return r, nil
}

func formerRoots(ctx context.Context, tx Tx) (former []identity.Fingerprint, err error) {
	text, err := tx.Settings().Get(ctx, settingFormerRoots)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("vault: setting %s is damaged: %w", settingFormerRoots, err)
	}
	for _, hex := range all {
		print, err := parseAnyFingerprint(hex)
		if err != nil {
			return nil, fmt.Errorf("vault: setting %s is damaged: %w", settingFormerRoots, err)
		}
		former = append(former, print)
	}
	return former, nil
}

func keepFormerRoots(ctx context.Context, tx Tx, former []identity.Fingerprint) error {
	if len(former) == 0 {
		return tx.Settings().Delete(ctx, settingFormerRoots)
	}
	var all []string
	for _, print := range former {
		all = append(all, print.Hex())
	}
	text, err := json.Marshal(all)
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

// followTimeout bounds how long somebody waits to hear of another root.
const followTimeout = 5 * time.Second

// FollowRoot makes the root that the database has the one in use here. A server calls it every now and then, as another
// process may have replaced it.
func (v *Vault) FollowRoot(ctx context.Context) error {
	v.following.Lock() // so that what was read earlier does not come later
	defer v.following.Unlock()
	return v.db.View(ctx, func(tx Tx) error {
		r, err := v.readReign(ctx, tx)
		if err == nil {
			v.root.Store(r)
		}
		return err
	})
}

// trusts tells whether certificates of a root hold. One that is not known may have come into use a moment ago, in
// another process.
func (v *Vault) trusts(root identity.Fingerprint) bool {
	r := v.reign()
	if r.print == root {
		return true
	}
	if !r.former[root] {
		ctx, cancel := context.WithTimeout(context.Background(), followTimeout)
		defer cancel()
		if err := v.FollowRoot(ctx); err != nil {
			v.log.Warn("it cannot be seen whether the vault has another root", "error", err)
		}
		r = v.reign()
	}
	return r.print == root || r.former[root]
}

// errDeposed is a key that was certified by a root that is in use no more. The next try has the root in use.
var errDeposed = fmt.Errorf("%w: the vault's root was replaced at this moment", ErrUnavailable)

// insertKey adds an identity, which the root in use has certified.
func (v *Vault) insertKey(ctx context.Context, tx Tx, row Identity) error {
	c, err := v.keys.public.Certificate(row.Suite, row.Certificate)
	if err != nil {
		return err
	}
	now, err := tx.Identities().Current(ctx, KindRoot, "")
	if err != nil {
		return err
	}
	if c.Root.Fingerprint() != now.Fingerprint {
		r, err := v.readReign(ctx, tx)
		if err == nil {
			v.root.Store(r)
		}
		return errors.Join(errDeposed, err)
	}
	return tx.Identities().Insert(ctx, row)
}
