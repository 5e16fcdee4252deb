package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"stonevault/internal/front"
)

// TestMisuse goes through command lines that make no sense: each is told what to do, and changes nothing.
func TestMisuse(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data")
	makeVault(t, data)
	before := fingerprint(t, root)
	for _, c := range []struct {
		line  string
		stdin string
		say   string
	}{
		{line: "serve", say: "say where the data is: --data DIR"},
		{line: "serve DATA --data DATA", say: "is one thing too many"},
		{line: "serve --port 8080", say: "Try: stonevaultd serve --help"},
		{line: "sreve", say: "unknown command \"sreve\""},
		{line: "serve --data DATA --listen 127.0.0.1", say: "--listen must be an address and a port, such as 127.0.0.1:8080"},
		{line: "serve --data DATA --config NOWHERE", say: "NOWHERE cannot be read"},
		{line: "admin", say: "create, reset, erase or scrub"},
		{line: "admin remove carl --data DATA", say: `"remove" is no verb of admin; use`},
		{line: "rotate nonsense --data DATA", say: `"nonsense" is no verb of rotate; use`},
		{line: "rotate --data DATA", say: "say what to do: master, root, "},
		{line: "admin remove", say: `"remove" is no verb of admin; use create, reset, erase or scrub`},
		{line: "admin create --data DATA --password-stdin", say: "name the account"},
		{line: "admin create carl --data DATA", say: "say where the password comes from: --password-stdin or --generate-password"},
		{line: "admin create carl --data DATA --password-stdin --generate-password", say: "say where the password comes from"},
		{line: "admin create carl --data DATA --generate-password --role king", say: "--role must be admin, manager or user"},
		{line: "admin create carl --data DATA --password-stdin", say: "no password came on standard input"},
		{line: "admin create carl --data DATA --password-stdin", stdin: "too short\n", say: "the password is shorter than 15 characters; six random words are long enough"},
		{line: "admin create carl --data DATA --password-stdin", stdin: "carlcarlcarlcarl\n", say: "the password is one of those that are tried first"},
		{line: "admin create carl --data DATA --password-stdin", stdin: "qwertyuiopasdfghjkl\n", say: "the password is easy to guess"},
		{line: "admin create carl --data DATA --password-stdin", stdin: strings.Repeat("long", 300), say: "the password is longer than 1,024 bytes"},
		{line: "admin create carl --data DATA --password-stdin", stdin: "not UTF-8, but long enough \xff", say: "the password is not valid UTF-8"},
		{line: "admin reset ann --data NOWHERE --password-stdin", stdin: testPassword, say: "there is no vault in "},
		{line: "recovery", say: "confirm"},
		{line: "recovery confirm --data DATA", say: "with --secret-stdin"},
		{line: "recovery confirm --data DATA --secret-stdin", stdin: "SVSEC1", say: "this is not a recovery secret"},
		{line: "config", say: "check or show"},
		{line: "config check --suite 9", say: "--suite must be 1 or 2"},
		{line: "version now", say: "is one thing too many"},
		{line: "doctor", say: "say where the data is"},
	} {
		args := strings.Fields(strings.NewReplacer("DATA", data, "NOWHERE", filepath.Join(root, "nowhere")).Replace(c.line))
		r := run(t, c.stdin, args...)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, strings.ReplaceAll(c.say, "NOWHERE", filepath.Join(root, "nowhere"))) {
			t.Errorf("%s: %+v", c.line, r)
		}
	}
	if fingerprint(t, root) != before {
		t.Error("something has changed")
	}
}

// TestAccountsRefused goes through what only the vault can tell.
func TestAccountsRefused(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	for _, c := range []struct {
		verb, name, say string
	}{
		{"create", "ANN", `there is an account "ANN" already; choose another name`},
		{"reset", "carl", `there is no account "carl"; make it with`},
		{"create", "", "the name must have 1 to 64 bytes"},
		{"create", strings.Repeat("x", 65), "the name must have 1 to 64 bytes"},
		{"create", " ann", "the name begins or ends with a space"},
		{"create", "a\nb", "the name has characters that cannot be shown"},
	} {
		r := run(t, testPassword, "admin", c.verb, c.name, "--data", data, "--password-stdin")
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, c.say) {
			t.Errorf("%s %q: %+v", c.verb, c.name, r)
		}
	}
}

// TestRoles makes one account of each role.
func TestRoles(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for i, role := range []string{"user", "manager", "admin"} {
		r := run(t, "", "admin", "create", "one "+role, "--role", role, "--generate-password", "--data", data)
		if r.code != 0 || !strings.Contains(r.stdout, "Password:  ") || strings.Contains(r.stdout, "RECOVERY") != (i == 0) {
			t.Errorf("%s: %+v", role, r)
		}
	}
	if r := run(t, "", "doctor", "--data", data); !strings.Contains(r.stdout, "admins: 1") {
		t.Errorf("%+v", r)
	}
}

func TestVersionAndCompletion(t *testing.T) {
	r := run(t, "", "version")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "stonevaultd "+builtVersion+" go1.") || !strings.Contains(r.stdout, "suite 1 by default") {
		t.Errorf("%+v", r)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := run(t, "", "completion", shell); r.code != 0 || !strings.Contains(r.stdout, "stonevaultd") {
			t.Errorf("%s: exit code %d, %d bytes", shell, r.code, len(r.stdout))
		}
	}
}

func TestConfigVerbs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.toml")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, words)
	write(t, file, "suite = 2\nmaster_key_source = \"passphrase\"\nmaster_passphrase_file = \""+secret+"\"\n")
	if r := run(t, "", "config", "check", "--config", file); r.code != 0 || r.stderr != "The settings are good.\n" {
		t.Errorf("check: %+v", r)
	}
	r := run(t, "", "config", "show", "--config", file, "--log-level", "debug")
	for _, line := range []string{
		"suite = \"2\" # suite in " + file + "\n", "log_level = \"debug\" # --log-level\n", "log_format = \"text\" # default\n",
		"master_passphrase = \"[redacted]\" # master_passphrase_file in " + file + "\n",
	} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("show does not say %q: %+v", line, r)
		}
	}
	if strings.Contains(r.stdout+r.stderr, words) {
		t.Error("show shows the passphrase")
	}
	write(t, file, "lissten = \"127.0.0.1:1\"\n")
	if r := run(t, "", "config", "check", "--config", file); r.code != 1 || !strings.Contains(r.stderr, "did you mean listen?") {
		t.Errorf("check of a wrong key: %+v", r)
	}
}

// TestDoctor damages a vault in one way at a time.
func TestDoctor(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made")
	makeVault(t, made)
	s := newServer(t, made)
	check(t, s.Run(t.Context()))
	ann := signIn(t, s.Addr(), "ann")
	ann.must(ann.put("/a/letter.txt", []byte("first"))).want(t, 201)
	ann.must(ann.put("/a/letter.txt", []byte("second"))).want(t, 200)
	ann.must(ann.put("/b.txt", []byte("another"))).want(t, 201)
	f, _, err := ann.lookup("/a/letter.txt")
	check(t, err)
	upload := ann.beginUpload("/unfinished.bin", 3<<20, bytes.Repeat([]byte("half"), 512<<10))
	closeServer(t, s)
	stranger := strings.Repeat("ab", 16)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, data string)
		code   int
		say    []string
	}{
		{"nothing", func(*testing.T, string) {}, 0, []string{"ok    objects      versions of files: 3,", "ok    uploads      uploads that are not finished: 1,", "ok    tls          with these settings there is none", "ok    vault", "ok    clock", "ok    database", "ok    intents", "ok    temporary", "warn  recovery", "warn  accounts"}},
		{"a missing body", func(t *testing.T, data string) { check(t, os.Remove(object(data, f.FileID, "body"))) }, 1,
			[]string{"fail  objects      " + f.FileID + ".body is missing; restore it from a backup"}},
		{"a missing envelope", func(t *testing.T, data string) { check(t, os.Remove(object(data, f.FileID, "env"))) }, 1,
			[]string{f.FileID + ".env is missing"}},
		{"both missing", func(t *testing.T, data string) {
			check(t, os.Remove(object(data, f.FileID, "env")))
			check(t, os.Remove(object(data, f.FileID, "body")))
		}, 1, []string{f.FileID + ".env is missing", f.FileID + ".body is missing"}},
		{"a body cut off", func(t *testing.T, data string) { check(t, os.Truncate(object(data, f.FileID, "body"), 10)) }, 1,
			[]string{f.FileID + ".body has 10 bytes, which is not its size"}},
		{"an empty envelope", func(t *testing.T, data string) { check(t, os.Truncate(object(data, f.FileID, "env"), 0)) }, 1,
			[]string{f.FileID + ".env has 0 bytes"}},
		{"an object that belongs to nothing", func(t *testing.T, data string) {
			check(t, os.MkdirAll(filepath.Dir(object(data, stranger, "body")), 0o700))
			write(t, object(data, stranger, "body"), "sealed")
		}, 0, []string{"warn  objects      no row refers to " + stranger + ".body; keep it"}},
		{"an upload without its part", func(t *testing.T, data string) { check(t, os.Remove(object(data, upload, "part"))) }, 1,
			[]string{"fail  uploads      of an upload, " + upload + ".part is missing, so that it cannot go on; it must be cancelled", "ok    objects      versions of files: 3"}},
		{"an upload that was cut off", func(t *testing.T, data string) { check(t, os.Truncate(object(data, upload, "part"), 10)) }, 1,
			[]string{"fail  uploads      of an upload, " + upload + ".part has 10 bytes and not the "}},
		{"a part that is longer than was acknowledged", func(t *testing.T, data string) {
			part := object(data, upload, "part")
			info, err := os.Stat(part)
			check(t, err)
			check(t, os.Truncate(part, info.Size()+100))
		}, 0, []string{"ok    uploads      uploads that are not finished: 1,"}},
		{"a part that belongs to nothing", func(t *testing.T, data string) {
			check(t, os.MkdirAll(filepath.Dir(object(data, stranger, "part")), 0o700))
			write(t, object(data, stranger, "part"), "sealed")
		}, 0, []string{"warn  uploads      no upload refers to " + stranger + ".part; start the server, which removes it", "ok    objects"}},
		{"an upload whose last byte has come", func(t *testing.T, data string) {
			check(t, os.Rename(object(data, upload, "part"), object(data, upload, "body")))
		}, 0, []string{"ok    uploads      uploads that are not finished: 1,", "ok    objects"}},
		{"an unfinished put", func(t *testing.T, data string) {
			check(t, os.MkdirAll(filepath.Dir(object(data, stranger, "body")), 0o700))
			write(t, object(data, stranger, "body"), "sealed")
			alter(t, data, `INSERT INTO intents (file_id, kind, created_at) VALUES ($1, 'put', 1)`, stranger)
		}, 0, []string{"warn  intents      unfinished changes: 1; start the server", "ok    objects"}},
		{"a temporary file", func(t *testing.T, data string) {
			write(t, filepath.Join(filepath.Dir(object(data, f.FileID, "body")), ".tmp-X"), strings.Repeat("x", 3<<20))
		}, 0, []string{"warn  temporary    interrupted uploads have left 1 files of 3 MiB"}},
		{"another key", func(t *testing.T, data string) {
			other := filepath.Join(t.TempDir(), "other")
			makeVault(t, other)
			check(t, copyFileOver(other+".master.key", data+".master.key"))
		}, 1, []string{"fail  vault", "was sealed under another master key", "ok    objects"}},
		{"no key", func(t *testing.T, data string) { check(t, os.Remove(data+".master.key")) }, 1,
			[]string{"fail  master key", "put it back", "ok    objects"}},
		{"a database that is none", func(t *testing.T, data string) {
			write(t, filepath.Join(data, "stonevault.db"), strings.Repeat("no database ", 100))
		}, 1, []string{"fail  database", "is damaged"}},
		{"a row that fits no other", func(t *testing.T, data string) {
			alter(t, data, `UPDATE nodes SET size = size + 1 WHERE name = 'b.txt'`)
		}, 1, []string{"fail  database", "differs from its current version"}},
		{"a newer schema", func(t *testing.T, data string) {
			alter(t, data, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		}, 1, []string{"fail  database", "use that version or a newer one"}},
		{"a clock set back", func(t *testing.T, data string) {
			alter(t, data, `UPDATE settings SET value = $1 WHERE name = 'last_seen'`, []byte("2999-01-01T00:00:00Z"))
		}, 1, []string{"fail  clock", "set the clock of this machine right", "ok    vault"}},
		{"no vault at all", func(t *testing.T, data string) { check(t, os.RemoveAll(data)) }, 1,
			[]string{"fail  directory    there is no vault in "}},
		{"rights for others", func(t *testing.T, data string) {
			if runtime.GOOS == "windows" {
				t.Skip("NOT RUN: this system has other rights")
			}
			check(t, os.Chmod(filepath.Join(data, "objects"), 0o755))
		}, 0, []string{"warn  directory", "chmod go= "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			data := filepath.Join(root, "data")
			copyVault(t, made, data)
			c.damage(t, data)
			before := fingerprint(t, root)
			r := run(t, "", "doctor", "--data", data)
			if r.code != c.code || r.stderr != "" {
				t.Errorf("exit code %d, %s", r.code, r.stderr)
			}
			for _, part := range c.say {
				if !strings.Contains(r.stdout, part) {
					t.Errorf("it does not say %q:\n%s", part, r.stdout)
				}
			}
			if fingerprint(t, root) != before {
				t.Error("something has changed")
			}
			var report struct{ Items []finding }
			r = run(t, "", "doctor", "--data", data, "--json")
			check(t, json.Unmarshal([]byte(r.stdout), &report))
			failed := 0
			for _, f := range report.Items {
				if f.Check == "" || f.Text == "" {
					t.Errorf("a finding is empty: %+v", f)
				}
				if f.Level == levelFail {
					failed++
				}
			}
			if (failed > 0) != (r.code == 1) || len(report.Items) == 0 {
				t.Errorf("exit code %d with %d failures of %d", r.code, failed, len(report.Items))
			}
		})
	}
}

// beginUpload sends a first piece of an upload, and returns its id.
func (c *client) beginUpload(path string, size int, piece []byte) (id string) {
	c.t.Helper()
	res, err := c.send("POST", "/api/v1/uploads", bytes.NewReader(piece), http.Header{
		"Tus-Resumable": {"1.0.0"}, "Upload-Length": {fmt.Sprint(size)}, "Content-Type": {"application/offset+octet-stream"},
		"Upload-Metadata": {"path " + base64.StdEncoding.EncodeToString([]byte(path))},
	})
	check(c.t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated || res.Header.Get("Upload-Offset") != fmt.Sprint(len(piece)) {
		c.t.Fatalf("status %d, offset %s", res.StatusCode, res.Header.Get("Upload-Offset"))
	}
	return res.Header.Get("Location")[strings.LastIndex(res.Header.Get("Location"), "/")+1:]
}

// TestDoctorOfTLS looks at certificates that are good, old, young, missing and broken.
func TestDoctorOfTLS(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	dir := t.TempDir()
	cert := func(name string, at time.Time) (line string) {
		t.Helper()
		withKey, _, err := front.Generate([]string{"vault.example.org"}, at)
		check(t, err)
		path := filepath.Join(dir, name)
		write(t, path, string(withKey))
		return "--tls-cert " + path + " --tls-key " + path
	}
	day := 24 * time.Hour
	write(t, filepath.Join(dir, "rubbish"), "rubbish")
	for _, c := range []struct {
		line string
		code int
		say  []string
	}{
		{"", 0, []string{"ok    tls          with these settings there is none, and 127.0.0.1:8080 is served in clear, to this machine alone"}},
		{"--listen :80 --behind-proxy --trusted-proxy 10.0.0.1", 0, []string{"ok    tls          with these settings :80 is served in clear, to proxies that have TLS"}},
		{cert("good", time.Now()) + " --listen :443", 0, []string{"ok    tls          there is a certificate (vault.example.org, until ", "fingerprint ", "ok    exchange     a post-quantum key exchange is preferred"}},
		{cert("good", time.Now()) + " --require-pq", 0, []string{"ok    exchange     every connection has a post-quantum key exchange, or is refused"}},
		{cert("soon", time.Now().Add(-390*day)), 0, []string{"warn  tls          the certificate expires soon"}},
		{cert("old", time.Now().Add(-400*day)), 1, []string{"fail  tls          the certificate in ", " has expired"}},
		{cert("young", time.Now().Add(400*day)), 1, []string{"fail  tls          the certificate in ", " begins on "}},
		{"--tls-cert " + dir + "/rubbish --tls-key " + dir + "/rubbish", 1, []string{"fail  tls ", "are no certificate and its key in PEM"}},
		{"--tls-cert " + dir + "/nowhere --tls-key " + dir + "/nowhere", 1, []string{"fail  tls ", "cannot be read"}},
		{"--tls-generate", 0, []string{"warn  tls          the certificate of the server's own is not there"}},
	} {
		r := run(t, "", append([]string{"doctor", "--data", data}, strings.Fields(c.line)...)...)
		for _, say := range c.say {
			if r.code != c.code || !strings.Contains(r.stdout, say) {
				t.Errorf("%s does not say %q: %+v", c.line, say, r)
			}
		}
	}
	s := newServer(t, data)
	s.Config.TLS.Generate = true
	check(t, s.Run(t.Context()))
	closeServer(t, s)
	if r := run(t, "", "doctor", "--data", data, "--tls-generate"); r.code != 0 || !strings.Contains(r.stdout, "warn  tls          the certificate is of the server's own") {
		t.Errorf("%+v", r)
	}
	write(t, data+".tls.pem", "rubbish")
	if r := run(t, "", "doctor", "--data", data, "--tls-generate"); r.code != 1 || !strings.Contains(r.stdout, "remove it, and another certificate is made") {
		t.Errorf("%+v", r)
	}
}

func copyFileOver(from, to string) error {
	if err := os.Remove(to); err != nil {
		return err
	}
	return copyFile(from, to)
}

func TestShellQuote(t *testing.T) {
	for arg, want := range map[string]string{
		"/srv/vault": "/srv/vault", "": "''", "my data": "'my data'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "~/x": "'~/x'",
	} {
		if got := shellQuote(arg); got != want {
			t.Errorf("%q: %s", arg, got)
		}
	}
}
