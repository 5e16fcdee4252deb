package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lostVault is a vault that was served, and then lost all but its objects and its sheet.
type lostVault struct {
	objects string // the directory
	secret  string
	root    string // as it is spoken
	owners  map[string]string
	files   map[string]tree // by name of the account
}

// loseVault serves a vault to ann and bob, each with some files, and throws the rest away.
func loseVault(t testing.TB, files int) *lostVault {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	s := newServer(t, data)
	var sheet bytes.Buffer
	s.CreateAdmin, s.Stdout = true, &sheet
	check(t, s.Run(t.Context()))
	l := &lostVault{objects: filepath.Join(data, "objects"), owners: make(map[string]string), files: make(map[string]tree)}
	l.secret = sheetSecret(t, sheet.String())
	l.root = between(t, sheet.String(), "to know the right vault by:\n", "\n\n")
	for n, name := range []string{"ann", "bob"} {
		makePerson(t, s, name)
		c := signIn(t, s.Addr(), name)
		r := c.must(c.do("GET", "/api/v1/me", nil, nil))
		var me struct{ ID string }
		check(t, json.Unmarshal(r.body, &me))
		l.owners[name] = me.ID
		l.files[name] = make(tree)
		random := rand.New(rand.NewPCG(uint64(n), 7))
		w := &writer{random: random, oneLarge: 12}
		for i := range files {
			content := w.content()
			path := fmt.Sprintf("/%d/deep er/file %d", i%3, i)
			c.must(c.put(path, content)).want(t, http.StatusCreated)
			l.files[name][path] = sha256.Sum256(content)
		}
	}
	closeServer(t, s)
	for _, path := range []string{"stonevault.db", "version", "lock"} {
		check(t, os.Remove(filepath.Join(data, path)))
	}
	check(t, os.Remove(data+".master.key"))
	return l
}

// recovered is what recover prints with --json.
func (l *lostVault) recover(t testing.TB, to string, code int, args ...string) recoveryReport {
	t.Helper()
	r := run(t, l.secret, append([]string{"recover", "--from", l.objects, "--secret-stdin", "--data", to, "--json"}, args...)...)
	if r.code != code {
		t.Fatalf("exit code %d, want %d: %s", r.code, code, r.stderr)
	}
	var report recoveryReport
	check(t, json.Unmarshal([]byte(r.stdout), &report))
	return report
}

// compare signs in with the passwords of a report, and reads every file.
func (l *lostVault) compare(t testing.TB, data string, report recoveryReport, names map[string]string) {
	t.Helper()
	s := serveHere(t, data)
	for was, now := range names {
		i := slices.IndexFunc(report.Accounts, func(a recoveryAccount) bool { return a.Name == now })
		if i < 0 {
			t.Fatalf("there is no account %s", now)
		}
		a := report.Accounts[i]
		c := &client{t: t, addr: s.Addr(), http: newHTTP(t)}
		body, err := json.Marshal(map[string]string{"name": a.Name, "password": a.Password, "client": "test"})
		check(t, err)
		r := c.must(c.do("POST", "/api/v1/sessions", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}}))
		r.want(t, http.StatusCreated, http.StatusOK)
		var grant struct {
			AccessToken string `json:"access_token"`
		}
		check(t, json.Unmarshal(r.body, &grant))
		c.token = grant.AccessToken
		found := make(tree)
		for path := range l.files[was] {
			r := c.must(c.get(path))
			r.want(t, http.StatusOK)
			found[path] = sha256.Sum256(r.body)
		}
		if !maps.Equal(found, l.files[was]) {
			t.Errorf("%s's files have changed", was)
		}
		if a.Files != len(found) || a.Owner != l.owners[was] {
			t.Errorf("the report says %+v of %s", a, was)
		}
	}
}

// TestRecoverCommand recovers by copying and by linking, with strange things among the objects.
func TestRecoverCommand(t *testing.T) {
	l := loseVault(t, 12)
	plain := filepath.Join(t.TempDir(), "plain")
	report := l.recover(t, plain, 0, "--root", strings.ReplaceAll(l.root, "\n", " "))
	if len(report.Refused) != 0 || report.Files != 24 || report.Versions != 24 || len(report.Accounts) != 3 || report.Accounts[0].Role != "admin" {
		t.Errorf("the report is %+v", report)
	}
	l.compare(t, plain, report, map[string]string{"ann": "recovered-" + l.owners["ann"][:8], "bob": "recovered-" + l.owners["bob"][:8]})
	if r := run(t, "", "doctor", "--data", plain); r.code != 0 || strings.Contains(r.stdout, "warn  recovery") {
		t.Errorf("doctor: %s", r.stdout)
	}
	if r := run(t, l.secret, "recovery", "confirm", "--secret-stdin", "--data", plain); r.code != 0 {
		t.Errorf("the sheet no longer holds: %s", r.stderr)
	}

	id := strings.Repeat("ab", 16)
	for name, content := range map[string]string{
		"readme": "hello", "ab/" + id + ".part": "half", "ab/" + id + ".env": "forged", "cd/" + id + ".body": "misplaced",
		"ab/evil\x1b[2J": "",
	} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(l.objects, name)), 0o700))
		write(t, filepath.Join(l.objects, name), content)
	}
	before := fingerprint(t, l.objects)
	linked := filepath.Join(filepath.Dir(filepath.Dir(l.objects)), "linked")
	report = l.recover(t, linked, 2, "--link", "--root", report.Root, "--owner", l.owners["ann"]+"=admin", "--owner", l.owners["bob"]+"=Böb")
	if len(report.Accounts) != 2 {
		t.Errorf("the accounts are %d", len(report.Accounts))
	}
	reasons := make(map[string]string)
	for _, f := range report.Refused {
		reasons[f.Name] = f.Reason
	}
	if want := map[string]string{
		"readme": "it is no object of a vault", "ab/" + id + ".part": "it is an upload that had not ended", "cd/" + id + ".body": "it is no object of a vault",
		id + ".env": "the envelope is truncated", "ab/evil\x1b[2J": "it is no object of a vault",
	}; !maps.Equal(reasons, want) {
		t.Errorf("refused are %q, want %q", reasons, want)
	}
	if fingerprint(t, l.objects) != before {
		t.Error("the objects have changed")
	}
	l.compare(t, linked, report, map[string]string{"ann": "admin", "bob": "Böb"})
	shared := 0
	bodies, err := filepath.Glob(filepath.Join(l.objects, "*", "*.body"))
	check(t, err)
	for _, path := range bodies {
		a, err := os.Stat(path)
		check(t, err)
		if b, err := os.Stat(filepath.Join(linked, "objects", path[len(l.objects):])); err == nil && os.SameFile(a, b) {
			shared++
		}
	}
	if shared != 24 {
		t.Errorf("%d bodies are shared, want 24", shared)
	}

	r := run(t, l.secret, "recover", "--from", l.objects, "--secret-stdin", "--data", filepath.Join(t.TempDir(), "text"))
	for _, say := range []string{"Recovered: 24 files with 24 versions", l.root, "Not recovered, and copied nowhere: 5", "ab/evil�[2J", "admin ", "Write the fingerprint"} {
		if r.code != 2 || !strings.Contains(r.stdout, say) {
			t.Errorf("exit code %d, and the text lacks %q: %s%s", r.code, say, r.stdout, r.stderr)
		}
	}
}

// TestRecoverRefusals changes nothing where it refuses.
func TestRecoverRefusals(t *testing.T) {
	l := loseVault(t, 1)
	other := loseVault(t, 1)
	inUse := filepath.Join(t.TempDir(), "used")
	makeVault(t, inUse)
	fresh := filepath.Join(t.TempDir(), "fresh")
	ann, bob := l.owners["ann"], l.owners["bob"]
	for _, c := range []struct {
		name, secret, from, data string
		more                     []string
		say                      string
	}{
		{"no source", l.secret, "", fresh, nil, "name the objects: --from DIR"},
		{"missing source", l.secret, l.objects + "x", fresh, nil, "no such file"},
		{"the data directory", l.secret, filepath.Dir(l.objects), fresh, nil, "name the objects themselves"},
		{"into itself", l.secret, l.objects, filepath.Dir(l.objects), nil, "choose another directory"},
		{"no secret", "", l.objects, fresh, nil, "this is not a recovery secret"},
		{"another sheet", other.secret, l.objects, fresh, nil, "no file here opens with this recovery secret"},
		{"another root", l.secret, l.objects, fresh, []string{"--root", other.root}, "the root that was named certifies none"},
		{"a vault in use", l.secret, l.objects, inUse, nil, "there is a vault already"},
		{"an owner without a name", l.secret, l.objects, fresh, []string{"--owner", ann + "="}, "write it as ID=NAME"},
		{"an owner twice", l.secret, l.objects, fresh, []string{"--owner", ann + "=a", "--owner", ann + "=b"}, "names " + ann + " twice"},
		{"two of one name", l.secret, l.objects, fresh, []string{"--owner", ann + "=a", "--owner", bob + "=A"}, "two accounts would be named"},
		{"a strange owner", l.secret, l.objects, fresh, []string{"--owner", "x=a"}, "no file here belongs to x; the owners are: "},
		{"a strange name", l.secret, l.objects, fresh, []string{"--owner", ann + "= a"}, "begins or ends with a space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			places := []string{filepath.Dir(l.objects), filepath.Dir(inUse), filepath.Dir(fresh)}
			before := fingerprint(t, places...)
			r := run(t, c.secret, append([]string{"recover", "--from", c.from, "--secret-stdin", "--data", c.data}, c.more...)...)
			if r.code != 1 || !strings.Contains(r.stderr, c.say) {
				t.Errorf("exit code %d: %s", r.code, r.stderr)
			}
			if fingerprint(t, places...) != before {
				t.Error("something has changed")
			}
		})
	}
}

// TestRecoverKilled kills recover again and again until it comes to its end.
func TestRecoverKilled(t *testing.T) {
	files, least := 40, 3
	if torture() {
		files, least = 1000, 20
	}
	l := loseVault(t, files)
	to := filepath.Join(t.TempDir(), "new")
	kills, refused := 0, 0
	for wait := 40 * time.Millisecond; ; wait += wait / 3 {
		cmd := command(t, "recover", "--from", l.objects, "--secret-stdin", "--data", to, "--json")
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(l.secret), &stdout, &stderr
		check(t, cmd.Start())
		timer := time.AfterFunc(wait, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		if cmd.ProcessState.ExitCode() > 0 {
			t.Fatalf("after %d kills it fails by itself: %s", kills, stderr.String())
		}
		// One that was killed behind its report has come to its end too.
		if timer.Stop() && err == nil || json.Valid(stdout.Bytes()) {
			var report recoveryReport
			check(t, json.Unmarshal(stdout.Bytes(), &report))
			if report.Files != 2*files || report.Versions != 2*files || len(report.Refused) != 0 {
				t.Errorf("the report is %+v", report)
			}
			l.compare(t, to, report, map[string]string{"ann": "recovered-" + l.owners["ann"][:8], "bob": "recovered-" + l.owners["bob"][:8]})
			checkObjects(t, to)
			t.Logf("%d kills, after %d of which no server could start; %d versions were there before the last run", kills, refused, report.Earlier)
			break
		}
		kills++
		if r := run(t, "", "admin", "create", "eve", "--generate-password", "--data", to); r.code == 0 {
			// It was killed before there was anything of the vault; then this is one of its own.
			check(t, os.RemoveAll(to))
			check(t, os.RemoveAll(to+".master.key"))
		} else if strings.Contains(r.stderr, "the recovery of this vault has not ended") {
			refused++
		} else if strings.Contains(r.stderr, "the database has schema ") {
			// It was killed before there were all tables; the next run must come past that.
		} else {
			t.Errorf("an unfinished vault: %s", r.stderr)
		}
	}
	if kills < least || refused < 1 {
		t.Errorf("only %d kills, %d of a vault under way", kills, refused)
	}
}
