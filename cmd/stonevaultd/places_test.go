package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/internal/blob/s3test"
	"stonevault/internal/cache/redistest"
	"stonevault/internal/metadb/postgrestest"
)

// addressFile keeps an address with a password as --database wants it.
func addressFile(t testing.TB, address string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "address")
	write(t, path, address+"\n")
	return "file:" + path
}

// TestOnPostgres serves a vault whose metadata is in PostgreSQL, with the commands that work beside a server.
func TestOnPostgres(t *testing.T) {
	p := postgrestest.Start(t)
	flags := []string{"--database", addressFile(t, p.NewDatabase(t))}
	data := filepath.Join(t.TempDir(), "own")
	on := func(verb ...string) []string { return append(append(verb, "--data", data), flags...) }

	first := start(t, data, flags...)
	if r := run(t, testPassword+"\n", on("admin", "create", "ann", "--password-stdin")...); r.code != 0 {
		t.Fatalf("admin create beside a server: %+v", r)
	}
	ann := signIn(t, first.addr, "ann")
	ann.must(ann.put("/letter", []byte("kept"))).want(t, http.StatusCreated)
	if _, err := os.Stat(filepath.Join(data, "stonevault.db")); !os.IsNotExist(err) {
		t.Errorf("a database lies in the data directory: %v", err)
	}
	first.kill()

	second := start(t, data, flags...)
	ann = signIn(t, second.addr, "ann")
	if r := ann.must(ann.get("/letter")); string(r.body) != "kept" {
		t.Errorf("after a kill: %d %.300s", r.status, r.body)
	}
	for _, verb := range [][]string{on("doctor"), on("audit", "fsck")} {
		if r := run(t, "", verb...); r.code != 0 || strings.Contains(r.stdout, "fail") {
			t.Errorf("%v: %+v", verb, r)
		}
	}
	if code := second.stop(); code != 0 {
		t.Errorf("stopped with %d: %s", code, second.stderr)
	}
	if r := run(t, "", on("admin", "erase", "ann", "--yes")...); r.code != 1 || !strings.Contains(r.stderr, "admin") {
		t.Errorf("the last admin is erased: %+v", r)
	}
}

// many are the parts that several servers share.
type many struct {
	postgres *postgrestest.Server
	store    *s3test.Server
	redis    *redistest.Server
	flags    []string
	key      string // the master key's file
}

func newMany(t testing.TB) *many {
	t.Helper()
	m := &many{postgres: postgrestest.Start(t), store: s3test.Start(t), redis: redistest.Start(t)}
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	dir := t.TempDir()
	cache := filepath.Join(dir, "cache")
	write(t, cache, m.redis.Address()+"\n")
	m.key = filepath.Join(dir, "key")
	m.flags = []string{
		"--database", addressFile(t, m.postgres.NewDatabase(t)), "--objects", m.store.Address("vault"), "--cache-file", cache,
		"--master-key", "file:" + m.key,
	}
	return m
}

// on is a command on the vault, from a directory of its own.
func (m *many) on(t testing.TB, verb ...string) []string {
	args := append(verb, "--data", filepath.Join(t.TempDir(), "own"))
	for i := 0; i < len(m.flags); i += 2 {
		if m.flags[i] != "--cache-file" {
			args = append(args, m.flags[i:i+2]...)
		}
	}
	return args
}

// TestThreeServers goes from one server to the next with one upload, one rename, one session and one account.
func TestThreeServers(t *testing.T) {
	m := newMany(t)
	var servers []*process
	for range 3 {
		servers = append(servers, start(t, filepath.Join(t.TempDir(), "own"), m.flags...))
	}
	if r := run(t, testPassword+"\n", m.on(t, "admin", "create", "ann", "--password-stdin")...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ann := signIn(t, servers[0].addr, "ann")
	at := func(n int) *client {
		ann.addr = servers[n].addr
		return ann
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	r := ann.must(ann.do("POST", "/api/v1/uploads", nil, http.Header{
		"Tus-Resumable": {"1.0.0"}, "Upload-Length": {strconv.Itoa(len(content))},
		"Upload-Metadata": {"path " + base64.StdEncoding.EncodeToString([]byte("/big"))},
	}))
	r.want(t, http.StatusCreated)
	upload := "/api/v1/uploads/" + path.Base(r.header.Get("Location"))
	for n, offset := 0, 0; offset < len(content); n++ {
		end := min(offset+len(content)/3+1, len(content))
		c := at(n % 3)
		r := c.must(c.do("PATCH", upload, bytes.NewReader(content[offset:end]), http.Header{
			"Tus-Resumable": {"1.0.0"}, "Upload-Offset": {strconv.Itoa(offset)}, "Content-Type": {"application/offset+octet-stream"},
		}))
		r.want(t, http.StatusNoContent)
		if r.header.Get("Upload-Offset") != strconv.Itoa(end) {
			t.Fatalf("offset %q, want %d", r.header.Get("Upload-Offset"), end)
		}
		offset = end
	}
	for n := range 3 {
		c := at(n)
		if r := c.must(c.get("/big")); !bytes.Equal(r.body, content) {
			t.Errorf("at server %d: %d, %d bytes", n, r.status, len(r.body))
		}
	}
	twice(t, servers[0].addr, servers[1].addr)
	c := at(1)
	f, r, err := c.lookup("/big")
	c.must(r, err).want(t, http.StatusOK)
	c.must(c.do("PATCH", "/api/v1/files/"+f.ID, strings.NewReader(`{"path":"/moved"}`), http.Header{"Content-Type": {"application/json"}})).want(t, http.StatusOK)
	c = at(2)
	if r := c.must(c.get("/moved")); !bytes.Equal(r.body, content) {
		t.Errorf("moved: %d, %d bytes", r.status, len(r.body))
	}
	c.must(c.do("DELETE", "/api/v1/sessions/current", nil, nil)).want(t, http.StatusNoContent)
	c = at(0)
	for deadline := time.Now().Add(5 * time.Second); c.must(c.get("/moved")).status != http.StatusUnauthorized; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a session that was ended at one server goes on at another")
		}
	}
	for _, s := range servers {
		if code := s.stop(); code != 0 {
			t.Errorf("stopped with %d: %s", code, s.stderr)
		}
	}
	for _, verb := range []string{"doctor", "audit fsck"} {
		if r := run(t, "", m.on(t, strings.Fields(verb)...)...); r.code != 0 {
			t.Errorf("%s: %+v", verb, r)
		}
	}
}

// twice sends one piece to two servers at once: one takes it, and the other says that somebody else is at it.
func twice(t *testing.T, first, second string) {
	one, other := signIn(t, first, "ann"), signIn(t, second, "ann")
	content := []byte("a piece of an upload")
	r := one.must(one.do("POST", "/api/v1/uploads", nil, http.Header{
		"Tus-Resumable": {"1.0.0"}, "Upload-Length": {strconv.Itoa(len(content))},
		"Upload-Metadata": {"path " + base64.StdEncoding.EncodeToString([]byte("/twice"))},
	}))
	r.want(t, http.StatusCreated)
	send := func(c *client, body io.Reader) reply {
		return c.must(c.do("PATCH", "/api/v1/uploads/"+path.Base(r.header.Get("Location")), body, http.Header{
			"Tus-Resumable": {"1.0.0"}, "Upload-Offset": {"0"}, "Content-Type": {"application/offset+octet-stream"},
		}))
	}
	body, to := io.Pipe()
	done := make(chan reply, 1)
	go func() { done <- send(one, body) }()
	to.Write(content[:5])
	time.Sleep(2 * time.Second) // until it has come, on a machine that does much else
	if r := send(other, bytes.NewReader(content)); r.status != http.StatusLocked {
		t.Errorf("the same upload at another server: %d %.300s", r.status, r.body)
	}
	to.Write(content[5:])
	to.Close()
	if r := <-done; r.status != http.StatusNoContent {
		t.Errorf("the first one: %d %.300s", r.status, r.body)
	}
	if r := other.must(other.get("/twice")); !bytes.Equal(r.body, content) {
		t.Errorf("the file: %d %.300s", r.status, r.body)
	}
}

// TestRecoverFromBucket loses the database and the master key of a vault on PostgreSQL and S3.
func TestRecoverFromBucket(t *testing.T) {
	m := newMany(t)
	p := start(t, filepath.Join(t.TempDir(), "own"), append(m.flags, "--create-admin")...)
	l := &lostVault{objects: m.store.Address("vault"), secret: sheetSecret(t, p.stdout.String()), files: map[string]tree{"ann": {}}}
	if r := run(t, testPassword+"\n", m.on(t, "admin", "create", "ann", "--password-stdin")...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ann := signIn(t, p.addr, "ann")
	var me struct{ ID string }
	check(t, json.Unmarshal(ann.must(ann.do("GET", "/api/v1/me", nil, nil)).body, &me))
	l.owners = map[string]string{"ann": me.ID}
	for i, size := range []int{0, 5, 3 << 20, 17 << 20} {
		content, path := bytes.Repeat([]byte{byte(i)}, size), fmt.Sprintf("/a folder/%d", i)
		ann.must(ann.put(path, content)).want(t, http.StatusCreated)
		l.files["ann"][path] = digestOf(content)
	}
	p.kill()
	m.postgres.Kill()
	check(t, os.Remove(m.key))
	to := filepath.Join(t.TempDir(), "new")
	report := l.recover(t, to, 0)
	if report.Files != 4 || len(report.Refused) != 0 {
		t.Errorf("%+v", report)
	}
	for _, a := range report.Accounts {
		if a.Files > 0 {
			l.compare(t, to, report, map[string]string{"ann": a.Name})
		}
	}
	// The bucket is still the lost vault's.
	fresh := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "other")}, "--objects", m.store.Address("vault"))
	if r := run(t, "", fresh...); r.code != 1 || !strings.Contains(r.stderr, "belongs to another vault") {
		t.Errorf("another vault in its place: %+v", r)
	}
}

// TestRefusedBeside shows which servers may not serve beside another.
func TestRefusedBeside(t *testing.T) {
	m := newMany(t)
	first := start(t, filepath.Join(t.TempDir(), "own"), m.flags...)
	other := redistest.Start(t)
	otherCache := filepath.Join(t.TempDir(), "cache")
	write(t, otherCache, other.Address()+"\n")
	without := func(flag string, more ...string) []string {
		var args []string
		for i := 0; i < len(m.flags); i += 2 {
			if m.flags[i] != flag {
				args = append(args, m.flags[i:i+2]...)
			}
		}
		return append(args, more...)
	}
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "files", "objects"), 0o700))
	for _, c := range []struct {
		name, data string
		flags      []string
		say        string
	}{
		{"no Redis", "a", without("--cache-file"), "would count requests for itself alone"},
		{"another Redis", "b", without("--cache-file", "--cache-file", otherCache), "counts requests in another Redis"},
		{"a fallback", "c", without("", "--cache-fallback", "memory"), "while Redis is away"},
		{"another limit", "d", without("", "--limit-sign-in", "7"), "has another limit_sign_in"},
		{"files of its own", "files", without("--objects"), "keeps sealed files in its own directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fingerprint(t, dir)
			r := run(t, "", append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, c.data)}, c.flags...)...)
			if fingerprint(t, dir) != before {
				t.Error("something has changed")
			}
			if r.code != 1 || !strings.Contains(r.stderr, c.say) || !strings.Contains(r.stderr, "serves this vault since") {
				t.Errorf("%+v", r)
			}
		})
	}
	if r := run(t, "", m.on(t, "audit", "restart", "--yes")...); r.code != 1 || !strings.Contains(r.stderr, "stop all of its servers") {
		t.Errorf("another log under a server's hands: %+v", r)
	}
	first.kill()
	again := start(t, filepath.Join(t.TempDir(), "own"), m.flags...) // one more beside a dead one
	if code := again.stop(); code != 0 {
		t.Error(again.stderr)
	}
}

// TestRefusedPlaces shows that parts that do not belong together, or do not answer, are refused, and nothing changes.
func TestRefusedPlaces(t *testing.T) {
	p := postgrestest.Start(t)
	used := p.NewDatabase(t)
	dir := t.TempDir()
	own := filepath.Join(dir, "own")
	if s := start(t, own, "--database", addressFile(t, used)); s.stop() != 0 {
		t.Fatal(s.stderr)
	}
	made := filepath.Join(dir, "made")
	makeVault(t, made)
	orphaned := filepath.Join(dir, "orphaned")
	check(t, os.CopyFS(orphaned, os.DirFS(made)))
	check(t, os.Remove(filepath.Join(orphaned, "stonevault.db")))
	write(t, filepath.Join(orphaned, "objects", "stray"), "x")

	stopped := postgrestest.Start(t)
	away := stopped.NewDatabase(t)
	stopped.Kill()
	for _, c := range []struct {
		name, data, database string
		say                  string
	}{
		{"a directory with a database of its own", made, addressFile(t, used), "holds a database, and the settings name another"},
		{"a vault whose files are elsewhere", filepath.Join(dir, "empty"), addressFile(t, used), "has its sealed files elsewhere"},
		{"files without their database", orphaned, addressFile(t, p.NewDatabase(t)), "holds sealed files, and there is no vault in the database"},
		{"a database that does not answer", filepath.Join(dir, "empty"), addressFile(t, away), "opening the database"},
		{"a password that others can see", filepath.Join(dir, "empty"), "postgres://ann:secret@localhost/v", "put the address into a file"},
		{"an address of something else", filepath.Join(dir, "empty"), "mysql://localhost/v", "must be an address such as postgres://"},
		{"no file", filepath.Join(dir, "empty"), "file:" + filepath.Join(dir, "none"), "names a file that cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fingerprint(t, dir)
			r := run(t, "", "serve", "--data", c.data, "--listen", "127.0.0.1:0", "--database", c.database)
			if r.code != 1 || !strings.Contains(r.stderr, c.say) || strings.Count(r.stderr, "\n") > 2 {
				t.Errorf("%+v", r)
			}
			if strings.Contains(r.stderr, postgrestest.Password) || strings.Contains(r.stderr, "secret") {
				t.Errorf("a password is shown: %s", r.stderr)
			}
			if fingerprint(t, dir) != before {
				t.Error("something has changed")
			}
		})
	}
}
