package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/api"
)

// store is a server that keeps files and uploads in memory, with the faults that a test asks for.
type store struct {
	mu      sync.Mutex
	files   map[string]*stored // by path
	uploads map[string]*upload
	next    int
	event   int64    // what replies about a stored file name, 0 for nothing
	log     []string // methods of requests about content and uploads
	// fault is asked before each of them; a true takes the request over.
	fault func(w http.ResponseWriter, r *http.Request, n int) bool
	// lose breaks the connection after the request of that number has been done.
	lose map[int]bool
	keys map[string]string // the ids of uploads by the keys that they were announced with
}

type stored struct {
	content []byte
	fileID  string
	version int
	header  http.Header
}

type upload struct {
	metadata map[string]string
	raw      string
	size     int64
	content  []byte
}

func newStore(t *testing.T) (*store, *Client) {
	t.Helper()
	s := &store{files: map[string]*stored{}, uploads: map[string]*upload{}, lose: map[int]bool{}, keys: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	secrets := new(memorySecrets)
	secrets.set(fmt.Appendf(nil, `{"server":%q,"access_token":"a","refresh_token":"r","expires_at":"2999-01-01T00:00:00Z"}`, server.URL))
	return s, newClient(t, server.URL, secrets)
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path == "/api/v1/files/lookup":
		s.lookup(w, r.URL.Query().Get("path"))
		return
	case strings.HasSuffix(r.URL.Path, "/versions"):
		json.NewEncoder(w).Encode(api.FileList{})
		return
	}
	n := len(s.log)
	s.log = append(s.log, r.Method)
	if s.fault != nil && s.fault(w, r, n) {
		return
	}
	if s.lose[n] {
		lost := httptest.NewRecorder()
		s.serve(lost, r)
		panic(http.ErrAbortHandler)
	}
	s.serve(w, r)
}

func (s *store) serve(w http.ResponseWriter, r *http.Request) {
	id := path.Base(r.URL.Path)
	name, isContent := strings.CutPrefix(r.URL.Path, "/api/v1/content")
	u := s.uploads[id]
	switch {
	case isContent && r.Method == http.MethodGet:
		f := s.files[name]
		for key, value := range f.header {
			w.Header()[key] = value
		}
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(f.content)))
		w.Write(f.content)
	case isContent:
		if s.files[name] != nil && r.Header.Get("If-None-Match") == "*" {
			problem(w, http.StatusPreconditionFailed, "precondition-failed")
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.keep(name, b, "put", r.Header)
		s.name(w)
		s.lookup(w, name)
	case id == "uploads" && r.Method == http.MethodGet:
		list := api.UploadList{Items: []api.Upload{}}
		for id, u := range s.uploads {
			list.Items = append(list.Items, api.Upload{ID: id, Path: u.metadata["path"], Size: &u.size, Offset: int64(len(u.content))})
		}
		json.NewEncoder(w).Encode(list)
	case id == "uploads":
		size, _ := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
		raw := r.Header.Get("Upload-Metadata")
		key := r.Header.Get("Idempotency-Key")
		if !regexp.MustCompile(`^"[A-Z0-9]{26}"$`).MatchString(key) {
			problem(w, http.StatusBadRequest, "bad-request")
			return
		}
		if id, ok := s.keys[key]; ok {
			w.Header().Set("Location", "/api/v1/uploads/"+id)
			w.WriteHeader(http.StatusCreated)
			return
		}
		s.next++
		id := fmt.Sprintf("%032x", s.next)
		s.keys[key] = id
		s.uploads[id] = &upload{metadata: parseMetadata(raw), raw: raw, size: size}
		w.Header().Set("Location", "/api/v1/uploads/"+id)
		w.WriteHeader(http.StatusCreated)
	case u == nil:
		problem(w, http.StatusNotFound, "not-found")
	case r.Method == http.MethodHead:
		w.Header().Set("Upload-Metadata", u.raw)
		w.Header().Set("Upload-Length", strconv.FormatInt(u.size, 10))
		w.Header().Set("Upload-Offset", strconv.Itoa(len(u.content)))
	case r.Method == http.MethodDelete:
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.patch(w, r, id, u)
	}
}

func (s *store) patch(w http.ResponseWriter, r *http.Request, id string, u *upload) {
	if r.Header.Get("Upload-Offset") != strconv.Itoa(len(u.content)) {
		problem(w, http.StatusConflict, "wrong-offset")
		return
	}
	b, err := io.ReadAll(r.Body)
	u.content = append(u.content, b...)
	if err != nil {
		return
	}
	if int64(len(u.content)) == u.size {
		delete(s.uploads, id)
		s.keep(u.metadata["path"], u.content, id, http.Header{
			"Stonevault-Mode": {u.metadata["mode"]}, "Stonevault-Modified-At": {u.metadata["modified_at"]},
		})
		s.name(w)
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(len(u.content)))
	w.WriteHeader(http.StatusNoContent)
}

// name names the event of what was stored.
func (s *store) name(w http.ResponseWriter) {
	if s.event > 0 {
		w.Header().Set("Stonevault-Event", strconv.FormatInt(s.event, 10))
	}
}

func (s *store) keep(name string, content []byte, id string, h http.Header) {
	version := 1
	if old := s.files[name]; old != nil {
		version = old.version + 1
	}
	s.files[name] = &stored{content, id, version, http.Header{
		"Stonevault-Mode": h["Stonevault-Mode"], "Stonevault-Modified-At": h["Stonevault-Modified-At"],
	}}
}

func (s *store) lookup(w http.ResponseWriter, name string) {
	f := s.files[name]
	if f == nil {
		problem(w, http.StatusNotFound, "not-found")
		return
	}
	modified, _ := time.Parse(time.RFC3339, f.header.Get("Stonevault-Modified-At"))
	json.NewEncoder(w).Encode(api.File{
		ID: "n", Kind: api.KindFile, Path: name, Size: int64(len(f.content)), Mode: f.header.Get("Stonevault-Mode"),
		ModifiedAt: modified, FileID: f.fileID, Version: f.version,
	})
}

// memory is a Memory in memory.
type memory struct {
	id    string
	stale bool
}

func (m *memory) Load() (string, bool) { return m.id, m.stale && m.id != "" }
func (m *memory) Save(id string)       { m.id, m.stale = id, false }
func (m *memory) Forget()              { m.id = "" }

var large = func() []byte {
	b := make([]byte, ResumeFrom+12345)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}()

var modified = time.Date(2001, 2, 3, 4, 5, 6, 789_123_456, time.UTC)

func uploadOf(b []byte) Upload {
	return Upload{Path: "/a/f", File: newMemFile(b), Size: int64(len(b)), ModifiedAt: modified, Mode: 0o640}
}

// breakAt breaks the connection of request n after some bytes of its body, which the server keeps.
func (s *store) breakAt(n int, keep int64) {
	s.fault = func(_ http.ResponseWriter, r *http.Request, i int) bool {
		if i != n {
			return false
		}
		b, _ := io.ReadAll(io.LimitReader(r.Body, keep))
		if u := s.uploads[path.Base(r.URL.Path)]; u != nil {
			u.content = append(u.content, b...)
		}
		panic(http.ErrAbortHandler)
	}
}

// refuse answers request n with a problem.
func (s *store) refuse(n, status int, code string) {
	s.fault = func(w http.ResponseWriter, _ *http.Request, i int) bool {
		if i == n {
			problem(w, status, code)
		}
		return i == n
	}
}

func TestPutGoesOn(t *testing.T) {
	small := large[:100_000]
	for _, c := range []struct {
		name    string
		content []byte
		set     func(*store, *Upload)
		log     string // the requests
		version int
	}{
		{"at once", large, nil, "GET POST PATCH", 1},
		{"the announcement is refused for a while", large, func(s *store, _ *Upload) { s.refuse(1, 503, "not-ready") }, "GET POST GET POST PATCH", 1},
		// net/http itself sends again what has an Idempotency-Key, where a connection ends that was used before.
		{"the reply to the announcement is lost", large, func(s *store, _ *Upload) { s.lose[1] = true }, "GET POST POST PATCH", 1},
		{"two replies to the announcement are lost", large, func(s *store, _ *Upload) { s.lose[1], s.lose[2] = true, true }, "GET POST POST GET HEAD HEAD PATCH", 1},
		{"a piece breaks", large, func(s *store, _ *Upload) { s.breakAt(2, 3<<20) }, "GET POST PATCH HEAD PATCH", 1},
		{"a piece breaks before its first byte", large, func(s *store, _ *Upload) { s.breakAt(2, 0) }, "GET POST PATCH HEAD PATCH", 1},
		{"another request has it", large, func(s *store, _ *Upload) { s.refuse(2, 423, "locked") }, "GET POST PATCH HEAD PATCH", 1},
		{"a proxy without a server", large, func(s *store, _ *Upload) {
			s.fault = func(w http.ResponseWriter, _ *http.Request, i int) bool {
				if i == 2 {
					w.WriteHeader(http.StatusBadGateway)
				}
				return i == 2
			}
		}, "GET POST PATCH HEAD PATCH", 1},
		{"it stands elsewhere", large, func(s *store, _ *Upload) { s.refuse(2, 409, "wrong-offset") }, "GET POST PATCH HEAD PATCH", 1},
		{"the server has forgotten it", large, func(s *store, _ *Upload) {
			s.fault = func(_ http.ResponseWriter, _ *http.Request, i int) bool {
				if i == 2 {
					clear(s.uploads)
				}
				return false
			}
		}, "GET POST PATCH GET POST PATCH", 1},
		{"the reply to the last byte is lost", large, func(s *store, _ *Upload) { s.lose[2] = true }, "GET POST PATCH HEAD", 1},
		{"remembered", large, func(s *store, u *Upload) {
			s.uploads["00000000000000000000000000000007"] = &upload{size: u.Size, content: bytes.Clone(large[:1<<20]), metadata: map[string]string{"path": "/a/f"}}
			u.Memory = &memory{id: "00000000000000000000000000000007"}
		}, "HEAD PATCH", 1},
		{"remembered, and forgotten by the server", large, func(_ *store, u *Upload) {
			u.Memory = &memory{id: "00000000000000000000000000000007"}
		}, "HEAD GET POST PATCH", 1},
		{"remembered for what the file was", large, func(s *store, u *Upload) {
			s.uploads["00000000000000000000000000000007"] = &upload{size: u.Size, metadata: map[string]string{"path": "/a/f"}}
			u.Memory = &memory{id: "00000000000000000000000000000007", stale: true}
		}, "DELETE GET POST PATCH", 1},
		{"of another file", large, func(s *store, u *Upload) {
			other := outgoing{Upload: *u}
			other.ModifiedAt = other.ModifiedAt.Add(time.Millisecond)
			s.uploads["00000000000000000000000000000007"] = &upload{size: u.Size, metadata: other.metadata(), raw: formatMetadata(other.metadata())}
		}, "GET HEAD POST PATCH", 1},

		{"small", small, nil, "PUT", 1},
		{"small, and it breaks", small, func(s *store, _ *Upload) { s.breakAt(0, 1000) }, "PUT PUT", 1},
		{"small, and the reply is lost", small, func(s *store, _ *Upload) { s.lose[0] = true }, "PUT GET", 1},
		{"small, replaces, and the reply is lost", small, func(s *store, u *Upload) {
			u.Replace = true
			s.keep("/a/f", []byte("old"), "old", http.Header{})
			s.lose[0] = true
		}, "PUT GET", 2},
		{"small, and busy", small, func(s *store, _ *Upload) { s.refuse(0, 503, "busy") }, "PUT PUT", 1},
		{"empty", nil, func(s *store, _ *Upload) { s.breakAt(0, 0) }, "PUT PUT", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, client := newStore(t)
			var shown int64
			var mu sync.Mutex
			u := uploadOf(c.content)
			u.Progress = func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				shown += n
			}
			if c.set != nil {
				c.set(s, &u)
			}
			f, err := client.Put(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			got := s.files["/a/f"]
			if got == nil || !bytes.Equal(got.content, c.content) || f.Path != "/a/f" || f.Version != c.version {
				t.Errorf("it became %+v", f)
			}
			if log := strings.Join(s.log, " "); log != c.log {
				t.Errorf("requests %s, want %s", log, c.log)
			}
			if shown != u.Size {
				t.Errorf("%d bytes are shown of %d", shown, u.Size)
			}
			if m, ok := u.Memory.(*memory); ok && m.id != "" {
				t.Error("what is complete is remembered")
			}
			if c.name != "of another file" && len(s.uploads) > 0 {
				t.Errorf("%d uploads are left", len(s.uploads))
			}
		})
	}
}

func TestPutGivesUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		content []byte
		set     func(*store, *Upload)
		want    error
		words   string
		kept    bool // the upload, for the next time
	}{
		{"something is there", large, func(s *store, _ *Upload) { s.refuse(1, 409, "exists") }, ErrExists, "It is exists", false},
		{"no space", large, func(s *store, _ *Upload) { s.refuse(2, 507, "no-space") }, nil, "It is no-space", true},
		{"not allowed", large, func(s *store, _ *Upload) { s.refuse(1, 403, "forbidden") }, nil, "It is forbidden", false},
		{"too large", large, func(s *store, _ *Upload) { s.refuse(1, 413, "too-large") }, nil, "It is too-large", false},
		{"refused", large, func(s *store, _ *Upload) { s.refuse(2, 409, "refused") }, ErrRefused, "It is refused", true},
		{"it changes", large, func(s *store, u *Upload) {
			s.fault = func(_ http.ResponseWriter, _ *http.Request, i int) bool {
				if i == 2 {
					u.File.(*memFile).changes.Store(true)
				}
				return false
			}
		}, ErrChanged, "the file has changed while it was sent, and nothing of it was kept; put it again", false},
		{"the server stays away", large, func(s *store, _ *Upload) {
			s.fault = func(w http.ResponseWriter, _ *http.Request, i int) bool {
				if i >= 2 {
					problem(w, 503, "not-ready")
				}
				return i >= 2
			}
		}, nil, "given up after", true},
		{"small, and another is there", large[:1000], func(s *store, _ *Upload) {
			s.fault = func(_ http.ResponseWriter, _ *http.Request, i int) bool {
				if i == 0 {
					s.keep("/a/f", make([]byte, 1000), "other", http.Header{"Stonevault-Mode": {"0640"}, "Stonevault-Modified-At": {"2001-02-03T04:05:06.789Z"}})
					panic(http.ErrAbortHandler)
				}
				return false
			}
		}, ErrExists, "", false},
		{"a pipe breaks", nil, func(s *store, u *Upload) {
			u.File, u.Body = nil, io.LimitReader(endless{}, 1<<20)
			s.breakAt(0, 1000)
		}, ErrUnreachable, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, client := newStore(t)
			client.options.Patience = time.Second
			m := new(memory)
			u := uploadOf(c.content)
			u.Memory = m
			c.set(s, &u)
			_, err := client.Put(t.Context(), u)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %v, %q", err, c.want, c.words)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if (len(s.uploads) > 0) != c.kept || (m.id != "") != c.kept {
				t.Errorf("%d uploads are left, and %q is remembered", len(s.uploads), m.id)
			}
		})
	}
}

// TestPauses says what it waits for, longer each time and never longer than it should.
func TestPauses(t *testing.T) {
	s, c := newStore(t)
	c.options.Patience = time.Hour
	a := c.attempts("")
	for try := range 20 {
		a.tries = try
		full := min(firstPause<<try, longestPause)
		if d := a.pause(); d < full/2 || d > full {
			t.Errorf("try %d waits %s, not %s to %s", try, d, full/2, full)
		}
	}
	c.options.Patience = 3 * time.Second
	var said []string
	c.options.Waiting = func(what string, err error, d time.Duration) {
		said = append(said, what+": "+err.Error())
		if d < time.Second {
			t.Errorf("it waits %s, and was asked to wait for one second", d)
		}
	}
	s.fault = func(w http.ResponseWriter, _ *http.Request, i int) bool {
		if i == 0 {
			w.Header().Set("Retry-After", "1")
			problem(w, 503, "busy")
		}
		return i == 0
	}
	if _, err := c.Put(t.Context(), uploadOf([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "/a/f: It is busy") {
		t.Errorf("it says %q", said)
	}
}

// A folder that is made again for a lost reply is made with the same key, and another one with another.
func TestMakeFolderKeys(t *testing.T) {
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		switch len(keys) {
		case 1:
			problem(w, http.StatusServiceUnavailable, "not-ready")
		case 2:
			problem(w, http.StatusConflict, "request-in-progress")
		default:
			json.NewEncoder(w).Encode(api.File{ID: "n", Kind: api.KindFolder, Path: "/a"})
		}
	}))
	t.Cleanup(server.Close)
	secrets := new(memorySecrets)
	secrets.set(fmt.Appendf(nil, `{"server":%q,"access_token":"a","refresh_token":"r","expires_at":"2999-01-01T00:00:00Z"}`, server.URL))
	c := newClient(t, server.URL, secrets)
	for range 2 {
		if _, err := c.MakeFolder(t.Context(), "/a"); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 4 || len(keys[0]) != 28 || keys[0] != keys[1] || keys[1] != keys[2] || keys[3] == keys[0] || len(keys[3]) != 28 {
		t.Errorf("the keys are %q", keys)
	}
}
