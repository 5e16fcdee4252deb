package main

import (
	crand "crypto/rand"
	"database/sql"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
)

// TestKill kills the server at random moments, as a loss of power would, while four clients put, replace,
// rename, move, export and remove files, and upload others in pieces. After each restart what was
// acknowledged is there, what was under way is there wholly or not at all, and nothing is left
// over; the audit log is sound, and has one event for each change.
func TestKill(t *testing.T) {
	kills := 20
	if torture() {
		kills = 1000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	reader, err := identity.Generate(crand.Reader, identity.SuiteHybrid)
	check(t, err)
	random := rand.New(rand.NewPCG(seed, 0))
	writers := make([]*writer, 4)
	for i := range writers {
		writers[i] = newWriter(i, seed, reader)
	}
	underWay, tookPlace := 0, 0
	for round := range kills {
		if round%2 == 1 { // also while it starts, and finishes what the kill before has left
			p, _ := launch(t, data)
			time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
			p.kill()
		}
		p := start(t, data)
		checkObjects(t, data)
		ann := signIn(t, p.addr, "ann")
		for _, w := range writers {
			took, of := w.settle(ann)
			underWay, tookPlace = underWay+of, tookPlace+took
		}
		if round%10 == 0 {
			wantHealthy(t, data)
			wantSound(t, data)
			checkEvents(t, data)
		}
		if t.Failed() {
			t.Fatalf("after kill %d; the server says:\n%s", round, p.stderr)
		}
		var working sync.WaitGroup
		for _, w := range writers {
			working.Go(func() {
				for w.step(ann) == nil {
				}
			})
		}
		time.Sleep(time.Duration(20+random.IntN(500)) * time.Millisecond)
		p.kill()
		working.Wait()
		ann.http.CloseIdleConnections()
	}
	p := start(t, data)
	checkObjects(t, data)
	ann := signIn(t, p.addr, "ann")
	done := 0
	for _, w := range writers {
		w.settle(ann)
		w.abandon(ann)
		for _, n := range w.done {
			done += n
		}
	}
	if left := ann.uploads(); len(left) != 0 {
		t.Errorf("uploads are left: %v", left)
	}
	p.stop()
	checkObjects(t, data)
	wantSound(t, data)
	checkEvents(t, data)
	if r := run(t, "", "doctor", "--data", data); r.code != 0 || strings.Count(r.stdout, "warn ") != 2 {
		// The two: there is no admin, and nobody has confirmed the recovery sheet.
		t.Errorf("doctor at the end: %s%s", r.stdout, r.stderr)
	}
	if done < kills {
		t.Errorf("only %d requests were acknowledged before %d kills", done, kills)
	}
	for _, k := range kinds {
		if n := total(writers, k.name); n == 0 {
			t.Errorf("no %s was acknowledged", k.name)
		}
	}
	t.Logf("%d kills; of changes under way %d, took place %d; acknowledged: %s", kills, underWay, tookPlace, summary(writers))
}

// wantHealthy asks the doctor, whose warnings about objects, uploads and intents would be failures here.
func wantHealthy(t testing.TB, data string) {
	t.Helper()
	r := run(t, "", "doctor", "--data", data)
	bad := r.code != 0
	for _, what := range []string{"objects", "uploads", "intents", "temporary"} {
		bad = bad || strings.Contains(r.stdout, "warn  "+what)
	}
	if bad {
		t.Errorf("doctor: %s%s", r.stdout, r.stderr)
	}
}

// checkObjects compares the names below objects/ with the rows of versions and uploads: nothing missing,
// nothing more, nothing temporary. It is called when the collector has run and nobody works.
func checkObjects(t testing.TB, data string) {
	t.Helper()
	sizes := map[string]int64{}
	check(t, filepath.WalkDir(filepath.Join(data, "objects"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		sizes[e.Name()] = info.Size()
		return err
	}))
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(filepath.Join(data, "stonevault.db"))+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	check(t, err)
	defer db.Close()
	missing := func(name string, why string) { t.Errorf("%s is missing: %s", name, why) }
	found := len(sizes)

	rows, err := db.Query(`SELECT file_id, body_size FROM versions`)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		var bodySize int64
		check(t, rows.Scan(&id, &bodySize))
		if size, there := sizes[id+".body"]; !there || size != bodySize {
			missing(id+".body", fmt.Sprintf("%d bytes of %d", size, bodySize))
		}
		if _, there := sizes[id+".env"]; !there {
			missing(id+".env", "it is of a version")
		}
		delete(sizes, id+".body")
		delete(sizes, id+".env")
	}
	check(t, rows.Err())

	pending, err := db.Query(`SELECT id, part, size = position FROM uploads`)
	check(t, err)
	defer pending.Close()
	for pending.Next() {
		var id string
		var part int64
		var complete bool
		check(t, pending.Scan(&id, &part, &complete))
		size, there := sizes[id+".part"]
		_, body := sizes[id+".body"]
		if !(there && size >= part || part == 0 || complete && body) {
			missing(id+".part", fmt.Sprintf("%d bytes of %d", size, part))
		}
		delete(sizes, id+".part")
		if complete { // it was stopped on its way to a file, and whoever asks for it makes it go on
			delete(sizes, id+".body")
			delete(sizes, id+".env")
		}
	}
	check(t, pending.Err())

	for name := range sizes {
		t.Errorf("%s belongs to nothing, one of %d", name, found)
	}
	for _, what := range []string{"intents", "upload_rows WHERE upload NOT IN (SELECT id FROM uploads)"} {
		var left int
		check(t, db.QueryRow(`SELECT count(*) FROM `+what).Scan(&left))
		if left != 0 {
			t.Errorf("%d rows are left in %s", left, what)
		}
	}
}
