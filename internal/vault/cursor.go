package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxSortKeys  = 3
	maxCursor    = 8192
)

// listing is how a kind of list is sorted, and what a cursor says of its rows R.
type listing[R any] struct {
	fields []listingField[R] // the first one is the order where none is asked for
	id     func(R) string
}

// listingField is a field that a list sorts by, with a row's value of it: a string or an int64.
type listingField[R any] struct {
	name  SortField
	value func(R) any
}

var entries = listing[Entry]{
	[]listingField[Entry]{
		{SortName, func(e Entry) any { return e.Node.Name }},
		{SortSize, func(e Entry) any { return e.Node.Size }},
		{SortMediaType, func(e Entry) any { return e.Node.MediaType }},
		{SortModifiedAt, func(e Entry) any { return e.Node.ModifiedAt.UnixMilli() }},
		{SortCreatedAt, func(e Entry) any { return e.Node.CreatedAt.UnixMilli() }},
	},
	func(e Entry) string { return string(e.Node.ID) },
}

func (l listing[R]) field(name SortField) (listingField[R], bool) {
	i := slices.IndexFunc(l.fields, func(f listingField[R]) bool { return f.name == name })
	if i < 0 {
		return listingField[R]{}, false
	}
	return l.fields[i], true
}

// names lists the fields as a sentence does.
func (l listing[R]) names() string {
	var b strings.Builder
	for i, f := range l.fields {
		switch {
		case i > 0 && i == len(l.fields)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(f.name))
	}
	return b.String()
}

// parse reads an order such as "-created_at,name", and the cursor of the last row seen in that order.
func (l listing[R]) parse(sort, cursor string) (keys []SortKey, after []any, err error) {
	if keys, err = l.keys(sort); err != nil {
		return nil, nil, err
	}
	after, err = l.after(cursor, sort, keys)
	return keys, after, err
}

func (l listing[R]) keys(text string) ([]SortKey, error) {
	if text == "" {
		return []SortKey{{Field: l.fields[0].name}}, nil
	}
	var keys []SortKey
	for term := range strings.SplitSeq(text, ",") {
		field, descending := strings.CutPrefix(term, "-")
		key := SortKey{SortField(field), descending}
		if _, ok := l.field(key.Field); !ok {
			return nil, &InvalidError{"sort", fmt.Sprintf("has %q; use %s", field, l.names())}
		}
		if slices.ContainsFunc(keys, func(k SortKey) bool { return k.Field == key.Field }) {
			return nil, &InvalidError{"sort", fmt.Sprintf("has %q twice", field)}
		}
		keys = append(keys, key)
	}
	if len(keys) > maxSortKeys {
		return nil, &InvalidError{"sort", fmt.Sprintf("has more than %d fields", maxSortKeys)}
	}
	return keys, nil
}

// next cuts a page that was asked for with one row more than its limit, and returns the cursor that goes on behind
// it: "" at the end.
func (l listing[R]) next(rows []R, limit int, sort string, keys []SortKey) (page []R, cursor string, err error) {
	if len(rows) <= limit {
		return rows, "", nil
	}
	last := rows[limit-1]
	values := make([]any, 0, len(keys)+1)
	for _, k := range keys {
		f, _ := l.field(k.Field)
		values = append(values, f.value(last))
	}
	cursor, err = encodeCursor(sort, append(values, l.id(last)))
	return rows[:limit], cursor, err
}

// cursorJSON is what a cursor holds: the order it belongs to and the last row's values, its id at the
// end. It gives no right that its holder lacks, so it is not sealed.
type cursorJSON struct {
	Sort   string `json:"s"`
	Values []any  `json:"v"`
}

func encodeCursor(sort string, values []any) (string, error) {
	b, err := json.Marshal(cursorJSON{sort, values})
	if err != nil {
		return "", fmt.Errorf("cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func errCursor() error {
	return &InvalidError{"cursor", "is not one that this list gave; begin again without it"}
}

// decodeCursor returns the values of a cursor of one order: strings and json.Numbers. No text is no
// cursor.
func decodeCursor(text, sort string) ([]any, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxCursor {
		return nil, errCursor()
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errCursor()
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	d.UseNumber()
	var c cursorJSON
	if err := d.Decode(&c); err != nil || d.More() || c.Sort != sort {
		return nil, errCursor()
	}
	return c.Values, nil
}

// after returns the values of a cursor as ListQuery.After has them.
func (l listing[R]) after(text, sort string, keys []SortKey) ([]any, error) {
	values, err := decodeCursor(text, sort)
	if err != nil || text == "" {
		return nil, err
	}
	if len(values) != len(keys)+1 {
		return nil, errCursor()
	}
	after := make([]any, 0, len(values))
	for i, v := range values {
		number := false
		if i < len(keys) {
			var none R
			f, _ := l.field(keys[i].Field)
			_, number = f.value(none).(int64)
		}
		switch v := v.(type) {
		case string:
			if number {
				return nil, errCursor()
			}
			after = append(after, v)
		case json.Number:
			n, err := v.Int64()
			if !number || err != nil || n == math.MinInt64 {
				return nil, errCursor()
			}
			after = append(after, n)
		default:
			return nil, errCursor()
		}
	}
	return after, nil
}

// pageLimit is the limit that was asked for, or the usual one where that is 0.
func pageLimit(asked int) (int, error) {
	if asked == 0 {
		return defaultLimit, nil
	}
	if asked < 1 || asked > maxLimit {
		return 0, &InvalidError{"limit", fmt.Sprintf("is not from 1 to %d", maxLimit)}
	}
	return asked, nil
}
