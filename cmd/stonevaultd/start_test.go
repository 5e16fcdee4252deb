package main

import (
	"database/sql"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to change what the program would not
)

// alter runs a statement on a database as somebody would who can write to the disk. It returns how many
// rows that changed.
func alter(t testing.TB, data, statement string, args ...any) int64 {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "stonevault.db")+
		"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(0)&_pragma=ignore_check_constraints(1)")
	check(t, err)
	defer db.Close()
	done, err := db.Exec(statement, args...)
	check(t, err)
	n, err := done.RowsAffected()
	check(t, err)
	return n
}

// copyVault copies a data directory and its key file.
func copyVault(t testing.TB, from, to string) {
	t.Helper()
	check(t, os.CopyFS(to, os.DirFS(from)))
	check(t, filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	}))
	if err := copyFile(from+".master.key", to+".master.key"); !os.IsNotExist(err) {
		check(t, err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o600))
}

// TestRefusedStarts shows that each reason not to start ends with exit code 1, one sentence that says what
// to do, and not a byte changed.
func TestRefusedStarts(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made")
	makeVault(t, made)
	for _, c := range []struct {
		name string
		// change turns a sound vault at data into one that is refused, and returns further arguments.
		change func(t *testing.T, data string) []string
		say    []string // parts of the sentence
	}{
		{"another master key", func(t *testing.T, data string) []string {
			check(t, os.Remove(data+".master.key"))
			other := filepath.Join(t.TempDir(), "other")
			makeVault(t, other)
			check(t, copyFile(other+".master.key", data+".master.key"))
			return nil
		}, []string{"was sealed under another master key", "put the right one there"}},
		{"no master key", func(t *testing.T, data string) []string {
			check(t, os.Remove(data+".master.key"))
			return nil
		}, []string{"was sealed under a master key that is not at ", "put it back"}},
		{"a master key somewhere else", func(t *testing.T, data string) []string {
			return []string{"--master-key", "file:" + data + ".elsewhere"}
		}, []string{".elsewhere; put it back"}},
		{"a damaged master key", func(t *testing.T, data string) []string {
			write(t, data+".master.key", "svmk1AAAA\n")
			return nil
		}, []string{"this is not a master key"}},
		{"a master key that others can read", func(t *testing.T, data string) []string {
			check(t, os.Chmod(data+".master.key", 0o644))
			return nil
		}, []string{"chmod 600 "}},
		{"a master key in the data", func(t *testing.T, data string) []string {
			check(t, copyFile(data+".master.key", filepath.Join(data, "objects", "key")))
			return []string{"--master-key", "file:" + filepath.Join(data, "objects", "key")}
		}, []string{"must not lie in the data directory", "move "}},
		{"a master key in the data by a link", func(t *testing.T, data string) []string {
			check(t, os.Symlink(data, data+".link"))
			return []string{"--master-key", "file:" + filepath.Join(data+".link", "key")}
		}, []string{"must not lie in the data directory"}},
		{"a passphrase for a vault with a key file", func(t *testing.T, data string) []string {
			write(t, data+".phrase", testPassword+"\n")
			return []string{"--master-key", "passphrase", "--master-passphrase-file", data + ".phrase"}
		}, []string{"was not sealed under a passphrase"}},
		{"a key in the environment", func(t *testing.T, data string) []string {
			return []string{"--master-key", "env"}
		}, []string{"allowed with --development alone"}},
		{"a newer layout", func(t *testing.T, data string) []string {
			write(t, filepath.Join(data, "version"), `{"layout":2,"program":"9.9.9"}`)
			return nil
		}, []string{"has layout 2, written by version 9.9.9; use that version or a newer one"}},
		{"a newer schema", func(t *testing.T, data string) []string {
			alter(t, data, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
			alter(t, data, `UPDATE schema_writer SET program = '9.9.9'`)
			return nil
		}, []string{"has schema 99999, written by version 9.9.9: use that version or a newer one"}},
		{"a clock set back", func(t *testing.T, data string) []string {
			later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
			alter(t, data, `UPDATE settings SET value = $1 WHERE name = 'last_seen'`, []byte(later))
			return nil
		}, []string{"the clock stands before", "set the clock of this machine right"}},
		{"a second server", func(t *testing.T, data string) []string {
			start(t, data)
			awaitSigned(t, data)
			return nil
		}, []string{"another process (", ") uses ", "stop it first"}},
		{"a port in use", func(t *testing.T, data string) []string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			check(t, err)
			t.Cleanup(func() { l.Close() })
			return []string{"--listen", l.Addr().String()}
		}, []string{"another program listens on 127.0.0.1:", "choose another port with --listen"}},
		{"a port of metrics in use", func(t *testing.T, data string) []string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			check(t, err)
			t.Cleanup(func() { l.Close() })
			return []string{"--metrics-listen", l.Addr().String()}
		}, []string{"choose another port with --metrics-listen"}},
		{"an address for other machines", func(t *testing.T, data string) []string {
			return []string{"--listen", "0.0.0.0:0"}
		}, []string{"--listen reaches other machines, which needs TLS", "--tls-cert FILE --tls-key FILE", "--tls-generate"}},
		{"no address at all", func(t *testing.T, data string) []string {
			return []string{"--listen", ":8080"}
		}, []string{"needs TLS"}},
		{"a damaged database", func(t *testing.T, data string) []string {
			write(t, filepath.Join(data, "stonevault.db"), strings.Repeat("not a database ", 1000))
			return nil
		}, []string{"the database is damaged"}},
		{"no database", func(t *testing.T, data string) []string {
			check(t, os.Remove(filepath.Join(data, "stonevault.db")))
			check(t, os.Mkdir(filepath.Join(data, "objects", "00"), 0o700))
			write(t, filepath.Join(data, "objects", "00", strings.Repeat("0", 32)+".body"), "sealed")
			return nil
		}, []string{"holds sealed files but no database", "from a backup"}},
		{"no objects", func(t *testing.T, data string) []string {
			check(t, os.RemoveAll(filepath.Join(data, "objects")))
			return nil
		}, []string{"no directory objects; mount it"}},
		{"no version", func(t *testing.T, data string) []string {
			check(t, os.Remove(filepath.Join(data, "version")))
			return nil
		}, []string{`no file "version"`}},
		{"a damaged version", func(t *testing.T, data string) []string {
			write(t, filepath.Join(data, "version"), "1")
			return nil
		}, []string{`a damaged file "version"`}},
		{"somebody's directory", func(t *testing.T, data string) []string {
			check(t, os.RemoveAll(data))
			check(t, os.Mkdir(data, 0o700))
			write(t, filepath.Join(data, "letter.txt"), "Dear Ann")
			return nil
		}, []string{"holds something else (letter.txt)", "choose an empty directory"}},
		{"a new directory and a damaged key", func(t *testing.T, data string) []string {
			check(t, os.RemoveAll(data))
			write(t, data+".master.key", "key")
			return nil
		}, []string{"this is not a master key"}},
		{"a new directory and a key with no place", func(t *testing.T, data string) []string {
			check(t, os.RemoveAll(data))
			return []string{"--master-key", "file:" + filepath.Join(data+".nowhere", "key")}
		}, []string{"no such file or directory"}},
		{"a new directory and a port in use", func(t *testing.T, data string) []string {
			check(t, os.RemoveAll(data))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			check(t, err)
			t.Cleanup(func() { l.Close() })
			return []string{"--listen", l.Addr().String()}
		}, []string{"another program listens on "}},
		{"a new directory and a short passphrase", func(t *testing.T, data string) []string {
			check(t, os.RemoveAll(data))
			write(t, data+".phrase", "short\n")
			return []string{"--master-key", "passphrase", "--master-passphrase-file", data + ".phrase"}
		}, []string{"the passphrase is shorter than 15 characters"}},
		{"an unknown suite", func(t *testing.T, data string) []string {
			return []string{"--suite", "3"}
		}, []string{"--suite must be 1 or 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			data := filepath.Join(root, "data")
			copyVault(t, made, data)
			more := c.change(t, data)
			before := fingerprint(t, root)
			r := run(t, "", append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--create-admin"}, more...)...)
			if r.code != 1 {
				t.Errorf("exit code %d, want 1", r.code)
			}
			if r.stdout != "" {
				t.Errorf("it printed %q", r.stdout)
			}
			sentence, rest, _ := strings.Cut(r.stderr, "\n")
			if rest != "" {
				t.Errorf("more than one sentence: %q", r.stderr)
			}
			for _, part := range c.say {
				if !strings.Contains(sentence, part) {
					t.Errorf("%q does not say %q", sentence, part)
				}
			}
			if fingerprint(t, root) != before {
				t.Error("something has changed")
			}
		})
	}
}

// TestWholeLife runs the real program from an empty directory to a second start.
func TestWholeLife(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, data, "--create-admin", "--log-format", "json")
	printed := p.stdout.String()
	for _, part := range []string{"Name:      admin\nPassword:  ", "RECOVERY SHEET", "SVSEC1-", "recovery confirm"} {
		if strings.Count(printed, part) != 1 {
			t.Errorf("%q is not there once: %s", part, printed)
		}
	}
	secret := sheetSecret(t, printed)
	if log := p.stderr.String(); strings.Contains(log, "SVSEC1") || strings.Contains(log, between(t, printed, "Password:  ", "\n")) ||
		!strings.Contains(log, `"msg":"nobody has confirmed`) {
		t.Errorf("the log is wrong: %s", log)
	}

	// While the server runs.
	r := run(t, testPassword+"\n", "admin", "create", "ann", "--role", "user", "--password-stdin", "--data", data)
	if r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, `The account "ann" was made; its role is user.`) {
		t.Fatalf("admin create: %+v", r)
	}
	ann := signIn(t, p.addr, "ann")
	ann.must(ann.put("/letter.txt", []byte("Dear Bob"))).want(t, http.StatusCreated)
	r = run(t, "", "admin", "reset", "ANN", "--generate-password", "--data", data)
	if r.code != 0 || !strings.Contains(r.stdout, "Password:  ") || strings.Contains(r.stdout, "RECOVERY") {
		t.Fatalf("admin reset: %+v", r)
	}
	time.Sleep(1100 * time.Millisecond) // a session is trusted for one second
	ann.must(ann.get("/letter.txt")).want(t, http.StatusUnauthorized)
	r = run(t, testPassword, "admin", "reset", "ann", "--password-stdin", "--data", data)
	if r.code != 0 {
		t.Fatalf("admin reset: %+v", r)
	}
	for _, wrong := range []string{"", "SVSEC1-AAAAA", strings.Replace(secret, "A", "B", 1)} {
		if r = run(t, wrong, "recovery", "confirm", "--secret-stdin", "--data", data); r.code != 1 {
			t.Fatalf("recovery confirm of %q: %+v", wrong, r)
		}
	}
	r = run(t, strings.ToLower(secret), "recovery", "confirm", "--secret-stdin", "--data", data)
	if r.code != 0 {
		t.Fatalf("recovery confirm: %+v", r)
	}
	if r = run(t, "", "doctor", "--data", data); r.code != 0 || strings.Contains(r.stdout, "fail ") {
		t.Errorf("doctor beside the server: %+v", r)
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d after a stop: %s", code, p.stderr)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(filepath.Join(data, "stonevault.db"+suffix)); !os.IsNotExist(err) {
			t.Errorf("stonevault.db%s is left after a stop: %v", suffix, err)
		}
	}

	// And again, with the same data.
	p = start(t, data, "--create-admin")
	if p.stdout.String() != "" || strings.Contains(p.stderr.String(), "level=WARN") {
		t.Errorf("the second start printed %q and logged %q", p.stdout, p.stderr)
	}
	ann = signIn(t, p.addr, "ann")
	if r := ann.must(ann.get("/letter.txt")); string(r.body) != "Dear Bob" {
		t.Errorf("the letter is %q", r.body)
	}
	if code := p.stop(); code != 0 {
		t.Fatalf("exit code %d after a stop: %s", code, p.stderr)
	}
	r = run(t, "", "doctor", "--data", data)
	if r.code != 0 || strings.Contains(r.stdout, "fail ") || strings.Contains(r.stdout, "warn  recovery") {
		t.Errorf("doctor after the stop: %+v", r)
	}
}

// sheetSecret reads the secret from a recovery sheet as a person would.
func sheetSecret(t testing.TB, sheet string) string {
	t.Helper()
	return between(t, sheet, "Recovery secret:\n", "\n\n")
}

func between(t testing.TB, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	found, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("nothing between %q and %q in %q", from, to, text)
	}
	return found
}
