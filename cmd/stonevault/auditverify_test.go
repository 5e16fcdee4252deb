package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/audit"
	"stonevault/internal/client/logtest"
)

// reportOf runs a verification and reads its report.
func (p *person) reportOf(code int, args ...string) (r auditReport) {
	p.t.Helper()
	got, stdout, stderr := p.run(append([]string{"audit", "verify", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || got != code {
		p.t.Fatalf("exit code %d, not %d (%v):\n%s%s", got, code, err, stdout, stderr)
	}
	return r
}

// outcome is what a report says of one check, and its sentences.
func outcome(r auditReport, name string) (outcome, sentences string) {
	for _, c := range r.Checks {
		if c.Name == name {
			outcome = c.Outcome
			sentences += c.Sentence
		}
	}
	return outcome, sentences
}

func TestAuditVerify(t *testing.T) {
	p := newPerson(t, 1300)
	r := p.reportOf(0)
	if r.Outcome != sound || r.Origin != logName || r.Size != 1300 || r.Found != 0 {
		t.Errorf("%+v", r)
	}
	if _, says := outcome(r, "history"); !strings.Contains(says, "for the first time") {
		t.Errorf("it says %s", says)
	}
	p.log.Fill(1400)
	out := p.wants(0, "", "audit", "verify")
	for _, want := range []string{"of 1400 events, is signed", "continues the 1300 events", "All 1400 events and 7 tiles are what was signed", "The chain was not asked"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// Whatever is done to the log behind the server is found, and named.
func TestAuditVerifyNames(t *testing.T) {
	tile := func(level int, index int64) audit.Tile { return audit.Tile{Level: level, Index: index} }
	for name, c := range map[string]struct {
		lie  func(l *logtest.Log)
		want string
	}{
		"a leaf":           {func(l *logtest.Log) { l.Rows[70].Leaf = changed(l.Rows[70].Leaf, 50) }, "Event 70 was changed."},
		"an opening":       {func(l *logtest.Log) { open(l, 70, audit.Subject, changed) }, "The subject part of event 70 was changed."},
		"a part gone":      {func(l *logtest.Log) { l.Rows[70].Parts[audit.Actor] = audit.StoredPart{} }, "The actor part of event 70 is missing, and no erasure allows it."},
		"a row gone":       {func(l *logtest.Log) { l.Rows = append(l.Rows[:70:70], l.Rows[71:]...) }, "Event 70 was removed."},
		"the tail gone":    {func(l *logtest.Log) { l.Rows = l.Rows[:290] }, "Events 290 to 299 were removed from the end."},
		"a tile changed":   {func(l *logtest.Log) { l.ChangeTile(tile(0, 1), func(b []byte) []byte { return changed(b, 5) }) }, "was changed: 1 of its hashes, the first is number 0."},
		"a tile gone":      {func(l *logtest.Log) { l.ChangeTile(tile(0, 0), func([]byte) []byte { return nil }) }, "Tile/0/000 is missing."},
		"an upper tile":    {func(l *logtest.Log) { l.ChangeTile(tile(1, 0), func(b []byte) []byte { return changed(b, 5) }) }, "Tile/1/000.p/1 was changed"},
		"a truncated tile": {func(l *logtest.Log) { l.Lie = short("/audit/tile/0/001.p/44") }, "Tile/0/001.p/44 has 100 bytes."},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t, 300)
			p.wants(0, "", "audit", "log", "--limit", "1")
			p.log.Set(func() { c.lie(p.log) })
			out := p.wants(2, c.want, "audit", "verify")
			if strings.Count(out, "\n") > 5 {
				t.Errorf("it names more than that:\n%s", out)
			}
		})
	}
}

func changed(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func open(l *logtest.Log, index int, slot audit.Slot, change func([]byte, int) []byte) {
	l.Rows[index].Parts[slot].Opening = change(l.Rows[index].Parts[slot].Opening, 40)
}

// short cuts one reply.
func short(path string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, path) {
			return false
		}
		w.Write(make([]byte, 100))
		return true
	}
}

// A history that was changed is not only found by the pin: what of it is still there is said.
func TestAuditVerifyOfARewrittenLog(t *testing.T) {
	for name, size := range map[string]int{"rollback": 12, "same size": 20, "fork": 40} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t, 20)
			p.wants(0, "", "audit", "log")
			p.log.Become(fork(t, size))
			r := p.reportOf(2)
			if o, says := outcome(r, "history"); o != tampered || !strings.Contains(says, "accept-restart") {
				t.Errorf("history: %s %s", o, says)
			}
			if o, _ := outcome(r, "records"); o != tampered || r.Found == 0 {
				t.Errorf("records: %s, %+v", o, r.Findings)
			}
		})
	}
	p := newPerson(t, 20)
	p.log.Set(func() {
		p.log.Lie = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/audit" {
				return false
			}
			logtest.Problem(w, http.StatusInternalServerError, "audit-rewritten")
			return true
		}
	})
	if o, _ := outcome(p.reportOf(2), "history"); o != tampered {
		t.Errorf("a server that owns to it, at first contact: %s", o)
	}

	p = newPerson(t, 20)
	p.wants(0, "", "audit", "log")
	p.log.Become(another(t, nil))
	r := p.reportOf(2)
	if o, _ := outcome(r, "records"); o != uncertain || r.Outcome != tampered {
		t.Errorf("another log: %+v", r.Checks)
	}
}

// Parts that were erased are told by whose authority, and those that are withheld are counted.
func TestAuditVerifyErasedAndWithheld(t *testing.T) {
	p := newPerson(t, 20)
	erase := audit.Event{
		Type:        audit.PersonErased,
		Operational: audit.Values{"parts": []int64{audit.PartNumber(3, audit.Actor), audit.PartNumber(3, audit.Subject)}, "piece": 1, "pieces": 1},
	}
	p.log.Add(erase)
	p.log.Sign()
	p.log.Set(func() {
		p.log.Rows[3].Parts[audit.Actor], p.log.Rows[3].Parts[audit.Subject] = audit.StoredPart{}, audit.StoredPart{}
		p.log.Rows[4].Parts[audit.Actor] = audit.StoredPart{Sealed: true}
		p.log.Rows[5].Parts = [3]audit.StoredPart{{Sealed: true}, {Sealed: true}, {Sealed: true}}
	})
	out := p.wants(0, "2 personal parts erased, authorised by event 20.", "audit", "verify")
	if !strings.Contains(out, "4 parts were not checked") {
		t.Errorf("%s", out)
	}
	if r := p.reportOf(0); r.Withheld != 4 || len(r.Erasures) != 1 || r.Erasures[0].Event != 20 {
		t.Errorf("%+v", r)
	}
}

// An erasure while the log is read is none without authority.
func TestAuditVerifyWhileAPersonIsErased(t *testing.T) {
	p := newPerson(t, 20)
	p.wants(0, "", "audit", "log")
	done := false
	p.log.Lie = func(_ http.ResponseWriter, r *http.Request) bool {
		if !done && r.URL.Path == "/api/v1/audit/records" {
			done = true
			p.log.Unlocked(func() {
				p.log.Add(audit.Event{Type: audit.PersonErased, Operational: audit.Values{"parts": []int64{audit.PartNumber(3, audit.Actor)}, "piece": 1, "pieces": 1}})
				p.log.Sign()
			})
			p.log.Rows[3].Parts[audit.Actor] = audit.StoredPart{}
		}
		return false
	}
	p.wants(0, "1 personal part erased, authorised by event 20.", "audit", "verify")
}

// A server that is away has tampered with nothing; receipts are checked all the same.
func TestAuditVerifyWithoutAServer(t *testing.T) {
	p := newPerson(t, 20)
	p.wants(0, "", "audit", "log")
	keep(t, p, 7, p.log.Receipt(7))
	p.log.Set(func() { p.log.Lie = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) } })
	r := p.reportOf(3)
	if o, says := outcome(r, "receipts"); o != sound || !strings.Contains(says, "1 receipt that is kept holds") {
		t.Errorf("receipts: %s %s", o, says)
	}
	if o, _ := outcome(r, "records"); o != uncertain {
		t.Errorf("records: %s", o)
	}
	p.log.Set(func() { // it goes away in the middle
		p.log.Lie = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/tile/") {
				panic(http.ErrAbortHandler)
			}
			return false
		}
	})
	p.reportOf(3)
}

// keep puts a receipt where put would.
func keep(t *testing.T, p *person, index int64, text []byte) string {
	t.Helper()
	a := &app{profile: "default", umask: 0o022}
	dir, err := a.receiptDir(logName)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprint(index)+receiptSuffix)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAuditVerifyReceipts(t *testing.T) {
	p := newPerson(t, 20)
	p.wants(0, "", "audit", "log")
	keep(t, p, 7, p.log.Receipt(7))
	p.log.Fill(30)
	keep(t, p, 25, p.log.Receipt(25))
	p.wants(0, "2 receipts that are kept hold", "audit", "verify")

	path := keep(t, p, 9, p.log.Receipt(8))
	p.wants(2, "does not hold: it is of event 8", "audit", "verify")
	if err := os.WriteFile(path, append(p.log.Receipt(9), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	p.wants(2, "9.tlog-proof does not hold", "audit", "verify")
	// A receipt by the log's own key that is of another history: its head is not one of the stored log.
	if err := os.WriteFile(path, fork(t, 26).Receipt(9), 0o600); err != nil {
		t.Fatal(err)
	}
	p.wants(2, "doesn't give the signed root of its first 26 events", "audit", "verify")
	if err := os.WriteFile(path, make([]byte, audit.MaxReceipt+1), 0o600); err != nil {
		t.Fatal(err)
	}
	p.wants(2, "9.tlog-proof does not hold: it is longer than any receipt", "audit", "verify")
	p.wants(2, "does not hold: it is longer than any receipt", "audit", "receipt", "--check", path)
	os.Remove(path)

	// Those of an older log are checked with what was remembered of it.
	p.log.Become(another(t, p.log.Signed))
	p.wants(0, "", "audit", "accept-restart", "--yes")
	p.wants(0, "2 receipts that are kept hold", "audit", "verify")
	keep(t, p, 9, fork(t, 26).Receipt(9)[:500])
	p.wants(2, "9.tlog-proof does not hold", "audit", "verify")
}

// putServer takes files as a vault does, and records them in the log. event is the id that it names.
type putServer struct {
	log   *logtest.Log
	event func(index int64) int64
}

func (s *putServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/content")
	if !ok || r.Method != http.MethodPut {
		logtest.Problem(w, http.StatusNotFound, "not-found")
		return
	}
	var b bytes.Buffer
	b.ReadFrom(r.Body)
	n := int64(b.Len())
	var index int64
	s.log.Unlocked(func() {
		index = s.log.Add(logtest.Put(name, n))
		s.log.Sign()
	})
	if id := s.event(index); id > 0 {
		w.Header().Set("Stonevault-Event", fmt.Sprint(id))
	}
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(api.File{
		ID: logtest.DocumentID(n), Kind: api.KindFile, Path: name, Size: n, FileID: logtest.FileID(n), Version: 1,
	})
}

func TestPutKeepsReceipts(t *testing.T) {
	log := logtest.New(t, logName, 1, nil)
	log.Fill(3)
	s := &putServer{log: log, event: func(index int64) int64 { return index + 1 }}
	p := signedInAt(t, log, s)
	t.Chdir(t.TempDir())
	files := []string{"put", "--json"}
	for i := range 20 {
		name := fmt.Sprintf("f%d", i)
		if err := os.WriteFile(name, make([]byte, 100+i), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	var list struct {
		Items []struct {
			Path  string
			Event int64
			Index *int64 `json:"event_index"`
		}
	}
	out := p.wants(0, "Put 20 files", files...)
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) != 20 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, item := range list.Items {
		if item.Index == nil || item.Event != *item.Index+1 {
			t.Errorf("%+v", item)
		}
	}
	p.wants(0, "20 receipts that are kept hold", "audit", "verify")
	if p.pinned().Head.Tree != log.Tree {
		t.Error("the pin did not move on")
	}
	a := &app{profile: "default"}
	dir, _ := a.receiptDir(logName)
	info, err := os.Stat(filepath.Join(dir, "5.tlog-proof"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	// Without.
	log.Set(func() { log.Requests = nil })
	p.wants(0, "", "put", "--no-receipts", "f1", "--as", "/g1")
	for _, r := range log.Requests {
		if strings.Contains(r, "receipt") {
			t.Errorf("it asks for %s", r)
		}
	}

	// The reply that names the event was lost: it is found by the file.
	s.event = func(int64) int64 { return 0 }
	p.wants(0, `"event_index": 24`, "put", "--json", "f2", "--as", "/g2")
	// The receipt of another put; of an event that isn't in the log; and none.
	s.event = func(int64) int64 { return 2 }
	p.wants(2, "/g3 is stored, and its receipt does not hold: it says file", "put", "f3", "--as", "/g3")
	s.event = func(int64) int64 { return 1 }
	p.wants(2, "it is of an event log.begun", "put", "f3", "--as", "/g4")
	s.event = func(int64) int64 { return 1000 }
	p.wants(2, "the audit log does not have it", "put", "f3", "--as", "/g5")
	s.event = func(index int64) int64 { return index + 1 }
	// A fork that only the receipt is of.
	log.Set(func() {
		log.Lie = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/receipt") {
				return false
			}
			other := fork(t, 10)
			other.Add(logtest.Put("/g6", 104))
			other.Sign()
			w.Write(other.Receipt(10))
			return true
		}
	})
	p.wants(2, "the audit log is not what it was", "put", "f4", "--as", "/g6")
	// Nobody to ask any more: the file is stored, and that is all that is known.
	log.Set(func() {
		log.Lie = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/receipt") {
				panic(http.ErrAbortHandler)
			}
			return false
		}
	})
	p.wants(3, "is stored, and its receipt could not be checked", "put", "--retry", "0", "f5", "--as", "/g7")
	for code, status := range map[string]int{"timeout": http.StatusServiceUnavailable, "audit-rewritten": http.StatusInternalServerError} {
		log.Set(func() {
			log.Lie = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/receipt") {
					logtest.Problem(w, status, code)
				}
				return strings.HasSuffix(r.URL.Path, "/receipt")
			}
		})
		want := map[string]int{"timeout": 3, "audit-rewritten": 2}[code]
		p.wants(want, "It is "+code, "put", "--retry", "0", "f6", "--as", "/"+code)
	}
}
