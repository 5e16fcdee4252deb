package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"stonevault/internal/vault"
)

var errInjected = errors.New("injected")

// faults makes the nth step that writes fail: before it acts ("failed and not persisted") or after
// ("failed but persisted").
type faults struct {
	mu    sync.Mutex
	step  int // counts
	at    int // fails; 0 never
	after bool
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.step
}

func (f *faults) do(act func() error) error {
	f.mu.Lock()
	f.step++
	fails := f.step == f.at
	f.mu.Unlock()
	if !fails {
		return act()
	}
	if f.after {
		if err := act(); err != nil {
			return err
		}
	}
	return errInjected
}

type faultyDatabase struct {
	vault.Database
	f *faults
}

func (d faultyDatabase) Update(ctx context.Context, fn func(vault.Tx) error) error {
	return d.f.do(func() error { return d.Database.Update(ctx, fn) })
}

type faultyObjects struct {
	vault.Objects
	f *faults
}

func (o faultyObjects) Create(ctx context.Context, name string, size int64) (vault.ObjectWriter, error) {
	w, err := o.Objects.Create(ctx, name, size)
	return faultyWriter{w, o.f}, err
}

func (o faultyObjects) Commit(writers ...vault.ObjectWriter) error {
	return o.f.do(func() error {
		var own []vault.ObjectWriter
		for _, w := range writers {
			own = append(own, w.(faultyWriter).ObjectWriter)
		}
		return o.Objects.Commit(own...)
	})
}

func (o faultyObjects) Replace(ctx context.Context, name string, data []byte) error {
	return o.f.do(func() error { return o.Objects.Replace(ctx, name, data) })
}

func (o faultyObjects) Delete(ctx context.Context, name string) error {
	return o.f.do(func() error { return o.Objects.Delete(ctx, name) })
}

type faultyWriter struct {
	vault.ObjectWriter
	f *faults
}

func (w faultyWriter) Commit() error { return w.f.do(w.ObjectWriter.Commit) }

// TestFaults lets every writing step of every change fail in turn, both ways, and then starts the vault
// anew: the file is as it was or as it should be, and nothing is left over.
func TestFaults(t *testing.T) {
	old, changed := []byte("old content"), []byte("new content")
	changes := []struct {
		name  string
		path  string // after the change; empty when the file is gone then
		want  []byte
		apply func(h *house, a vault.Actor, e vault.Entry) error
	}{
		{"create", "/f/new", changed, func(h *house, a vault.Actor, _ vault.Entry) error {
			_, _, err := h.Put(ctx, a, request("/f/new", changed))
			return err
		}},
		{"replace", "/f/file", changed, func(h *house, a vault.Actor, _ vault.Entry) error {
			_, _, err := h.Put(ctx, a, request("/f/file", changed))
			return err
		}},
		{"move", "/g/other", old, func(h *house, a vault.Actor, e vault.Entry) error {
			_, err := h.Move(ctx, a, e.Node.ID, vault.MoveRequest{Path: "/g/other"})
			return err
		}},
		{"delete", "", nil, func(h *house, a vault.Actor, e vault.Entry) error {
			return h.Delete(ctx, a, e.Node.ID, "")
		}},
	}
	for _, c := range changes {
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				f := &faults{at: at, after: after}
				t.Run(fmt.Sprintf("%s/step %d, persisted %v", c.name, at, after), func(t *testing.T) {
					h := newHouse(t)
					ada := h.person("ada")
					e := h.put(ada, "/f/file", old)
					sound := h.config
					h.config.Database, h.config.Objects = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}
					reopenUncounted(h, f)
					err := c.apply(h, ada, e)
					h.config = sound
					h.reopen()
					if _, collectErr := h.Collect(ctx); collectErr != nil {
						t.Fatalf("Collect: %v", collectErr)
					}
					checkWhole(t, h, ada, err, c.path, c.want, old)
				})
				if f.count() < at {
					break
				}
			}
		}
	}
}

// reopenUncounted opens the vault on faulty parts; the steps of opening neither count nor fail.
func reopenUncounted(h *house, f *faults) {
	at := f.at
	f.at = 0
	h.reopen()
	f.step, f.at = 0, at
}

// checkWhole checks the state after a change that returned err and a restart.
func checkWhole(t *testing.T, h *house, a vault.Actor, err error, path string, want, old []byte) {
	t.Helper()
	files := map[string][]byte{}
	versions := 0
	for _, folder := range []string{"/f", "/g"} {
		page, listErr := h.List(ctx, a, vault.ListRequest{Folder: folder})
		if errors.Is(listErr, vault.ErrNotFound) {
			continue
		}
		if listErr != nil {
			t.Fatal(listErr)
		}
		for _, e := range page.Items {
			content, getErr := h.get(a, vault.Ref{Node: e.Node.ID})
			if getErr != nil {
				t.Fatalf("%s is listed and cannot be read: %v", e.Path, getErr)
			}
			files[e.Path] = content
			all, versionsErr := h.Versions(ctx, a, e.Node.ID)
			if versionsErr != nil {
				t.Fatal(versionsErr)
			}
			versions += len(all)
		}
	}
	if n := h.objectCount(); n != 2*versions {
		t.Errorf("%d objects for %d versions", n, versions)
	}
	if path == "" {
		if content, ok := files["/f/file"]; ok && (err == nil || !bytes.Equal(content, old)) {
			t.Errorf("a removed file is there (the change returned %v)", err)
		}
		return
	}
	got, ok := files[path]
	switch {
	case err == nil && !(ok && bytes.Equal(got, want)):
		t.Errorf("the change succeeded and is not there: %q", files)
	case err != nil && !bytes.Equal(got, want) && !bytes.Equal(files["/f/file"], old):
		t.Errorf("the change failed with %v and left neither the old state nor the new: %q", err, files)
	}
	if path == "/g/other" && len(files) != 1 {
		t.Errorf("a moved file is there %d times", len(files))
	}
}

// TestReadsBesideRenames reads a file that is renamed all the time: nothing of that looks like tampering.
func TestReadsBesideRenames(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	e := h.put(ada, "/a", []byte("x"))
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: fmt.Sprintf("/%d", i)}); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 400 {
		if content, err := h.get(ada, vault.Ref{Node: e.Node.ID}); err != nil || string(content) != "x" {
			t.Errorf("%q, %v", content, err)
			break
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReplay puts an older envelope, with its older rows or without, in the place of a newer one.
func TestReplay(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	e := h.put(ada, "/a", []byte("x"))
	name := e.Version.FileID.String() + ".env"
	read := func() []byte {
		o, err := h.objects.Open(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		b := make([]byte, o.Size())
		if _, err := o.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := read()
	if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/b"}); err != nil {
		t.Fatal(err)
	}
	second := read()
	if err := h.objects.Replace(ctx, name, first); err != nil {
		t.Fatal(err)
	}
	if _, err := h.get(ada, vault.Ref{Path: "/b"}); !errors.Is(err, vault.ErrRefused) {
		t.Fatalf("an older envelope: %v, want ErrRefused", err)
	}
	if report, err := h.Verify(ctx, ada, vault.Ref{Path: "/b"}); err != nil || report.OK {
		t.Fatalf("Verify of an older envelope: %+v, %v", report, err)
	}
	if err := h.objects.Replace(ctx, name, second); err != nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/b", []byte("x"))
}

// TestSwappedFiles gives one file the objects of another of the same person.
func TestSwappedFiles(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	a, b := h.put(ada, "/a", []byte("content of a")), h.put(ada, "/b", []byte("content of b"))
	for _, suffixes := range [][]string{{".body"}, {".env"}, {".body", ".env"}} {
		saved := map[string][]byte{}
		for _, suffix := range suffixes {
			for _, pair := range [][2]vault.Entry{{a, b}, {b, a}} {
				o, err := h.objects.Open(ctx, pair[0].Version.FileID.String()+suffix)
				if err != nil {
					t.Fatal(err)
				}
				content := make([]byte, o.Size())
				if _, err := o.ReadAt(content, 0); err != nil {
					t.Fatal(err)
				}
				o.Close()
				saved[pair[1].Version.FileID.String()+suffix] = content
			}
		}
		original := map[string][]byte{}
		for name := range saved {
			o, err := h.objects.Open(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			content := make([]byte, o.Size())
			if _, err := o.ReadAt(content, 0); err != nil {
				t.Fatal(err)
			}
			o.Close()
			original[name] = content
		}
		replace := func(objects map[string][]byte) {
			for name, content := range objects {
				if err := h.objects.Delete(ctx, name); err != nil {
					t.Fatal(err)
				}
				if err := h.objects.Replace(ctx, name, content); err != nil {
					t.Fatal(err)
				}
			}
		}
		replace(saved)
		for _, path := range []string{"/a", "/b"} {
			if _, err := h.get(ada, vault.Ref{Path: path}); !errors.Is(err, vault.ErrRefused) {
				t.Errorf("%v swapped: %s gives %v, want ErrRefused", suffixes, path, err)
			}
		}
		replace(original)
		h.mustGet(ada, "/a", []byte("content of a"))
	}
}

// TestCollectorLeavesRunningPuts collects while a put waits for its body.
func TestCollectorLeavesRunningPuts(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	body := &pausedReader{content: []byte("late"), reached: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, _, err := h.Put(ctx, ada, vault.PutRequest{Path: "/late", Body: body, Size: -1, Mode: 0o600})
		done <- err
	}()
	<-body.reached
	h.now = h.now.Add(time.Second)
	if n, err := h.Collect(ctx); n != 0 || err != nil {
		t.Fatalf("Collect settled %d intents of a running put: %v", n, err)
	}
	close(body.goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/late", []byte("late"))
}

type pausedReader struct {
	content       []byte
	reached, goOn chan struct{}
	paused        bool
}

func (r *pausedReader) Read(p []byte) (int, error) {
	if !r.paused {
		r.paused = true
		close(r.reached)
		<-r.goOn
	}
	n := copy(p, r.content)
	r.content = slices.Delete(r.content, 0, n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// unsafeDatabase commits a put and says that it failed, and refuses every change from then on, as a database
// does whose disk failed to sync: what it said was lost may be there after a restart.
type unsafeDatabase struct {
	vault.Database
	updates *int
}

func (d unsafeDatabase) Update(ctx context.Context, fn func(vault.Tx) error) error {
	*d.updates++
	switch *d.updates {
	case 0, 1: // opening, and the intent
		return d.Database.Update(ctx, fn)
	case 2: // the commit
		if err := d.Database.Update(ctx, fn); err != nil {
			return err
		}
	}
	return errInjected
}

// TestPutThatMayComeBack makes sure that the objects of a put stay where its commit may have happened.
func TestPutThatMayComeBack(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	h.put(ada, "/f", []byte("old"))
	updates, sound := -1, h.config
	h.config.Database = unsafeDatabase{h.db, &updates}
	v, err := vault.Open(ctx, h.config)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Put(ctx, ada, request("/f", []byte("new"))); !errors.Is(err, errInjected) {
		t.Fatalf("%v, want the injected failure", err)
	}
	h.config = sound
	h.reopen()
	if _, err := h.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/f", []byte("new"))
}
