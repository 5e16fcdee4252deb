package metadb

import (
	"context"
	"database/sql"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
)

type identities struct{ tx *Tx }

const identityColumns = `id, kind, person, grp, version, suite, fingerprint, public, certificate, wrapped_seeds, created_at, retired_at`

func (s identities) Insert(ctx context.Context, i vault.Identity) error {
	if err := checkIdentity(i); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, i.WrappedSeeds); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO identities (`+identityColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		string(i.ID), string(i.Kind), orNull(i.Person == "", string(i.Person)), orNull(i.Group == "", string(i.Group)), int64(i.Version), int64(i.Suite),
		[]byte(i.Fingerprint), i.Public, orNull(len(i.Certificate) == 0, i.Certificate),
		orNull(len(i.WrappedSeeds) == 0, i.WrappedSeeds), milli(i.CreatedAt),
		orNull(i.RetiredAt.IsZero(), milli(i.RetiredAt)))
}

func (s identities) ByFingerprint(ctx context.Context, f identity.Fingerprint) (vault.Identity, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanIdentity,
		`SELECT `+identityColumns+` FROM identities WHERE fingerprint = $1`, []byte(f))
}

func (s identities) Current(ctx context.Context, kind vault.IdentityKind, person vault.PersonID) (vault.Identity, error) {
	return s.current(ctx, kind, string(person))
}

func (s identities) OfGroup(ctx context.Context, group vault.GroupID) (vault.Identity, error) {
	return s.current(ctx, vault.KindGroup, string(group))
}

func (s identities) current(ctx context.Context, kind vault.IdentityKind, of string) (vault.Identity, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanIdentity,
		`SELECT `+identityColumns+` FROM identities
			WHERE kind = $1 AND coalesce(person, grp, '') = $2 AND retired_at IS NULL ORDER BY version DESC LIMIT 1`,
		string(kind), of)
}

func (s identities) OfKind(ctx context.Context, kind vault.IdentityKind) ([]vault.Identity, error) {
	return all(ctx, s.tx, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE kind = $1 ORDER BY version, created_at, id`, string(kind))
}

func (s identities) Certify(ctx context.Context, id vault.IdentityID, certificate []byte) error {
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE identities SET certificate = $2 WHERE id = $1 AND retired_at IS NULL`, string(id), certificate)
}

func (s identities) Retire(ctx context.Context, id vault.IdentityID, at time.Time) error {
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE identities SET retired_at = $2 WHERE id = $1 AND retired_at IS NULL`, string(id), milli(at))
}

func (s identities) InUse(ctx context.Context) ([]vault.Identity, error) {
	return all(ctx, s.tx, scanIdentity, `SELECT `+identityColumns+` FROM identities WHERE retired_at IS NULL ORDER BY created_at, id`)
}

func (s identities) Outlived(ctx context.Context) ([]vault.Identity, error) {
	return all(ctx, s.tx, scanIdentity, `SELECT `+identityColumns+` FROM identities
		WHERE retired_at IS NOT NULL AND wrapped_seeds IS NOT NULL AND kind IN ('person', 'group', 'vault') AND EXISTS (
			SELECT 1 FROM identities n WHERE n.kind = identities.kind AND coalesce(n.person, n.grp, '') = coalesce(identities.person, identities.grp, '')
				AND n.version > identities.version AND n.retired_at IS NULL)
		ORDER BY retired_at, id`)
}

func (s identities) DestroySeeds(ctx context.Context, id vault.IdentityID) error {
	return s.tx.change(ctx, vault.ErrConflict,
		`UPDATE identities SET wrapped_seeds = NULL WHERE id = $1 AND retired_at IS NOT NULL AND wrapped_seeds IS NOT NULL`, string(id))
}

func scanIdentity(row scanner) (i vault.Identity, err error) {
	var person, group sql.NullString
	var suite, created int64
	var retired sql.NullInt64
	var fingerprint []byte
	if err := row.Scan(&i.ID, &i.Kind, &person, &group, &i.Version, &suite, &fingerprint, &i.Public, &i.Certificate,
		&i.WrappedSeeds, &created, &retired); err != nil {
		return vault.Identity{}, err
	}
	if i.Suite, err = suiteOf(suite); err != nil {
		return vault.Identity{}, stored(err)
	}
	i.Person, i.Group, i.Fingerprint = vault.PersonID(person.String), vault.GroupID(group.String), identity.Fingerprint(fingerprint)
	i.CreatedAt, i.RetiredAt = moment(created), momentOrZero(retired)
	return i, stored(checkIdentity(i))
}
