package vault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
)

// events are all of the log, the oldest first.
func (h *house) events(viewer auditlog.Viewer) []audit.Event {
	h.t.Helper()
	page, err := auditlog.NewReader(h.audit()).List(ctx, auditlog.Query{Limit: 100_000}, viewer)
	if err != nil || page.Next != 0 {
		h.t.Fatal(err, page.Next)
	}
	var events []audit.Event
	for _, e := range slices.Backward(page.Entries) {
		if e.Err != nil {
			h.t.Error(e.Err)
		}
		events = append(events, e.Event)
	}
	return events
}

func kinds(events []audit.Event) (names []string) {
	for _, e := range events {
		names = append(names, e.Type.String())
	}
	return names
}

// TestErase: of an erased person nothing is left in any file of the database, others' files and their part of
// the log are, and the log says what is gone and why.
func TestErase(t *testing.T) {
	h := newHouse(t)
	sequencer := auditlog.NewSequencer(h.audit(), func(err error) { t.Error(err) })
	admin, _, err := h.CreatePerson(ctx, vault.Actor{}, "root", vault.RoleAdmin, "hash")
	if err != nil {
		t.Fatal(err)
	}
	by := vault.Actor{Person: admin.ID, Role: admin.Role, Name: admin.Name}
	canaries := [][]byte{[]byte("canary-person"), []byte("canary-folder"), []byte("canary-file"), []byte("canary-upload"), []byte("canary-client")}
	ann := h.person("canary-person")
	ann.Client = "canary-client"
	ben := h.person("ben")
	h.put(ben, "/keeps", []byte("ben's"))
	for _, path := range []string{"/canary-folder/canary-file", "/canary-folder/deep/canary-file-2", "/canary-file"} {
		h.put(ann, path, []byte("ann's"))
	}
	h.put(ann, "/canary-file", []byte("ann's second"))
	h.mustGet(ann, "/canary-file", []byte("ann's second"))
	if err := h.EndDownloads(ctx, true); err != nil {
		t.Fatal(err)
	}
	c, err := h.Content(ctx, ann, vault.Ref{Path: "/canary-file"}) // ends after the erasure
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Stream(ctx, io.Discard, 1, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := h.BeginUpload(ctx, ann, vault.UploadRequest{Path: "/canary-upload", Size: 100}); err != nil {
		t.Fatal(err)
	}
	if err := sequencer.Step(ctx); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(canaries, h.inFiles) {
		t.Fatal("the canaries are not even there before")
	}

	done, err := h.Erase(ctx, by, "CANARY-PERSON")
	if err != nil {
		t.Fatal(err)
	}
	if done.Files != 3 || done.Folders != 2 || done.Uploads != 1 || done.Parts == 0 {
		t.Errorf("%+v", done)
	}
	h.SettleErasure(ctx, done)
	if err := errors.Join(c.Close(), h.EndDownloads(ctx, true)); err != nil {
		t.Error(err)
	}
	for _, canary := range canaries {
		if h.inFiles(canary) {
			t.Errorf("%s is left in a file of the database", canary)
		}
	}
	if _, err := h.Stat(ctx, ann, vault.Ref{Path: "/canary-file"}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a file of the erased: %v", err)
	}
	h.mustGet(ben, "/keeps", []byte("ben's"))
	objects := 0
	err = h.objects.Walk(ctx, func(string, int64) error { objects++; return nil })
	if err != nil || objects != 2 {
		t.Errorf("%d objects are left, %v", objects, err)
	}
	if err := sequencer.Step(ctx); err != nil {
		t.Fatal(err)
	}
	report, err := auditlog.NewReader(h.audit()).Fsck(ctx)
	if err != nil || !report.OK() || len(report.Erasures) != 1 || report.Erasures[0].Parts != int64(done.Parts) {
		t.Errorf("fsck: %+v, %v", report, err)
	}
	for _, e := range h.events(auditlog.ViewAll) {
		for _, values := range []audit.Values{e.Operational, e.Actor, e.Subject} {
			for name, v := range values {
				if text, ok := v.(string); ok && slices.ContainsFunc(canaries, func(c []byte) bool { return bytes.Contains([]byte(text), c) }) {
					t.Errorf("%s of a %v says %s", name, e.Type, text)
				}
			}
		}
	}
	all := h.events(auditlog.ViewAll)
	if at := slices.IndexFunc(all, func(e audit.Event) bool { return e.Type == audit.PersonErased }); at < 0 || all[at].Actor["name"] != "root" {
		t.Errorf("the erasure itself is not in the log: %v", kinds(all))
	}

	// The name is free, and nothing comes back with it.
	again := h.person("canary-person")
	if again.Person == ann.Person {
		t.Error("the same person again")
	}
	for what, tt := range map[string]struct {
		by   vault.Actor
		name string
		want error
	}{
		"nobody": {by, "nobody", vault.ErrNotFound}, "oneself": {by, "root", auditlog.ErrSelf}, "the only admin": {vault.Actor{}, "root", vault.ErrLastAdmin},
	} {
		if _, err := h.Erase(ctx, tt.by, tt.name); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
}

// inFiles tells whether text stands in a file of the database.
func (h *house) inFiles(text []byte) bool {
	h.t.Helper()
	if !testdb.OnSQLite() {
		h.t.Skip("NOT RUN from here on: the files of PostgreSQL are its server's")
	}
	files, err := filepath.Glob(filepath.Join(h.dir, "stonevault.db*"))
	if err != nil || len(files) == 0 {
		h.t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			h.t.Fatal(err)
		}
		if bytes.Contains(b, text) {
			return true
		}
	}
	return false
}

// pausedObjects holds the opening of bodies until it is told to go on.
type pausedObjects struct {
	vault.Objects
	at, on chan struct{}
	once   sync.Once
}

func (o *pausedObjects) Open(ctx context.Context, name string) (vault.Object, error) {
	obj, err := o.Objects.Open(ctx, name)
	if strings.HasSuffix(name, ".body") {
		o.once.Do(func() { close(o.at); <-o.on })
	}
	return obj, err
}

// TestErasedReader: reads that outlast the erasure of who reads bring nothing of the person back.
func TestErasedReader(t *testing.T) {
	for _, what := range []string{"verify", "content", "export"} {
		t.Run(what, func(t *testing.T) {
			h := newHouse(t)
			paused := &pausedObjects{Objects: h.objects, at: make(chan struct{}), on: make(chan struct{})}
			h.config.Objects = paused
			h.reopen()
			ann := h.person("ann")
			h.put(ann, "/secret", []byte("hello"))
			done := make(chan error, 1)
			go func() {
				switch what {
				case "verify":
					_, err := h.Verify(ctx, ann, vault.Ref{Path: "/secret"})
					done <- err
				case "content":
					_, err := h.get(ann, vault.Ref{Path: "/secret"})
					done <- err
				case "export":
					x, err := h.Export(ctx, ann, vault.Ref{Path: "/secret"}, vault.ExportRequest{Passphrase: []byte("correct horse battery staple")})
					if err == nil {
						err = errors.Join(x.Stream(ctx, io.Discard), x.Close())
					}
					done <- err
				}
			}()
			<-paused.at
			if _, err := h.Erase(ctx, vault.Actor{}, "ann"); err != nil {
				t.Fatal(err)
			}
			close(paused.on)
			if err := errors.Join(<-done, h.EndDownloads(ctx, true)); err != nil {
				t.Error(err)
			}
			for _, e := range h.events(auditlog.ViewAll) {
				if e.Actor["name"] == "ann" || e.Subject["name"] == "ann" || e.Subject["path"] == "/secret" {
					t.Errorf("%v says %v %v", e.Type, e.Actor, e.Subject)
				}
			}
		})
	}
}

// stoppedDatabase stops, while stop is set, where the database would be written anew.
type stoppedDatabase struct {
	vault.Database
	stop bool
}

func (d *stoppedDatabase) Shred(ctx context.Context, fn func(vault.Tx) error) error {
	if !d.stop {
		return d.Database.Shred(ctx, fn)
	}
	return errors.Join(d.Update(ctx, fn), auditlog.ErrNotShredded)
}

// TestEraseStopped: an erasure that is stopped at its end, when there is no account of that name any more, is
// finished when it is run again.
func TestEraseStopped(t *testing.T) {
	h := newHouse(t)
	db := &stoppedDatabase{Database: h.db, stop: true}
	h.config.Database = db
	h.reopen()
	canary := []byte("canary-file")
	h.put(h.person("ann"), "/canary-file", []byte("ann's"))
	if _, err := h.Erase(ctx, vault.Actor{}, "ann"); !errors.Is(err, auditlog.ErrNotShredded) {
		t.Fatal(err)
	}
	if !h.inFiles(canary) {
		t.Fatal("nothing is left that could be removed")
	}
	if done, err := h.Erase(ctx, vault.Actor{}, "ann"); !errors.Is(err, auditlog.ErrNotShredded) {
		t.Errorf("stopped again: %+v, %v", done, err)
	}
	db.stop = false
	if done, err := h.Erase(ctx, vault.Actor{}, "ann"); err != nil || !done.Resumed {
		t.Errorf("run again: %+v, %v", done, err)
	}
	if h.inFiles(canary) {
		t.Errorf("%s is left in a file of the database", canary)
	}
	if _, err := h.Erase(ctx, vault.Actor{}, "ann"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("once it is finished: %v", err)
	}
}
