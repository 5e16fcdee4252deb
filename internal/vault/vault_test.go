package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/blob/local"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// house is a vault on real parts in a temporary directory.
type house struct {
	*vault.Vault
	t       testing.TB
	dir     string
	db      *metadb.DB
	objects *local.Store
	key     *masterkey.Key // the first one
	master  *masterkey.Ring
	made    int        // keys after the first
	mu      sync.Mutex // guards now
	now     time.Time
	suite   identity.Suite // of a new vault
	config  vault.Config
}

var ctx = context.Background()

func newHouse(t testing.TB) *house { return newHouseOf(t, identity.SuiteHybrid) }

func newHouseOf(t testing.TB, suite identity.Suite) *house {
	t.Helper()
	dir := t.TempDir()
	master, err := masterkey.CreateFile(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, dir: dir, key: master, master: masterkey.NewRing(master), now: time.UnixMilli(1_800_000_000_000), suite: suite}
	h.open()
	return h
}

// open opens the house's vault as a started server would.
func (h *house) open() {
	h.t.Helper()
	var err error
	if h.db, err = testdb.Open(ctx, filepath.Join(h.dir, "stonevault.db"), "test"); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { h.db.Close() })
	if h.objects, err = local.Open(filepath.Join(h.dir, "objects")); err != nil {
		h.t.Fatal(err)
	}
	h.config = vault.Config{
		Database: h.db, Objects: h.objects, Parts: h.objects, Master: h.master, Audit: h.recorder(), Suite: h.suite,
		Now: h.clock, Log: slog.New(slog.DiscardHandler),
	}
	h.reopen()
}

// audit is what the audit log needs.
func (h *house) audit() auditlog.Config {
	return auditlog.Config{Database: h.db.Audit(), Master: h.master, Rand: rand.Reader, Now: h.clock}
}

func (h *house) recorder() *auditlog.Recorder { return auditlog.NewRecorder(h.audit(), func() {}) }

// clock is read by goroutines of the vault while a test sets it.
func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) setNow(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = t
}

// reopen makes a vault of h.config, which a test may have changed.
func (h *house) reopen() {
	h.t.Helper()
	var err error
	if h.Vault, err = vault.Open(ctx, h.config); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) person(name string) vault.Actor {
	h.t.Helper()
	p, _, err := h.CreatePerson(ctx, vault.Actor{}, name, vault.RoleUser, "hash")
	if err != nil {
		h.t.Fatal(err)
	}
	return vault.Actor{Person: p.ID, Role: p.Role, Name: p.Name, Session: "s", Client: "test", Address: "192.0.2.7"}
}

func (h *house) put(a vault.Actor, path string, content []byte) vault.Entry {
	h.t.Helper()
	e, _, err := h.Put(ctx, a, request(path, content))
	if err != nil {
		h.t.Fatalf("Put %s: %v", path, err)
	}
	return e
}

func request(path string, content []byte) vault.PutRequest {
	return vault.PutRequest{
		Path: path, Body: bytes.NewReader(content), Size: int64(len(content)), Mode: 0o644,
		ModifiedAt: time.UnixMilli(1_700_000_000_001),
	}
}

func (h *house) get(a vault.Actor, ref vault.Ref) ([]byte, error) {
	c, err := h.Content(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var out bytes.Buffer
	err = c.Stream(ctx, &out, 0, c.Size())
	return out.Bytes(), err
}

func (h *house) mustGet(a vault.Actor, path string, want []byte) {
	h.t.Helper()
	got, err := h.get(a, vault.Ref{Path: path})
	if err != nil {
		h.t.Fatalf("get %s: %v", path, err)
	}
	if !bytes.Equal(got, want) {
		h.t.Fatalf("get %s: %d bytes that are not the %d that were put", path, len(got), len(want))
	}
}

// objectCount counts the objects in the store.
func (h *house) objectCount() int {
	h.t.Helper()
	n := 0
	if err := h.objects.Walk(ctx, func(string, int64) error { n++; return nil }); err != nil {
		h.t.Fatal(err)
	}
	return n
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestPutAndGet(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	for _, size := range []int{0, 1, 65535, 1048575, 1048576, 1048577, 5<<20 + 3} {
		content := randomBytes(size)
		path := fmt.Sprintf("/sizes/%d", size)
		e := h.put(ada, path, content)
		if e.Path != path || e.Version.Size != int64(size) || e.Version.Number != 1 || e.Node.Kind != vault.NodeFile {
			t.Fatalf("entry %+v does not describe %s", e, path)
		}
		h.mustGet(ada, path, content)
		report, err := h.Verify(ctx, ada, vault.Ref{Path: path})
		if err != nil || !report.OK || report.Bytes != int64(size) {
			t.Fatalf("Verify %s: %+v, %v", path, report, err)
		}
	}
	page, err := h.List(ctx, ada, vault.ListRequest{Folder: "/sizes", Sort: "-size", Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for page.Next != "" || len(page.Items) > 0 {
		for _, e := range page.Items {
			sizes = append(sizes, e.Version.Size)
		}
		if page.Next == "" {
			break
		}
		if page, err = h.List(ctx, ada, vault.ListRequest{Folder: "/sizes", Sort: "-size", Limit: 3, Cursor: page.Next}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int64{5<<20 + 3, 1048577, 1048576, 1048575, 65535, 1, 0}; !slices.Equal(sizes, want) {
		t.Fatalf("pages give %v, want %v", sizes, want)
	}
}

func TestPutConditions(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	first := h.put(ada, "/a/b.txt", []byte("one"))
	tests := []struct {
		name    string
		path    string
		change  func(*vault.PutRequest)
		wantErr error
		created bool
	}{
		{"must not exist", "/a/b.txt", func(r *vault.PutRequest) { r.MustNotExist = true }, vault.ErrExists, false},
		{"over a folder", "/a", nil, vault.ErrExists, false},
		{"stale tag", "/a/b.txt", func(r *vault.PutRequest) { r.IfMatch = `"other"` }, vault.ErrPrecondition, false},
		{"tag of nothing", "/a/new", func(r *vault.PutRequest) { r.IfMatch = "*" }, vault.ErrPrecondition, false},
		{"right tag", "/a/b.txt", func(r *vault.PutRequest) { r.IfMatch = first.ETag() }, nil, false},
		{"new", "/a/c.txt", func(r *vault.PutRequest) { r.MustNotExist = true }, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := h.objectCount()
			r := request(tt.path, []byte("two"))
			if tt.change != nil {
				tt.change(&r)
			}
			_, created, err := h.Put(ctx, ada, r)
			if !errors.Is(err, tt.wantErr) || created != tt.created {
				t.Fatalf("created %v, %v; want %v, %v", created, err, tt.created, tt.wantErr)
			}
			if err != nil && h.objectCount() != before {
				t.Fatal("a refused put leaves objects")
			}
		})
	}
	h.mustGet(ada, "/a/b.txt", []byte("two"))
	if got, err := h.get(ada, vault.Ref{Path: "/a/b.txt", Version: 1}); err != nil || string(got) != "one" {
		t.Fatalf("version 1: %q, %v", got, err)
	}
}

func TestInvalidRequests(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	h.put(ada, "/file", nil)
	for _, path := range []string{"", "a", "/", "//", "/a//b", "/a/", "/.", "/a/..", "/a\x00b", "/\xff", "/" + strings.Repeat("x", 256),
		strings.Repeat("/x", 129), "/file/below"} {
		var invalid *vault.InvalidError
		if _, _, err := h.Put(ctx, ada, request(path, nil)); !errors.As(err, &invalid) {
			t.Errorf("Put %q: %v, want an InvalidError", path, err)
		}
	}
	short := request("/short", []byte("abc"))
	short.Size = 4
	var invalid *vault.InvalidError
	if _, _, err := h.Put(ctx, ada, short); !errors.As(err, &invalid) {
		t.Errorf("a body shorter than stated: %v, want an InvalidError", err)
	}
	if n := h.objectCount(); n != 2 {
		t.Errorf("%d objects, want the 2 of /file", n)
	}
}

func TestNamesAreNormal(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	decomposed, composed := "/cafe\u0301", "/caf\u00e9"
	if e := h.put(ada, decomposed, []byte("x")); e.Path != composed {
		t.Fatalf("path %q, want %q", e.Path, composed)
	}
	h.mustGet(ada, composed, []byte("x"))
	h.mustGet(ada, decomposed, []byte("x"))
}

func TestStrangersSeeNothing(t *testing.T) {
	h := newHouse(t)
	ada, bob := h.person("ada"), h.person("bob")
	e := h.put(ada, "/secret", []byte("x"))
	admin, _, err := h.CreatePerson(ctx, vault.Actor{}, "root", vault.RoleAdmin, "hash")
	if err != nil {
		t.Fatal(err)
	}
	for _, stranger := range []vault.Actor{bob, {Person: admin.ID, Role: vault.RoleAdmin}} {
		for _, ref := range []vault.Ref{{Node: e.Node.ID}, {Path: "/secret"}} {
			_, statErr := h.Stat(ctx, stranger, ref)
			_, getErr := h.get(stranger, ref)
			_, verifyErr := h.Verify(ctx, stranger, ref)
			for _, err := range []error{statErr, getErr, verifyErr} {
				if !errors.Is(err, vault.ErrNotFound) {
					t.Errorf("%+v: %v, want ErrNotFound", ref, err)
				}
			}
		}
		_, moveErr := h.Move(ctx, stranger, e.Node.ID, vault.MoveRequest{Path: "/mine"})
		_, versionsErr := h.Versions(ctx, stranger, e.Node.ID)
		for _, err := range []error{moveErr, versionsErr, h.Delete(ctx, stranger, e.Node.ID, "")} {
			if !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("%v, want ErrNotFound", err)
			}
		}
	}
	h.mustGet(ada, "/secret", []byte("x"))
}

func TestMove(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	e := h.put(ada, "/a", []byte("x"))
	h.put(ada, "/taken", nil)
	moved, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/new/folder/b", IfMatch: e.ETag()})
	if err != nil {
		t.Fatal(err)
	}
	if moved.Path != "/new/folder/b" || moved.Version.Revision != 2 || moved.ETag() == e.ETag() {
		t.Fatalf("moved entry %+v", moved)
	}
	h.mustGet(ada, "/new/folder/b", []byte("x"))
	if _, err := h.get(ada, vault.Ref{Path: "/a"}); !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("the old name: %v, want ErrNotFound", err)
	}
	if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/c", IfMatch: e.ETag()}); !errors.Is(err, vault.ErrPrecondition) {
		t.Fatalf("a stale tag: %v, want ErrPrecondition", err)
	}
	if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/taken"}); !errors.Is(err, vault.ErrExists) {
		t.Fatalf("onto another file: %v, want ErrExists", err)
	}
	folder, err := h.Stat(ctx, ada, vault.Ref{Path: "/new"})
	if err != nil {
		t.Fatal(err)
	}
	var invalid *vault.InvalidError
	if _, err := h.Move(ctx, ada, folder.Node.ID, vault.MoveRequest{Path: "/new/folder/deeper"}); !errors.As(err, &invalid) {
		t.Fatalf("a folder into itself: %v, want an InvalidError", err)
	}
	if _, err := h.Move(ctx, ada, folder.Node.ID, vault.MoveRequest{Path: "/old"}); err != nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/old/folder/b", []byte("x"))
}

func TestDelete(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	e := h.put(ada, "/f/a", []byte("1"))
	e = h.put(ada, "/f/a", []byte("2"))
	folder, err := h.Stat(ctx, ada, vault.Ref{Path: "/f"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Delete(ctx, ada, folder.Node.ID, ""); !errors.Is(err, vault.ErrConflict) {
		t.Fatalf("a folder that is not empty: %v, want ErrConflict", err)
	}
	if err := h.Delete(ctx, ada, e.Node.ID, `"stale"`); !errors.Is(err, vault.ErrPrecondition) {
		t.Fatalf("a stale tag: %v, want ErrPrecondition", err)
	}
	if err := h.Delete(ctx, ada, e.Node.ID, e.ETag()); err != nil {
		t.Fatal(err)
	}
	if n := h.objectCount(); n != 0 {
		t.Fatalf("%d objects are left", n)
	}
	if err := h.Delete(ctx, ada, e.Node.ID, ""); !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("again: %v, want ErrNotFound", err)
	}
	if err := h.Delete(ctx, ada, folder.Node.ID, ""); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentPutsToOnePath(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	const racers = 8
	var wg sync.WaitGroup
	errs := make([]error, racers)
	for i := range racers {
		wg.Go(func() {
			_, _, errs[i] = h.Put(ctx, ada, request("/deep/er/same", []byte{byte(i)}))
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, vault.ErrConflict):
			t.Errorf("%v, want ErrConflict", err)
		}
	}
	e, err := h.Stat(ctx, ada, vault.Ref{Path: "/deep/er/same"})
	if err != nil || e.Version.Number != won {
		t.Fatalf("version %d after %d successful puts: %v", e.Version.Number, won, err)
	}
	if n := h.objectCount(); n != 2*won {
		t.Errorf("%d objects, want %d", n, 2*won)
	}
	for number := 1; number <= won; number++ {
		if _, err := h.get(ada, vault.Ref{Path: "/deep/er/same", Version: number}); err != nil {
			t.Errorf("version %d: %v", number, err)
		}
	}
}

func TestFoundedOnce(t *testing.T) {
	h := newHouse(t)
	_, recovery, err := h.CreatePerson(ctx, vault.Actor{}, "first", vault.RoleAdmin, "hash")
	if err != nil || recovery == nil {
		t.Fatalf("the first person comes without a recovery secret: %v", err)
	}
	if _, again, err := h.CreatePerson(ctx, vault.Actor{}, "second", vault.RoleAdmin, "hash"); err != nil || again != nil {
		t.Fatalf("the second person comes with one: %v", err)
	}
	if _, _, err := h.CreatePerson(ctx, vault.Actor{}, "FIRST", vault.RoleUser, "hash"); !errors.Is(err, vault.ErrExists) {
		t.Fatalf("a name that differs in case only: %v, want ErrExists", err)
	}
	if err := h.ConfirmRecovery(ctx, vault.Actor{}, recovery.Secret); err != nil {
		t.Fatal(err)
	}
	other, err := identity.Generate(rand.Reader, identity.SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.ConfirmRecovery(ctx, vault.Actor{}, other); !errors.Is(err, vault.ErrWrongRecovery) {
		t.Fatalf("another secret: %v, want ErrWrongRecovery", err)
	}

	wrong := h.config
	key, err := masterkey.CreateFile(filepath.Join(h.dir, "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	wrong.Master = masterkey.NewRing(key)
	if _, err := vault.Open(ctx, wrong); !errors.Is(err, vault.ErrWrongMasterKey) {
		t.Fatalf("another master key: %v, want ErrWrongMasterKey", err)
	}
	h.now = h.now.Add(-time.Hour)
	if _, err := vault.Open(ctx, h.config); !errors.Is(err, vault.ErrClock) {
		t.Fatalf("a clock set back: %v, want ErrClock", err)
	}
}

// TestRecoveryOpensEverything opens stored objects as an offline stone with the recovery secret alone.
func TestRecoveryOpensEverything(t *testing.T) {
	h := newHouse(t)
	p, recovery, err := h.CreatePerson(ctx, vault.Actor{}, "ada", vault.RoleAdmin, "hash")
	if err != nil {
		t.Fatal(err)
	}
	content := randomBytes(1<<20 + 5)
	e := h.put(vault.Actor{Person: p.ID}, "/a/b", content)
	var whole []byte
	for _, suffix := range []string{".body", ".env"} {
		o, err := h.objects.Open(ctx, e.Version.FileID.String()+suffix)
		if err != nil {
			t.Fatal(err)
		}
		part, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
		if err != nil {
			t.Fatal(err)
		}
		whole = append(whole, part...)
		o.Close()
	}
	r := bytes.NewReader(whole)
	env, err := stone.ReadEnvelope(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	key, err := env.KeyFor(recovery.Secret)
	if err != nil {
		t.Fatal(err)
	}
	u, err := env.Unlock(key)
	if err != nil {
		t.Fatal(err)
	}
	if u.Metadata.Path != "/a/b" || u.Metadata.Owner != string(p.ID) || env.Certificate.Root.Fingerprint() != recovery.RootFingerprint {
		t.Fatalf("metadata %+v", u.Metadata)
	}
	body, err := stone.OpenBody(r, env.BodySize, u)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := body.Stream(ctx, &out, 0, body.Size()); err != nil || !bytes.Equal(out.Bytes(), content) {
		t.Fatalf("content differs: %v", err)
	}
}
