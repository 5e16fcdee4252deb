package vault_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/blob/local"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// lost is a vault whose database will be lost, and what must come back.
type lost struct {
	*house
	secret *identity.Identity
	root   identity.Fingerprint
	people []vault.Actor
	want   map[string][][sha256.Size]byte // contents of all versions, oldest first, by owner and path
}

func newLost(t testing.TB, people int) *lost {
	t.Helper()
	l := &lost{house: newHouse(t), want: make(map[string][][sha256.Size]byte)}
	for i := range people {
		p, recovery, err := l.CreatePerson(ctx, vault.Actor{}, fmt.Sprintf("person %d", i), vault.RoleUser, "hash")
		if err != nil {
			t.Fatal(err)
		}
		if recovery != nil {
			l.secret, l.root = recovery.Secret, recovery.RootFingerprint
		}
		l.people = append(l.people, vault.Actor{Person: p.ID, Role: p.Role})
	}
	return l
}

func (h *house) tick(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func key(a vault.Actor, path string) string { return string(a.Person) + path }

// keep puts a version and remembers it.
func (l *lost) keep(a vault.Actor, path string, content []byte, class stone.Class) vault.Entry {
	l.t.Helper()
	r := request(path, content)
	r.Class = string(class)
	e, _, err := l.Put(ctx, a, r)
	if err != nil {
		l.t.Fatalf("Put %s: %v", path, err)
	}
	l.want[key(a, path)] = append(l.want[key(a, path)], sha256.Sum256(content))
	return e
}

func (l *lost) move(a vault.Actor, from, to string) {
	l.t.Helper()
	e, err := l.Stat(ctx, a, vault.Ref{Path: from})
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: to}); err != nil {
		l.t.Fatalf("Move %s to %s: %v", from, to, err)
	}
	l.want[key(a, to)] = l.want[key(a, from)]
	delete(l.want, key(a, from))
}

// survey reads what is there by the lost vault's secret.
func (l *lost) survey() *vault.Survey {
	l.t.Helper()
	s, err := vault.NewSurvey(ctx, l.objects, l.secret, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// rebuild makes a new vault in h, and finishes it with the accounts' own ids as names.
func rebuild(h *house, s *vault.Survey, root identity.Fingerprint) *vault.Rebuilt {
	h.t.Helper()
	b, err := s.Rebuild(ctx, h.config, vault.RebuildRequest{Root: root})
	if err != nil {
		h.t.Fatal(err)
	}
	finish(h, b)
	return b
}

func finish(h *house, b *vault.Rebuilt) {
	h.t.Helper()
	if _, err := vault.Open(ctx, h.config); !errors.Is(err, vault.ErrUnfinished) {
		h.t.Errorf("before it is finished it opens: %v", err)
	}
	accounts := []vault.NewAccount{{Name: "admin", Role: vault.RoleAdmin, PasswordHash: "hash"}}
	for _, o := range b.Report.Owners {
		accounts = append(accounts, vault.NewAccount{Owner: o.ID, Name: "was " + string(o.ID)[:8], Role: vault.RoleUser, PasswordHash: "hash"})
	}
	if err := b.Finish(ctx, vault.Actor{}, accounts); err != nil {
		h.t.Fatal(err)
	}
	h.reopen()
	h.recovered(accounts)
}

// recovered demands that the new log tells of all accounts, their keys, and of the recovery, once.
func (h *house) recovered(accounts []vault.NewAccount) {
	h.t.Helper()
	made, keys := map[string]int{}, map[string]int{}
	recovered := 0
	for _, e := range h.events(auditlog.ViewAll) {
		whose, _ := e.Subject["person"].(string)
		switch {
		case e.Type == audit.AccountCreated && e.Operational["by"] == "recovery":
			made[e.Subject["name"].(string)]++
		case e.Type == audit.KeyPublished && whose != "":
			keys[whose]++
		case e.Type == audit.VaultRecovered:
			recovered++
		}
	}
	for _, a := range accounts {
		if made[a.Name] != 1 {
			h.t.Errorf("%d events make the account %s", made[a.Name], a.Name)
		}
	}
	if len(made) != len(accounts) || len(keys) != len(accounts) || recovered != 1 {
		h.t.Errorf("of %d accounts the log tells of %d, and of the keys of %d; %d recoveries", len(accounts), len(made), len(keys), recovered)
	}
}

// newPlace is a house whose vault has not been founded.
func newPlace(t testing.TB) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, dir: dir, now: time.UnixMilli(1_900_000_000_000)}
	key, err := masterkey.CreateFile(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	h.master = masterkey.NewRing(key)
	if h.db, err = testdb.Open(ctx, filepath.Join(dir, "stonevault.db"), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if h.objects, err = local.Open(filepath.Join(dir, "objects")); err != nil {
		t.Fatal(err)
	}
	h.config = vault.Config{
		Database: h.db, Objects: h.objects, Parts: h.objects, Master: h.master, Audit: h.recorder(),
		Now: h.clock, Log: slog.New(slog.DiscardHandler),
	}
	return h
}

// check compares all that is in the new vault with what was lost.
func (l *lost) check(h *house) {
	l.t.Helper()
	found := make(map[string][][sha256.Size]byte)
	for _, a := range l.people {
		l.walk(h, a, "/", found)
	}
	for k, want := range l.want {
		if !slices.Equal(found[k], want) {
			l.t.Errorf("%s came back with %d versions, and had %d", k, len(found[k]), len(want))
		}
	}
	for k := range found {
		if _, ok := l.want[k]; !ok {
			l.t.Errorf("%s is there, and was not", k)
		}
	}
}

func (l *lost) walk(h *house, a vault.Actor, folder string, found map[string][][sha256.Size]byte) {
	l.t.Helper()
	for cursor := ""; ; {
		page, err := h.List(ctx, a, vault.ListRequest{Folder: folder, Limit: 1000, Cursor: cursor})
		if err != nil {
			l.t.Fatal(err)
		}
		for _, e := range page.Items {
			if e.Node.Kind == vault.NodeFolder {
				l.walk(h, a, e.Path, found)
				continue
			}
			versions, err := h.Versions(ctx, a, e.Node.ID)
			if err != nil {
				l.t.Fatal(err)
			}
			for _, v := range versions {
				content, err := h.get(a, vault.Ref{Node: e.Node.ID, Version: v.Version.Number})
				if err != nil {
					l.t.Fatalf("%s, version %d: %v", e.Path, v.Version.Number, err)
				}
				found[key(a, e.Path)] = append(found[key(a, e.Path)], sha256.Sum256(content))
			}
		}
		if cursor = page.Next; cursor == "" {
			return
		}
	}
}

// fill makes a vault with a life behind it.
func (l *lost) fill(files int) {
	l.t.Helper()
	sizes := []int{0, 1, 511, 70_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2<<20 + 5}
	var mu sync.Mutex // guards l.want here; later there is one goroutine
	var wg sync.WaitGroup
	per := files / len(l.people)
	for n, a := range l.people {
		wg.Go(func() {
			random := mathrand.New(mathrand.NewPCG(uint64(n), 1))
			for i := range per {
				size := random.IntN(3000)
				class := stone.ClassNormal
				if i%100 < len(sizes) && i < 200 {
					size = sizes[i%100]
				}
				if i%7 == 0 {
					class = stone.ClassRestricted
				}
				path := fmt.Sprintf("/folder %d/ünter/%d", i%13, i)
				if i%11 == 0 {
					path = fmt.Sprintf("/at the root %d.txt", i)
				}
				content := randomBytes(size)
				l.tick(time.Millisecond)
				r := request(path, content)
				r.Class = string(class)
				if _, _, err := l.Put(ctx, a, r); err != nil {
					l.t.Errorf("Put %s: %v", path, err)
					return
				}
				mu.Lock()
				l.want[key(a, path)] = [][sha256.Size]byte{sha256.Sum256(content)}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, a := range l.people {
		for i := range per {
			path := fmt.Sprintf("/folder %d/ünter/%d", i%13, i)
			if i%11 == 0 {
				continue
			}
			l.tick(time.Millisecond)
			switch i % 10 {
			case 1:
				l.keep(a, path, randomBytes(100+i), stone.ClassNormal)
			case 2:
				l.move(a, path, path+" renamed.txt")
			case 3:
				l.move(a, path, fmt.Sprintf("/elsewhere/%d", i))
			case 4:
				l.keep(a, path, randomBytes(i), stone.ClassRestricted)
				l.move(a, path, fmt.Sprintf("/elsewhere/deep/er/%d", i))
				l.keep(a, fmt.Sprintf("/elsewhere/deep/er/%d", i), nil, stone.ClassNormal)
			}
		}
	}
}

func campaign(torture int) int {
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		return torture
	}
	return torture / 20
}

// TestRecover loses the database of a vault with a life behind it, with forgeries put beside its objects.
func TestRecover(t *testing.T) {
	l := newLost(t, 4)
	started := time.Now()
	l.fill(campaign(10_000))
	t.Logf("%d files made in %v", len(l.want), time.Since(started).Round(time.Millisecond))
	forged := l.forge()
	genuine := 0
	for _, versions := range l.want {
		genuine += len(versions)
	}
	l.db.Close()

	started = time.Now()
	s := l.survey()
	if roots := s.Roots(); len(roots) != 2 || roots[0].Fingerprint != l.root {
		t.Fatalf("the roots are %v", roots)
	}
	var several *vault.RootsError
	if _, err := s.Trust(nil); !errors.As(err, &several) || len(several.Found) != 2 {
		t.Errorf("two roots, and none named: %v", err)
	}
	if _, err := s.Trust(func(identity.Fingerprint) bool { return false }); !errors.As(err, &several) {
		t.Errorf("a root that is not there: %v", err)
	}
	root, err := s.Trust(func(f identity.Fingerprint) bool { return f == l.root })
	if err != nil {
		t.Fatal(err)
	}
	h := newPlace(t)
	b := rebuild(h, s, root)
	t.Logf("%d versions recovered in %v", b.Report.Versions, time.Since(started).Round(time.Millisecond))
	if b.Report.Versions != genuine || b.Report.Files != len(l.want) || len(b.Report.Renamed) != 0 || b.Report.Renumbered != 0 {
		t.Errorf("%d genuine versions of %d files; the report is %+v", genuine, len(l.want), b.Report)
	}
	l.check(h)
	if n := h.objectCount(); n != 2*genuine {
		t.Errorf("%d objects in the new vault, want %d", n, 2*genuine)
	}
	refused := make(map[string]string)
	for _, r := range s.Refused() {
		refused[r.Name] = r.Reason
	}
	for name, say := range forged {
		if reason, ok := refused[name]; !ok || !strings.Contains(reason, say) {
			t.Errorf("%s: listed %v with %q, want %q", name, ok, reason, say)
		}
	}
	if len(refused) != len(forged) {
		t.Errorf("%d are listed as refused, want %d", len(refused), len(forged))
	}
	checkInUse(t, l, h)
}

// checkInUse works in the new vault, and recovers it once more with the same secret.
func checkInUse(t *testing.T, l *lost, h *house) {
	t.Helper()
	complaints, err := h.db.Check(ctx)
	if err != nil || len(complaints) > 0 {
		t.Errorf("the database: %v, %v", complaints, err)
	}
	if exists, confirmed, err := h.RecoveryState(ctx); err != nil || !exists || !confirmed {
		t.Errorf("recovery: %v, %v, %v", exists, confirmed, err)
	}
	about, err := h.About(ctx)
	if err != nil || about.RootFingerprint == l.root {
		t.Errorf("the root is the old one: %v", err)
	}
	a := l.people[0]
	h.put(a, "/new/file", []byte("new"))
	e, err := h.Stat(ctx, a, vault.Ref{Path: "/new/file"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: "/newer"}); err != nil {
		t.Fatal(err)
	}
	again := &lost{house: h, secret: l.secret, root: about.RootFingerprint, people: l.people, want: l.want}
	l.want[key(a, "/newer")] = [][sha256.Size]byte{sha256.Sum256([]byte("new"))}
	h.db.Close()
	s := again.survey()
	root, err := s.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	third := newPlace(t)
	rebuild(third, s, root)
	if refused := s.Refused(); len(refused) != 0 {
		t.Errorf("refused the second time: %v", refused)
	}
	again.check(third)
}

// TestRecoverPlaces rebuilds folders that were renamed and moved, and files that ask for one name.
func TestRecoverPlaces(t *testing.T) {
	l := newLost(t, 1)
	a := l.people[0]
	// A folder that is renamed keeps what it has, and the newest file in it says the name.
	l.keep(a, "/old/one", []byte("1"), "")
	l.keep(a, "/old/two", []byte("2"), "")
	l.tick(time.Second)
	l.move(a, "/old", "/young")
	delete(l.want, key(a, "/young")) // a folder
	l.keep(a, "/young/three", []byte("3"), "")
	for _, name := range []string{"one", "two"} {
		l.want[key(a, "/young/"+name)] = l.want[key(a, "/old/"+name)]
		delete(l.want, key(a, "/old/"+name))
	}
	// A folder that takes the name of one that was renamed, without a word from the files of the former.
	l.tick(time.Second)
	l.keep(a, "/x/first", []byte("4"), "")
	l.tick(time.Second)
	l.move(a, "/x", "/y")
	delete(l.want, key(a, "/y"))
	l.keep(a, "/x/second", []byte("5"), "")
	l.want[key(a, "/x (2)/first")] = l.want[key(a, "/x/first")]
	delete(l.want, key(a, "/x/first"))
	// Two files for one name: the older envelope of a moved file is put back.
	l.tick(time.Second)
	e := l.keep(a, "/d/plan.tar.gz", []byte("6"), "")
	before := l.object(e.Version.FileID.String() + ".env")
	l.move(a, "/d/plan.tar.gz", "/d/old plan.tar.gz")
	l.tick(time.Second)
	l.keep(a, "/d/plan.tar.gz", []byte("7"), "")
	l.replaceBody(e.Version.FileID.String()+".env", before)
	l.want[key(a, "/d/plan.tar (2).gz")] = l.want[key(a, "/d/old plan.tar.gz")]
	delete(l.want, key(a, "/d/old plan.tar.gz"))
	l.db.Close()

	s := l.survey()
	root, err := s.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newPlace(t)
	b := rebuild(h, s, root)
	l.check(h)
	var renamed []string
	for _, r := range b.Report.Renamed {
		renamed = append(renamed, r.From+" → "+r.To)
	}
	slices.Sort(renamed)
	if want := []string{"/d/plan.tar.gz → /d/plan.tar (2).gz", "/x → /x (2)"}; !slices.Equal(renamed, want) {
		t.Errorf("renamed are %q, want %q", renamed, want)
	}
}

// TestRecoverVersions recovers what is whole of a document: without its newest version, and with two that
// state one number.
func TestRecoverVersions(t *testing.T) {
	l := newLost(t, 1)
	a := l.people[0]
	l.keep(a, "/f/a", []byte("one"), "")
	l.keep(a, "/f/a", []byte("two"), "")
	damaged := l.put(a, "/f/a", []byte("three"))
	if _, err := l.Move(ctx, a, damaged.Node.ID, vault.MoveRequest{Path: "/g/b"}); err != nil {
		t.Fatal(err)
	}
	l.want[key(a, "/g/b")] = l.want[key(a, "/f/a")]
	delete(l.want, key(a, "/f/a"))
	name := damaged.Version.FileID.String() + ".body"
	body := l.object(name)
	l.replaceBody(name, append(body[:50:50], append([]byte{body[50] ^ 1}, body[51:]...)...))
	// A put that was broken off after its objects were written, and the one that came in its place.
	l.keep(a, "/p", []byte("first"), "")
	l.tick(time.Second)
	f := &faults{}
	l.config.Database, l.config.Objects = faultyDatabase{l.db, f}, undeletable{l.objects}
	reopenUncounted(l.house, f)
	f.at = 2 // the commit; the first is the intent
	if _, _, err := l.Put(ctx, a, request("/p", []byte("never acknowledged"))); !errors.Is(err, errInjected) {
		t.Fatalf("the put: %v", err)
	}
	l.tick(time.Second)
	l.keep(a, "/p", []byte("second"), "")
	l.want[key(a, "/p")] = slices.Insert(l.want[key(a, "/p")], 1, sha256.Sum256([]byte("never acknowledged")))
	l.db.Close()

	s := l.survey()
	root, err := s.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newPlace(t)
	b := rebuild(h, s, root)
	if r := s.Refused(); len(r) != 1 || r[0].Name != damaged.Version.FileID.String()+".env" || r[0].Path != "/g/b" || r[0].Version != 3 || !strings.Contains(r[0].Reason, "segment 0") {
		t.Errorf("refused are %v", r)
	}
	if b.Report.Renumbered != 1 || b.Report.Versions != 5 {
		t.Errorf("the report is %+v", b.Report)
	}
	l.check(h)
}

// undeletable loses the power to delete.
type undeletable struct{ vault.Objects }

func (undeletable) Delete(context.Context, string) error { return errInjected }

// TestRecoverAgain interrupts a rebuilding at every step that writes, and goes on with it.
func TestRecoverAgain(t *testing.T) {
	l := newLost(t, 2)
	for i, a := range l.people {
		l.keep(a, "/a/b", []byte("one"), "")
		l.keep(a, "/a/b", []byte("two"), "")
		l.keep(a, fmt.Sprintf("/c %d", i), randomBytes(1<<20+1), "")
	}
	damaged := l.put(l.people[0], "/a/b", []byte("three"))
	name := damaged.Version.FileID.String() + ".body"
	body := l.object(name)
	body[50] ^= 1
	l.replaceBody(name, body)
	l.db.Close()
	other := newLost(t, 1)
	other.put(other.people[0], "/x", nil)
	others := other.survey()
	otherRoot, err := others.Trust(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			h := newPlace(t)
			sound := h.config
			h.config.Database, h.config.Objects = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}
			s := l.survey()
			root, err := s.Trust(nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Rebuild(ctx, h.config, vault.RebuildRequest{Root: root})
			h.config = sound
			if f.count() < at {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err == nil {
				t.Errorf("step %d failed and nobody said so", at)
			}
			if at > 1 || after { // founded
				if _, err := others.Rebuild(ctx, h.config, vault.RebuildRequest{Root: otherRoot}); !errors.Is(err, vault.ErrOccupied) {
					t.Errorf("step %d: a recovery of another vault: %v, want ErrOccupied", at, err)
				}
			}
			s = l.survey()
			if root, err = s.Trust(nil); err != nil {
				t.Fatal(err)
			}
			b := rebuild(h, s, root)
			l.check(h)
			if r := s.Refused(); len(r) != 1 || !strings.Contains(r[0].Reason, "segment 0") {
				t.Errorf("step %d: refused are %v", at, r)
			}
			if b.Report.Files != 4 || b.Report.Versions != 6 {
				t.Errorf("step %d: the report is %+v", at, b.Report)
			}
			if _, err := l.survey().Rebuild(ctx, h.config, vault.RebuildRequest{Root: root}); !errors.Is(err, vault.ErrOccupied) {
				t.Errorf("into a vault in use: %v, want ErrOccupied", err)
			}
		}
	}
}

// failing is a medium on which some objects cannot be read.
type failing struct {
	vault.Objects
	open, read string // names
}

func (f failing) Open(ctx context.Context, name string) (vault.Object, error) {
	if name == f.open {
		return nil, errInjected
	}
	o, err := f.Objects.Open(ctx, name)
	if name == f.read {
		return brokenObject{o}, err
	}
	return o, err
}

type brokenObject struct{ vault.Object }

func (brokenObject) ReadAt([]byte, int64) (int, error) { return 0, errInjected }

// TestRecoverFromDyingDisk lists what the medium does not give, recovers the rest, and stops where the new
// vault's own medium fails.
func TestRecoverFromDyingDisk(t *testing.T) {
	l := newLost(t, 1)
	a := l.people[0]
	good := randomBytes(1<<20 + 1)
	l.keep(a, "/good", good, "")
	var names []string
	for i := range 4 {
		names = append(names, l.put(a, fmt.Sprintf("/lost %d", i), []byte("x")).Version.FileID.String())
	}
	l.db.Close()
	for i, from := range []failing{
		{open: names[0] + ".env"}, {read: names[1] + ".env"}, {open: names[2] + ".body"}, {read: names[3] + ".body"},
	} {
		from.Objects = l.objects
		s, err := vault.NewSurvey(ctx, from, l.secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		root, err := s.Trust(nil)
		if err != nil {
			t.Fatal(err)
		}
		h := newPlace(t)
		b := rebuild(h, s, root)
		r := s.Refused()
		if b.Report.Files != 4 || len(r) != 1 || r[0].Name != names[i]+".env" || !strings.Contains(r[0].Reason, "cannot be read") {
			t.Errorf("%d files; refused are %v", b.Report.Files, r)
		}
		h.mustGet(a, "/good", good)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := vault.NewSurvey(ended, l.objects, l.secret, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a survey that is broken off: %v", err)
	}
}
