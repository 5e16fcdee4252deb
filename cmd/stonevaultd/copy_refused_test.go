package main

import (
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"

	"stonevault/internal/blob/s3test"
	"stonevault/internal/metadb/postgrestest"
)

// copyHere begins a copy in this process, as far as the rows, and leaves it.
func copyHere(t *testing.T, from, to string, flags map[string]string) {
	t.Helper()
	c := &copying{app: &app{stdout: io.Discard, stderr: io.Discard, now: time.Now}, from: place{flag: "--from", text: from}, to: place{flag: "--to", text: to}}
	base := settings(t, flags)
	sides := []*place{&c.from, &c.to}
	var openers []*opener
	for _, side := range sides {
		config, err := side.config(base)
		check(t, err)
		openers = append(openers, &opener{config: config, version: builtVersion, ask: noTerminal, now: time.Now, log: newLog(io.Discard, config)})
	}
	c.begun, c.source, c.target = openers[1], &store{}, &store{}
	defer func() {
		check(t, c.target.close())
		check(t, c.source.close())
	}()
	check(t, c.openSource(t.Context(), openers[0]))
	_, err := c.openTarget(t.Context())
	check(t, err)
	if same, err := c.copyRows(t.Context()); err != nil || !same {
		t.Fatalf("%v, %v", same, err)
	}
}

// filled is a vault with a few files.
func filled(t *testing.T, data string, flags ...string) {
	t.Helper()
	p := start(t, data, flags...)
	args := append([]string{"--data", data}, flags...)
	if r := run(t, testPassword+"\n", append([]string{"admin", "create", "ann", "--password-stdin"}, args...)...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ann := signIn(t, p.addr, "ann")
	for _, name := range []string{"/a", "/b", "/c"} {
		ann.must(ann.put(name, []byte("what is in "+name))).want(t, 201)
	}
	if code := p.stop(); code != 0 {
		t.Fatal(p.stderr)
	}
}

// TestCopyRefused shows that nothing changes where a copy is refused.
func TestCopyRefused(t *testing.T) {
	dir := t.TempDir()
	made, other, begun := filepath.Join(dir, "made"), filepath.Join(dir, "other"), filepath.Join(dir, "begun")
	filled(t, made)
	makeVault(t, other)
	key := "file:" + made + ".master.key"
	copyHere(t, made, begun, map[string]string{"master-key": key})
	served := filepath.Join(t.TempDir(), "served") // a server writes now and then
	makeVault(t, served)
	p := start(t, served)
	left := filepath.Join(dir, "left")
	write(t, left+".audit", "of a vault that was there\n")
	strange := filepath.Join(dir, "strange")
	check(t, os.Mkdir(strange, 0o700))
	write(t, filepath.Join(strange, "letter"), "x")
	for _, c := range []struct {
		name, from, to, key string
		say                 string
	}{
		{"no source", filepath.Join(dir, "none"), filepath.Join(dir, "new"), key, "there is no vault"},
		{"a target that is a vault", made, other, key, "there is a vault already"},
		{"no key for the target", made, filepath.Join(dir, "new"), "", "which is not at"},
		{"another key", made, filepath.Join(dir, "new"), "file:" + other + ".master.key", "was sealed under another master key"},
		{"a source that is served", served, filepath.Join(dir, "new"), "file:" + served + ".master.key", "another process"},
		{"a target that is served", made, served, key, "there is a vault already"},
		{"an unfinished copy of another vault", other, begun, "file:" + other + ".master.key", "of another vault"},
		{"an unfinished copy as the source", begun, filepath.Join(dir, "new"), key, "run stonevaultd copy again"},
		{"the source itself", made, made, key, "is the source's directory"},
		{"a target within the source", made, filepath.Join(made, "new"), key, "is the source's directory, or lies in it"},
		{"a directory of something else", made, strange, key, "holds something else"},
		{"a place where another vault was", made, left, key, "is of a vault that was there"},
		{"a password that others can see", made, filepath.Join(dir, "new") + ",postgres://ann:secret@localhost/v", key, "put the address into a file"},
		{"too much", made, filepath.Join(dir, "new") + ",,s3://x,y", key, "at most"},
		{"nothing", made, "", key, "name the vault with --to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"copy", "--from", c.from, "--to", c.to}
			if c.key != "" {
				args = append(args, "--master-key", c.key)
			}
			before := fingerprint(t, dir)
			r := run(t, "", args...)
			if r.code != 1 || !strings.Contains(r.stderr, c.say) || strings.Contains(r.stderr, "secret@") || r.stdout != "" {
				t.Errorf("%+v", r)
			}
			if fingerprint(t, dir) != before {
				t.Error("something has changed")
			}
		})
	}
	p.kill()

	if r := run(t, "", "serve", "--data", begun, "--master-key", key, "--listen", "127.0.0.1:0"); r.code != 1 || !strings.Contains(r.stderr, "a vault is being copied here") {
		t.Errorf("serving an unfinished copy: %+v", r)
	}
	// The source has changed since: a row behind, and an object that is gone.
	p = start(t, made)
	if r := run(t, testPassword+"\n", "admin", "create", "bob", "--password-stdin", "--data", made); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	ann := signIn(t, p.addr, "ann")
	f, r, err := ann.lookup("/a")
	ann.must(r, err).want(t, 200)
	ann.must(ann.do("DELETE", "/api/v1/files/"+f.ID, nil, nil)).want(t, 204)
	p.stop()
	report, done := copyRun(t, []string{"--from", made, "--to", begun, "--master-key", key})
	if done.code != 0 || !report.Complete || report.Objects != 4 || !strings.Contains(done.stderr, "are copied anew") {
		t.Fatalf("%+v", done)
	}
	if differing := differingTables(t, made, begun); differing != nil {
		t.Errorf("%v differ", differing)
	}
	p = start(t, begun, "--master-key", key)
	signIn(t, p.addr, "bob")
	p.stop()
}

// TestCopyDamaged copies a vault of which something is damaged, and says what.
func TestCopyDamaged(t *testing.T) {
	dir := t.TempDir()
	made, to := filepath.Join(dir, "made"), filepath.Join(dir, "to")
	filled(t, made)
	var bodies, envelopes []string
	for name := range objectSums(t, made) {
		path := filepath.Join(made, "objects", name[:2], name)
		if strings.HasSuffix(name, ".body") {
			bodies = append(bodies, path)
		} else {
			envelopes = append(envelopes, path)
		}
	}
	check(t, os.Truncate(bodies[0], 3))
	check(t, os.Remove(bodies[1]))
	check(t, os.WriteFile(envelopes[0], []byte("no envelope at all"), 0o600))
	report, r := copyRun(t, []string{"--from", made, "--to", to, "--master-key", "file:" + made + ".master.key"})
	if r.code != 2 || !report.Complete || len(report.Problems) != 3 {
		t.Fatalf("%+v", r)
	}
	for _, path := range []string{bodies[0], bodies[1], envelopes[0]} {
		if !strings.Contains(r.stdout, filepath.Base(path)) {
			t.Errorf("%s is not named: %s", path, r.stdout)
		}
	}
	if r := run(t, "", "copy", "--from", made, "--to", to, "--master-key", "file:"+made+".master.key"); r.code != 1 || !strings.Contains(r.stderr, "there is a vault already") {
		t.Errorf("once more: %+v", r)
	}
}

// TestCopyDatabaseAlone moves the rows of a vault, whose files stay in their bucket. Its master key is a passphrase's.
func TestCopyDatabaseAlone(t *testing.T) {
	bucket, postgres := s3test.Start(t), postgrestest.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	dir := t.TempDir()
	made, to, objects := filepath.Join(dir, "made"), filepath.Join(dir, "to"), bucket.Address("vault")
	passphrase := filepath.Join(dir, "passphrase")
	write(t, passphrase, testPassword+"\n")
	key := []string{"--master-key", "passphrase", "--master-passphrase-file", passphrase}
	filled(t, made, append([]string{"--objects", objects}, key...)...)
	database := addressFile(t, postgres.NewDatabase(t))
	report, r := copyRun(t, append([]string{"--from", made + "," + objects, "--to", to + "," + database + "," + objects}, key...))
	if r.code != 0 || !report.Complete || report.Objects != 6 || report.Copied != 0 {
		t.Fatalf("%+v", r)
	}
	p := start(t, to, append([]string{"--database", database, "--objects", objects}, key...)...)
	ann := signIn(t, p.addr, "ann")
	if r := ann.must(ann.get("/b")); string(r.body) != "what is in /b" {
		t.Errorf("%d %s", r.status, r.body)
	}
	p.stop()
	// Another vault cannot go to the same place.
	other := filepath.Join(dir, "other")
	makeVault(t, other)
	into := filepath.Join(dir, "into") + "," + objects
	if r := run(t, "", "copy", "--from", other, "--to", into, "--master-key", "file:"+other+".master.key"); r.code != 1 || !strings.Contains(r.stderr, "belongs to another vault") {
		t.Errorf("%+v", r)
	}
}

// TestCopyAlone shows that a vault in PostgreSQL is copied by nobody while a server uses it, and used by nobody while it
// is copied.
func TestCopyAlone(t *testing.T) {
	p := postgrestest.Start(t)
	dir := t.TempDir()
	used, to := filepath.Join(dir, "used"), filepath.Join(dir, "to")
	address := addressFile(t, p.NewDatabase(t))
	key := "file:" + filepath.Join(dir, "key")
	s := start(t, used, "--database", address, "--master-key", key)
	if r := run(t, "", "copy", "--from", used+","+address, "--to", to, "--master-key", key); r.code != 1 || !strings.Contains(r.stderr, "another process") {
		t.Errorf("beside a server: %+v", r)
	}
	// A directory that is not the server's, as on another machine.
	elsewhere := filepath.Join(dir, "elsewhere")
	check(t, os.MkdirAll(filepath.Join(elsewhere, "objects"), 0o700))
	if r := run(t, "", "copy", "--from", elsewhere+","+address, "--to", to, "--master-key", key); r.code != 1 || !strings.Contains(r.stderr, "uses this vault; stop all") {
		t.Errorf("beside a server of another directory: %+v", r)
	}
	if code := s.stop(); code != 0 {
		t.Fatal(s.stderr)
	}

	c := &copying{app: &app{stdout: io.Discard, stderr: io.Discard, now: time.Now}, from: place{flag: "--from", text: used + "," + address}, source: &store{}}
	config, err := c.from.config(settings(t, map[string]string{"master-key": key}))
	check(t, err)
	check(t, c.openSource(t.Context(), &opener{config: config, version: builtVersion, ask: noTerminal, now: time.Now, log: newLog(io.Discard, config)}))
	for _, verb := range [][]string{
		{"serve", "--listen", "127.0.0.1:0", "--data", elsewhere},
		{"admin", "create", "ann", "--generate-password", "--data", elsewhere},
	} {
		if r := run(t, "", append(verb, "--database", address, "--master-key", key)...); r.code != 1 || !strings.Contains(r.stderr, "needs this vault for itself") {
			t.Errorf("%v beside a copy: %+v", verb, r)
		}
	}
	check(t, c.source.close())
	s = start(t, used, "--database", address, "--master-key", key)
	if code := s.stop(); code != 0 {
		t.Error(s.stderr)
	}
}

// schema3 puts a database of an earlier program into a directory.
func schema3(t *testing.T, data string) {
	t.Helper()
	paths, err := filepath.Glob("../../internal/metadb/migrations/sqlite/*.sql")
	check(t, err)
	files := fstest.MapFS{}
	for _, path := range paths[:3] {
		text, err := os.ReadFile(path)
		check(t, err)
		files[filepath.Base(path)] = &fstest.MapFile{Data: text}
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		check(t, os.RemoveAll(filepath.Join(data, "stonevault.db"+suffix)))
	}
	db, err := sql.Open("sqlite", filepath.Join(data, "stonevault.db"))
	check(t, err)
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	check(t, err)
	_, err = provider.Up(t.Context())
	check(t, err)
}

func TestMigrate(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made")
	makeVault(t, made)
	older := olderSchema(t, made)
	p := postgrestest.Start(t)
	empty := addressFile(t, p.NewDatabase(t))
	none := filepath.Join(dir, "none")
	for _, c := range []struct {
		name string
		args []string
		code int
		say  string
	}{
		{"this program's", []string{"status", "--data", made}, 0, "has this program's schema"},
		{"this program's, up", []string{"up", "--data", made}, 0, "has this program's schema"},
		{"nothing", []string{"status", "--data", none}, 0, "is empty, or not there"},
		{"nothing, up", []string{"up", "--data", none}, 1, "there is no vault"},
		{"an empty database", []string{"status", "--data", none, "--database", empty}, 0, "is empty"},
		{"an empty database, up", []string{"up", "--data", none, "--database", empty}, 1, "there is no vault"},
		{"an older one", []string{"status", "--data", older}, 0, "which is older than this program's"},
		{"an older one, as JSON", []string{"status", "--data", older, "--json"}, 0, `"state":"older"`},
		{"no verb", []string{"down"}, 1, "is no verb of migrate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fingerprint(t, dir)
			r := run(t, "", append([]string{"migrate"}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.say) {
				t.Errorf("%+v", r)
			}
			if fingerprint(t, dir) != before {
				t.Error("something has changed")
			}
		})
	}
	schema3(t, older)
	if r := run(t, "", "migrate", "up", "--data", older); r.code != 0 || !strings.Contains(r.stdout, "The schema was") {
		t.Fatalf("%+v", r)
	}
	if r := run(t, "", "migrate", "status", "--data", older); !strings.Contains(r.stdout, "has this program's schema") {
		t.Errorf("%+v", r)
	}
	if copies, err := filepath.Glob(filepath.Join(older, "stonevault.db.before-*")); err != nil || len(copies) != 1 {
		t.Errorf("copies of the database: %v, %v", copies, err)
	}
}
