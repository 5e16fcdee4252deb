package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/client"
	"stonevault/internal/client/logtest"
)

const logName = "stonevault/audit/one"

// person is somebody with a home of their own, signed in at a server with a log.
type person struct {
	t    *testing.T
	home string
	log  *logtest.Log
}

// newPerson signs somebody in. The log has so many events, all signed.
func newPerson(t *testing.T, size int) *person {
	t.Helper()
	log := logtest.New(t, logName, 1, nil)
	log.Fill(size)
	return signedInAt(t, log, nil)
}

func signedInAt(t *testing.T, log *logtest.Log, others http.Handler) *person {
	t.Helper()
	server := log.Serve(others)
	p := &person{t, t.TempDir(), log}
	t.Setenv("STONEVAULT_HOME", p.home)
	p.write("default.json", fmt.Sprintf(`{"server":%q,"user":"Ann","root":"aa"}`, server.URL))
	p.write("default.secret", fmt.Sprintf(`{"server":%q,"access_token":"a","refresh_token":"r","expires_at":"2999-01-01T00:00:00Z"}`, server.URL))
	return p
}

func (p *person) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.home, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) read(name string) string {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.home, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// run runs a command line.
func (p *person) run(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		p.t.Fatal(err)
	}
	defer null.Close()
	out, err := os.CreateTemp(p.t.TempDir(), "out")
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	var words bytes.Buffer
	a := &app{stdin: null, stdout: out, stderr: &words, rand: rand.Reader, now: time.Now, umask: 0o022}
	code = a.report(a.execute(p.t.Context(), append([]string{"--no-input"}, args...)))
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(out)
	if err != nil {
		p.t.Fatal(err)
	}
	return code, string(b), words.String()
}

// wants runs a command line and looks for a code and for words in what it says.
func (p *person) wants(code int, says string, args ...string) (stdout string) {
	p.t.Helper()
	got, stdout, stderr := p.run(args...)
	if got != code || !strings.Contains(stdout+stderr, says) {
		p.t.Errorf("%q: exit code %d, not %d, or it does not say %q:\n%s%s", args, got, code, says, stdout, stderr)
	}
	return stdout
}

func (p *person) pinned() *client.Pin {
	p.t.Helper()
	pin, _, err := readPin(filepath.Join(p.home, "default"+pinSuffix))
	if err != nil || pin == nil {
		p.t.Fatalf("the pin: %v", err)
	}
	return pin
}

// another is a log that a restore has begun.
func another(t *testing.T, previous []byte) *logtest.Log {
	l := logtest.New(t, "stonevault/audit/two", 2, audit.Values{"reason": "restored", "previous_checkpoint": string(previous)})
	l.Fill(4)
	return l
}

// fork is the log as it would be with other events from the sixth on.
func fork(t *testing.T, size int) *logtest.Log {
	l := logtest.New(t, logName, 1, nil)
	l.Fill(5)
	l = l.Clone(9)
	l.Fill(size)
	return l
}

// TestEveryCommandChecksThePin: whatever verb it is, a log that was changed stops it before it asks anything else.
func TestEveryCommandChecksThePin(t *testing.T) {
	commands := [][]string{
		{"ls"}, {"find", "/"}, {"info", "/a"}, {"get", "/a", "-o", "x"}, {"put", "audit_test.go"}, {"mkdir", "/a"}, {"mv", "/a", "/b"}, {"rm", "/a"},
		{"rmdir", "/a"}, {"verify", "/"}, {"export", "/a", "-p", "-o", "x"}, {"uploads"}, {"whoami"}, {"audit", "log"}, {"audit", "receipt", "1"}, {"audit", "verify"},
	}
	for name, lie := range map[string]func(t *testing.T) *logtest.Log{
		"a rollback": func(t *testing.T) *logtest.Log { return fork(t, 8) },
		"a fork":     func(t *testing.T) *logtest.Log { return fork(t, 40) },
		"another log": func(t *testing.T) *logtest.Log {
			l := logtest.New(t, "stonevault/audit/two", 2, nil)
			l.Fill(40)
			return l
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t, 20)
			p.wants(0, "", "audit", "log")
			before := p.read("default" + pinSuffix)
			p.log.Become(lie(t))
			for _, args := range commands {
				p.log.Set(func() { p.log.Requests = nil })
				if args[0] == "export" {
					args = append(args, "--passphrase-file", filepath.Join(p.home, "default.json"))
				}
				p.wants(2, "accept-restart", args...)
				if args[0] == "audit" && args[1] == "verify" {
					continue
				}
				for _, r := range p.log.Requests {
					if !strings.HasPrefix(r, "/audit") {
						t.Errorf("%q asks %s", args, r)
					}
				}
			}
			if p.read("default"+pinSuffix) != before {
				t.Error("the pin has moved")
			}
		})
	}
}

func TestPinMovesOn(t *testing.T) {
	p := newPerson(t, 20)
	p.wants(0, "", "audit", "log")
	if got := p.pinned(); got.Head.Tree != p.log.Tree || got.Root != "aa" {
		t.Errorf("pinned %+v", got)
	}
	if info, err := os.Stat(filepath.Join(p.home, "default"+pinSuffix)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	p.log.Fill(300)
	p.log.Set(func() { p.log.Requests = nil })
	p.wants(0, "", "audit", "log", "--limit", "1")
	if p.pinned().Head.Tree != p.log.Tree || len(p.log.Requests) != 2 || p.log.Requests[0] != "/audit/consistency?from=20" {
		t.Errorf("%v", p.log.Requests)
	}
	// A damaged pin is not taken for none.
	p.write("default"+pinSuffix, "{}")
	p.wants(1, "is damaged", "audit", "log")
	// Another vault under the same profile has another log; what was remembered is kept.
	p.write("default"+pinSuffix, strings.Replace(func() string { b, _ := json.Marshal(pinAt(t, p.log)); return string(b) }(), `"aa"`, `"bb"`, 1))
	p.log.Become(another(t, nil))
	p.wants(0, "", "audit", "log")
	if p.pinned().Key.Origin() != "stonevault/audit/two" || !strings.Contains(p.read("default.audit.1.json"), logName) {
		t.Error("another vault's log is not pinned, or the one before is lost")
	}
}

func pinAt(t *testing.T, l *logtest.Log) *client.Pin {
	t.Helper()
	pin, err := client.NewPin("aa", &api.AuditLog{Origin: l.Key.Public().Origin(), PublicKey: l.Key.Public().Text(), Checkpoint: string(l.Signed)})
	if err != nil {
		t.Fatal(err)
	}
	return pin
}

// Many at once move the pin forward, however they come in each other's way.
func TestPinOfManyProcesses(t *testing.T) {
	p := newPerson(t, 20)
	var grown int
	p.log.Lie = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/audit/consistency" && grown < 40 {
			grown++
			size := 20 + 3*grown
			p.log.Unlocked(func() { p.log.Fill(size) })
		}
		return false
	}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for last := int64(0); ; {
			select {
			case <-stop:
				return
			default:
			}
			pin, _, err := readPin(filepath.Join(p.home, "default"+pinSuffix))
			if err != nil {
				t.Error(err)
				return
			}
			if pin != nil && pin.Head.Tree.Size < last {
				t.Errorf("the pin moved back from %d to %d", last, pin.Head.Tree.Size)
			}
			if pin != nil {
				last = pin.Head.Tree.Size
			}
		}
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				p.wants(0, "", "audit", "log", "--limit", "1")
			}
		})
	}
	all.Wait()
	close(stop)
	watch.Wait()
	if got := p.pinned().Head.Tree; got.Size < 20+3*30 {
		t.Errorf("it stands at %d", got.Size)
	}
}

func TestAcceptRestart(t *testing.T) {
	p := newPerson(t, 20)
	p.wants(0, "first audit log", "audit", "accept-restart")
	p.wants(0, "nothing to accept", "audit", "accept-restart")
	p.log.Become(another(t, p.log.Signed))
	p.wants(2, "(restored); it says that it continues the one that you know after 20 events, of which you have seen 20", "ls")
	p.wants(1, "Try: stonevault audit accept-restart --yes", "audit", "accept-restart")
	if p.pinned().Key.Origin() != logName {
		t.Error("it was accepted by nobody")
	}
	out := p.wants(0, "reason: restored", "audit", "accept-restart", "--yes")
	for _, want := range []string{"remembered", logName + ", 20 events", "stonevault/audit/two, 4 events", "after 20 events, of which you have seen 20"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q:\n%s", want, out)
		}
	}
	if p.pinned().Key.Origin() != "stonevault/audit/two" || !strings.Contains(p.read("default.audit.1.json"), logName) {
		t.Error("the new log is not pinned, or the old one forgotten")
	}
	p.wants(0, "", "audit", "log")

	// The same log set back: it says so, and a person may accept even that.
	p.log.Become(func() *logtest.Log { l := another(t, nil); l = l.Clone(3); l.Fill(4); return l }())
	p.log.Fill(5)
	p.write("default"+pinSuffix, p.read("default"+pinSuffix))
	older := another(t, nil).Clone(7)
	older.Fill(9)
	p.log.Become(older)
	p.wants(2, "the audit log is not what it was", "ls")
	p.wants(0, "it bears the name and the keys of the one that you know", "audit", "accept-restart", "--yes")
	p.read("default.audit.2.json")
}

func TestAuditLog(t *testing.T) {
	p := newPerson(t, 6)
	out := p.wants(0, "", "audit", "log")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], "5  ") || !strings.Contains(lines[0], "file.put") || !strings.Contains(lines[0], "Ann") ||
		!strings.HasSuffix(lines[0], "/letters/5.txt, version 1, 5 bytes") || !strings.HasSuffix(lines[5], logName+" (first)") {
		t.Errorf("%s", out)
	}
	var list api.AuditEventList
	out = p.wants(0, "", "audit", "log", "--json", "--limit", "2", "--type", "file.", "--person", logtest.Ann, "--since", "2026-11-21", "--until", "1h")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) != 2 || *list.Items[0].Index != 5 {
		t.Errorf("%v: %s", err, out)
	}
	p.wants(0, "/letters/3.txt", "audit", "log", "--file", logtest.FileID(3))
	for say, args := range map[string][]string{
		"Try: --limit 20":                  {"--limit", "-1"},
		"Try: --since 24h":                 {"--since", "yesterday"},
		"begins with \"/\"":                {"--file", "letters"},
		"Try: stonevault audit log":        {"1"},
		"--follow has no end":              {"--follow", "--until", "1h"},
		"Try: stonevault audit log --help": {"--colour"},
	} {
		p.wants(1, say, append([]string{"audit", "log"}, args...)...)
	}
	p.wants(1, "say what to do", "audit")
	p.wants(1, "audit has no erase", "audit", "erase")
	// What the server finds damaged is no event.
	p.log.Set(func() { p.log.Rows[3].Leaf = append([]byte{9}, p.log.Rows[3].Leaf[1:]...) })
	p.wants(2, "DAMAGED", "audit", "log")
}

// Everything that a server or another person wrote is shown so that a terminal obeys none of it.
func TestAuditLogOnATerminal(t *testing.T) {
	p := newPerson(t, 2)
	p.log.Add(logtest.Put("/\x1b[31mred", 7))
	p.log.Sign()
	if out := p.wants(0, `\x1b[31mred`, "audit", "log"); strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
}

func TestWordsOfEveryType(t *testing.T) {
	for _, d := range audit.Definitions() {
		e := api.AuditEvent{Type: d.Name, Operational: map[string]any{}, Subject: map[string]any{}}
		for _, f := range d.Fields[audit.Operational] {
			e.Operational[f.Name] = float64(7)
		}
		for _, f := range d.Fields[audit.Subject] {
			e.Subject[f.Name] = "x"
		}
		if sentences[d.Type] == "" {
			t.Errorf("there is no sentence for %s", d.Name)
		} else if said := whatHappened(&e); strings.ContainsAny(said, "{}(") && strings.Contains(said, notShown) {
			t.Errorf("%s: %s", d.Name, said)
		}
		e.Subject, e.Erased = nil, []api.AuditSlot{api.AuditSlotSubject}
		if strings.Contains(sentences[d.Type], "{path}") && !strings.Contains(whatHappened(&e), "(erased)") {
			t.Errorf("%s, erased: %s", d.Name, whatHappened(&e))
		}
	}
	root := api.AuditEvent{Type: "key.published", Operational: map[string]any{"kind": "root", "fingerprint": "1f"}}
	if got := whatHappened(&root); got != "root 1f" {
		t.Errorf("the root's key: %q", got)
	}
	root.Subject = map[string]any{"name": "Ann"}
	if got := whatHappened(&root); got != "root Ann: 1f" {
		t.Errorf("a person's key: %q", got)
	}
	quota := api.AuditEvent{Type: "quota.changed", Operational: map[string]any{
		"limited_bytes": true, "bytes": float64(4000000), "limited_files": false, "files": float64(0)}, Subject: map[string]any{"name": "Ann"}}
	if got := whatHappened(&quota); got != "Ann: bytes 4000000, files without limit" {
		t.Errorf("a quota without a limit of files: %s", got)
	}
	if got := whatHappened(&api.AuditEvent{Type: "later.thing", Operational: map[string]any{"b": "x", "a": float64(3)}}); got != "a=3 b=x" {
		t.Errorf("a type that is not known: %q", got)
	}
}

func TestAuditReceipt(t *testing.T) {
	p := newPerson(t, 20)
	t.Chdir(t.TempDir())
	out := p.wants(0, "Wrote 7.tlog-proof", "audit", "receipt", "7")
	for _, want := range []string{"7 of " + logName, "file.put: /letters/7.txt, version 1, 7 bytes", "Ann", "the signed head of 20 events"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	p.wants(1, "--force", "audit", "receipt", "7")
	p.wants(0, "", "audit", "receipt", "7", "--force", "-o", "seven.tlog-proof")
	if out := p.wants(0, "", "audit", "receipt", "7", "-o", "-"); out != string(p.log.Receipt(7)) {
		t.Errorf("a pipe gets %q", out)
	}
	p.wants(1, "there is none yet", "audit", "receipt", "70")
	p.wants(1, "Try: stonevault audit receipt 1042", "audit", "receipt", "seven")
	p.wants(1, "--key goes with --check", "audit", "receipt", "7", "--key", "k")
	p.wants(1, "--check writes no file", "audit", "receipt", "--check", "7.tlog-proof", "-o", "x")

	// A server that gives another event's.
	p.log.Set(func() {
		p.log.Lie = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/api/v1/audit/receipts/8" {
				p.log.Unlocked(func() { w.Write(p.log.Receipt(7)) })
				return true
			}
			return false
		}
	})
	p.wants(2, "it is of event 7", "audit", "receipt", "8")

	// Without a server.
	p.log.Set(func() { p.log.Lie = func(http.ResponseWriter, *http.Request) bool { panic("asked") } })
	check := func(code int, says, file string, args ...string) {
		t.Helper()
		p.wants(code, says, append([]string{"audit", "receipt", "--check", file}, args...)...)
	}
	check(0, "/letters/7.txt", "7.tlog-proof")
	check(0, `"checkpoint_size": 20`, "seven.tlog-proof", "--json")
	good := string(p.log.Receipt(7))
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, change := range []func(string) string{
		func(s string) string { return s[:len(s)-1] },
		func(s string) string { return s + "\n" },
		func(s string) string { return strings.Replace(s, "index 7", "index 8", 1) },
		func(s string) string { return strings.Replace(s, "\n20\n", "\n21\n", 1) },
		func(s string) string { at := strings.LastIndex(s, "— "); return s[:at] },
		func(s string) string { return flipAt(s, strings.Index(s, "extra ")+100) },
		func(s string) string { return flipAt(s, strings.LastIndex(s, "— ")+200) },
		func(string) string { return "" },
	} {
		name := "bad" + strconv.Itoa(i)
		write(name, change(good))
		check(2, "does not hold", name)
	}
	// Of a fork that the key signed: it contradicts what was seen.
	write("forked", string(fork(t, 20).Receipt(7)))
	check(2, "another history", "forked")
	// Keys.
	write("key", p.log.Key.Public().Text())
	check(0, "/letters/7.txt", "7.tlog-proof", "--key", "key")
	write("other", another(t, nil).Key.Public().Text())
	check(2, "does not hold", "7.tlog-proof", "--key", "other")
	check(3, "could not be checked", "7.tlog-proof", "--key", "missing")
	check(3, "could not be checked", "7.tlog-proof", "--key", "7.tlog-proof")
	os.Remove(filepath.Join(p.home, "default"+pinSuffix))
	check(3, "give its key with --key", "7.tlog-proof")
	check(1, "cannot read missing", "missing")
}

// flipAt changes one letter of base64.
func flipAt(s string, at int) string {
	to := "A"
	if s[at] == 'A' {
		to = "B"
	}
	return s[:at] + to + s[at+1:]
}
