package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

var unlimited = vault.Limits{Bytes: vault.NoLimit, Files: vault.NoLimit}

// limit sets a person's quota in bytes.
func (h *house) limit(by, who vault.Actor, n int64) {
	h.t.Helper()
	l := unlimited
	l.Bytes = n
	if _, err := h.SetPersonQuota(ctx, by, who.Person, &l); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) use(who vault.Actor) vault.Use {
	h.t.Helper()
	b, err := h.PersonQuota(ctx, who, who.Person)
	if err != nil {
		h.t.Fatal(err)
	}
	return b.Used
}

// wantQuota wants the error of a quota: of a group, or of the person.
func wantQuota(t *testing.T, err error, group vault.GroupID, words ...string) {
	t.Helper()
	var quota *vault.QuotaError
	if !errors.Is(err, vault.ErrQuota) || !errors.As(err, &quota) || quota.Group != group {
		t.Errorf("no refusal by the quota of %q: %v", group, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(quota.Error(), word) {
			t.Errorf("%q does not say %q", quota.Error(), word)
		}
	}
}

// unknown is a body of a length that nobody announces.
type unknown struct{ io.Reader }

func streamed(path string, content io.Reader) vault.PutRequest {
	return vault.PutRequest{Path: path, Body: unknown{content}, Size: -1, Mode: 0o644}
}

// TestQuotaOfPerson: what fits is kept to the last byte, and of what does not nothing remains.
func TestQuotaOfPerson(t *testing.T) {
	h := newHouse(t)
	root, ada := h.of(vault.RoleAdmin, "root"), h.person("ada")
	h.limit(root, ada, 5000)
	h.put(ada, "/a", make([]byte, 3000))
	before := h.objectCount()

	_, _, err := h.Put(ctx, ada, vault.PutRequest{Path: "/b", Size: 2001, Body: unread{t}})
	wantQuota(t, err, "", "Your quota allows 5000 bytes", "3000 bytes are used")
	_, _, err = h.Put(ctx, ada, vault.PutRequest{Path: "/a", Size: 2001, Body: unread{t}}) // a version is kept beside the one before
	wantQuota(t, err, "")
	for _, size := range []int{2001, 1 << 20, 3 << 20} {
		_, _, err = h.Put(ctx, ada, streamed("/b", bytes.NewReader(make([]byte, size))))
		wantQuota(t, err, "")
	}
	if n := h.objectCount(); n != before {
		t.Errorf("%d objects, %d before", n, before)
	}
	if _, err := h.Stat(ctx, ada, vault.Ref{Path: "/b"}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("something remains: %v", err)
	}
	if _, _, err := h.Put(ctx, ada, streamed("/b", bytes.NewReader(make([]byte, 1999)))); err != nil {
		t.Errorf("what fits: %v", err)
	}
	h.put(ada, "/c", make([]byte, 1))
	h.put(ada, "/empty", nil) // takes nothing
	if _, _, err := h.Put(ctx, ada, streamed("/empty2", bytes.NewReader(nil))); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := h.MakeFolder(ctx, ada, "/folder"); err != nil {
		t.Error(err)
	}
	_, _, err = h.Put(ctx, ada, request("/d", []byte("x")))
	wantQuota(t, err, "")
	h.reopen()
	if use := h.use(ada); use != (vault.Use{Bytes: 5000, Files: 5}) {
		t.Errorf("%+v", use)
	}

	// What is deleted makes room, and a lower limit takes nothing away.
	h.limit(root, ada, 100)
	h.mustGet(ada, "/a", make([]byte, 3000))
	_, _, err = h.Put(ctx, ada, request("/d", []byte("x")))
	wantQuota(t, err, "", "allows 100 bytes", "5000 bytes are used")
	for _, path := range []string{"/a", "/b"} {
		e, err := h.Stat(ctx, ada, vault.Ref{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Delete(ctx, ada, e.Node.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	h.put(ada, "/d", make([]byte, 99))
	if complaints, err := h.db.Check(ctx); err != nil || len(complaints) > 0 {
		t.Errorf("%q, %v", complaints, err)
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (f unread) Read([]byte) (int, error) {
	f.t.Error("the body was read")
	return 0, io.EOF
}

func TestQuotaOfFiles(t *testing.T) {
	h := newHouse(t)
	root, ada := h.of(vault.RoleAdmin, "root"), h.person("ada")
	if _, err := h.SetPersonQuota(ctx, root, ada.Person, &vault.Limits{Bytes: vault.NoLimit, Files: 2}); err != nil {
		t.Fatal(err)
	}
	h.put(ada, "/a", []byte("x"))
	h.put(ada, "/b", []byte("x"))
	h.put(ada, "/b", []byte("a further version is no further file"))
	_, _, err := h.Put(ctx, ada, vault.PutRequest{Path: "/c", Size: 1, Body: unread{t}})
	wantQuota(t, err, "", "Your quota allows 2 files, and there are 2")
	_, err = h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/c", Size: 1, Mode: 0o644})
	wantQuota(t, err, "", "2 files")
	if _, err := h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/b", Size: 1, Mode: 0o644, Replace: true}); err != nil {
		t.Error(err)
	}
}

// TestQuotaOfVault: who has no quota of his own has the setting's.
func TestQuotaOfVault(t *testing.T) {
	h := newHouse(t)
	root, ada := h.of(vault.RoleAdmin, "root"), h.person("ada")
	setting := func(name, value string) {
		if err := h.db.Update(ctx, func(tx vault.Tx) error { return tx.Settings().Put(ctx, name, []byte(value)) }); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := h.PersonQuota(ctx, ada, ada.Person); err != nil || b.Set || b.Limits != unlimited {
		t.Errorf("%+v, %v", b, err)
	}
	setting("default_bytes", "1000")
	setting("default_files", "3")
	if b, err := h.PersonQuota(ctx, root, ada.Person); err != nil || b.Set || b.Limits != (vault.Limits{Bytes: 1000, Files: 3}) {
		t.Errorf("%+v, %v", b, err)
	}
	_, _, err := h.Put(ctx, ada, request("/a", make([]byte, 1001)))
	wantQuota(t, err, "")
	if b, err := h.SetPersonQuota(ctx, root, ada.Person, &unlimited); err != nil || !b.Set || b.Limits != unlimited {
		t.Errorf("%+v, %v", b, err)
	}
	h.put(ada, "/a", make([]byte, 1001))
	if b, err := h.SetPersonQuota(ctx, root, ada.Person, nil); err != nil || b.Set || b.Limits.Bytes != 1000 {
		t.Errorf("%+v, %v", b, err)
	}
	_, _, err = h.Put(ctx, ada, request("/b", []byte("x")))
	wantQuota(t, err, "")
	for _, damaged := range []string{"-1", "much", `"5"`, "1.5", ""} {
		setting("default_bytes", damaged)
		if _, _, err := h.Put(ctx, ada, request("/b", nil)); err == nil || errors.Is(err, vault.ErrQuota) {
			t.Errorf("the setting %q: %v", damaged, err)
		}
	}
}

// TestQuotaOfGroup bounds what its members use together; who only manages it does not count.
func TestQuotaOfGroup(t *testing.T) {
	h := newHouse(t)
	h.of(vault.RoleAdmin, "root")
	mia, ada, ben := h.of(vault.RoleManager, "mia"), h.person("ada"), h.person("ben")
	id := h.group(mia, "Finance")
	h.join(mia, id, ada, true, false)
	h.join(mia, id, ben, true, false)
	if b, err := h.SetGroupQuota(ctx, mia, id, vault.Limits{Bytes: 1 << 20, Files: 3}); err != nil || b.Limits.Bytes != 1<<20 {
		t.Fatalf("%+v, %v", b, err)
	}
	h.put(mia, "/a", make([]byte, 2<<20))
	h.put(ada, "/a", make([]byte, 700<<10))
	_, _, err := h.Put(ctx, ben, vault.PutRequest{Path: "/a", Size: 700 << 10, Body: unread{t}})
	wantQuota(t, err, id, `the group "Finance"`, "1.0 MiB to its members together", "700.0 KiB are used", "a manager of the group")
	_, _, err = h.Put(ctx, ben, streamed("/a", bytes.NewReader(make([]byte, 700<<10))))
	wantQuota(t, err, id)
	h.put(ben, "/a", make([]byte, 100))
	h.put(ben, "/b", make([]byte, 100))
	_, _, err = h.Put(ctx, ada, request("/b", nil))
	wantQuota(t, err, id, "3 files to its members together")
	if b, err := h.GroupQuota(ctx, ada, id); err != nil || b.Used != (vault.Use{Bytes: 700<<10 + 200, Files: 3}) {
		t.Errorf("%+v, %v", b, err)
	}
	// The person's own quota holds beside it, and who has left the group is free.
	h.limit(mia, ben, 250)
	_, _, err = h.Put(ctx, ben, request("/a", make([]byte, 100)))
	wantQuota(t, err, "", "Your quota")
	if err := h.RemoveMember(ctx, ada, id, ada.Person); err != nil {
		t.Fatal(err)
	}
	h.put(ada, "/b", make([]byte, 2<<20))
	if b, err := h.GroupQuota(ctx, mia, id); err != nil || b.Used.Files != 2 {
		t.Errorf("%+v, %v", b, err)
	}
	if err := h.DeleteGroup(ctx, mia, id); err != nil {
		t.Fatal(err)
	}
	if complaints, err := h.db.Check(ctx); err != nil || len(complaints) > 0 {
		t.Errorf("%q, %v", complaints, err)
	}
}

// TestPutsAtTheEdge: of several at once of which each fits alone, no more are kept than fit, and of the others
// nothing remains.
func TestPutsAtTheEdge(t *testing.T) {
	h := newHouse(t)
	root := h.of(vault.RoleAdmin, "root")
	people := []vault.Actor{h.person("ada"), h.person("ben"), h.person("cid")}
	id := h.group(root, "g")
	for _, who := range people {
		h.join(root, id, who, true, false)
	}
	if _, err := h.SetGroupQuota(ctx, root, id, vault.Limits{Bytes: 100_000, Files: vault.NoLimit}); err != nil {
		t.Fatal(err)
	}
	before, kept := h.objectCount(), 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for n := range 12 {
		all.Go(func() {
			r := request(fmt.Sprint("/", n), make([]byte, 30_000))
			if n%2 == 0 {
				r = streamed(r.Path, r.Body)
			}
			_, _, err := h.Put(ctx, people[n%3], r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				kept++
			} else {
				wantQuota(t, err, id)
			}
		})
	}
	all.Wait()
	if b, err := h.GroupQuota(ctx, root, id); err != nil || kept != 3 || b.Used != (vault.Use{Bytes: 90_000, Files: 3}) {
		t.Errorf("%d kept, %+v, %v", kept, b, err)
	}
	if n := h.objectCount(); n != before+2*kept {
		t.Errorf("%d objects, %d before", n, before)
	}
}

// TestQuotaOfUploads: what has come of uploads counts, what does not fit is refused at once, and what was refused
// goes on once there is room.
func TestQuotaOfUploads(t *testing.T) {
	h := newHouse(t)
	root, ada := h.of(vault.RoleAdmin, "root"), h.person("ada")
	content := randomBytes(3 << 20)
	h.limit(root, ada, 2<<20)
	_, err := h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/u", Size: 2<<20 + 1, Mode: 0o644})
	wantQuota(t, err, "")
	u, err := h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/u", Size: -1, Mode: 0o644})
	if err != nil {
		t.Fatal(err)
	}
	// Without a length, bytes are taken as far as they fit, and kept.
	u, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: unknown{bytes.NewReader(content)}})
	wantQuota(t, err, "")
	if u.Offset != 2<<20 {
		t.Errorf("it stands at %d", u.Offset)
	}
	h.reopen()
	if use := h.use(ada); use != (vault.Use{Uploading: 2 << 20}) {
		t.Errorf("%+v", use)
	}
	_, _, err = h.Put(ctx, ada, request("/a", []byte("x")))
	wantQuota(t, err, "", "uploads in progress take 2.0 MiB")
	// A piece or a length that is known to be too much is refused before a byte is read.
	u, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: u.Offset, Size: -1, Length: 1 << 20, Body: unread{t}})
	wantQuota(t, err, "")
	u, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: u.Offset, Size: 3 << 20, Body: unread{t}})
	wantQuota(t, err, "")
	// A piece that is kept whole or not at all.
	h.limit(root, ada, 2<<20+1000)
	u, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{
		Offset: u.Offset, Size: -1, Body: unknown{bytes.NewReader(content[2<<20:])}, Check: func() error { return nil },
	})
	wantQuota(t, err, "")
	if u.Offset != 2<<20 {
		t.Errorf("it stands at %d", u.Offset)
	}
	h.limit(root, ada, 3<<20)
	u, e, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: u.Offset, Size: 3 << 20, Length: 1 << 20, Body: bytes.NewReader(content[2<<20:])})
	if err != nil || e == nil || u.Offset != 3<<20 {
		t.Fatalf("%+v, %v", u, err)
	}
	h.mustGet(ada, "/u", content)
	if use := h.use(ada); use != (vault.Use{Bytes: 3 << 20, Files: 1}) {
		t.Errorf("%+v", use)
	}
	if complaints, err := h.db.Check(ctx); err != nil || len(complaints) > 0 {
		t.Errorf("%q, %v", complaints, err)
	}
}

// TestUploadOvertaken: a quota that others use up meanwhile keeps a complete upload from becoming a file until there
// is room.
func TestUploadOvertaken(t *testing.T) {
	h := newHouse(t)
	root, ada := h.of(vault.RoleAdmin, "root"), h.person("ada")
	h.limit(root, ada, 1000)
	u, err := h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/u", Size: 800, Mode: 0o644})
	if err != nil {
		t.Fatal(err)
	}
	content := randomBytes(800)
	body := &meanwhile{src: bytes.NewReader(content), do: func() { h.put(ada, "/a", make([]byte, 900)) }}
	u, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: body})
	wantQuota(t, err, "", "900 bytes are used")
	h.reopen()
	if now, err := h.Upload(ctx, ada, u.ID); err != nil || now.Offset != 0 {
		t.Errorf("%+v, %v", now, err)
	}
	h.limit(root, ada, 1700)
	if _, e, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(content)}); err != nil || e == nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/u", content)

	// All of it has come, and the limit falls before it is a file.
	h.limit(root, ada, 3000)
	if u, err = h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/v", Size: 800, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	body = &meanwhile{src: bytes.NewReader(content), end: func() { h.limit(root, ada, 2000) }}
	_, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: body})
	wantQuota(t, err, "")
	if err := h.CancelUpload(ctx, ada, u.ID); err != nil {
		t.Error(err)
	}
	if use := h.use(ada); use != (vault.Use{Bytes: 1700, Files: 2}) {
		t.Errorf("%+v", use)
	}
}

// meanwhile does something before the first byte is read, or before the end is.
type meanwhile struct {
	src     io.Reader
	do, end func()
}

func (m *meanwhile) Read(p []byte) (int, error) {
	if m.do != nil {
		m.do()
		m.do = nil
	}
	n, err := m.src.Read(p)
	if err == io.EOF && m.end != nil {
		m.end()
		m.end = nil
	}
	return n, err
}

// TestQuotaRights: who sees and who sets whose quota, and what is recorded of it.
func TestQuotaRights(t *testing.T) {
	h := newHouse(t)
	root, mia, max := h.of(vault.RoleAdmin, "root"), h.of(vault.RoleManager, "mia"), h.of(vault.RoleManager, "max")
	ada, ben := h.person("ada"), h.person("ben")
	id := h.group(mia, "g")
	h.join(mia, id, ada, true, false)
	h.join(mia, id, mia, true, true)
	h.join(h.of(vault.RoleAdmin, "chief"), id, root, true, false)
	yes, no, none := error(nil), vault.ErrForbidden, vault.ErrNotFound
	for _, row := range []struct {
		by, of   vault.Actor
		see, set error
	}{
		{root, root, yes, yes}, {root, ada, yes, yes}, {root, max, yes, yes},
		{mia, mia, yes, no}, {mia, ada, yes, yes}, {mia, root, no, no}, {mia, ben, none, none}, {mia, max, none, none},
		{ada, ada, yes, no}, {ada, mia, no, no}, {ada, ben, none, none}, {max, ada, none, none},
	} {
		if _, err := h.PersonQuota(ctx, row.by, row.of.Person); !errors.Is(err, row.see) {
			t.Errorf("%s sees that of %s: %v, want %v", row.by.Name, row.of.Name, err, row.see)
		}
		if _, err := h.SetPersonQuota(ctx, row.by, row.of.Person, &unlimited); !errors.Is(err, row.set) {
			t.Errorf("%s sets that of %s: %v, want %v", row.by.Name, row.of.Name, err, row.set)
		}
		if _, err := h.PersonQuota(ctx, row.by, nobody(5)); !errors.Is(err, none) {
			t.Errorf("%s sees that of nobody: %v", row.by.Name, err)
		}
	}
	for _, row := range []struct {
		by       vault.Actor
		see, set error
	}{{root, yes, yes}, {mia, yes, yes}, {ada, yes, no}, {max, none, none}, {ben, none, none}} {
		if _, err := h.GroupQuota(ctx, row.by, id); !errors.Is(err, row.see) {
			t.Errorf("%s sees the group's: %v, want %v", row.by.Name, err, row.see)
		}
		if _, err := h.SetGroupQuota(ctx, row.by, id, vault.Limits{Bytes: 7, Files: vault.NoLimit}); !errors.Is(err, row.set) {
			t.Errorf("%s sets the group's: %v, want %v", row.by.Name, err, row.set)
		}
	}
	for _, l := range []vault.Limits{{Bytes: -2}, {Files: -2}, {Bytes: audit.MaxCount + 1}} {
		var invalid *vault.InvalidError
		if _, err := h.SetGroupQuota(ctx, root, id, l); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", l, err)
		}
		if _, err := h.SetPersonQuota(ctx, root, ada.Person, &l); !errors.As(err, &invalid) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	if _, err := h.SetPersonQuota(ctx, mia, ada.Person, &vault.Limits{Bytes: 5, Files: 0}); err != nil {
		t.Fatal(err)
	}
	var last, group audit.Event
	for _, e := range h.events(auditlog.Viewer{Everything: true}) {
		if e.Type == audit.QuotaChanged {
			if last = e; e.Operational["group"] != "" {
				group = e
			}
		}
	}
	if o := last.Operational; o["group"] != "" || o["limited_bytes"] != true || o["bytes"] != int64(5) || o["limited_files"] != true || o["files"] != int64(0) ||
		last.Subject["person"] != string(ada.Person) || last.Actor["name"] != "mia" {
		t.Errorf("%+v", last)
	}
	if o := group.Operational; o["group"] != string(id) || o["limited_bytes"] != true || o["bytes"] != int64(7) || o["limited_files"] != false || group.Subject != nil {
		t.Errorf("%+v", group)
	}
	if p, err := h.Me(ctx, ada); err != nil || p.Quota.Limits != (vault.Limits{Bytes: 5, Files: 0}) {
		t.Errorf("%+v, %v", p.Quota, err)
	}
}
