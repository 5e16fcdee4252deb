package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/client/logtest"
)

const logName = "stonevault/audit/one"

// follower is a client of a log, signed in.
func follower(t *testing.T, l *logtest.Log) *Client {
	t.Helper()
	server := l.Serve(nil)
	secrets := new(memorySecrets)
	secrets.set(fmt.Appendf(nil, `{"server":%q,"access_token":"a","refresh_token":"r","expires_at":"2999-01-01T00:00:00Z"}`, server.URL))
	c, err := New(Options{Server: server.URL, UserAgent: "test", Secrets: secrets, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// firstContact pins what a server shows.
func firstContact(t *testing.T, c *Client) *Pin {
	t.Helper()
	log, err := c.AuditLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPin("root", log)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newLog(t *testing.T, size int) *logtest.Log {
	l := logtest.New(t, logName, 1, nil)
	l.Fill(size)
	return l
}

func TestFollowLog(t *testing.T) {
	for _, steps := range [][]int{{1, 1, 2, 3}, {1, 255, 256, 257}, {5, 600}, {300, 300, 900}} {
		l := newLog(t, steps[0])
		c := follower(t, l)
		p := firstContact(t, c)
		for _, size := range steps[1:] {
			l.Fill(size)
			next, err := c.FollowLog(t.Context(), p)
			if err != nil || next.Head.Tree != l.Tree {
				t.Fatalf("%v: from %d to %d: %v", steps, p.Head.Tree.Size, size, err)
			}
			p = next
		}
	}
}

// A log that has signed nothing yet is pinned by its key.
func TestFollowLogBeforeItsFirstHead(t *testing.T) {
	l := logtest.New(t, logName, 1, nil)
	c := follower(t, l)
	p := firstContact(t, c)
	next, err := c.FollowLog(t.Context(), p)
	if err != nil || next.Signed != nil {
		t.Fatalf("nothing is signed: %+v, %v", next, err)
	}
	l.Fill(3)
	if next, err = c.FollowLog(t.Context(), p); err != nil || next.Head.Tree != l.Tree {
		t.Fatalf("the first head: %v", err)
	}
}

// signatures changes the lines of signatures of a checkpoint.
func signatures(text []byte, change func(lines []string) []string) []byte {
	head, sigs, _ := strings.Cut(string(text), "\n\n")
	lines := strings.SplitAfter(strings.TrimSuffix(sigs, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	return []byte(head + "\n\n" + strings.Join(change(lines), ""))
}

// TestLyingServer: whatever a server does to a log that was pinned is found.
func TestLyingServer(t *testing.T) {
	// Each lie changes a log of 20 events, which was pinned with them, and has 30 since.
	resign := func(change func([]byte) []byte) func(*logtest.Log) {
		return func(l *logtest.Log) { l.Signed = change(l.Signed) }
	}
	fork := func(at, size int) func(*logtest.Log) {
		return func(l *logtest.Log) {
			other := logtest.New(l.T(), logName, 1, nil)
			if at > 1 {
				other.Fill(at)
			}
			other = other.Clone(99)
			other.Fill(size)
			l.Become(other)
		}
	}
	restarted := func(previous func(l *logtest.Log) []byte) func(*logtest.Log) {
		return func(l *logtest.Log) {
			other := logtest.New(l.T(), "stonevault/audit/two", 2, audit.Values{"reason": "restored", "previous_checkpoint": string(previous(l))})
			other.Fill(40)
			l.Become(other)
		}
	}
	for _, c := range []struct {
		name string
		lie  func(l *logtest.Log)
		want error
		says string
	}{
		{"nothing", func(*logtest.Log) {}, nil, ""},
		{"set back", fork(1, 10), ErrLogRewritten, "set back from 20 events to 10"},
		{"set back by one", fork(1, 19), ErrLogRewritten, "set back from 20 events to 19"},
		{"set back, as it was", func(l *logtest.Log) { o := logtest.New(l.T(), logName, 1, nil); o.Fill(12); l.Become(o) }, ErrLogRewritten, "set back from 20 events to 12"},
		{"a fork of the same length", fork(3, 20), ErrLogRewritten, "its 20 events are others than before"},
		{"a fork that went on", fork(3, 50), ErrLogRewritten, "not shown to begin with the 20"},
		{"a fork from the last event on", fork(19, 50), ErrLogRewritten, "not shown to begin with the 20"},
		{"other keys under the same name", func(l *logtest.Log) { o := logtest.New(l.T(), logName, 2, nil); o.Fill(30); l.Become(o) }, ErrOtherLog, "not signed by the two keys"},
		{"other keys, fewer events", func(l *logtest.Log) { o := logtest.New(l.T(), logName, 2, nil); o.Fill(3); l.Become(o) }, ErrOtherLog, "and now there is"},
		{"another name", func(l *logtest.Log) { o := logtest.New(l.T(), "another", 1, nil); o.Fill(30); l.Become(o) }, ErrOtherLog, `and now there is "another"`},
		{"the name changed in the head", resign(func(b []byte) []byte { return bytes.Replace(b, []byte(logName), []byte("x"), 1) }), ErrOtherLog, `there is "x"`},
		{"a name that a terminal would obey", resign(func(b []byte) []byte { return append([]byte("\x1b[2J"), b...) }), ErrOtherLog, `\x1b[2J`},
		{"no head", resign(func([]byte) []byte { return nil }), ErrOtherLog, ""},
		{"no Ed25519", resign(func(b []byte) []byte { return signatures(b, func(l []string) []string { return l[1:] }) }), ErrOtherLog, "not signed by the two keys"},
		{"no ML-DSA", resign(func(b []byte) []byte { return signatures(b, func(l []string) []string { return l[:1] }) }), ErrOtherLog, "not signed by the two keys"},
		{"no signatures", resign(func(b []byte) []byte { return signatures(b, func([]string) []string { return nil }) }), ErrOtherLog, "not signed by the two keys"},
		{"a changed Ed25519", resign(func(b []byte) []byte {
			return signatures(b, func(l []string) []string { l[0] = flipped(l[0]); return l })
		}), ErrOtherLog, "not signed by the two keys"},
		{"a changed ML-DSA", resign(func(b []byte) []byte {
			return signatures(b, func(l []string) []string { l[1] = flipped(l[1]); return l })
		}), ErrOtherLog, "not signed by the two keys"},
		{"a third signature", resign(func(b []byte) []byte {
			return signatures(b, func(l []string) []string { return append(l, strings.Replace(l[0], logName, "witness", 1)) })
		}), ErrOtherLog, "not signed by the two keys"},
		{"another size", resign(func(b []byte) []byte { return bytes.Replace(b, []byte("\n30\n"), []byte("\n31\n"), 1) }), ErrOtherLog, "not signed by the two keys"},
		{"an old head", func(l *logtest.Log) { // which the log did sign
			o := logtest.New(l.T(), logName, 1, nil)
			o.Fill(7)
			l.Signed = o.Signed
		}, ErrLogRewritten, "set back from 20 events to 7"},
		{"no proof", func(l *logtest.Log) {
			l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/api/v1/audit/consistency" {
					return false
				}
				json.NewEncoder(w).Encode(api.AuditConsistency{Proof: [][]byte{}, Checkpoint: string(l.Signed)})
				return true
			}
		}, ErrLogRewritten, "not shown to begin"},
		{"a proof of other lengths", func(l *logtest.Log) {
			l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/api/v1/audit/consistency" {
					return false
				}
				json.NewEncoder(w).Encode(api.AuditConsistency{Proof: [][]byte{{1}}, Checkpoint: string(l.Signed)})
				return true
			}
		}, ErrLogRewritten, "1 bytes"},
		{"denied", func(l *logtest.Log) {
			l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/api/v1/audit/consistency" {
					logtest.Problem(w, http.StatusNotFound, "not-found")
				}
				return r.URL.Path == "/api/v1/audit/consistency"
			}
		}, ErrLogRewritten, "not shown to begin"},
		{"the server itself finds it rewritten", func(l *logtest.Log) {
			l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
				logtest.Problem(w, http.StatusInternalServerError, "audit-rewritten")
				return true
			}
		}, ErrLogRewritten, "It is audit-rewritten"},
		{"no log at all", func(l *logtest.Log) {
			l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
				logtest.Problem(w, http.StatusNotFound, "not-found")
				return true
			}
		}, ErrLogRewritten, "shows no audit log any more"},

		{"begun anew", restarted(func(l *logtest.Log) []byte { return l.Signed }), ErrOtherLog, "(restored); it says that it continues the one that you know after 30 events, of which you have seen 20"},
		{"begun anew from an older head", restarted(func(l *logtest.Log) []byte {
			o := logtest.New(l.T(), logName, 1, nil)
			o.Fill(15)
			return o.Signed
		}), ErrOtherLog, "after 15 events; you have seen 20"},
		{"begun anew from a fork", restarted(func(l *logtest.Log) []byte {
			o := logtest.New(l.T(), logName, 1, nil).Clone(50)
			o.Fill(20)
			return o.Signed
		}), ErrOtherLog, "others than those you have seen"},
		{"begun anew, with no word of it", restarted(func(*logtest.Log) []byte { return nil }), ErrOtherLog, "does not say that it continues"},
		{"begun anew from a head that isn't signed", restarted(func(l *logtest.Log) []byte { return l.Signed[:len(l.Signed)-9] }), ErrOtherLog, "does not say that it continues"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLog(t, 20)
			client := follower(t, l)
			p := firstContact(t, client)
			l.Fill(30)
			c.lie(l)
			next, err := client.FollowLog(t.Context(), p)
			switch {
			case c.want == nil && (err != nil || next.Head.Tree != l.Tree):
				t.Fatalf("an honest server: %v", err)
			case c.want == nil:
				return
			case !errors.Is(err, c.want) || next != nil:
				t.Fatalf("%v is not %v", err, c.want)
			case !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\x1b"):
				t.Errorf("it says: %v", err)
			case !strings.Contains(err.Error(), "stonevault audit accept-restart"):
				t.Errorf("it doesn't say what to do: %v", err)
			}
		})
	}
}

// flipped changes a signature, in its middle.
func flipped(line string) string {
	b := []byte(line)
	at := len(b) / 2
	if b[at]++; b[at] == 'z'+1 || b[at] == '9'+1 || b[at] == 'Z'+1 {
		b[at] -= 2
	}
	return string(b)
}

// A server that is away has done nothing to its log.
func TestFollowLogOfNobody(t *testing.T) {
	l := newLog(t, 20)
	c := follower(t, l)
	p := firstContact(t, c)
	l.Set(func() {
		l.Lie = func(w http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) }
	})
	if _, err := c.FollowLog(t.Context(), p); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrOtherLog) || errors.Is(err, ErrLogRewritten) {
		t.Errorf("%v", err)
	}
}

// Heads that receipts show must be of the history that the pin is of.
func TestFollowHeads(t *testing.T) {
	l := newLog(t, 20)
	c := follower(t, l)
	p := firstContact(t, c)
	var heads []audit.Tree
	for size := 25; size < 60; size += 5 {
		l.Fill(size)
		heads = append(heads, l.Tree)
	}
	grows := 3 // while it is asked
	l.Lie = func(_ http.ResponseWriter, r *http.Request) bool {
		if grows--; grows > 0 {
			l.Unlocked(func() { l.Fill(len(l.Rows) + 3) })
		}
		return false
	}
	next, err := c.FollowHeads(t.Context(), p, heads...)
	if err != nil || !slices.Contains(l.Heads, next.Head.Tree) || next.Head.Tree.Size <= heads[len(heads)-1].Size {
		t.Fatalf("%v: at %d of %d", err, next.Head.Tree.Size, l.Tree.Size)
	}
	fork := logtest.New(t, logName, 1, nil).Clone(5)
	fork.Fill(27)
	if _, err := c.FollowHeads(t.Context(), p, append(heads, fork.Tree)...); !errors.Is(err, ErrLogRewritten) {
		t.Errorf("a head of a fork: %v", err)
	}
	if _, err := c.FollowHeads(t.Context(), p, audit.Tree{Size: 1 << 20}); !errors.Is(err, ErrLogRewritten) {
		t.Errorf("a head beyond the log: %v", err)
	}
}

func TestPinIsKept(t *testing.T) {
	l := newLog(t, 20)
	p := firstContact(t, follower(t, l))
	p.Anchoring = &Anchoring{137, "0x01", "0x02"}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Pin
	if err := json.Unmarshal(b, &back); err != nil || !back.Equal(p) || !bytes.Equal(back.Signed, p.Signed) || back.Head != p.Head {
		t.Fatalf("%v: %+v", err, back)
	}
	for name, damaged := range map[string][]byte{
		"nothing":      {},
		"another kind": []byte("[]"),
		"no key":       []byte("{}"),
		"another root": bytes.Replace(b, []byte(`\n20\n`), []byte(`\n21\n`), 1),
		"a key less":   bytes.Replace(b, []byte(logName), []byte("other"), 1),
	} {
		if err := json.Unmarshal(damaged, new(Pin)); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}

// A log whose own word about its name or head doesn't hold is not pinned.
func TestNewPin(t *testing.T) {
	l := newLog(t, 3)
	good := api.AuditLog{Origin: logName, PublicKey: l.Key.Public().Text(), Checkpoint: string(l.Signed)}
	if _, err := NewPin("", &good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*api.AuditLog){
		"another name":  func(l *api.AuditLog) { l.Origin = "other" },
		"no key":        func(l *api.AuditLog) { l.PublicKey = "" },
		"another key":   func(l *api.AuditLog) { l.PublicKey = logtest.New(t, logName, 9, nil).Key.Public().Text() },
		"a broken head": func(l *api.AuditLog) { l.Checkpoint = l.Checkpoint[:100] },
	} {
		bad := good
		change(&bad)
		if _, err := NewPin("", &bad); err == nil {
			t.Errorf("%s: it is pinned", name)
		}
	}
}

// FuzzPin: what is read of a pin that was kept is written the same again.
func FuzzPin(f *testing.F) {
	l := logtest.New(f, logName, 1, nil)
	l.Fill(3)
	p, err := NewPin("root", &api.AuditLog{Origin: logName, PublicKey: l.Key.Public().Text(), Checkpoint: string(l.Signed)})
	if err != nil {
		f.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again Pin
		if json.Unmarshal(b, &p) != nil {
			return
		}
		b, err := json.Marshal(&p)
		if err == nil {
			err = json.Unmarshal(b, &again)
		}
		if err != nil || !again.Equal(&p) {
			t.Errorf("%v: %s", err, b)
		}
	})
}

// A server that keeps two histories under one key, and grows the one or the other from answer to answer, cannot make
// heads of both pass as of one.
func TestFollowHeadsOfTwoHistories(t *testing.T) {
	l := newLog(t, 20)
	fork := l.Clone(5)
	l.Fill(25)
	fork.Fill(27)
	receipt := fork.Tree
	c := follower(t, l)
	p := firstContact(t, c)
	fork.Fill(30)
	other := fork.Serve(nil)
	l.Fill(29)
	l.Lie = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Query().Get("from") {
		case "27": // the receipt's history
			reply, err := http.Get(other.URL + r.URL.RequestURI())
			if err != nil {
				t.Error(err)
				return false
			}
			defer reply.Body.Close()
			w.Header().Set("Content-Type", reply.Header.Get("Content-Type"))
			io.Copy(w, reply.Body)
			return true
		case "29": // the pin's
			l.Unlocked(func() { l.Fill(40) })
		}
		return false
	}
	if next, err := c.FollowHeads(t.Context(), p, receipt); !errors.Is(err, ErrLogRewritten) {
		t.Errorf("a receipt of another history: %v, %+v", err, next)
	}
}
