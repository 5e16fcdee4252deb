package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/datadir"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
)

// words is a passphrase for tests.
const words = "six random words make one passphrase"

// TestPassphraseVault makes a vault under a passphrase and opens it again, right and wrong.
func TestPassphraseVault(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	right, wrong := filepath.Join(root, "right"), filepath.Join(root, "wrong")
	write(t, right, words+"\n")
	write(t, wrong, words+"s\n")
	admin := func(more ...string) result {
		t.Helper()
		return run(t, testPassword, append([]string{"admin", "create", "ann", "--password-stdin", "--data", data}, more...)...)
	}
	r := admin("--master-key", "passphrase", "--master-passphrase-file", right)
	if r.code != 0 || !strings.Contains(r.stdout, "--master-key passphrase") {
		t.Fatalf("set up: %+v", r)
	}
	before := fingerprint(t, root)
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"--master-key", "passphrase", "--master-passphrase-file", wrong}, "this is not the passphrase"},
		{[]string{"--master-key", "passphrase"}, "there is no terminal"},
		{nil, "was sealed under a passphrase; start with --master-key passphrase"},
	} {
		if r := run(t, "", append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, c.args...)...); r.code != 1 || !strings.Contains(r.stderr, c.say) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	if fingerprint(t, root) != before {
		t.Error("something has changed")
	}
	p := start(t, data, "--master-key", "passphrase", "--master-passphrase-file", right)
	signIn(t, p.addr, "ann")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	check(t, os.Remove(filepath.Join(data, "master.salt")))
	r = run(t, "", "doctor", "--data", data, "--master-key", "passphrase", "--master-passphrase-file", right)
	if r.code != 1 || !strings.Contains(r.stdout, "fail  master key") || !strings.Contains(r.stdout, "master.salt is not in ") {
		t.Errorf("without the salt: %+v", r)
	}
}

// TestTypedPassphrase asks for the passphrase of a new vault twice, and of an existing one once.
func TestTypedPassphrase(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string
		say     string
	}{
		{"twice the same", []string{words, words}, ""},
		{"two different ones", []string{words, words + "!"}, "the two passphrases differ"},
		{"too short", []string{"short"}, "is shorter than 15 characters"},
		{"none", []string{""}, "the passphrase is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			dir, err := datadir.At(data)
			check(t, err)
			answers := c.answers
			k := &keyring{places: places{dir: dir}, config: settings(t, map[string]string{"data": data, "master-key": "passphrase"}), ask: func(string) (string, error) {
				answer := answers[0]
				answers = answers[1:]
				return answer, nil
			}}
			key, err := k.find(datadir.Missing)
			if c.say != "" {
				if err == nil || !strings.Contains(err.Error(), c.say) {
					t.Errorf("%v", err)
				}
				return
			}
			if key != nil || err != nil || len(answers) != 0 {
				t.Errorf("%v, %v, %d answers left", key, err, len(answers))
			}
		})
	}
}

// TestKeyWasThere sets a directory up under a key file that lay beside it already, and under one from the
// environment.
func TestKeyWasThere(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	_, err := masterkey.CreateFile(data + ".master.key")
	check(t, err)
	check(t, os.Mkdir(data, 0o755))
	before, err := os.ReadFile(data + ".master.key")
	check(t, err)
	p := start(t, data)
	if !strings.Contains(p.stderr.String(), "under the master key that was there already") {
		t.Errorf("the log does not say so: %s", p.stderr)
	}
	c := &client{t: t, addr: p.addr, http: newHTTP(t)}
	c.must(c.do("GET", "/readyz", nil, nil)).want(t, 200) // without an admin
	if !strings.Contains(p.stderr.String(), "there is no admin yet") {
		t.Errorf("the log does not say how to make an admin: %s", p.stderr)
	}
	p.stop()
	after, err := os.ReadFile(data + ".master.key")
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key has changed: %v", err)
	}

	elsewhere := filepath.Join(t.TempDir(), "data")
	cmd := command(t, "admin", "create", "ann", "--password-stdin", "--data", elsewhere, "--master-key", "env", "--development")
	cmd.Env = append(os.Environ(), "STONEVAULT_MASTER_KEY="+strings.TrimSpace(string(before)))
	if r := finish(t, testPassword, cmd); r.code != 0 {
		t.Errorf("under a key from the environment: %+v", r)
	}
	if _, err := os.Stat(elsewhere + ".master.key"); !os.IsNotExist(err) {
		t.Errorf("a key file was made as well: %v", err)
	}
}

// TestInterruptedSetUp goes on where the first start was killed.
func TestInterruptedSetUp(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(t *testing.T, data string)
	}{
		{"after the lock", func(t *testing.T, data string) { write(t, filepath.Join(data, "lock"), "1") }},
		{"after the key", func(t *testing.T, data string) {
			_, err := masterkey.CreateFile(data + ".master.key")
			check(t, err)
		}},
		{"while the stamp was written", func(t *testing.T, data string) { write(t, filepath.Join(data, ".tmp-ABC"), "{") }},
		{"before the first table", func(t *testing.T, data string) {
			stamped(t, data)
			write(t, filepath.Join(data, "stonevault.db"), "")
		}},
		{"between two steps of the schema", func(t *testing.T, data string) {
			stamped(t, data)
			alter(t, data, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
				is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))`)
			alter(t, data, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)`)
		}},
		{"before the vault was founded", func(t *testing.T, data string) {
			stamped(t, data)
			db, err := metadb.OpenSQLite(t.Context(), filepath.Join(data, "stonevault.db"), metadb.Options{ProgramVersion: olderVersion})
			check(t, err)
			check(t, db.Close())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			check(t, os.Mkdir(data, 0o700))
			c.stop(t, data)
			s := newServer(t, data)
			check(t, s.Run(t.Context()))
			makePerson(t, s, "ann")
			closeServer(t, s)
			left, err := filepath.Glob(filepath.Join(data, ".tmp-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
			s = newServer(t, data)
			check(t, s.Run(t.Context()))
			signIn(t, s.Addr(), "ann")
			closeServer(t, s)
		})
	}
}

// stamped is a directory up to the point where the database comes.
func stamped(t testing.TB, data string) {
	t.Helper()
	_, err := masterkey.CreateFile(data + ".master.key")
	check(t, err)
	dir, err := datadir.At(data)
	check(t, err)
	check(t, dir.Stamp(olderVersion))
	check(t, os.Mkdir(dir.Objects(), 0o700))
}

// TestPrintedOnce makes sure that nothing is made where its secrets could not be printed.
func TestPrintedOnce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := newServer(t, data)
	s.CreateAdmin = true
	s.Stdout = broken{}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing can be printed") {
		t.Fatalf("it ran: %v", err)
	}
	var printed, logged bytes.Buffer
	s = newServer(t, data)
	s.CreateAdmin, s.Stdout = true, &printed
	s.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	check(t, s.Run(t.Context()))
	password := between(t, printed.String(), "Password:  ", "\n")
	if len(password) < 20 {
		t.Errorf("the password has %d characters", len(password))
	}
	secret, err := identity.ParseSecret(sheetSecret(t, printed.String()))
	check(t, err)
	check(t, s.store.vault.ConfirmRecovery(t.Context(), atMachine, secret))
	about, err := s.store.vault.About(t.Context())
	check(t, err)
	root := between(t, printed.String(), "to know the right vault by:\n", "\n\n")
	if strings.Join(strings.Fields(root), " ") != about.RootFingerprint.Spoken() {
		t.Errorf("the sheet's fingerprint is %q", root)
	}
	closeServer(t, s)
	if strings.Contains(logged.String(), password) || strings.Contains(logged.String(), "SVSEC1") {
		t.Errorf("the log holds secrets: %s", &logged)
	}
}

// broken is an output that nobody reads.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestNewPassword(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		p := newPassword()
		if seen[p] || len(p) != 29 || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz234567-") != "" {
			t.Fatalf("%q", p)
		}
		seen[p] = true
	}
}

// TestClockWhileRunning shows that a clock set back is said, and stops nobody.
func TestClockWhileRunning(t *testing.T) {
	var logged bytes.Buffer
	var back atomic.Int64
	s := newServer(t, filepath.Join(t.TempDir(), "data"))
	s.Now = func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }
	s.Log = slog.New(slog.NewTextHandler(&logged, nil))
	check(t, s.Run(t.Context()))
	defer closeServer(t, s)
	back.Store(int64(time.Hour))
	s.noteTime(t.Context())
	if !strings.Contains(logged.String(), "the clock was set back; set it right") {
		t.Errorf("the log does not say so: %s", &logged)
	}
	check(t, s.ready(t.Context()))
}
