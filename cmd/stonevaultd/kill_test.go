package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tree is what a folder holds: the digest of each file's content by its path.
type tree map[string][sha256.Size]byte

// writer changes one folder that nobody else touches, so that what must be there is known at any moment.
type writer struct {
	folder string
	random *rand.Rand
	now    tree // acknowledged
	next   tree // what the request under way would make of it; nil while there is none
	done   int  // acknowledged requests
}

// step makes one request. It returns an error once the server is gone.
func (w *writer) step(c *client) error {
	next := maps.Clone(w.now)
	paths := slices.Sorted(maps.Keys(w.now))
	path := fmt.Sprintf("%s/%d/file %d", w.folder, w.random.IntN(2), w.random.IntN(6))
	var act func() (reply, error)
	var want int
	switch what := w.random.IntN(10); {
	case what < 2 && len(paths) > 0:
		from := paths[w.random.IntN(len(paths))]
		if _, taken := w.now[path]; taken {
			return nil
		}
		next[path] = next[from]
		delete(next, from)
		act, want = func() (reply, error) {
			f, r, err := c.lookup(from)
			if err != nil || r.status != http.StatusOK {
				return r, err
			}
			body := fmt.Sprintf(`{"path":%q}`, path)
			return c.do("PATCH", "/api/v1/files/"+f.ID, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})
		}, http.StatusOK
	case what < 4 && len(paths) > 0:
		from := paths[w.random.IntN(len(paths))]
		delete(next, from)
		act, want = func() (reply, error) {
			f, r, err := c.lookup(from)
			if err != nil || r.status != http.StatusOK {
				return r, err
			}
			return c.do("DELETE", "/api/v1/files/"+f.ID, nil, nil)
		}, http.StatusNoContent
	default:
		content := w.content()
		next[path] = sha256.Sum256(content)
		want = http.StatusCreated
		if _, there := w.now[path]; there {
			want = http.StatusOK
		}
		act = func() (reply, error) { return c.put(path, content) }
	}
	w.next = next
	r, err := act()
	if err != nil {
		return err
	}
	if r.status != want {
		c.t.Errorf("%s: status %d, want %d: %.300s", w.folder, r.status, want, r.body)
		return fmt.Errorf("status %d", r.status)
	}
	w.now, w.next = next, nil
	w.done++
	return nil
}

// content is small mostly; the large ones take another way to the disk.
func (w *writer) content() []byte {
	size := w.random.IntN(20_000)
	switch w.random.IntN(12) {
	case 0:
		size = 0
	case 1:
		size = 1<<20 + w.random.IntN(5<<20)
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.random.Uint32())
	}
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// seen reads the folder back: every listed file's content, each verified.
func (w *writer) seen(c *client) tree {
	c.t.Helper()
	found := tree{}
	for _, folder := range []string{w.folder + "/0", w.folder + "/1"} {
		for _, f := range c.list(folder) {
			r := c.must(c.get(f.Path))
			r.want(c.t, http.StatusOK)
			found[f.Path] = sha256.Sum256(r.body)
			r = c.must(c.do("POST", "/api/v1/files/"+f.ID+"/verify", nil, nil))
			r.want(c.t, http.StatusOK)
			if !bytes.Contains(r.body, []byte(`"ok":true`)) {
				c.t.Errorf("%s does not verify: %s", f.Path, r.body)
			}
		}
	}
	return found
}

// settle decides whether the request under way at the kill took place: wholly or not at all.
func (w *writer) settle(c *client) {
	c.t.Helper()
	found := w.seen(c)
	switch {
	case maps.Equal(found, w.now):
	case w.next != nil && maps.Equal(found, w.next):
	default:
		c.t.Errorf("%s: %d files are there; acknowledged were %d, and a request under way would have left %v", w.folder, len(found), len(w.now), w.next != nil)
		for path := range w.now {
			if found[path] != w.now[path] {
				c.t.Errorf("%s is not what was acknowledged", path)
			}
		}
	}
	w.now, w.next = found, nil
}

// TestKill kills the server at random moments, as a loss of power would, while four clients put, replace,
// rename and remove files.
func TestKill(t *testing.T) {
	kills := 10
	if torture() {
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	random := rand.New(rand.NewPCG(seed, 0))
	writers := make([]*writer, 4)
	for i := range writers {
		writers[i] = &writer{folder: fmt.Sprintf("/writer %d", i), random: rand.New(rand.NewPCG(seed, uint64(i)+1)), now: tree{}}
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
			next := w.next
			w.settle(ann)
			if next != nil {
				underWay++
				if maps.Equal(next, w.now) {
					tookPlace++
				}
			}
		}
		if round%10 == 0 {
			if r := run(t, "", "doctor", "--data", data); r.code != 0 || strings.Contains(r.stdout, "warn  objects") {
				t.Errorf("doctor after kill %d: %s%s", round, r.stdout, r.stderr)
			}
		}
		if t.Failed() {
			t.FailNow()
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
		done += w.done
	}
	p.stop()
	if r := run(t, "", "doctor", "--data", data); r.code != 0 || strings.Count(r.stdout, "warn ") != 2 {
		// The two: there is no admin, and nobody has confirmed the recovery sheet.
		t.Errorf("doctor at the end: %s%s", r.stdout, r.stderr)
	}
	if done < kills {
		t.Errorf("only %d requests were acknowledged before %d kills", done, kills)
	}
	t.Logf("%d kills, %d requests acknowledged; of those under way %d, took place %d", kills, done, underWay, tookPlace)
}

// checkObjects compares the names below objects/ with the rows of versions: no more, no fewer, nothing
// temporary. It is called when the collector has run and nobody works.
func checkObjects(t testing.TB, data string) {
	t.Helper()
	var found, want []string
	check(t, filepath.WalkDir(filepath.Join(data, "objects"), func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, e.Name())
		}
		return err
	}))
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(filepath.Join(data, "stonevault.db"))+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	check(t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT file_id FROM versions`)
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		check(t, rows.Scan(&id))
		want = append(want, id+".body", id+".env")
	}
	check(t, rows.Err())
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("there are %d objects, and rows for %d", len(found), len(want))
		for _, name := range found {
			if _, ok := slices.BinarySearch(want, name); !ok {
				t.Errorf("%s belongs to nothing", name)
			}
		}
		for _, name := range want {
			if _, ok := slices.BinarySearch(found, name); !ok {
				t.Errorf("%s is missing", name)
			}
		}
	}
	var intents int
	check(t, db.QueryRow(`SELECT count(*) FROM intents`).Scan(&intents))
	if intents != 0 {
		t.Errorf("%d intents are left", intents)
	}
}
