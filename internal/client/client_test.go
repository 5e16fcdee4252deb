package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/api"
)

// memorySecrets keeps a session as a keyring does, for clients that share it.
type memorySecrets struct {
	lock sync.Mutex // as processes lock each other out
	mu   sync.Mutex // guards secret
	b    []byte
}

func (m *memorySecrets) secret() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.b
}

func (m *memorySecrets) set(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.b = b
}

func (m *memorySecrets) Load() ([]byte, error) {
	if b := m.secret(); b != nil {
		return b, nil
	}
	return nil, ErrNotSignedIn
}

func (m *memorySecrets) Update(_ context.Context, fn func([]byte) ([]byte, error)) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	b, err := fn(m.secret())
	if err == nil {
		m.set(b)
	}
	return err
}

func (m *memorySecrets) Replace(_ context.Context, b []byte) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.set(b)
	return nil
}

// vault is a server with the faults that a test asks for: sessions, one file and its ranges.
type vault struct {
	mu        sync.Mutex
	access    string // the one token that is good
	refresh   string
	refreshes int
	life      time.Duration

	content  []byte
	etag     string
	broken   atomic.Int64 // offset of the first byte that does not verify, 0 for none
	cut      atomic.Int64 // how many bytes of a body are sent before the connection breaks, 0 for all
	stall    atomic.Bool
	gets     atomic.Int64
	received []byte
	release  chan struct{}
}

func problem(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Problem{Type: "/problems/" + code, Title: code, Detail: "It is " + code + ".", Status: status, RequestID: "r1"})
}

func (v *vault) session(w http.ResponseWriter) {
	v.refreshes++
	v.access, v.refresh = "access"+strconv.Itoa(v.refreshes), "svr_"+strconv.Itoa(v.refreshes)
	json.NewEncoder(w).Encode(api.Session{
		AccessToken: v.access, RefreshToken: v.refresh, AccessExpiresAt: time.Now().Add(v.life), TokenType: "Bearer",
		Person: api.Person{Name: "Ann", Role: api.RoleUser},
	})
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/api/v1/sessions":
		v.mu.Lock()
		defer v.mu.Unlock()
		v.session(w)
		return
	case "/api/v1/sessions/refresh":
		var body api.Refresh
		json.NewDecoder(r.Body).Decode(&body)
		v.mu.Lock()
		defer v.mu.Unlock()
		if body.RefreshToken != v.refresh {
			problem(w, http.StatusUnauthorized, "session-ended")
			return
		}
		v.session(w)
		return
	}
	v.mu.Lock()
	good := r.Header.Get("Authorization") == "Bearer "+v.access
	v.mu.Unlock()
	if !good {
		problem(w, http.StatusUnauthorized, "unauthenticated")
		return
	}
	switch {
	case r.URL.Path == "/api/v1/me":
		json.NewEncoder(w).Encode(api.Profile{Name: "Ann"})
	case r.Method == http.MethodPut:
		if v.stall.Load() {
			<-v.release // with an unread body the server does not notice that the client goes away
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		v.received = b
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(api.File{Path: "/" + strings.TrimPrefix(r.URL.Path, "/api/v1/content/"), Size: int64(len(b))})
	default:
		v.get(w, r)
	}
}

func (v *vault) get(w http.ResponseWriter, r *http.Request) {
	v.gets.Add(1)
	if match := r.Header.Get("If-Match"); match != "" && match != v.etag {
		problem(w, http.StatusPreconditionFailed, "precondition-failed")
		return
	}
	at := 0
	status := http.StatusOK
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at); err == nil {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(v.content)-1, len(v.content)))
	}
	rest := v.content[at:]
	end := len(rest)
	if broken := int(v.broken.Load()); broken > 0 {
		if end = broken - at; end <= 0 {
			problem(w, http.StatusConflict, "refused")
			return
		}
	}
	if cut := int(v.cut.Load()); cut > 0 {
		end = min(end, cut)
	}
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(len(rest)))
	h.Set("ETag", v.etag)
	h.Set("Stonevault-Mode", "0750")
	h.Set("Stonevault-Modified-At", "2001-02-03T04:05:06.789Z")
	w.WriteHeader(status)
	w.Write(rest[:end])
	if v.stall.Swap(false) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	if end < len(rest) {
		panic(http.ErrAbortHandler)
	}
}

func newVault(t *testing.T) (*vault, string) {
	v := &vault{life: 10 * time.Minute, content: bytes.Repeat([]byte("0123456789abcdef"), 100_000), etag: `"one"`, release: make(chan struct{})}
	s := httptest.NewServer(v)
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(v.release) })
	return v, s.URL
}

func newClient(t *testing.T, server string, s Secrets) *Client {
	t.Helper()
	c, err := New(Options{
		Server: server, UserAgent: "test", Secrets: s, Now: time.Now, StallAfter: 300 * time.Millisecond, Patience: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var ann = Credentials{Name: "ann", Password: "secret", Client: "test"}

func signedIn(t *testing.T) (*vault, *Client, *memorySecrets) {
	t.Helper()
	v, server := newVault(t)
	s := new(memorySecrets)
	c := newClient(t, server, s)
	if _, _, err := c.SignIn(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	return v, c, s
}

func TestCheckServer(t *testing.T) {
	for _, c := range []struct {
		server   string
		insecure bool
		want     string // empty is a refusal
	}{
		{"https://vault.example.org", false, "https://vault.example.org"},
		{"https://Vault.Example.org:8443/", false, "https://vault.example.org:8443"},
		{"http://127.0.0.1:8080", false, "http://127.0.0.1:8080"},
		{"http://[::1]:8080", false, "http://[::1]:8080"},
		{"http://localhost", false, "http://localhost"},
		{"http://vault.example.org", false, ""},
		{"http://192.168.1.2", false, ""},
		{"http://127.0.0.1.example.org", false, ""},
		{"http://localhost.example.org", false, ""},
		{"http://vault.example.org", true, "http://vault.example.org"},
		{"https://ann:secret@vault.example.org", false, ""},
		{"https://vault.example.org/path", false, ""},
		{"https://vault.example.org?x=1", false, ""},
		{"ftp://vault.example.org", true, ""},
		{"vault.example.org", true, ""},
		{"https://", false, ""},
		{"", false, ""},
		{"https://%zz", false, ""},
	} {
		got, err := CheckServer(c.server, c.insecure)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("CheckServer(%q, %v): %q, %v; want %q", c.server, c.insecure, got, err, c.want)
		}
	}
}

func TestRefresh(t *testing.T) {
	v, c, s := signedIn(t)
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v.refreshes != 1 {
		t.Fatalf("%d sessions before the first one ended", v.refreshes)
	}
	// The server forgets the token: one refresh, and the same request again.
	v.access = "other"
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v.refreshes != 2 {
		t.Fatalf("%d sessions after a token that was not good", v.refreshes)
	}
	// The token's time comes, and many ask at once, as several processes: one refresh serves them all.
	c.mu.Lock()
	c.session.ExpiresAt = time.Now()
	stale, err := json.Marshal(c.session)
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	s.set(stale)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := newClient(t, c.options.Server, s).Me(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if v.refreshes != 3 {
		t.Errorf("%d sessions after one end; want one more", v.refreshes)
	}
	// A refresh token that does not work any more ends the session here too.
	v.access, v.refresh = "other", "other"
	if _, err := c.Me(t.Context()); !errors.Is(err, ErrNotSignedIn) {
		t.Errorf("a session that has ended: %v", err)
	}
	if s.secret() != nil {
		t.Error("an ended session is kept")
	}
}

func TestClocksDisagree(t *testing.T) {
	v, server := newVault(t)
	s := new(memorySecrets)
	c := newClient(t, server, s)
	c.options.Now = func() time.Time { return time.Now().Add(20 * 365 * 24 * time.Hour) }
	if _, _, err := c.SignIn(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Me(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if v.refreshes != 1 {
		t.Errorf("%d sessions were opened because the clocks disagree", v.refreshes)
	}
}

func TestTokenStaysWithItsServer(t *testing.T) {
	_, _, s := signedIn(t)
	other, server := newVault(t)
	if _, err := newClient(t, server, s).Me(t.Context()); !errors.Is(err, ErrNotSignedIn) {
		t.Errorf("another server's session: %v", err)
	}
	if other.refreshes != 0 {
		t.Error("a refresh token went to another server")
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var asked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	if _, _, err := newClient(t, server.URL, new(memorySecrets)).SignIn(t.Context(), ann); err == nil || asked.Load() {
		t.Errorf("a redirect: %v, followed %v", err, asked.Load())
	}
}

func TestPut(t *testing.T) {
	content := bytes.Repeat([]byte("content "), 1<<18)
	for _, size := range []int{0, 1, expectFrom - 1, expectFrom, len(content)} {
		for name, stale := range map[string]bool{"good token": false, "stale token": true} {
			t.Run(fmt.Sprintf("%d/%s", size, name), func(t *testing.T) {
				v, c, _ := signedIn(t)
				if stale {
					v.access = "other"
				}
				var seen int64
				f, err := c.Put(t.Context(), Upload{
					Path: "/a/ä b", File: newMemFile(content[:size]), Size: int64(size), ModifiedAt: time.Now(), Progress: func(n int64) { seen += n },
				})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(v.received, content[:size]) || f.Size != int64(size) || seen != int64(size) {
					t.Errorf("%d bytes arrive, %d are reported and %d shown", len(v.received), f.Size, seen)
				}
			})
		}
	}
}

// memFile is a File in memory.
type memFile struct {
	io.ReaderAt
	changes atomic.Bool
}

func newMemFile(b []byte) *memFile { return &memFile{ReaderAt: bytes.NewReader(b)} }

func (f *memFile) Unchanged() error {
	if f.changes.Load() {
		return ErrChanged
	}
	return nil
}

func TestPutFails(t *testing.T) {
	long := []byte(strings.Repeat("x", 1000))
	failure := errors.New("bad disk")
	changed := newMemFile(long)
	changed.changes.Store(true)
	empty := newMemFile(nil)
	empty.changes.Store(true)
	for name, c := range map[string]struct {
		upload Upload
		want   error
	}{
		"shorter than it was": {Upload{File: newMemFile(long), Size: 1001}, ErrChanged},
		"changed":             {Upload{File: changed, Size: 1000}, ErrChanged},
		"empty and changed":   {Upload{File: empty, Size: 0}, ErrChanged},
		"cannot be read":      {Upload{File: &memFile{ReaderAt: failingReaderAt{failure}}, Size: 2000}, failure},
		"pipe breaks":         {Upload{Body: io.MultiReader(bytes.NewReader(long), failingReader{failure})}, failure},
	} {
		t.Run(name, func(t *testing.T) {
			v, client, _ := signedIn(t)
			c.upload.Path, c.upload.ModifiedAt = "/a", time.Now()
			if _, err := client.Put(t.Context(), c.upload); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if v.received != nil {
				t.Error("the server has a whole file")
			}
		})
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type failingReaderAt struct{ err error }

func (r failingReaderAt) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestPutStalls(t *testing.T) {
	v, c, _ := signedIn(t)
	v.stall.Store(true)
	_, err := c.Put(t.Context(), Upload{Path: "/a", Body: endless{}, ModifiedAt: time.Now()})
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, errStalled) {
		t.Errorf("a server that does not read: %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestGet(t *testing.T) {
	v, c, _ := signedIn(t)
	d, err := c.Get(t.Context(), "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Mode != 0o750 || !d.ModifiedAt.Equal(time.Date(2001, 2, 3, 4, 5, 6, 789e6, time.UTC)) || d.Size != int64(len(v.content)) {
		t.Errorf("got %+v", d)
	}
	var got bytes.Buffer
	if err := d.Copy(t.Context(), &got); err != nil || !bytes.Equal(got.Bytes(), v.content) {
		t.Errorf("Copy: %v, %d bytes", err, got.Len())
	}
}

// TestGetBreaks cuts every connection after a while: the whole file arrives none the less.
func TestGetBreaks(t *testing.T) {
	v, c, _ := signedIn(t)
	v.cut.Store(300_000)
	d, err := c.Get(t.Context(), "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := d.Copy(t.Context(), &got); err != nil || !bytes.Equal(got.Bytes(), v.content) {
		t.Errorf("Copy: %v, %d bytes", err, got.Len())
	}
	if v.gets.Load() < 5 {
		t.Errorf("%d requests; the test has cut nothing", v.gets.Load())
	}
}

// TestGetRefused breaks off where the stored data turns bad: what arrives is a beginning, and the error
// says why.
func TestGetRefused(t *testing.T) {
	v, c, _ := signedIn(t)
	v.broken.Store(1 << 20)
	d, err := c.Get(t.Context(), "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := d.Copy(t.Context(), &got); !errors.Is(err, ErrRefused) {
		t.Errorf("Copy: %v", err)
	}
	if !bytes.Equal(got.Bytes(), v.content[:1<<20]) {
		t.Errorf("%d bytes were given out, want the %d that verify", got.Len(), 1<<20)
	}
}

func TestGetChanges(t *testing.T) {
	v, c, _ := signedIn(t)
	v.cut.Store(300_000)
	d, err := c.Get(t.Context(), "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	v.etag = `"two"`
	if err := d.Copy(t.Context(), io.Discard); !errors.Is(err, ErrChanged) {
		t.Errorf("Copy of a file that changes: %v", err)
	}
}

// TestGetStalls lets one connection stand still: the rest comes by another.
func TestGetStalls(t *testing.T) {
	v, c, _ := signedIn(t)
	v.cut.Store(300_000)
	v.stall.Store(true)
	d, err := c.Get(t.Context(), "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := d.Copy(t.Context(), &got); err != nil || !bytes.Equal(got.Bytes(), v.content) {
		t.Errorf("Copy: %v, %d bytes", err, got.Len())
	}
}

func TestGetStopsWithContext(t *testing.T) {
	v, c, _ := signedIn(t)
	v.cut.Store(1000)
	v.stall.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	d, err := c.Get(ctx, "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := d.Copy(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Copy: %v", err)
	}
}

func TestGetCannotWrite(t *testing.T) {
	_, c, _ := signedIn(t)
	d, err := c.Get(t.Context(), "/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if err := d.Copy(t.Context(), failingWriter{full}); !errors.Is(err, full) || errors.Is(err, ErrUnreachable) {
		t.Errorf("Copy: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	_, err := newClient(t, server.URL, new(memorySecrets)).Vault(t.Context())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "check the address") {
		t.Errorf("a server that is not there: %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, err = newClient(t, other.URL, new(memorySecrets)).Vault(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is not the address of a Stonevault server") {
		t.Errorf("a server of something else: %v", err)
	}
}

func TestKeyExchange(t *testing.T) {
	for _, c := range []struct {
		name           string
		groups         []tls.CurveID
		version        uint16
		allowClassical bool
		works          bool
	}{
		{"hybrid", nil, tls.VersionTLS13, false, true},
		{"hybrid with P-384", []tls.CurveID{tls.SecP384r1MLKEM1024}, tls.VersionTLS13, false, true},
		{"classical", []tls.CurveID{tls.X25519}, tls.VersionTLS13, false, false},
		{"classical, allowed", []tls.CurveID{tls.X25519}, tls.VersionTLS13, true, true},
		{"TLS 1.2, classical allowed", nil, tls.VersionTLS12, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				json.NewEncoder(w).Encode(api.Vault{VaultID: "v"})
			}))
			server.TLS = &tls.Config{CurvePreferences: c.groups, MaxVersion: c.version}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			client := newClient(t, server.URL, new(memorySecrets))
			secure, err := Trust{}.config(c.allowClassical)
			if err != nil {
				t.Fatal(err)
			}
			secure.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			client.api.Client = &http.Client{Transport: transport(secure)}
			_, err = client.Vault(t.Context())
			if (err == nil) != c.works {
				t.Fatalf("Vault: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "--allow-classical") {
				t.Errorf("the error says nothing of --allow-classical: %v", err)
			}
		})
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	s := &session{AccessToken: "access", RefreshToken: "svr_1"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, s); got != "[redacted]" {
			t.Errorf("%s shows %q", format, got)
		}
	}
}
