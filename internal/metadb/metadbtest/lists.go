package metadbtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/internal/vault"
)

// shelf fills a folder with files whose values often agree, so that every tie is tried, and returns
// what lies there in no order.
func shelf(t *testing.T, db Database, files int) (vault.Node, []vault.Entry) {
	t.Helper()
	owner := people(t, db, 2)
	r := rand.New(rand.NewPCG(1, 2))
	folder := Folder(1, owner, "", "shelf")
	types := []string{"image/png", "image/jpeg", "imagex", "text/plain", "image0", ""}
	var entries []vault.Entry
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		if err := tx.Nodes().Insert(ctx, folder); err != nil {
			return err
		}
		for i := range files {
			n, v := File(r.IntN(1<<30)<<10|i, owner, folder.ID, fmt.Sprintf("%c%d", "aZ_é%!"[r.IntN(6)], r.IntN(1<<30)<<10|i))
			n.CreatedAt = start.Add(time.Duration(r.IntN(5)-9) * time.Hour)
			e := vault.Entry{Node: n}
			if i%5 == 0 {
				f := Folder(0, owner, folder.ID, n.Name)
				f.ID, f.CreatedAt = n.ID, n.CreatedAt
				e.Node = f
				if err := tx.Nodes().Insert(ctx, f); err != nil {
					return err
				}
			} else {
				n.Size, n.MediaType = int64(r.IntN(4)), types[r.IntN(len(types))]
				n.ModifiedAt = time.UnixMilli(int64(r.IntN(3)) - 1).UTC()
				v.Size, v.MediaType, v.ModifiedAt = n.Size, n.MediaType, n.ModifiedAt
				e = vault.Entry{Node: n, Version: v}
				if err := InsertFile(ctx, tx, n, v); err != nil {
					return err
				}
			}
			entries = append(entries, e)
		}
		// Rows that no list of the folder may hold.
		n, v := File(2, owner, "", "elsewhere")
		if err := InsertFile(ctx, tx, n, v); err != nil {
			return err
		}
		n, v = File(3, ID[vault.PersonID](2), "", "somebody else's")
		return InsertFile(ctx, tx, n, v)
	})
	return folder, entries
}

func sortValue(n vault.Node, f vault.SortField) any {
	switch f {
	case vault.SortName:
		return n.Name
	case vault.SortMediaType:
		return n.MediaType
	case vault.SortSize:
		return n.Size
	case vault.SortModifiedAt:
		return n.ModifiedAt.UnixMilli()
	default:
		return n.CreatedAt.UnixMilli()
	}
}

func compareValues(a, b any) int {
	if s, ok := a.(string); ok {
		return strings.Compare(s, b.(string))
	}
	return cmp.Compare(a.(int64), b.(int64))
}

// sorted is the model: the entries in q's order, the id in the direction of the last key.
func sorted(entries []vault.Entry, keys []vault.SortKey) []vault.Entry {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b vault.Entry) int {
		sign := 1
		for _, k := range keys {
			sign = 1
			if k.Descending {
				sign = -1
			}
			if c := compareValues(sortValue(a.Node, k.Field), sortValue(b.Node, k.Field)); c != 0 {
				return sign * c
			}
		}
		return sign * strings.Compare(string(a.Node.ID), string(b.Node.ID))
	})
	return entries
}

// walk reads a whole list page by page.
func walk(t *testing.T, db Database, q vault.ListQuery) (entries []vault.Entry) {
	t.Helper()
	for range 1000 {
		var page []vault.Entry
		view(t, db, func(ctx context.Context, tx vault.Tx) (err error) {
			page, err = tx.Nodes().List(ctx, q)
			return err
		})
		if len(page) > q.Limit {
			t.Fatalf("a page of %d has %d entries", q.Limit, len(page))
		}
		entries = append(entries, page...)
		if len(page) < q.Limit {
			return entries
		}
		last := page[len(page)-1].Node
		q.After = nil
		for _, k := range q.Sort {
			q.After = append(q.After, sortValue(last, k.Field))
		}
		q.After = append(q.After, string(last.ID))
	}
	t.Fatal("the list does not end")
	return nil
}

func testLists(t *testing.T, db Database) {
	folder, entries := shelf(t, db, 60)
	fields := []vault.SortField{vault.SortName, vault.SortSize, vault.SortMediaType, vault.SortModifiedAt, vault.SortCreatedAt}
	orders := [][]vault.SortKey{nil}
	for _, f := range fields {
		for _, d := range []bool{false, true} {
			orders = append(orders, []vault.SortKey{{Field: f, Descending: d}})
			for _, g := range fields {
				if g != f {
					orders = append(orders, []vault.SortKey{{Field: f, Descending: d}, {Field: g}}, []vault.SortKey{{Field: f, Descending: d}, {Field: g, Descending: true}})
				}
			}
		}
	}
	orders = append(orders,
		[]vault.SortKey{{Field: vault.SortSize, Descending: true}, {Field: vault.SortMediaType}, {Field: vault.SortModifiedAt, Descending: true}},
		[]vault.SortKey{{Field: vault.SortModifiedAt}, {Field: vault.SortSize}, {Field: vault.SortCreatedAt, Descending: true}, {Field: vault.SortMediaType}})
	for _, order := range orders {
		limits := []int{7, 61}
		if len(order) <= 1 {
			limits = []int{1, 7, 59, 60, 61}
		}
		for _, limit := range limits {
			got := walk(t, db, vault.ListQuery{Owner: folder.Owner, Folder: folder.ID, Sort: order, Limit: limit})
			equal(t, fmt.Sprintf("order %v in pages of %d", order, limit), got, sorted(entries, order))
		}
	}
	// The last row need not exist any more.
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		all := sorted(entries, []vault.SortKey{{Field: vault.SortSize}})
		q := vault.ListQuery{Owner: folder.Owner, Folder: folder.ID, Sort: []vault.SortKey{{Field: vault.SortSize}}, Limit: 100,
			After: []any{int64(1), strings.Repeat("f", 32)}}
		got, err := tx.Nodes().List(ctx, q)
		equal(t, "after a row that is gone", got, slices.Collect(func(yield func(vault.Entry) bool) {
			for _, e := range all {
				if e.Node.Size > 1 && !yield(e) {
					return
				}
			}
		}))
		return err
	})
}

func testListFilters(t *testing.T, db Database) {
	folder, entries := shelf(t, db, 120)
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, s)
	}
	filters := []vault.ListFilter{
		{Kind: vault.NodeFolder}, {Kind: vault.NodeFile},
		{MediaType: "image/"}, {MediaType: "image/png"}, {MediaType: "image"}, {MediaType: "text/"}, {MediaType: "/"},
		{NameContains: "z"}, {NameContains: "Z1"}, {NameContains: "%"}, {NameContains: "_"}, {NameContains: "!"},
		{NameContains: "é"}, {NameContains: "É"}, {NameContains: "12"}, {NameContains: "' OR 1=1 --"}, {NameContains: strings.Repeat("9", 255)},
		{NameContains: "1", MediaType: "image/", Kind: vault.NodeFile},
	}
	found := 0
	for _, f := range filters {
		var want []vault.Entry
		for _, e := range entries {
			prefix, isPrefix := strings.CutSuffix(f.MediaType, "/")
			if (f.Kind == "" || e.Node.Kind == f.Kind) &&
				(f.MediaType == "" || e.Node.MediaType == f.MediaType || isPrefix && strings.HasPrefix(e.Node.MediaType, prefix+"/")) &&
				strings.Contains(lower(e.Node.Name), lower(f.NameContains)) {
				want = append(want, e)
			}
		}
		found += len(want)
		order := []vault.SortKey{{Field: vault.SortSize, Descending: true}}
		got := walk(t, db, vault.ListQuery{Owner: folder.Owner, Folder: folder.ID, Filter: f, Sort: order, Limit: 5})
		if len(got)+len(want) > 0 {
			equal(t, fmt.Sprintf("filter %+v", f), got, sorted(want, order))
		}
	}
	if found < 100 {
		t.Errorf("the filters met %d entries; the test has lost its meaning", found)
	}
}

func testListInvalid(t *testing.T, db Database) {
	folder, _ := shelf(t, db, 5)
	size := []vault.SortKey{{Field: vault.SortSize}}
	id := strings.Repeat("0", 32)
	for what, q := range map[string]vault.ListQuery{
		"limit of 0":         {Sort: size},
		"unknown field":      {Limit: 1, Sort: []vault.SortKey{{Field: "owner"}}},
		"SQL for a field":    {Limit: 1, Sort: []vault.SortKey{{Field: "size; DROP TABLE nodes"}}},
		"field twice":        {Limit: 1, Sort: append(size, size...)},
		"short cursor":       {Limit: 1, Sort: size, After: []any{id}},
		"empty cursor":       {Limit: 1, Sort: size, After: []any{}},
		"long cursor":        {Limit: 1, Sort: size, After: []any{int64(1), id, id}},
		"text for a number":  {Limit: 1, Sort: size, After: []any{"1", id}},
		"float for a number": {Limit: 1, Sort: size, After: []any{1.0, id}},
		"number for an id":   {Limit: 1, Sort: size, After: []any{int64(1), int64(1)}},
		"number for a text":  {Limit: 1, Sort: []vault.SortKey{{Field: vault.SortName}}, After: []any{int64(1), id}},
		"nil":                {Limit: 1, Sort: size, After: []any{nil, id}},
		"long part of name":  {Limit: 1, Sort: size, Filter: vault.ListFilter{NameContains: strings.Repeat("x", 256)}},
	} {
		q.Owner, q.Folder = folder.Owner, folder.ID
		err := db.View(t.Context(), func(tx vault.Tx) error {
			_, err := tx.Nodes().List(t.Context(), q)
			return err
		})
		if invalid := (*vault.InvalidError)(nil); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
