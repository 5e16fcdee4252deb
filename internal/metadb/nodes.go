package metadb

import (
	"context"
	"database/sql"
	"fmt"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// nodes keeps the trees. That a node's parent is a folder of the same owner, and that a folder that is
// moved does not come to lie inside itself, is checked here: ” as the root's id rules out a foreign key.
type nodes struct{ tx *Tx }

const nodeColumns = `n.id, n.owner, n.parent, n.name, n.kind, n.current, n.size, n.media_type, n.modified_at, n.created_at, n.updated_at`

func (s nodes) Insert(ctx context.Context, n vault.Node) error {
	if err := checkNode(n); err != nil {
		return err
	}
	if err := s.parent(ctx, n); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO nodes (id, owner, parent, name, kind, current, size, media_type, modified_at, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, nodeValues(n)...)
}

// Update replaces the row of n.ID. Owner and kind never change, so that a row with others is not found.
func (s nodes) Update(ctx context.Context, n vault.Node) error {
	if err := checkNode(n); err != nil {
		return err
	}
	if err := s.parent(ctx, n); err != nil {
		return err
	}
	if n.Kind == vault.NodeFolder && n.Parent != "" {
		if err := s.notInside(ctx, n.Parent, n.ID); err != nil {
			return err
		}
	}
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE nodes SET parent = $3, name = $4, current = $6, size = $7, media_type = $8, modified_at = $9,
			created_at = $10, updated_at = $11 WHERE id = $1 AND owner = $2 AND kind = $5`, nodeValues(n)...)
}

// Give is for files alone: what lies in a folder is its owner's.
func (s nodes) Give(ctx context.Context, n vault.Node, was vault.PersonID) error {
	if err := checkNode(n); err != nil {
		return err
	}
	if err := s.parent(ctx, n); err != nil {
		return err
	}
	return s.tx.change(ctx, vault.ErrNotFound,
		`UPDATE nodes SET owner = $2, parent = $3, name = $4, current = $6, size = $7, media_type = $8, modified_at = $9,
			created_at = $10, updated_at = $11 WHERE id = $1 AND kind = $5 AND kind = 'file' AND owner = $12`,
		append(nodeValues(n), string(was))...)
}

// Delete removes a node that has neither children nor versions; others are ErrConflict.
func (s nodes) Delete(ctx context.Context, id vault.NodeID) error {
	n, err := s.ByID(ctx, id)
	if err != nil {
		return err
	}
	children, err := s.HasChildren(ctx, n.Owner, id)
	if err != nil {
		return err
	}
	if children {
		return fmt.Errorf("%w: the folder is not empty", vault.ErrConflict)
	}
	return s.tx.change(ctx, vault.ErrNotFound, `DELETE FROM nodes WHERE id = $1`, string(id))
}

func (s nodes) ByID(ctx context.Context, id vault.NodeID) (vault.Node, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanNode,
		`SELECT `+nodeColumns+` FROM nodes n WHERE n.id = $1`, string(id))
}

func (s nodes) Child(ctx context.Context, owner vault.PersonID, parent vault.NodeID, name string) (vault.Node, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanNode,
		`SELECT `+nodeColumns+` FROM nodes n WHERE n.owner = $1 AND n.parent = $2 AND n.name = $3`,
		string(owner), string(parent), name)
}

func (s nodes) Below(ctx context.Context, owner vault.PersonID, folder vault.NodeID) (names, length int, err error) {
	extent, err := get(ctx, s.tx, vault.ErrNotFound, func(row scanner) (e [2]int, err error) {
		return e, row.Scan(&e[0], &e[1])
	}, `WITH RECURSIVE below (id, names, bytes) AS (
			SELECT id, 1, octet_length(name) + 1 FROM nodes WHERE owner = $1 AND parent = $2
			UNION ALL
			SELECT n.id, b.names + 1, b.bytes + octet_length(n.name) + 1
				FROM below b JOIN nodes n ON n.owner = $1 AND n.parent = b.id)
		SELECT coalesce(max(names), 0), coalesce(max(bytes), 0) FROM below`, string(owner), string(folder))
	return extent[0], extent[1], err
}

func (s nodes) HasChildren(ctx context.Context, owner vault.PersonID, parent vault.NodeID) (bool, error) {
	n, err := get(ctx, s.tx, vault.ErrNotFound, scanInt,
		`SELECT count(*) FROM (SELECT 1 FROM nodes WHERE owner = $1 AND parent = $2 LIMIT 1) AS found`,
		string(owner), string(parent))
	return n > 0, err
}

// parent refuses a node whose parent is not a folder of its owner.
func (s nodes) parent(ctx context.Context, n vault.Node) error {
	if n.Parent == "" {
		return nil
	}
	_, err := get(ctx, s.tx, fmt.Errorf("the folder: %w", vault.ErrNotFound), scanInt,
		`SELECT 1 FROM nodes WHERE id = $1 AND owner = $2 AND kind = $3`,
		string(n.Parent), string(n.Owner), string(vault.NodeFolder))
	return err
}

// notInside refuses a place that lies below folder.
func (s nodes) notInside(ctx context.Context, place, folder vault.NodeID) error {
	n, err := get(ctx, s.tx, vault.ErrNotFound, scanInt,
		`WITH RECURSIVE above (id, parent) AS (
			SELECT id, parent FROM nodes WHERE id = $1
			UNION SELECT n.id, n.parent FROM above JOIN nodes n ON n.id = above.parent)
		SELECT count(*) FROM above WHERE id = $2`, string(place), string(folder))
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: the folder would lie inside itself", vault.ErrConflict)
	}
	return err
}

func nodeValues(n vault.Node) []any {
	return []any{string(n.ID), string(n.Owner), string(n.Parent), n.Name, string(n.Kind),
		orNull(n.Current.IsZero(), n.Current.String()), n.Size, n.MediaType,
		milli(n.ModifiedAt), milli(n.CreatedAt), milli(n.UpdatedAt)}
}

// nodeRow receives nodeColumns.
type nodeRow struct {
	node                       vault.Node
	current                    sql.NullString
	modified, created, updated int64
}

func (r *nodeRow) fields() []any {
	n := &r.node
	return []any{&n.ID, &n.Owner, &n.Parent, &n.Name, &n.Kind, &r.current, &n.Size, &n.MediaType,
		&r.modified, &r.created, &r.updated}
}

func (r *nodeRow) value() (vault.Node, error) {
	n := r.node
	n.ModifiedAt, n.CreatedAt, n.UpdatedAt = moment(r.modified), moment(r.created), moment(r.updated)
	if r.current.Valid {
		var err error
		if n.Current, err = stone.ParseFileID(r.current.String); err != nil {
			return vault.Node{}, stored(err)
		}
	}
	return n, stored(checkNode(n))
}

func scanNode(row scanner) (vault.Node, error) {
	var r nodeRow
	if err := row.Scan(r.fields()...); err != nil {
		return vault.Node{}, err
	}
	return r.value()
}
