package metadb

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"stonevault/internal/anchor/journal"
	"stonevault/internal/anchor/journaltest"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/vault"
)

func open(t testing.TB, path string) *DB {
	t.Helper()
	db, err := OpenSQLite(t.Context(), path, Options{ProgramVersion: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// rawDB is a connection beside the package, for what a person with a tool could do to the file.
func rawDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// plan returns the steps in which SQLite would run a statement, one a line.
func plan(t *testing.T, raw *sql.DB, text string, args ...any) string {
	t.Helper()
	rows, err := raw.Query("EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "\n")
}

// TestListPlans asks SQLite how it would read a page: one sort key must never sort, and past the first
// page the index must be entered at the last row, not read from its start.
func TestListPlans(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	open(t, path)
	raw := rawDB(t, path)
	plan := func(q vault.ListQuery) string {
		t.Helper()
		q.Limit = 100
		text, args, err := listSQL(q)
		if err != nil {
			t.Fatal(err)
		}
		return plan(t, raw, text, args...)
	}
	const version = "SEARCH v USING INDEX sqlite_autoindex_versions_1 (file_id=?) LEFT-JOIN"
	for field, tt := range map[vault.SortField]struct {
		index, column string
		after         any
	}{
		vault.SortName:       {"sqlite_autoindex_nodes_2", "name", "a"},
		vault.SortSize:       {"nodes_size", "size", int64(1)},
		vault.SortMediaType:  {"nodes_media_type", "media_type", "text/plain"},
		vault.SortModifiedAt: {"nodes_modified_at", "modified_at", int64(1)},
		vault.SortCreatedAt:  {"nodes_created_at", "created_at", int64(1)},
	} {
		for descending, sign := range map[bool]string{false: ">", true: "<"} {
			q := vault.ListQuery{Sort: []vault.SortKey{{Field: field, Descending: descending}}}
			first := fmt.Sprintf("SEARCH n USING INDEX %s (owner=? AND parent=?)\n%s", tt.index, version)
			if got := plan(q); got != first {
				t.Errorf("%s, descending %v, first page:\n%s\nwant\n%s", field, descending, got, first)
			}
			q.After = []any{tt.after, strings.Repeat("0", 32)}
			bound := fmt.Sprintf("(%s,id)%s(?,?)", tt.column, sign)
			if field == vault.SortName { // this index needs no id, for names are unique
				bound = "name" + sign + "?"
			}
			next := fmt.Sprintf("SEARCH n USING INDEX %s (owner=? AND parent=? AND %s)\n%s", tt.index, bound, version)
			if got := plan(q); got != next {
				t.Errorf("%s, descending %v, next page:\n%s\nwant\n%s", field, descending, got, next)
			}
			q.Filter = vault.ListFilter{NameContains: "x", Kind: vault.NodeFile}
			if got := plan(q); got != next {
				t.Errorf("%s, descending %v, filtered:\n%s\nwant\n%s", field, descending, got, next)
			}
		}
	}
	// Keys of mixed directions enter an index as well, by the bound that repeats the first key.
	q := vault.ListQuery{Sort: []vault.SortKey{{Field: vault.SortSize, Descending: true}, {Field: vault.SortCreatedAt}},
		After: []any{int64(1), int64(1), strings.Repeat("0", 32)}}
	if got := plan(q); !strings.Contains(got, "nodes_size (owner=? AND parent=? AND size<?)") {
		t.Errorf("mixed directions:\n%s", got)
	}
}

// TestConformance runs the suites, and then looks at how SQLite would run each statement that they used.
func TestConformance(t *testing.T) {
	statements := map[string]bool{}
	watched := func(t *testing.T) *DB {
		db := open(t, filepath.Join(t.TempDir(), "vault.db"))
		t.Cleanup(func() {
			for _, s := range db.readers.idle {
				for text := range s.stmts {
					statements[text] = true
				}
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			if s := db.writer.(*writer).session; s != nil {
				for text := range s.stmts {
					statements[text] = true
				}
			}
		})
		return db
	}
	metadbtest.Run(t, func(t *testing.T) metadbtest.Database { return watched(t) })
	journaltest.Run(t, func(t *testing.T) journal.Store { return watched(t).Journal(unrecorded) })
	if len(statements) < 50 {
		t.Fatalf("only %d statements were seen", len(statements))
	}

	path := filepath.Join(t.TempDir(), "vault.db")
	open(t, path)
	raw := rawDB(t, path)
	for text := range statements {
		for _, step := range strings.Split(plan(t, raw, text, make([]any, strings.Count(text, "$"))...), "\n") {
			if strings.HasPrefix(step, "SCAN ") && !mayScan(text, step) {
				t.Errorf("%s\nreads a whole table: %s", text, step)
			}
		}
	}
}

// mayScan allows what is small, or read as a whole once in a while.
func mayScan(text, step string) bool {
	for _, allowed := range []string{"FROM intents", "FROM token_keys", "FROM audit_logs", "count(*) FROM people", "FROM schema_writer",
		"FROM webhooks ORDER BY", "FROM webhook_formers ORDER BY", "FROM servers ORDER BY", "FROM master_keys ORDER BY", "FROM versions GROUP BY signer", "count(*) FILTER (WHERE substr(", "FROM webhook_deliveries WHERE next_at IS NOT NULL LIMIT"} {
		if strings.Contains(text, allowed) {
			return true
		}
	}
	// Lists of people and of links are read along the index of their order.
	if strings.Contains(text, "FROM people p") || strings.Contains(text, "FROM links l") {
		return strings.HasPrefix(step, "SCAN p USING INDEX ") || strings.HasPrefix(step, "SCAN l USING INDEX ")
	}
	// One row without a table, and the rows of a subquery, which is a search itself.
	return step == "SCAN CONSTANT ROW" || step == "SCAN found" || step == "SCAN above"
}
