package metadb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// sortColumn is where a field lies, and whether its values are text or integers.
type sortColumn struct {
	name string
	text bool
}

// order is how a list can be sorted: where its fields lie, and the column that is different in every row.
type order struct {
	columns map[vault.SortField]sortColumn
	id      string
}

var nodeOrder = order{map[vault.SortField]sortColumn{
	vault.SortName:       {"n.name", true},
	vault.SortSize:       {"n.size", false},
	vault.SortMediaType:  {"n.media_type", true},
	vault.SortModifiedAt: {"n.modified_at", false},
	vault.SortCreatedAt:  {"n.created_at", false},
}, "n.id"}

// List returns one page of a folder. The order is q.Sort and then the node id; the id goes in the
// direction of the last sort key, so that an index read forwards or backwards gives either order.
// Text is ordered by its bytes.
//
// One sort key costs the same on every page of a folder of any size; several keys sort the folder.
// A sort or a cursor that cannot be is a *vault.InvalidError.
func (s nodes) List(ctx context.Context, q vault.ListQuery) ([]vault.Entry, error) {
	text, args, err := listSQL(q)
	if err != nil {
		return nil, err
	}
	return all(ctx, s.tx, scanEntry, text, args...)
}

// term is one column of an order.
type term struct {
	column     string
	descending bool
	after      any // nil on the first page
}

func (t term) direction() string {
	if t.descending {
		return " DESC"
	}
	return " ASC"
}

func (t term) beyond() string {
	if t.descending {
		return " < "
	}
	return " > "
}

// listSQL writes the statement of one page. Values only ever become arguments.
func listSQL(q vault.ListQuery) (text string, args []any, err error) {
	if len(q.Filter.NameContains) > 255 {
		return "", nil, &vault.InvalidError{Field: "name_contains", Reason: "is longer than 255 bytes"}
	}
	var b strings.Builder
	arg := arguments(&args)
	b.WriteString(`SELECT ` + nodeColumns + `, ` + versionColumns +
		` FROM nodes n LEFT JOIN versions v ON v.file_id = n.current` +
		` WHERE n.owner = ` + arg(string(q.Owner)) + ` AND n.parent = ` + arg(string(q.Folder)))
	if f := q.Filter; f != (vault.ListFilter{}) {
		if f.Kind != "" {
			b.WriteString(` AND n.kind = ` + arg(string(f.Kind)))
		}
		if prefix, isPrefix := strings.CutSuffix(f.MediaType, "/"); isPrefix {
			// '0' is the byte after '/'.
			b.WriteString(` AND n.media_type >= ` + arg(f.MediaType) + ` AND n.media_type < ` + arg(prefix+"0"))
		} else if f.MediaType != "" {
			b.WriteString(` AND n.media_type = ` + arg(f.MediaType))
		}
		if f.NameContains != "" {
			b.WriteString(containsSQL("n.name", f.NameContains, arg))
		}
	}
	page, err := nodeOrder.pageSQL(q.Sort, q.After, q.Limit, arg)
	return b.String() + page, args, err
}

// arguments returns what keeps a value for a statement and gives its place there.
func arguments(args *[]any) func(v any) string {
	return func(v any) string {
		*args = append(*args, v)
		return fmt.Sprintf("$%d", len(*args))
	}
}

// pageSQL is the end of a list's statement: what lies behind the last row seen, the order and the limit. It goes
// on from a WHERE.
func (o order) pageSQL(sort []vault.SortKey, after []any, limit int, arg func(any) string) (string, error) {
	if limit < 1 {
		return "", &vault.InvalidError{Field: "limit", Reason: "is less than 1"}
	}
	terms, err := o.terms(sort, after)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if after != nil {
		b.WriteString(afterSQL(terms, arg))
	}
	b.WriteString(` ORDER BY `)
	for i, t := range terms {
		if i > 0 {
			b.WriteString(`, `)
		}
		b.WriteString(t.column + t.direction())
	}
	b.WriteString(` LIMIT ` + arg(int64(limit)))
	return b.String(), nil
}

// terms is an order with the id at its end and, past the first page, the values of the last row.
func (o order) terms(sort []vault.SortKey, after []any) ([]term, error) {
	if after != nil && len(after) != len(sort)+1 {
		return nil, errCursor
	}
	terms := make([]term, 0, len(sort)+1)
	for i, key := range sort {
		column, ok := o.columns[key.Field]
		if !ok {
			return nil, &vault.InvalidError{Field: "sort", Reason: "names an unknown field"}
		}
		if slices.ContainsFunc(terms, func(t term) bool { return t.column == column.name }) {
			return nil, &vault.InvalidError{Field: "sort", Reason: "names a field twice"}
		}
		t := term{column: column.name, descending: key.Descending}
		if after != nil {
			_, isText := after[i].(string)
			_, isInt := after[i].(int64)
			if isText != column.text || isInt == column.text {
				return nil, errCursor
			}
			t.after = after[i]
		}
		terms = append(terms, t)
	}
	id := term{column: o.id, descending: len(terms) > 0 && terms[len(terms)-1].descending}
	if after != nil {
		switch last := after[len(sort)].(type) {
		case string:
			id.after = last
		case vault.NodeID:
			id.after = string(last)
		default:
			return nil, errCursor
		}
	}
	return append(terms, id), nil
}

var errCursor = &vault.InvalidError{Field: "cursor", Reason: "does not belong to this order; begin again without it"}

// afterSQL is the condition that a row comes after the values of terms. In one direction a comparison of
// rows uses the index. In mixed directions the nested form is needed; its first comparison repeats the
// outermost one so that an index can bound the scan.
func afterSQL(terms []term, arg func(any) string) string {
	mixed := slices.ContainsFunc(terms, func(t term) bool { return t.descending != terms[0].descending })
	values := make([]string, len(terms))
	for i, t := range terms {
		values[i] = arg(t.after)
	}
	if !mixed {
		columns := make([]string, len(terms))
		for i, t := range terms {
			columns[i] = t.column
		}
		return ` AND (` + strings.Join(columns, `, `) + `)` + terms[0].beyond() + `(` + strings.Join(values, `, `) + `)`
	}
	last := len(terms) - 1
	condition := terms[last].column + terms[last].beyond() + values[last]
	for i := last - 1; i >= 0; i-- {
		t := terms[i]
		condition = t.column + t.beyond() + values[i] + ` OR (` + t.column + ` = ` + values[i] + ` AND (` + condition + `))`
	}
	first := strings.TrimSpace(terms[0].beyond()) + "= "
	return ` AND ` + terms[0].column + ` ` + first + values[0] + ` AND (` + condition + `)`
}

// containsSQL is the condition that a column contains part. lower() changes ASCII alone in SQLite, and in PostgreSQL
// under the collation "C".
func containsSQL(column, part string, arg func(any) string) string {
	return ` AND lower(` + column + `) LIKE ` + arg(containsPattern(part)) + ` ESCAPE '!'`
}

// containsPattern is the LIKE pattern of names that contain part, in ASCII lower case.
func containsPattern(part string) string {
	var b strings.Builder
	b.WriteByte('%')
	for i := range len(part) {
		c := part[i]
		switch {
		case c == '%' || c == '_' || c == '!':
			b.WriteByte('!')
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	b.WriteByte('%')
	return b.String()
}

func scanEntry(row scanner) (vault.Entry, error) {
	var n nodeRow
	var v versionRow
	if err := row.Scan(append(n.fields(), v.fields()...)...); err != nil {
		return vault.Entry{}, err
	}
	var e vault.Entry
	var err error
	if e.Node, err = n.value(); err != nil {
		return vault.Entry{}, err
	}
	if e.Node.Current == (stone.FileID{}) {
		return e, nil
	}
	if e.Version, err = v.value(); err != nil {
		return vault.Entry{}, err
	}
	return e, stored(check("nodes", rule{"current", e.Version.Document == e.Node.ID}))
}
