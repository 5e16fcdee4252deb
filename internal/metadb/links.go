package metadb

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"stonevault/internal/vault"
)

type links struct{ tx *Tx }

const linkColumns = `l.id, l.hash, l.kind, l.person, l.grp, l.made_by, l.created_at, l.expires_at`

var linkOrder = order{map[vault.SortField]sortColumn{
	vault.SortCreatedAt: {"l.created_at", false},
	vault.SortExpiresAt: {"l.expires_at", false},
}, "l.id"}

func (s links) Insert(ctx context.Context, l vault.Link) error {
	if err := checkLink(l); err != nil {
		return err
	}
	return s.tx.insert(ctx, vault.ErrNotFound,
		`INSERT INTO links (id, hash, kind, person, grp, made_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		string(l.ID), l.Hash, string(l.Kind), orNull(l.Person == "", string(l.Person)), orNull(l.Group == "", string(l.Group)),
		orNull(l.MadeBy == "", string(l.MadeBy)), milli(l.CreatedAt), milli(l.ExpiresAt))
}

func (s links) ByHash(ctx context.Context, hash []byte) (vault.Link, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanLink, `SELECT `+linkColumns+` FROM links l WHERE l.hash = $1`, hash)
}

func (s links) ByID(ctx context.Context, id vault.LinkID) (vault.Link, error) {
	return get(ctx, s.tx, vault.ErrNotFound, scanLink, `SELECT `+linkColumns+` FROM links l WHERE l.id = $1`, string(id))
}

func (s links) MadeBy(ctx context.Context, person vault.PersonID) ([]vault.Link, error) {
	return all(ctx, s.tx, scanLink, `SELECT `+linkColumns+` FROM links l WHERE l.made_by = $1 ORDER BY l.created_at, l.id`, string(person))
}

func (s links) Delete(ctx context.Context, id vault.LinkID) error {
	return s.tx.change(ctx, vault.ErrNotFound, `DELETE FROM links WHERE id = $1`, string(id))
}

func (s links) DeleteOf(ctx context.Context, person vault.PersonID) error {
	_, err := s.tx.exec(ctx, `DELETE FROM links WHERE person = $1`, string(person))
	return err
}

func (s links) DeleteExpired(ctx context.Context, at time.Time) error {
	_, err := s.tx.exec(ctx, `DELETE FROM links WHERE expires_at <= $1`, milli(at))
	return err
}

func (s links) Invitations(ctx context.Context, q vault.InvitationQuery) ([]vault.Invitation, error) {
	var args []any
	var b strings.Builder
	arg := arguments(&args)
	b.WriteString(`SELECT ` + linkColumns + `, coalesce(g.name, ''), coalesce(p.name, '')
		FROM links l LEFT JOIN groups g ON g.id = l.grp LEFT JOIN people p ON p.id = l.made_by
		WHERE l.kind = 'invitation' AND l.expires_at > ` + arg(milli(q.At)))
	if !q.Viewer.All {
		b.WriteString(` AND l.grp IN (SELECT grp FROM group_members WHERE person = ` + arg(string(q.Viewer.Person)) +
			` AND manager = ` + arg(manager(q.Viewer.Manages)) + `)`)
	}
	if q.Group != "" {
		b.WriteString(` AND l.grp = ` + arg(string(q.Group)))
	}
	page, err := linkOrder.pageSQL(q.Sort, q.After, q.Limit, arg)
	if err != nil {
		return nil, err
	}
	return all(ctx, s.tx, func(row scanner) (i vault.Invitation, err error) {
		var r linkRow
		if err := row.Scan(append(r.fields(), &i.GroupName, &i.MadeByName)...); err != nil {
			return i, err
		}
		i.Link, err = r.value()
		return i, err
	}, b.String()+page, args...)
}

// linkRow receives linkColumns.
type linkRow struct {
	link                  vault.Link
	person, group, madeBy sql.NullString
	created, expires      int64
}

func (r *linkRow) fields() []any {
	return []any{&r.link.ID, &r.link.Hash, &r.link.Kind, &r.person, &r.group, &r.madeBy, &r.created, &r.expires}
}

func (r *linkRow) value() (vault.Link, error) {
	l := r.link
	l.Person, l.Group, l.MadeBy = vault.PersonID(r.person.String), vault.GroupID(r.group.String), vault.PersonID(r.madeBy.String)
	l.CreatedAt, l.ExpiresAt = moment(r.created), moment(r.expires)
	return l, stored(checkLink(l))
}

func scanLink(row scanner) (vault.Link, error) {
	var r linkRow
	if err := row.Scan(r.fields()...); err != nil {
		return vault.Link{}, err
	}
	return r.value()
}

func checkLink(l vault.Link) error {
	reset := l.Kind == vault.LinkReset
	return check("links",
		rule{"id", isID(l.ID)},
		rule{"hash", len(l.Hash) == 32},
		rule{"kind", reset || l.Kind == vault.LinkInvitation},
		rule{"person", reset == isID(l.Person) && (l.Person == "" || reset)},
		rule{"grp", l.Group == "" || isID(l.Group) && !reset},
		rule{"made_by", l.MadeBy == "" || isID(l.MadeBy)},
		rule{"created_at", isTime(l.CreatedAt)},
		rule{"expires_at", isTime(l.ExpiresAt)},
	)
}
