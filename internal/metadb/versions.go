package metadb

import (
	"context"
	"database/sql"
	"errors"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

type versions struct{ tx *Tx }

const versionColumns = `v.file_id, v.document, v.number, v.owner, v.revision, v.manifest_digest, v.signer, v.size, v.body_size, v.media_type, v.class, v.mode, v.modified_at, v.sealed_at`

func (s versions) Insert(ctx context.Context, v vault.Version) error {
	if err := checkVersion(v); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO versions (file_id, document, number, owner, revision, manifest_digest, signer, size, body_size,
			media_type, class, mode, modified_at, sealed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`, versionValues(v)...)
}

// Update replaces a row. Document, number and owner never change, so that a row with others is a
// conflict.
func (s versions) Update(ctx context.Context, v vault.Version, was int64) error {
	return s.Give(ctx, v, v.Owner, was)
}

func (s versions) Give(ctx context.Context, v vault.Version, owner vault.PersonID, was int64) error {
	if err := checkVersion(v); err != nil {
		return err
	}
	err := s.tx.change(ctx, vault.ErrConflict,
		`UPDATE versions SET owner = $4, revision = $5, manifest_digest = $6, signer = $7, size = $8, body_size = $9,
			media_type = $10, class = $11, mode = $12, modified_at = $13, sealed_at = $14
			WHERE file_id = $1 AND document = $2 AND number = $3 AND owner = $16 AND revision = $15`,
		append(versionValues(v), was, string(owner))...)
	if errors.Is(err, vault.ErrConflict) {
		if _, missing := s.ByID(ctx, v.FileID); missing != nil {
			return missing
		}
	}
	return err
}

func (s versions) ByID(ctx context.Context, id stone.FileID) (vault.Version, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanVersion,
		`SELECT `+versionColumns+` FROM versions v WHERE v.file_id = $1`, id.String())
}

func (s versions) Latest(ctx context.Context, document vault.NodeID) (vault.Version, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanVersion,
		`SELECT `+versionColumns+` FROM versions v WHERE v.document = $1 ORDER BY v.number DESC LIMIT 1`, string(document))
}

func (s versions) OfDocument(ctx context.Context, document vault.NodeID) ([]vault.Version, error) {
	return all(ctx, s.tx, scanVersion,
		`SELECT `+versionColumns+` FROM versions v WHERE v.document = $1 ORDER BY v.number`, string(document))
}

func (s versions) After(ctx context.Context, id stone.FileID, limit int) ([]vault.Version, error) {
	return all(ctx, s.tx, scanVersion,
		`SELECT `+versionColumns+` FROM versions v WHERE v.file_id > $1 ORDER BY v.file_id LIMIT $2`, id.String(), int64(limit))
}

func (s versions) DeleteOfDocument(ctx context.Context, document vault.NodeID) error {
	_, err := s.tx.exec(ctx, `DELETE FROM versions WHERE document = $1`, string(document))
	return err
}

func (s versions) SignedBy(ctx context.Context, signer identity.Fingerprint, after stone.FileID, limit int) ([]stone.FileID, error) {
	return all(ctx, s.tx, scanFileID, `SELECT file_id FROM versions WHERE signer = $1 AND file_id > $2 ORDER BY file_id LIMIT $3`,
		[]byte(signer), after.String(), int64(limit))
}

func (s versions) CountSignedBy(ctx context.Context, signer identity.Fingerprint) (int, error) {
	n, err := get(ctx, s.tx, ErrCorrupt, scanInt, `SELECT count(*) FROM versions WHERE signer = $1`, []byte(signer))
	return int(n), err
}

func (s versions) Protections(ctx context.Context) ([]vault.Protection, error) {
	scan := func(row scanner) (p vault.Protection, err error) {
		var suite, used int64
		if err := row.Scan(&suite, &p.KeyVersion, &used, &p.Stones); err != nil {
			return p, err
		}
		p.InUse = used == 1
		if suite == 0 {
			return p, nil
		}
		p.Suite, err = suiteOf(suite)
		return p, stored(err)
	}
	return all(ctx, s.tx, scan, `SELECT suite, version, used, CAST(sum(n) AS BIGINT) FROM (
			SELECT coalesce(i.suite, 0) AS suite, coalesce(i.version, 0) AS version,
				CASE WHEN i.id IS NOT NULL AND i.retired_at IS NULL THEN 1 ELSE 0 END AS used, s.n AS n
			FROM (SELECT signer, count(*) AS n FROM versions GROUP BY signer) s LEFT JOIN identities i ON i.fingerprint = s.signer) AS found
		GROUP BY suite, version, used ORDER BY suite, version, used`)
}

func scanFileID(row scanner) (id stone.FileID, err error) {
	var text string
	if err := row.Scan(&text); err != nil {
		return id, err
	}
	id, err = stone.ParseFileID(text)
	return id, stored(err)
}

func versionValues(v vault.Version) []any {
	return []any{v.FileID.String(), string(v.Document), int64(v.Number), string(v.Owner), v.Revision,
		v.ManifestDigest, []byte(v.Signer), v.Size, v.BodySize, v.MediaType, v.Class, int64(v.Mode),
		milli(v.ModifiedAt), milli(v.SealedAt)}
}

// versionRow receives versionColumns, which are all NULL where an outer join found none.
type versionRow struct {
	fileID, document, owner, mediaType, class                    sql.NullString
	number, revision, size, bodySize, mode, modifiedAt, sealedAt sql.NullInt64
	manifestDigest, signer                                       []byte
}

func (r *versionRow) fields() []any {
	return []any{&r.fileID, &r.document, &r.number, &r.owner, &r.revision, &r.manifestDigest, &r.signer, &r.size,
		&r.bodySize, &r.mediaType, &r.class, &r.mode, &r.modifiedAt, &r.sealedAt}
}

func (r *versionRow) value() (vault.Version, error) {
	id, err := stone.ParseFileID(r.fileID.String)
	if err != nil {
		return vault.Version{}, stored(err)
	}
	v := vault.Version{
		FileID: id, Document: vault.NodeID(r.document.String), Number: int(r.number.Int64),
		Owner: vault.PersonID(r.owner.String), Revision: r.revision.Int64, ManifestDigest: r.manifestDigest,
		Signer: identity.Fingerprint(r.signer), Size: r.size.Int64, BodySize: r.bodySize.Int64,
		MediaType: r.mediaType.String, Class: r.class.String, Mode: uint32(r.mode.Int64),
		ModifiedAt: moment(r.modifiedAt.Int64), SealedAt: moment(r.sealedAt.Int64),
	}
	err = checkVersion(v)
	if err == nil {
		err = check("versions", rule{"mode", r.mode.Int64 == int64(v.Mode)}, rule{"number", r.number.Int64 == int64(v.Number)})
	}
	return v, stored(err)
}

func scanVersion(row scanner) (vault.Version, error) {
	var r versionRow
	if err := row.Scan(r.fields()...); err != nil {
		return vault.Version{}, err
	}
	return r.value()
}
