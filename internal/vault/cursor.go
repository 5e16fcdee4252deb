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

// sortFields says which columns lists sort by, and whether their values are numbers.
var sortFields = map[SortField]struct{ number bool }{
	SortName:       {},
	SortMediaType:  {},
	SortSize:       {number: true},
	SortModifiedAt: {number: true},
	SortCreatedAt:  {number: true},
}

// parseSort reads "-created_at,name".
func parseSort(text string) ([]SortKey, error) {
	if text == "" {
		return []SortKey{{Field: SortName}}, nil
	}
	var keys []SortKey
	for term := range strings.SplitSeq(text, ",") {
		field, descending := strings.CutPrefix(term, "-")
		key := SortKey{SortField(field), descending}
		if _, ok := sortFields[key.Field]; !ok {
			return nil, &InvalidError{"sort", fmt.Sprintf("has %q; use name, size, media_type, modified_at or created_at", field)}
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

// cursorJSON is what a cursor holds: the order it belongs to and the last row's values, its id at the
// end. It gives no right that its holder lacks, so it is not sealed.
type cursorJSON struct {
	Sort   string `json:"s"`
	Values []any  `json:"v"`
}

func formatCursor(sort string, keys []SortKey, last Entry) (string, error) {
	values := make([]any, 0, len(keys)+1)
	for _, k := range keys {
		switch k.Field {
		case SortName:
			values = append(values, last.Node.Name)
		case SortMediaType:
			values = append(values, last.Node.MediaType)
		case SortSize:
			values = append(values, last.Node.Size)
		case SortModifiedAt:
			values = append(values, last.Node.ModifiedAt.UnixMilli())
		case SortCreatedAt:
			values = append(values, last.Node.CreatedAt.UnixMilli())
		}
	}
	return encodeCursor(sort, append(values, string(last.Node.ID)))
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

// parseCursor returns ListQuery.After.
func parseCursor(text, sort string, keys []SortKey) ([]any, error) {
	values, err := decodeCursor(text, sort)
	if err != nil || text == "" {
		return nil, err
	}
	if len(values) != len(keys)+1 {
		return nil, errCursor()
	}
	after := make([]any, 0, len(values))
	for i, v := range values {
		number := i < len(keys) && sortFields[keys[i].Field].number
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
