package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

const (
	// A wrapping key seals for one recipient for so many files and so long (docs/spec/stone.md).
	wrappingFiles = 1000
	wrappingTime  = time.Hour

	// The caches hold no more than this, and begin anew when they are full.
	maxCachedIdentities   = 1024
	maxCachedWrappingKeys = 8192
)

// keyring keeps what would cost a public-key operation to find again.
type keyring struct {
	public     identity.Cache
	mu         sync.Mutex
	identities map[identity.Fingerprint]*identity.Identity
	sealing    map[identity.Fingerprint]*sealingKey
	opened     map[[sha256.Size]byte]*identity.WrappingKey // by the recipient's fingerprint and Grant.Sealed
}

type sealingKey struct {
	key   *identity.WrappingKey
	files int
	made  time.Time
}

// remember puts a value into a bounded cache.
func remember[K comparable, V any](cache *map[K]V, limit int, k K, v V) {
	if *cache == nil || len(*cache) >= limit {
		*cache = make(map[K]V)
	}
	(*cache)[k] = v
}

// forget drops the keys that were opened, since some of them must not be used any more.
func (r *keyring) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identities, r.sealing, r.opened = nil, nil, nil
}

// ForgetKeys drops what was opened with the master key, which must not be used any more.
func (v *Vault) ForgetKeys() { v.keys.forget() }

// seedContext binds sealed seeds to their identity.
func seedContext(id Identity) string {
	return fmt.Sprintf("stonevault.v1/seeds/%s/%s/%d", id.ID, id.Kind, id.Version)
}

// newIdentity generates a managed identity and certifies it.
func (v *Vault) newIdentity(kind IdentityKind, person PersonID) (*identity.Identity, Identity, error) {
	return v.newManaged(Identity{Kind: kind, Person: person, Version: 1})
}

// newManaged generates the identity that row says whose it is, and certifies it.
func (v *Vault) newManaged(row Identity) (*identity.Identity, Identity, error) {
	r := v.reign()
	secret, err := identity.Generate(v.rand, r.suite)
	if err != nil {
		return nil, Identity{}, err
	}
	if row, err = v.certifyBy(r, row, secret.Public()); err != nil {
		return nil, Identity{}, err
	}
	row.WrappedSeeds, err = v.master.Seal(seedContext(row), secret.Seeds())
	return secret, row, err
}

// certify makes the row of a public key, without seeds.
func (v *Vault) certify(kind IdentityKind, person PersonID, version int, public *identity.Public) (Identity, error) {
	return v.certifyBy(v.reign(), Identity{Kind: kind, Person: person, Version: version}, public)
}

// certifyBy completes the row of a public key that says whose it is.
func (v *Vault) certifyBy(r *reign, row Identity, public *identity.Public) (Identity, error) {
	row.ID, row.Suite, row.CreatedAt = IdentityID(v.newID()), r.suite, millis(v.now())
	row.Fingerprint, row.Public = public.Fingerprint(), public.Bytes()
	var err error
	row.Certificate, err = identity.NewCertificate(r.key, subject(row), public, row.CreatedAt)
	return row, err
}

// subject is what the root certifies. A person's keys are certified for the person, and a group's for the group,
// so that rows which give them to somebody else do not hold.
func subject(row Identity) identity.Subject {
	s := identity.Subject{ID: string(row.ID), Kind: string(row.Kind), Version: int64(row.Version)}
	switch row.Kind {
	case KindPerson:
		s.ID = string(row.Person)
	case KindGroup:
		s.ID = string(row.Group)
	}
	return s
}

// secret opens a managed identity.
func (v *Vault) secret(row Identity) (*identity.Identity, error) {
	v.keys.mu.Lock()
	id, ok := v.keys.identities[row.Fingerprint]
	v.keys.mu.Unlock()
	if ok {
		return id, nil
	}
	seeds, err := v.master.Open(seedContext(row), row.WrappedSeeds)
	if err != nil {
		return nil, fmt.Errorf("vault: seeds of identity %s: %w", row.ID, err)
	}
	if id, err = identity.FromSeeds(row.Suite, seeds); err != nil {
		return nil, fmt.Errorf("vault: seeds of identity %s: %w", row.ID, err)
	}
	if id.Public().Fingerprint() != row.Fingerprint {
		return nil, refused("the row of identity %s does not fit its seeds", row.ID)
	}
	v.keys.mu.Lock()
	defer v.keys.mu.Unlock()
	remember(&v.keys.identities, maxCachedIdentities, row.Fingerprint, id)
	return id, nil
}

// checkCertificate verifies that the root certified a row's keys as what the row says.
func (v *Vault) checkCertificate(row Identity) error {
	c, err := v.keys.public.Certificate(row.Suite, row.Certificate)
	if err != nil {
		return refused("identity %s: %w", row.ID, err)
	}
	switch root := c.Root.Fingerprint(); {
	case c.Keys != row.Fingerprint, c.Subject != subject(row):
		return refused("identity %s: its certificate is for other keys", row.ID)
	case v.trusts(root):
		return nil
	case v.reign().deposed[root]:
		return errReplan // the row was read before a rotation of the root came to its end, and is another one now
	default:
		return refused("identity %s: its certificate is by another root", row.ID)
	}
}

// wrappingKey returns a key to wrap file keys for row's holder.
func (v *Vault) wrappingKey(row Identity) (*identity.WrappingKey, error) {
	v.keys.mu.Lock()
	defer v.keys.mu.Unlock()
	s, ok := v.keys.sealing[row.Fingerprint]
	if now := v.now(); !ok || s.files >= wrappingFiles || now.Sub(s.made) >= wrappingTime || now.Before(s.made) {
		if err := v.checkCertificate(row); err != nil {
			return nil, err
		}
		public, err := v.keys.public.Public(row.Suite, row.Public)
		if err != nil {
			return nil, refused("identity %s: %w", row.ID, err)
		}
		if public.Fingerprint() != row.Fingerprint {
			return nil, refused("the row of identity %s does not fit its keys", row.ID)
		}
		key, err := identity.NewWrappingKey(v.rand, public)
		if err != nil {
			return nil, err
		}
		s = &sealingKey{key: key, made: now}
		remember(&v.keys.sealing, maxCachedIdentities, row.Fingerprint, s)
	}
	s.files++
	return s.key, nil
}

// fileKey opens the grant to one of the given identities.
func (v *Vault) fileKey(e *stone.Envelope, holder Identity) (*stone.FileKey, error) {
	g := e.GrantTo(holder.Fingerprint)
	if g == nil {
		return nil, stone.ErrNoGrant
	}
	at := sha256.Sum256(append([]byte(holder.Fingerprint), g.Sealed...))
	v.keys.mu.Lock()
	w, ok := v.keys.opened[at]
	v.keys.mu.Unlock()
	if !ok {
		secret, err := v.secret(holder)
		if err != nil {
			return nil, err
		}
		if w, err = secret.OpenWrappingKey(g); err != nil {
			return nil, refused("%w", err)
		}
		v.keys.mu.Lock()
		remember(&v.keys.opened, maxCachedWrappingKeys, at, w)
		v.keys.mu.Unlock()
	}
	return e.KeyBy(w, g)
}

// holders are the identities that the envelope of somebody's file has grants for.
type holders struct{ owner, recovery Identity }

func currentHolders(ctx context.Context, tx Tx, owner PersonID) (h holders, err error) {
	if h.owner, err = tx.Identities().Current(ctx, KindPerson, owner); err != nil {
		return h, mustBeThere("identity of "+string(owner), err)
	}
	if h.recovery, err = tx.Identities().Current(ctx, KindRecovery, ""); err != nil {
		return h, mustBeThere("recovery identity", err)
	}
	if h.recovery.Suite == h.owner.Suite {
		return h, nil
	}
	// The vault goes over to another suite, and the owner's turn is still to come.
	all, err := tx.Identities().OfKind(ctx, KindRecovery)
	if err != nil {
		return h, err
	}
	for _, row := range all {
		if row.Suite == h.owner.Suite {
			h.recovery = row
		}
	}
	return h, nil
}

// holdersOf is currentHolders for what is sealed next.
func (v *Vault) holdersOf(ctx context.Context, tx Tx, owner PersonID) (holders, error) {
	h, err := currentHolders(ctx, tx, owner)
	if err == nil {
		err = v.knowRoots(ctx, tx, h.owner, h.recovery)
	}
	return h, err
}

// still is errReplan where one of them has been replaced: an envelope for them would be one that a
// rotation has passed over.
func (h holders) still(ctx context.Context, tx Tx) error {
	now, err := currentHolders(ctx, tx, h.owner.Person)
	if err != nil {
		return err
	}
	if now.owner.ID != h.owner.ID || now.recovery.ID != h.recovery.ID {
		return errReplan
	}
	return nil
}

// grants wraps a file key for its holders.
func (v *Vault) grants(h holders, id stone.FileID, key *stone.FileKey) ([]*identity.Grant, error) {
	var grants []*identity.Grant
	for _, row := range []Identity{h.owner, h.recovery} {
		w, err := v.wrappingKey(row)
		if err != nil {
			return nil, err
		}
		g, err := w.Wrap(v.rand, id, (*[32]byte)(key))
		if err != nil {
			return nil, err
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// mustBeThere says that a row could not be read. If it is missing, that is damage, and nobody's answer "not found"; all
// else, such as a database that is away, stays what it is.
func mustBeThere(what string, err error) error {
	if isMissing(err) {
		return fmt.Errorf("vault: %s: %v", what, err)
	}
	return fmt.Errorf("vault: %s: %w", what, err)
}

// isMissing tells whether err says that something is not there.
func isMissing(err error) bool { return errors.Is(err, ErrNotFound) }
