package metadb

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
)

var peopleOrder = order{map[vault.SortField]sortColumn{
	vault.SortName:      {"p.name_key", true},
	vault.SortCreatedAt: {"p.created_at", false},
	vault.SortRole:      {"p.role", true},
}, "p.id"}

// entryColumns are what is said of a person beside the account: the newest key in use, whether there is a second
// factor, the use, and limits of the person's own.
const entryColumns = `p.id, p.name, p.name_key, p.role, p.password_hash, p.epoch, p.active, p.created_at, p.updated_at, p.display_name,
	(SELECT i.fingerprint FROM identities i WHERE i.kind = 'person' AND coalesce(i.person, i.grp, '') = p.id AND i.retired_at IS NULL
		ORDER BY i.version DESC LIMIT 1),
	EXISTS (SELECT 1 FROM totp t WHERE t.person = p.id AND t.confirmed_at IS NOT NULL),
	coalesce(u.bytes, 0), coalesce(u.files, 0), q.person IS NOT NULL, q.bytes, q.files`

const entryTables = ` FROM people p LEFT JOIN usage u ON u.person = p.id LEFT JOIN quotas q ON q.person = p.id`

// near is the condition that somebody with one membership knows whoever has the other: who belongs to a group is known
// to its members and to its managers. manages is 1 where managing counts, as it does not for users.
func near(mine, them, manages string) string {
	return them + `.member = 1 AND (` + mine + `.member = 1 OR ` + mine + `.manager = ` + manages + `)`
}

// manager is what a column must hold where being a manager counts, and what it never holds where it does not.
func manager(counts bool) int64 {
	if counts {
		return 1
	}
	return -1
}

func (s people) List(ctx context.Context, q vault.PeopleQuery) ([]vault.PersonEntry, error) {
	text, args, err := peopleSQL(q)
	if err != nil {
		return nil, err
	}
	found, err := all(ctx, s.tx, scanPersonEntry, text, args...)
	for i := range found {
		if err == nil {
			found[i].Groups, err = s.groups(ctx, q.Viewer, found[i].Person.ID)
		}
	}
	return found, err
}

func (s people) Entry(ctx context.Context, viewer vault.Viewer, id vault.PersonID) (vault.PersonEntry, error) {
	e, err := get(ctx, s.tx, vault.ErrNotFound, scanPersonEntry, `SELECT `+entryColumns+entryTables+` WHERE p.id = $1`, string(id))
	if err == nil {
		e.Groups, err = s.groups(ctx, viewer, id)
	}
	return e, err
}

// peopleSQL writes the statement of one page. Values only ever become arguments.
func peopleSQL(q vault.PeopleQuery) (text string, args []any, err error) {
	if len(q.Filter.NameContains) > 255 {
		return "", nil, &vault.InvalidError{Field: "name_contains", Reason: "is longer than 255 bytes"}
	}
	var b strings.Builder
	arg := arguments(&args)
	b.WriteString(`SELECT ` + entryColumns + entryTables + ` WHERE p.id <> ''`)
	if !q.Viewer.All {
		me := arg(string(q.Viewer.Person))
		b.WriteString(` AND (p.id = ` + me + ` OR p.id IN (SELECT them.person FROM group_members mine JOIN group_members them ON them.grp = mine.grp
			WHERE mine.person = ` + me + ` AND ` + near("mine", "them", arg(manager(q.Viewer.Manages))) + `))`)
	}
	if f := q.Filter; f != (vault.PeopleFilter{}) {
		if f.Role != "" {
			b.WriteString(` AND p.role = ` + arg(string(f.Role)))
		}
		if f.Active != nil {
			b.WriteString(` AND p.active = ` + arg(flag(*f.Active)))
		}
		if f.Group != "" {
			b.WriteString(` AND p.id IN (SELECT person FROM group_members WHERE grp = ` + arg(string(f.Group)) + `)`)
		}
		if f.NameContains != "" {
			b.WriteString(containsSQL("p.name", f.NameContains, arg))
		}
	}
	page, err := peopleOrder.pageSQL(q.Sort, q.After, q.Limit, arg)
	return b.String() + page, args, err
}

// groups are those of a person that a viewer knows.
func (s people) groups(ctx context.Context, viewer vault.Viewer, person vault.PersonID) ([]vault.InGroup, error) {
	return all(ctx, s.tx, func(row scanner) (g vault.InGroup, err error) {
		var member, manager int64
		err = row.Scan(&g.Group, &g.Name, &member, &manager)
		g.Member, g.Manager = member == 1, manager == 1
		return g, err
	}, `SELECT g.id, g.name, m.member, m.manager FROM group_members m JOIN groups g ON g.id = m.grp
		WHERE m.person = $1 AND ($2 = 1 OR EXISTS (SELECT 1 FROM group_members mine
			WHERE mine.grp = m.grp AND mine.person = $3 AND (mine.member = 1 OR mine.manager = $4 OR mine.person = m.person)))
		ORDER BY g.name_key, g.id`,
		string(person), flag(viewer.All), string(viewer.Person), manager(viewer.Manages))
}

func (s people) EndSessions(ctx context.Context, id vault.PersonID, at time.Time) (int, error) {
	n, err := s.tx.RevokeSessions(ctx, string(id), "", at)
	return int(n), err
}

func (s people) RevokeTokens(ctx context.Context, id vault.PersonID, at time.Time) (int, error) {
	n, err := s.tx.exec(ctx, `UPDATE api_tokens SET revoked_at = $2 WHERE person = $1 AND revoked_at IS NULL AND expires_at > $2`, string(id), milli(at))
	return int(n), err
}

func scanPersonEntry(row scanner) (vault.PersonEntry, error) {
	var r personRow
	var e vault.PersonEntry
	var fingerprint []byte
	var bytes, files sql.NullInt64
	if err := row.Scan(append(r.fields(), &fingerprint, &e.SecondFactor, &e.Bytes, &e.Files, &e.OwnLimits, &bytes, &files)...); err != nil {
		return vault.PersonEntry{}, err
	}
	var err error
	e.Person, err = r.value()
	e.Fingerprint = identity.Fingerprint(fingerprint)
	e.BytesLimit, e.FilesLimit = optional(bytes), optional(files)
	return e, err
}

func optional(n sql.NullInt64) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.Int64
}
