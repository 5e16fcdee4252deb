package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// upload is a writer's upload in pieces, as its client knows it.
type upload struct {
	location string
	path     string
	content  []byte
	later    bool // the length is announced with the last piece

	at     int  // acknowledged offset
	asking bool // a request has failed, and a HEAD must tell where it stands
	// What failed requests may have done since the last that was acknowledged. A HEAD does not end these
	// doubts, for a commit that failed may come back with a restart.
	failed   int
	reach    int    // so far
	whole    bool   // or not at all
	cancel   bool   // it may have been cancelled
	finished *doubt // it may have become a file
}

func (u *upload) acknowledged(at int) {
	u.at, u.reach, u.failed, u.whole, u.cancel = at, at, 0, false, false
}

func (u *upload) left(reach int, whole bool) {
	u.failed++
	u.asking, u.reach, u.whole = true, max(u.reach, reach), whole && u.failed == 1
}

func (u *upload) size() int { return len(u.content) }

func tusRequest(header http.Header) http.Header {
	header.Set("Tus-Resumable", "1.0.0")
	return header
}

// tusPiece is the header of a request that brings bytes.
func tusPiece(at int) http.Header {
	return tusRequest(http.Header{"Upload-Offset": {strconv.Itoa(at)}, "Content-Type": {"application/offset+octet-stream"}})
}

// tusBegin is the header of a request that announces a file; a negative size is announced later.
func tusBegin(path string, size int) http.Header {
	h := tusRequest(http.Header{"Upload-Metadata": {"path " + base64.StdEncoding.EncodeToString([]byte(path)) + ",replace dHJ1ZQ=="}})
	if size < 0 {
		h.Set("Upload-Defer-Length", "1")
	} else {
		h.Set("Upload-Length", strconv.Itoa(size))
	}
	return h
}

// after is the tree with the upload in it.
func (w *writer) after(u *upload) tree {
	next := maps.Clone(w.now)
	next[u.path] = digestOf(u.content)
	return next
}

// planBegin announces an upload, with its first bytes or without.
func (w *writer) planBegin() *attempt {
	path := w.somewhere()
	if w.upload != nil || path == "" {
		return nil
	}
	u := &upload{path: path, content: w.content(), later: w.random.IntN(3) == 0}
	size := u.size()
	if u.later {
		size = -1
	}
	header := tusBegin(path, size)
	var body []byte
	if w.random.IntN(2) == 0 {
		body = u.content[:w.random.IntN(u.size()+1)]
	}
	if len(body) > 0 {
		header.Set("Content-Type", "application/offset+octet-stream")
	}
	u.reach = len(body)
	a := &attempt{
		want: []int{http.StatusCreated},
		act: func(c *client) (reply, error) {
			return c.do("POST", "/api/v1/uploads", bytes.NewReader(body), header)
		},
		took: func(c *client, r reply) {
			w.upload = u
			u.location = r.header.Get("Location")
			u.acknowledged(len(body))
			if got := r.header.Get("Upload-Offset"); got != strconv.Itoa(u.at) {
				c.t.Errorf("%s: an upload of %d bytes stands at %s", u.path, u.at, got)
			}
			if u.at == u.size() && !u.later {
				w.upload = nil
			}
		},
		left: func(*doubt) { w.lost = append(w.lost, u) },
	}
	if u.reach == u.size() && !u.later {
		a.next = w.after(u)
	}
	return a
}

// planPiece sends the next bytes: a few, some or all, with a checksum or without.
func (w *writer) planPiece() *attempt {
	u := w.upload
	if u == nil || u.asking {
		return nil
	}
	left := u.size() - u.at
	n := min(left, []int{1, 1 + w.random.IntN(1000), 1 + w.random.IntN(2<<20), left}[w.random.IntN(4)])
	piece := u.content[u.at : u.at+n]
	header := tusPiece(u.at)
	if n > 0 && w.random.IntN(3) == 0 {
		sum := sha256.Sum256(piece)
		header.Set("Upload-Checksum", "sha-256 "+base64.StdEncoding.EncodeToString(sum[:]))
	}
	last := n == left
	if last && !w.freeBut(u.path, u.finished) {
		return nil
	}
	if last && u.later {
		header.Set("Upload-Length", strconv.Itoa(u.size()))
	}
	a := &attempt{
		want: []int{http.StatusNoContent},
		act:  func(c *client) (reply, error) { return c.do("PATCH", u.location, bytes.NewReader(piece), header) },
		took: func(c *client, r reply) {
			u.acknowledged(u.at + n)
			if u.finished != nil {
				w.drop(u.finished)
				u.finished = nil
			}
			if got := r.header.Get("Upload-Offset"); got != strconv.Itoa(u.at) {
				c.t.Errorf("%s: after byte %d the upload stands at %s", u.path, u.at, got)
			}
			if last {
				w.upload = nil
			}
		},
		left: func(ch *doubt) {
			u.left(u.at+n, header.Get("Upload-Checksum") != "")
			if ch != nil {
				w.drop(u.finished) // the same
				u.finished = ch
			}
		},
	}
	if last {
		a.next = w.after(u)
	}
	return a
}

func (w *writer) planCancel() *attempt {
	u := w.upload
	if u == nil || u.asking {
		return nil
	}
	return &attempt{
		want: []int{http.StatusNoContent},
		act:  func(c *client) (reply, error) { return c.do("DELETE", u.location, nil, tusRequest(http.Header{})) },
		took: func(*client, reply) { w.upload = nil },
		left: func(*doubt) {
			u.left(u.at, true)
			u.cancel = true
		},
	}
}

// planResume asks where an upload stands after a request that failed.
func (w *writer) planResume() *attempt {
	u := w.upload
	if u == nil || !u.asking {
		return nil
	}
	want := []int{http.StatusOK}
	if u.cancel {
		want = append(want, http.StatusNotFound)
	}
	return &attempt{
		want: want,
		act:  func(c *client) (reply, error) { return c.do("HEAD", u.location, nil, tusRequest(http.Header{})) },
		took: func(c *client, r reply) { w.resumed(c, u, r) },
	}
}

// resumed takes the answer to where an upload stands. One that has all its bytes is a file by then.
func (w *writer) resumed(c *client, u *upload, r reply) {
	if r.status == http.StatusNotFound {
		w.upload = nil
		return
	}
	at, err := strconv.Atoi(r.header.Get("Upload-Offset"))
	if err != nil || at < u.at || at > u.reach || u.whole && at != u.at && at != u.reach {
		c.t.Errorf("%s: the upload stands at %q of %d, %d bytes were acknowledged, and the last request led to %d (all or nothing: %v)",
			u.path, r.header.Get("Upload-Offset"), u.size(), u.at, u.reach, u.whole)
	}
	u.at, u.asking, u.whole = at, false, false
	if r.header.Get("Upload-Length") == "" || at != u.size() {
		return
	}
	if u.finished != nil {
		w.drop(u.finished)
	}
	w.upload = nil
	w.now[u.path] = digestOf(u.content)
	if w.faulty { // the campaign's end will look
		return
	}
	if r := c.must(c.get(u.path)); r.status != http.StatusOK || digestOf(r.body) != w.now[u.path] {
		c.t.Errorf("%s: the upload is said to be complete, and reads otherwise: status %d, %.200s", u.path, r.status, r.body)
	}
}

// settleUploads finds out where uploads stand once the server has started anew, and adopts or cancels what
// was never acknowledged.
func (w *writer) settleUploads(c *client) {
	c.t.Helper()
	if u := w.upload; u != nil {
		u.asking, u.finished = true, nil
		a := w.planResume()
		r := c.must(a.act(c))
		if !slices.Contains(a.want, r.status) {
			c.t.Errorf("%s: where the upload stands is answered with %d", u.path, r.status)
			return
		}
		a.took(c, r)
		w.done["resume"]++
		if u == w.upload { // what had not come back by now does not
			u.acknowledged(u.at)
		}
	}
	for _, listed := range c.uploads() {
		if !strings.HasPrefix(listed.Path, w.folder+"/") || w.upload != nil && w.upload.location == listed.location() {
			continue
		}
		i := slices.IndexFunc(w.lost, func(u *upload) bool { return u.path == listed.Path })
		if i < 0 {
			c.t.Errorf("nobody has begun an upload to %s", listed.Path)
			continue
		}
		u := w.lost[i]
		u.location, u.asking = listed.location(), true
		if w.upload == nil {
			w.upload = u
			w.settleUploads(c)
			return
		}
		c.must(c.do("DELETE", u.location, nil, tusRequest(http.Header{}))).want(c.t, http.StatusNoContent)
	}
	w.lost = nil
}

// abandon cancels what is in progress.
func (w *writer) abandon(c *client) {
	c.t.Helper()
	if u := w.upload; u != nil {
		c.must(c.do("DELETE", u.location, nil, tusRequest(http.Header{}))).want(c.t, http.StatusNoContent)
		w.upload = nil
	}
}

// listedUpload is what the interface says of an upload in progress.
type listedUpload struct {
	ID     string `json:"id"`
	Path   string `json:"path"`
	Offset int    `json:"offset"`
}

func (u listedUpload) location() string { return "/api/v1/uploads/" + u.ID }

func (c *client) uploads() []listedUpload {
	c.t.Helper()
	r := c.must(c.do("GET", "/api/v1/uploads", nil, nil))
	r.want(c.t, http.StatusOK)
	var list struct {
		Items []listedUpload `json:"items"`
	}
	check(c.t, json.Unmarshal(r.body, &list))
	return list.Items
}

// total counts the acknowledged requests of a kind.
func total(writers []*writer, kind string) int {
	n := 0
	for _, w := range writers {
		n += w.done[kind]
	}
	return n
}

// summary says what writers have done.
func summary(writers []*writer) string {
	var words []string
	for _, k := range kinds {
		words = append(words, fmt.Sprintf("%s %d", k.name, total(writers, k.name)))
	}
	return strings.Join(words, ", ")
}
