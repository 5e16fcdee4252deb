package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"stonevault/identity"
	"stonevault/stone"
)

// tree is what a folder holds: the digest of each file's content by its path.
type tree map[string][sha256.Size]byte

func digestOf(content []byte) [sha256.Size]byte { return sha256.Sum256(content) }

// doubt is a request whose outcome is not known: it took place wholly or not at all. Both trees have only
// the paths at which they differ.
type doubt struct{ before, after tree }

func difference(now, next tree) *doubt {
	ch := &doubt{tree{}, tree{}}
	for path, digest := range now {
		if other, there := next[path]; !there || other != digest {
			ch.before[path] = digest
		}
	}
	for path, digest := range next {
		if other, there := now[path]; !there || other != digest {
			ch.after[path] = digest
		}
	}
	return ch
}

// touches tells whether the doubt is about a path or, where that ends in a slash, about something below it.
func (ch *doubt) touches(path string) bool {
	for _, side := range []tree{ch.before, ch.after} {
		for p := range side {
			if p == path || strings.HasSuffix(path, "/") && strings.HasPrefix(p, path) {
				return true
			}
		}
	}
	return false
}

// part returns of a tree what the doubt is about.
func (ch *doubt) part(t tree) tree {
	mine := tree{}
	for path, digest := range t {
		if ch.touches(path) {
			mine[path] = digest
		}
	}
	return mine
}

// writer changes one folder that nobody else touches, by one request after another, so that what must be
// there is known at any moment.
type writer struct {
	folder string
	random *rand.Rand
	reader *identity.Identity // for whom it exports
	names  int                // of files in each folder
	faulty bool               // the server may answer that it failed
	// One in how many files is large.
	oneLarge int

	places  [2]string // folders that it puts files into
	made    int       // folders named so far
	now     tree      // acknowledged
	unsure  []*doubt  // of paths that no later request touches
	upload  *upload   // in progress, or nil
	lost    []*upload // announced, and never acknowledged
	done    map[string]int
	refused map[string]int // requests that the server answered with its own failure, by its problem
}

func newWriter(i int, seed uint64, reader *identity.Identity) *writer {
	w := &writer{
		folder: fmt.Sprintf("/writer %d", i), random: rand.New(rand.NewPCG(seed, uint64(i)+1)), reader: reader, names: 6, oneLarge: 12,
		now: tree{}, done: map[string]int{}, refused: map[string]int{},
	}
	for i := range w.places {
		w.places[i] = w.newPlace()
	}
	return w
}

func (w *writer) newPlace() string {
	w.made++
	return fmt.Sprintf("%s/%d", w.folder, w.made)
}

// attempt is a request that is about to be made.
type attempt struct {
	next tree // what it would make of the tree; nil where it changes none
	want []int
	act  func(c *client) (reply, error)
	took func(c *client, r reply) // what follows from its success; may be nil
	left func(ch *doubt)          // what follows from its having failed in whatever way; may be nil
}

// kinds of requests, and how often each is made.
var kinds = []struct {
	name   string
	weight int
	plan   func(*writer) *attempt // nil where there is nothing to make it with
}{
	{"put", 8, (*writer).planPut},
	{"get", 2, (*writer).planGet},
	{"move", 4, (*writer).planMove},
	{"move folder", 1, (*writer).planMoveFolder},
	{"delete", 4, (*writer).planDelete},
	{"export", 2, (*writer).planExport},
	{"begin upload", 5, (*writer).planBegin},
	{"piece", 12, (*writer).planPiece},
	{"cancel", 1, (*writer).planCancel},
	{"resume", 8, (*writer).planResume},
}

// step makes one request. It returns an error once the connection has broken.
func (w *writer) step(c *client) error {
	all := 0
	for _, k := range kinds {
		all += k.weight
	}
	var a *attempt
	var kind string
	for a == nil {
		at := w.random.IntN(all)
		for _, k := range kinds {
			if at -= k.weight; at < 0 {
				a, kind = k.plan(w), k.name
				break
			}
		}
	}
	var ch *doubt
	if a.next != nil {
		ch = difference(w.now, a.next)
		w.unsure = append(w.unsure, ch)
	}
	r, err := a.act(c)
	switch {
	case err == nil && slices.Contains(a.want, r.status):
		if ch != nil {
			w.drop(ch)
			w.now = a.next
		}
		if a.took != nil {
			a.took(c, r)
		}
		w.done[kind]++
		return nil
	case a.left != nil:
		a.left(ch)
	}
	if err != nil {
		return err
	}
	if w.faulty && (r.status >= 500 || r.status == http.StatusLocked) && (r.problem() != "" || kind == "resume") { // a HEAD has no body
		w.refused[r.problem()]++
		return nil
	}
	c.t.Errorf("%s: %s: status %d, want %v: %.300s", w.folder, kind, r.status, a.want, r.body)
	return fmt.Errorf("status %d", r.status)
}

func (w *writer) drop(ch *doubt) {
	w.unsure = slices.DeleteFunc(w.unsure, func(other *doubt) bool { return other == ch })
}

// free tells whether nothing unsure is about a path.
func (w *writer) free(path string) bool { return w.freeBut(path, nil) }

func (w *writer) freeBut(path string, known *doubt) bool {
	return !slices.ContainsFunc(w.unsure, func(ch *doubt) bool { return ch != known && ch.touches(path) })
}

// any returns a path at which a file is known to be, or nothing.
func (w *writer) any() string {
	paths := slices.Sorted(maps.Keys(w.now))
	paths = slices.DeleteFunc(paths, func(path string) bool { return !w.free(path) })
	if len(paths) == 0 {
		return ""
	}
	return paths[w.random.IntN(len(paths))]
}

// somewhere returns a path that a file may be put at, or nothing.
func (w *writer) somewhere() string {
	path := fmt.Sprintf("%s/file %d", w.places[w.random.IntN(len(w.places))], w.random.IntN(w.names))
	if !w.free(path) || w.upload != nil && w.upload.path == path {
		return ""
	}
	return path
}

// content is small mostly; the large ones take another way to the disk.
func (w *writer) content() []byte {
	size := w.random.IntN(20_000)
	switch {
	case w.random.IntN(w.oneLarge) == 0:
		size = 1<<20 + w.random.IntN(5<<20)
	case w.random.IntN(12) == 0:
		size = 0
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.random.Uint32())
	}
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b)
	return b
}

func (w *writer) planPut() *attempt {
	path, content := w.somewhere(), w.content()
	if path == "" {
		return nil
	}
	want := http.StatusCreated
	if _, there := w.now[path]; there {
		want = http.StatusOK
	}
	next := maps.Clone(w.now)
	next[path] = digestOf(content)
	return &attempt{next: next, want: []int{want}, act: func(c *client) (reply, error) { return c.put(path, content) }}
}

func (w *writer) planGet() *attempt {
	path := w.any()
	if path == "" {
		return nil
	}
	return &attempt{
		want: []int{http.StatusOK},
		act:  func(c *client) (reply, error) { return c.get(path) },
		took: func(c *client, r reply) {
			if digestOf(r.body) != w.now[path] {
				c.t.Errorf("%s is not what was acknowledged", path)
			}
		},
	}
}

// onFile makes a request about the file at a path, which takes its id.
func onFile(path string, request func(c *client, id string) (reply, error)) func(c *client) (reply, error) {
	return func(c *client) (reply, error) {
		f, r, err := c.lookup(path)
		if err != nil || r.status != http.StatusOK {
			return r, err
		}
		return request(c, f.ID)
	}
}

func moveTo(path string) func(c *client, id string) (reply, error) {
	return func(c *client, id string) (reply, error) {
		body := fmt.Sprintf(`{"path":%q}`, path)
		return c.do("PATCH", "/api/v1/files/"+id, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})
	}
}

func (w *writer) planMove() *attempt {
	from, to := w.any(), w.somewhere()
	if _, taken := w.now[to]; taken || from == "" || to == "" {
		return nil
	}
	next := maps.Clone(w.now)
	next[to] = next[from]
	delete(next, from)
	return &attempt{next: next, want: []int{http.StatusOK}, act: onFile(from, moveTo(to))}
}

// planMoveFolder gives a folder a name that none has had. Nothing is put below the old name again: a request
// whose connection broke might still be at it.
func (w *writer) planMoveFolder() *attempt {
	i := w.random.IntN(len(w.places))
	from, to := w.places[i], w.newPlace()
	next, moved := tree{}, 0
	for path, digest := range w.now {
		if below, is := strings.CutPrefix(path, from+"/"); is {
			path = to + "/" + below
			moved++
		}
		next[path] = digest
	}
	if moved == 0 || !w.free(from+"/") {
		return nil
	}
	return &attempt{
		next: next, want: []int{http.StatusOK}, act: onFile(from, moveTo(to)),
		took: func(*client, reply) { w.places[i] = to },
		left: func(*doubt) { w.places[i] = w.newPlace() },
	}
}

func (w *writer) planDelete() *attempt {
	path := w.any()
	if path == "" {
		return nil
	}
	next := maps.Clone(w.now)
	delete(next, path)
	return &attempt{next: next, want: []int{http.StatusNoContent}, act: onFile(path, func(c *client, id string) (reply, error) {
		return c.do("DELETE", "/api/v1/files/"+id, nil, nil)
	})}
}

// planExport exports a file and opens the stone without the vault. A reply that ends cleanly is a whole one.
func (w *writer) planExport() *attempt {
	path := w.any()
	if path == "" {
		return nil
	}
	return &attempt{
		want: []int{http.StatusOK},
		act: onFile(path, func(c *client, id string) (reply, error) {
			body, err := json.Marshal(map[string][]string{"recipients": {w.reader.Public().Text()}})
			check(c.t, err)
			return c.do("POST", "/api/v1/files/"+id+"/export", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})
		}),
		took: func(c *client, r reply) {
			digest, err := openStone(c.t, r.body, w.reader)
			if err != nil || digest != w.now[path] {
				c.t.Errorf("the stone of %s is not what was acknowledged: %v", path, err)
			}
		},
	}
}

// openStone returns the digest of a stone's content.
func openStone(t testing.TB, sealed []byte, reader *identity.Identity) (digest [sha256.Size]byte, err error) {
	at := bytes.NewReader(sealed)
	envelope, err := stone.ReadEnvelope(at, at.Size())
	if err != nil {
		return digest, err
	}
	key, err := envelope.KeyFor(reader)
	if err != nil {
		return digest, err
	}
	unlocked, err := envelope.Unlock(key)
	if err != nil {
		return digest, err
	}
	body, err := stone.OpenBody(at, unlocked.BodySize, unlocked)
	if err != nil {
		return digest, err
	}
	h := sha256.New()
	if err := body.Stream(t.Context(), h, 0, body.Size()); err != nil {
		return digest, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// seen reads the folder back: every listed file's content, each verified.
func (w *writer) seen(c *client) tree {
	c.t.Helper()
	found := tree{}
	for _, f := range c.pages("/api/v1/find", url.Values{"folder": {w.folder}, "kind": {"file"}}) {
		r := c.must(c.get(f.Path))
		r.want(c.t, http.StatusOK)
		found[f.Path] = digestOf(r.body)
		r = c.must(c.do("POST", "/api/v1/files/"+f.ID+"/verify", nil, nil))
		r.want(c.t, http.StatusOK)
		if !bytes.Contains(r.body, []byte(`"ok":true`)) {
			c.t.Errorf("%s does not verify: %s", f.Path, r.body)
		}
	}
	return found
}

// settle is called once the server has started anew. It decides whether each unsure request took place,
// wholly or not at all, and returns how many of how many did.
func (w *writer) settle(c *client) (tookPlace, unsure int) {
	c.t.Helper()
	found := w.seen(c)
	unsure = len(w.unsure)
	for _, ch := range w.unsure {
		switch there := ch.part(found); {
		case maps.Equal(there, ch.after):
			tookPlace++
			for path := range ch.before {
				delete(w.now, path)
			}
			maps.Copy(w.now, ch.after)
		case !maps.Equal(there, ch.before):
			c.t.Errorf("%s: of a request that may have taken place, neither all nor nothing is there: %d files where %d were and %d would be",
				w.folder, len(there), len(ch.before), len(ch.after))
		}
	}
	if !maps.Equal(found, w.now) {
		c.t.Errorf("%s: %d files are there, and %d should be", w.folder, len(found), len(w.now))
		for path := range w.now {
			if found[path] != w.now[path] {
				c.t.Errorf("%s is not what was acknowledged", path)
			}
		}
		for path := range found {
			if _, known := w.now[path]; !known {
				c.t.Errorf("%s should not be there", path)
			}
		}
	}
	w.now, w.unsure = found, nil
	w.settleUploads(c)
	return tookPlace, unsure
}
