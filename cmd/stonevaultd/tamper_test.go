package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretWords are looked for in every reply that must not hold them.
const secretWords = "the combination of the safe is 17-4-31"

// object is the path of an object's file.
func object(data, id, kind string) string {
	return filepath.Join(data, "objects", id[:2], id+"."+kind)
}

// refuses gets a file and wants the refusal and nothing of the content.
func (c *client) refuses(path string) {
	c.t.Helper()
	r := c.must(c.get(path))
	if r.status != http.StatusConflict || r.problem() != "refused" {
		c.t.Errorf("status %d, %.200s", r.status, r.body)
	}
	if bytes.Contains(r.body, []byte(secretWords[:12])) {
		c.t.Error("the reply holds the content")
	}
}

// TestFlippedBits flips the bits of a small file's two objects under a running server, one at a time:
// every 50th of them, or all.
func TestFlippedBits(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	s := serveHere(t, data)
	ann := signIn(t, s.Addr(), "ann")
	ann.must(ann.put("/safe.txt", []byte(secretWords))).want(t, http.StatusCreated)
	f, _, err := ann.lookup("/safe.txt")
	check(t, err)
	every := 50
	if torture() {
		every = 1
	}
	for _, kind := range []string{"body", "env"} {
		path := object(data, f.FileID, kind)
		sound, err := os.ReadFile(path)
		check(t, err)
		flipped := 0
		for bit := rand.IntN(every); bit < 8*len(sound) && !t.Failed(); bit += every {
			changed := bytes.Clone(sound)
			changed[bit/8] ^= 1 << (bit % 8)
			check(t, os.WriteFile(path, changed, 0o600))
			ann.refuses("/safe.txt")
			if t.Failed() {
				t.Errorf("bit %d of .%s", bit, kind)
			}
			flipped++
		}
		for _, n := range []int{0, 1, len(sound) / 2, len(sound) - 1} {
			check(t, os.WriteFile(path, sound[:n], 0o600))
			ann.refuses("/safe.txt")
		}
		check(t, os.WriteFile(path, append(bytes.Clone(sound), 0), 0o600))
		ann.refuses("/safe.txt")
		check(t, os.Remove(path))
		ann.refuses("/safe.txt")
		check(t, os.WriteFile(path, sound, 0o600))
		if r := ann.must(ann.get("/safe.txt")); string(r.body) != secretWords {
			t.Fatalf("put back, it reads %q", r.body)
		}
		t.Logf(".%s: %d of %d bits flipped", kind, flipped, 8*len(sound))
		if flipped < 8*len(sound)/every {
			t.Error("too few")
		}
	}
}

// TestSwappedObjects puts sound objects of other files, versions and revisions in a file's place.
func TestSwappedObjects(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	s := serveHere(t, data)
	ann, bob := signIn(t, s.Addr(), "ann"), signIn(t, s.Addr(), "bob")
	put := func(c *client, path string) file {
		t.Helper()
		c.must(c.put(path, []byte(secretWords+" "+path))).want(t, http.StatusCreated, http.StatusOK)
		f, _, err := c.lookup(path)
		check(t, err)
		return f
	}
	old := put(ann, "/safe.txt")
	oldEnvelope, err := os.ReadFile(object(data, old.FileID, "env"))
	check(t, err)
	// An earlier revision of the envelope comes back after a rename.
	ann.must(ann.do("PATCH", "/api/v1/files/"+old.ID, strings.NewReader(`{"path":"/other.txt"}`), http.Header{"Content-Type": {"application/json"}})).want(t, http.StatusOK)
	newEnvelope, err := os.ReadFile(object(data, old.FileID, "env"))
	check(t, err)
	check(t, os.WriteFile(object(data, old.FileID, "env"), oldEnvelope, 0o600))
	ann.refuses("/other.txt")
	check(t, os.WriteFile(object(data, old.FileID, "env"), newEnvelope, 0o600))
	ann.must(ann.get("/other.txt")).want(t, http.StatusOK)

	first := put(ann, "/first.txt")
	second := put(ann, "/second.txt")
	before := put(ann, "/versions.txt")
	after := put(ann, "/versions.txt")
	foreign := put(bob, "/safe.txt")
	for _, c := range []struct {
		name     string
		from, to file
		path     string
		kinds    []string
	}{
		{"another file's body", second, first, "/first.txt", []string{"body"}},
		{"another file's envelope", second, first, "/first.txt", []string{"env"}},
		{"another file altogether", second, first, "/first.txt", []string{"body", "env"}},
		{"an earlier version's objects", before, after, "/versions.txt", []string{"body", "env"}},
		{"somebody else's file", foreign, first, "/first.txt", []string{"body", "env"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ann := *ann
			ann.t = t
			for _, kind := range c.kinds {
				sound, err := os.ReadFile(object(data, c.to.FileID, kind))
				check(t, err)
				wrong, err := os.ReadFile(object(data, c.from.FileID, kind))
				check(t, err)
				check(t, os.WriteFile(object(data, c.to.FileID, kind), wrong, 0o600))
				defer os.WriteFile(object(data, c.to.FileID, kind), sound, 0o600)
			}
			ann.refuses(c.path)
		})
	}
}

// tampered is a file whose rows are changed, and what may be put into them.
type tampered struct {
	file, folder, elder file
	bob                 string // another person's id
	bobSigner           []byte
}

// change is one way to change a column of the file's row, and where the file is looked for then.
type change struct {
	value  func(x tampered) any
	path   string // "/safe.txt" where empty
	bob    bool   // as bob
	absent bool   // there is no such file then, which is as good as a refusal
	served bool   // the file is given out: the manifest does not state this
}

func fixed(v any) func(tampered) any { return func(tampered) any { return v } }

const noSuchID = "00112233445566778899aabbccddeeff"

// decisions are what must become of a change to each column of the two tables whose rows repeat what a
// manifest states. A column without one fails the test.
var decisions = map[string]map[string][]change{
	"nodes": {
		"id":          {{value: fixed(noSuchID)}},
		"owner":       {{value: func(x tampered) any { return x.bob }, bob: true}, {value: func(x tampered) any { return x.bob }, absent: true}},
		"parent":      {{value: func(x tampered) any { return x.folder.ID }, path: "/folder/safe.txt"}, {value: fixed(noSuchID), absent: true}},
		"name":        {{value: fixed("harmless.txt"), path: "/harmless.txt"}},
		"kind":        {{value: fixed("folder")}},
		"current":     {{value: func(x tampered) any { return x.elder.FileID }}, {value: func(x tampered) any { return x.folder.FileID }}, {value: fixed(noSuchID)}},
		"size":        {{value: fixed(1)}, {value: fixed(0)}},
		"media_type":  {{value: fixed("text/html")}, {value: fixed("")}},
		"modified_at": {{value: fixed(1)}},
		"created_at":  {{value: fixed(1)}},
		"updated_at":  {{value: fixed(1), served: true}}, // of the row itself
	},
	"versions": {
		"file_id":         {{value: fixed(noSuchID)}},
		"document":        {{value: func(x tampered) any { return x.folder.ID }}, {value: fixed(noSuchID)}},
		"number":          {{value: fixed(3)}, {value: fixed(1_000_000)}},
		"owner":           {{value: func(x tampered) any { return x.bob }}},
		"revision":        {{value: fixed(0)}, {value: fixed(2)}},
		"manifest_digest": {{value: fixed(bytes.Repeat([]byte{1}, 32))}, {value: fixed(bytes.Repeat([]byte{1}, 48))}},
		"signer":          {{value: func(x tampered) any { return x.bobSigner }}, {value: fixed(bytes.Repeat([]byte{1}, 32))}},
		"size":            {{value: fixed(1)}, {value: fixed(0)}},
		"body_size":       {{value: fixed(1)}},
		"media_type":      {{value: fixed("text/html")}, {value: fixed("")}},
		"class":           {{value: fixed("restricted")}},
		"mode":            {{value: fixed(0o777)}, {value: fixed(0)}},
		"modified_at":     {{value: fixed(1)}},
		"sealed_at":       {{value: fixed(1)}},
	},
}

// TestChangedRows changes each field of a file's rows under a running server.
func TestChangedRows(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	s := serveHere(t, data)
	clients := map[bool]*client{false: signIn(t, s.Addr(), "ann"), true: signIn(t, s.Addr(), "bob")}
	ann, bob := clients[false], clients[true]
	ann.must(ann.put("/safe.txt", []byte("an earlier version"))).want(t, http.StatusCreated)
	var x tampered
	var err error
	x.elder, _, err = ann.lookup("/safe.txt")
	check(t, err)
	ann.must(ann.put("/safe.txt", []byte(secretWords))).want(t, http.StatusOK)
	x.file, _, err = ann.lookup("/safe.txt")
	check(t, err)
	ann.must(ann.put("/folder/other.txt", []byte("another file"))).want(t, http.StatusCreated)
	x.folder, _, err = ann.lookup("/folder")
	check(t, err)
	other, _, err := ann.lookup("/folder/other.txt")
	check(t, err)
	x.folder.FileID = other.FileID
	bob.must(bob.put("/bob.txt", []byte("bob's"))).want(t, http.StatusCreated)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "stonevault.db")+
		"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(0)&_pragma=ignore_check_constraints(1)")
	check(t, err)
	defer db.Close()
	check(t, db.QueryRow(`SELECT id FROM people WHERE name = 'bob'`).Scan(&x.bob))
	check(t, db.QueryRow(`SELECT fingerprint FROM identities WHERE person = $1`, x.bob).Scan(&x.bobSigner))

	for table, key := range map[string][2]string{"nodes": {"id", x.file.ID}, "versions": {"file_id", x.file.FileID}} {
		columns := columnsOf(t, db, table)
		for column := range decisions[table] {
			if !slices.Contains(columns, column) {
				t.Errorf("%s has no column %s", table, column)
			}
		}
		for _, column := range columns {
			changes := decisions[table][column]
			if len(changes) == 0 {
				t.Errorf("what becomes of a change to %s.%s has not been decided", table, column)
			}
			for i, ch := range changes {
				t.Run(fmt.Sprintf("%s.%s/%d", table, column, i), func(t *testing.T) {
					c := *clients[ch.bob]
					c.t = t
					at := key[1]
					if column == key[0] {
						at = ch.value(x).(string)
					}
					var was any
					check(t, db.QueryRow(`SELECT `+column+` FROM `+table+` WHERE `+key[0]+` = $1`, key[1]).Scan(&was))
					set := func(value any, at string) {
						t.Helper()
						done, err := db.Exec(`UPDATE `+table+` SET `+column+` = $1 WHERE `+key[0]+` = $2`, value, at)
						check(t, err)
						if n, err := done.RowsAffected(); err != nil || n != 1 {
							t.Fatalf("%d rows changed, %v", n, err)
						}
					}
					set(ch.value(x), key[1])
					defer set(was, at)
					path := ch.path
					if path == "" {
						path = "/safe.txt"
					}
					switch {
					case ch.served:
						c.must(c.get(path)).want(t, http.StatusOK)
					case ch.absent:
						c.must(c.get(path)).want(t, http.StatusNotFound)
					default:
						c.refuses(path)
					}
				})
			}
		}
	}
	if r := ann.must(ann.get("/safe.txt")); string(r.body) != secretWords {
		t.Fatalf("put back, it reads %q", r.body)
	}
}

func columnsOf(t testing.TB, db *sql.DB, table string) (columns []string) {
	t.Helper()
	rows, err := db.Query(`SELECT name FROM pragma_table_info($1)`, table)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		check(t, rows.Scan(&name))
		columns = append(columns, name)
	}
	check(t, rows.Err())
	if len(columns) == 0 {
		t.Fatalf("there is no table %s", table)
	}
	return columns
}

// TestRolledBack passes an earlier version off as the current one, with every row that lists sort by made
// to fit.
func TestRolledBack(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	s := serveHere(t, data)
	ann := signIn(t, s.Addr(), "ann")
	ann.must(ann.put("/safe.txt", []byte(secretWords+", the earlier one"))).want(t, http.StatusCreated)
	elder, _, err := ann.lookup("/safe.txt")
	check(t, err)
	ann.must(ann.put("/safe.txt", []byte(secretWords))).want(t, http.StatusOK)
	n := alter(t, data, `UPDATE nodes SET (current, size, media_type, modified_at) =
		(SELECT file_id, size, media_type, modified_at FROM versions WHERE file_id = $1) WHERE id = $2`, elder.FileID, elder.ID)
	if n != 1 {
		t.Fatalf("%d rows changed", n)
	}
	ann.refuses("/safe.txt")
}
