package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/internal/metadb/testdb"
)

// passing are tables and columns that requests change which change nothing: who asked when, and what was refused.
var passing = []string{"audit_", "sqlite_", "goose_", "sign_in_failures", "schema_writer", "servers.expires_at", "webhook_deliveries", "sessions.last_used_at", "api_tokens.last_used_at"}

// rowsOf is everything that the database holds and that is no record of requests.
func (w *world) rowsOf() string {
	w.t.Helper()
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	raw, err := testdb.Raw(w.database())
	check(err)
	defer raw.Close()
	each := func(query string, fn func(names []string, values []any)) {
		w.t.Helper()
		rows, err := raw.Query(query)
		check(err)
		defer rows.Close()
		names, err := rows.Columns()
		check(err)
		for rows.Next() {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			check(rows.Scan(into...))
			fn(names, values)
		}
		check(rows.Err())
	}
	var tables []string
	names := `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`
	if !testdb.OnSQLite() {
		names = `SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename`
	}
	each(names, func(_ []string, values []any) {
		tables = append(tables, fmt.Sprint(values[0]))
	})
	var b strings.Builder
	for _, table := range tables {
		if slices.ContainsFunc(passing, func(p string) bool { return strings.HasPrefix(table, p) }) {
			continue
		}
		var lines []string
		each(`SELECT * FROM "`+table+`"`, func(names []string, values []any) {
			line := table
			for i, name := range names {
				if !slices.Contains(passing, table+"."+name) {
					line += fmt.Sprintf(" %s=%v", name, values[i])
				}
			}
			lines = append(lines, line+"\n")
		})
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return b.String()
}

// differences are the lines that one of two texts has.
func differences(before, after string) (all []string) {
	a, b := slices.Collect(strings.Lines(before)), slices.Collect(strings.Lines(after))
	for _, line := range b {
		if !slices.Contains(a, line) {
			all = append(all, "+ "+line)
		}
	}
	for _, line := range a {
		if !slices.Contains(b, line) {
			all = append(all, "- "+line)
		}
	}
	return all
}

// inputStatuses are those of refusals of input. Any other status would say that the input was not looked at.
var inputStatuses = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}

// sooner are the problems of operations that look at something else before they look at values.
var sooner = map[string]string{
	"POST /api/v1/setup": "/problems/setup-over", "POST /api/v1/me/factor/confirm": "/problems/wrong-code",
	"POST /api/v1/links/look": "/problems/link-over", "POST /api/v1/links/join": "/problems/link-over", "POST /api/v1/links/reset": "/problems/link-over",
	"GET /api/v1/people/lookup": "/problems/not-found",
}

// wantRefusedInput checks that a reply is a problem document about what was sent.
func wantRefusedInput(t *testing.T, op operation, what string, a *answer) {
	t.Helper()
	if problem, ok := sooner[op.name]; ok && a.StatusCode < 500 && bytes.Contains(a.body, []byte(quote(problem))) {
		return
	}
	if !slices.Contains(inputStatuses, a.StatusCode) || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%.200s: %d %s %.300s", what, a.StatusCode, a.Header.Get("Content-Type"), a.body)
		return
	}
	if a.Request.Method == http.MethodHead {
		return
	}
	var p api.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Errorf("%.200s: %s", what, a.body)
		return
	}
	k := kindOf(strings.TrimPrefix(p.Type, "/problems/"))
	if k == nil || p.Status != a.StatusCode || p.Title != k.title || p.Detail == "" || p.RequestID != a.Header.Get("X-Request-Id") {
		t.Errorf("%.200s: %+v", what, p)
	}
}

// badBody is a body that no operation with a schema takes, and how it is sent.
type badBody struct {
	name, body string
	header     []string
}

// badBodies are made from what a schema says, and a sound body.
func badBodies(s schema, good map[string]any, limit int64) []badBody {
	sound := text(good)
	with := func(name, value string) string { // the sample with another value, or one more
		parts := []string{quote(name) + ":" + value}
		for _, other := range slices.Sorted(maps.Keys(good)) {
			if other != name {
				parts = append(parts, quote(other)+":"+text(good[other]))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	all := []badBody{
		{"empty", "", jsonBody}, {"white space", " \n", jsonBody}, {"null", "null", jsonBody}, {"a number", "1", jsonBody},
		{"a text", `"x"`, jsonBody}, {"a list", "[" + sound + "]", jsonBody}, {"no JSON", "{", jsonBody},
		{"something after", sound + "x", jsonBody}, {"two objects", sound + sound, jsonBody}, {"NUL after", sound + "\x00", jsonBody},
		{"a byte order mark", "\ufeff" + sound, jsonBody}, {"UTF-16", "\xff\xfe{\x00}\x00", jsonBody},
		{"nested lists", strings.Repeat("[", 10000), jsonBody}, {"nested objects", strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000), jsonBody},
		{"an unknown name", with("unknown_name", "1"), jsonBody}, {"an unknown nested name", with("unknown_name", strings.Repeat(`{"a":`, 10000)+"1"+strings.Repeat("}", 10000)), jsonBody},
		{"invalid UTF-8 in a name", with("unknown", "1")[:10] + "\xff" + with("unknown", "1")[10:], jsonBody},
		{"a prototype", with("__proto__", "{}"), jsonBody},
		{"too long", sound + strings.Repeat(" ", int(limit)-len(sound)+1), jsonBody},
		{"no media type", sound, nil}, {"text", sound, []string{"Content-Type: text/plain"}},
		{"a form", sound, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"another character set", sound, []string{"Content-Type: application/json; charset=utf-16"}},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		value := text(sample(name, s.Properties[name]))
		all = append(all,
			badBody{name + " twice", strings.TrimSuffix(with(name, value), "}") + "," + quote(name) + ":" + value + "}", jsonBody},
			badBody{name + " in capitals", with(strings.ToUpper(name), value), jsonBody})
		for _, wrong := range wrongValues(s.Properties[name]) {
			all = append(all, badBody{name + " = " + wrong, with(name, wrong), jsonBody})
		}
	}
	for _, name := range s.Required {
		less := maps.Clone(good)
		delete(less, name)
		all = append(all, badBody{"no " + name, text(less), jsonBody})
	}
	return all
}

// TestBadBodies: whatever is wrong with the body of any operation that takes JSON, the answer is a problem document
// that says so, and nothing changes. It is sent as an admin, to things that are there.
func TestBadBodies(t *testing.T) {
	w := newWorld(t)
	count := 0
	for _, op := range operations(t) {
		if op.body == nil {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			rt := routeOf(t, op.name)
			s := w.favourable(t, rt)
			method, target, header := s.request(t, rt)
			good := s.body(op)
			before := w.rowsOf()
			for _, bad := range badBodies(*op.body, good, rt.body) {
				for _, body := range []any{bad.body, chunked(bad.body)} {
					count++
					wantRefusedInput(t, op, bad.name, w.do(s.asker.name, method, target, body, slices.Concat(header, bad.header)...))
				}
			}
			// Once for all of them: a look at all rows takes longer than a request.
			if after := w.rowsOf(); after != before {
				t.Errorf("something changed: %.1000q", differences(before, after))
			}
		})
	}
	t.Logf("%d bodies were refused", count)
	if count < 500 {
		t.Errorf("only %d bodies were tried", count)
	}
}

// TestBadQueries: the same for what stands in a query.
func TestBadQueries(t *testing.T) {
	w := newWorld(t)
	count := 0
	for _, op := range operations(t) {
		if len(op.query) == 0 {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			rt := routeOf(t, op.name)
			s := w.favourable(t, rt)
			method, target, header := s.request(t, rt)
			path, _, _ := strings.Cut(target, "?")
			before := w.rowsOf()
			queries := []string{"unknown_name=1", "%zz", "a;b", "%FF=1"}
			for _, p := range op.query {
				item := p.Schema
				if item.Type == "array" {
					item = *item.Items
				} else {
					queries = append(queries, p.Name+"=1&"+p.Name+"=1")
				}
				for _, wrong := range wrongQueries(item) {
					queries = append(queries, p.Name+"="+wrong)
				}
			}
			for _, q := range queries {
				count++
				wantRefusedInput(t, op, q, w.do(s.asker.name, method, path+"?"+q, nil, header...))
			}
			if after := w.rowsOf(); after != before {
				t.Errorf("something changed: %.1000q", differences(before, after))
			}
		})
	}
	t.Logf("%d queries were refused", count)
	if count < 200 {
		t.Errorf("only %d queries were tried", count)
	}
}
