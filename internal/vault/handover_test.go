package vault_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// leaver is somebody with a tree, who was switched off, and the content that is in it by path.
func (h *house) leaver(root vault.Actor, name string) (vault.Actor, map[string][]byte) {
	h.t.Helper()
	ann := h.person(name)
	want := map[string][]byte{}
	for path, size := range map[string]int{"/a.txt": 10, "/deep/er/b.txt": 3000, "/deep/c": 0, "/big": 2 << 20} {
		want[path] = bytes.Repeat([]byte(path[1:2]), size)
		h.put(ann, path, want[path])
	}
	want["/a.txt"] = []byte("second version")
	h.put(ann, "/a.txt", want["/a.txt"])
	e, err := h.Stat(ctx, ann, vault.Ref{Path: "/a.txt"})
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Move(ctx, ann, e.Node.ID, vault.MoveRequest{Path: "/deep/a.txt"}); err != nil {
		h.t.Fatal(err)
	}
	want["/deep/a.txt"] = want["/a.txt"]
	delete(want, "/a.txt")
	if _, err := h.MakeFolder(ctx, ann, "/empty"); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.BeginUpload(ctx, ann, vault.UploadRequest{Path: "/coming", Size: 100}); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Active: to(false)}); err != nil {
		h.t.Fatal(err)
	}
	return ann, want
}

// owned are the contents of all of somebody's files, by path, each read and verified.
func (h *house) owned(a vault.Actor) map[string][]byte {
	h.t.Helper()
	found := map[string][]byte{}
	err := h.Walk(ctx, a, "/", func(e vault.Entry) error {
		if e.Node.Kind == vault.NodeFile {
			b, err := h.get(a, vault.Ref{Node: e.Node.ID})
			if err != nil {
				h.t.Errorf("%s: %v", e.Path, err)
			}
			found[e.Path] = b
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

func same(t *testing.T, what string, got, want map[string][]byte, below string) {
	t.Helper()
	for path, content := range want {
		if !bytes.Equal(got[below+path], content) {
			t.Errorf("%s: %s has %d bytes, want %d", what, below+path, len(got[below+path]), len(content))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files, want %d", what, len(got), len(want))
	}
}

func TestHandOver(t *testing.T) {
	h := newHouse(t)
	root := h.admin("root")
	ben := h.person("ben")
	h.put(ben, "/An|n/of ben's own", []byte("x")) // so that the folder's name is taken
	ann, want := h.leaver(root, "An|n")
	before := h.objectCount()
	annKey, benKey := h.profile(ann).Fingerprint, h.profile(ben).Fingerprint

	done, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person)
	if err != nil {
		t.Fatal(err)
	}
	if done.Folder != "/An|n (2)" || done.Documents != 4 || done.Bytes != int64(10+14+3000+2<<20) {
		t.Errorf("%+v", done)
	}
	got := h.owned(ben)
	delete(got, "/An|n/of ben's own")
	same(t, "the new owner", got, want, "/An|n (2)")
	same(t, "the former owner", h.owned(ann), nil, "")
	if e, err := h.Stat(ctx, ben, vault.Ref{Path: "/An|n (2)/empty"}); err != nil || e.Node.Kind != vault.NodeFolder {
		t.Errorf("the empty folder: %v", err)
	}
	if list, err := h.Uploads(ctx, ann); err != nil || len(list) != 0 {
		t.Errorf("uploads are left: %v %v", list, err)
	}
	if now := h.objectCount(); now != before {
		t.Errorf("%d objects, %d before", now, before)
	}
	// Every version is for the new owner and for recovery, signed by the new owner, and by no means for the former one.
	e, err := h.Stat(ctx, ben, vault.Ref{Path: "/An|n (2)/deep/a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.Versions(ctx, ben, e.Node.ID)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for _, version := range all {
		env, err := stone.ParseEnvelope(h.object(version.Version.FileID.String() + ".env"))
		if err != nil || len(env.Grants) != 2 || env.GrantTo(benKey) == nil || env.GrantTo(annKey) != nil || env.Signer.Fingerprint() != benKey {
			t.Errorf("version %d: %v", version.Version.Number, err)
		}
	}
	if first, err := h.get(ben, vault.Ref{Node: e.Node.ID, Version: 1}); err != nil || !bytes.Equal(first, bytes.Repeat([]byte("a"), 10)) {
		t.Errorf("the first version: %q %v", first, err)
	}
	if _, err := h.Stat(ctx, ann, vault.Ref{Node: e.Node.ID}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("the former owner still sees it: %v", err)
	}
	if e, err := h.Person(ctx, root, ann.Person); err != nil || e.Bytes != 0 || e.Files != 0 {
		t.Errorf("the former owner uses %d bytes, %d files, %v", e.Bytes, e.Files, err)
	}
	if e, err := h.Person(ctx, root, ben.Person); err != nil || e.Bytes != done.Bytes+1 || e.Files != 5 {
		t.Errorf("the new owner uses %d bytes, %d files, %v", e.Bytes, e.Files, err)
	}
	// Each new envelope has its event, with who did it, about the former owner: the newest version's says that the file
	// moved, and those of earlier ones that they were sealed anew.
	recorded := map[string]bool{}
	for _, e := range h.events(auditlog.Viewer{Everything: true}) {
		resealed := e.Type == audit.FileResealed && e.Operational["reason"] == "hand-over"
		if (resealed || e.Type == audit.FileMoved && e.Operational["kind"] == "file") && e.Subject["person"] == string(ann.Person) && e.Actor["name"] == "root" {
			recorded[fmt.Sprint(e.Type, e.Operational["file"], e.Operational["revision"], e.Operational["manifest"])] = true
		}
	}
	for _, version := range all {
		as := audit.FileResealed
		if version.Version.FileID == e.Version.FileID {
			as = audit.FileMoved
		}
		v := version.Version
		if !recorded[fmt.Sprint(as, v.FileID.String(), v.Revision, hex.EncodeToString(v.ManifestDigest))] {
			t.Errorf("version %d: its new envelope has no event", v.Number)
		}
	}
	if len(recorded) != 5 { // of four documents, one with two versions
		t.Errorf("%d new envelopes are recorded", len(recorded))
	}
	lines := h.recorded(audit.FilesHandedOver)
	top, err := h.Stat(ctx, ben, vault.Ref{Path: done.Folder})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("map[bytes:%d documents:4 folder:%s to:%s] An|n", done.Bytes, top.Node.ID, ben.Person); !slices.Equal(lines, []string{want}) {
		t.Errorf("%q, want %q", lines, want)
	}
	// The new owner goes on with it, and the former one can be erased.
	h.put(ben, "/An|n (2)/deep/a.txt", []byte("third version"))
	if _, err := h.Move(ctx, ben, e.Node.ID, vault.MoveRequest{Path: "/mine"}); err != nil {
		t.Error(err)
	}
	if err := h.ErasePerson(ctx, root, ann.Person); err != nil {
		t.Error(err)
	}
	for _, e := range h.events(auditlog.ViewAll) {
		if about := fmt.Sprint(e.Operational, e.Actor["name"], e.Subject["name"]); strings.Contains(about, "An|n") {
			t.Errorf("the log still has the name of the erased: %v %s", e.Type, about)
		}
	}
	h.mustGet(ben, "/mine", []byte("third version"))
	h.mustGet(ben, "/An|n (2)/big", want["/big"])
}

func (h *house) profile(a vault.Actor) vault.Profile {
	h.t.Helper()
	p, err := h.Me(ctx, a)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func TestHandOverRefused(t *testing.T) {
	h := newHouse(t)
	root, other, ben, off := h.admin("root"), h.admin("other"), h.person("ben"), h.person("off")
	if _, err := h.ChangePerson(ctx, root, off.Person, vault.PersonChange{Active: to(false)}); err != nil {
		t.Fatal(err)
	}
	nobody := vault.PersonID(strings.Repeat("0", 32))
	var invalid *vault.InvalidError
	for what, tt := range map[string]struct {
		by       vault.Actor
		from, to vault.PersonID
		want     error
	}{
		"by a user":       {ben, off.Person, ben.Person, vault.ErrNotFound},
		"of nobody":       {root, nobody, ben.Person, vault.ErrNotFound},
		"of oneself":      {root, root.Person, ben.Person, vault.ErrForbidden},
		"who is active":   {root, other.Person, ben.Person, vault.ErrStillActive},
		"to nobody":       {root, off.Person, nobody, nil},
		"to who is off":   {root, off.Person, off.Person, nil},
		"by who is off":   {off, off.Person, ben.Person, vault.ErrForbidden},
		"by an old token": {vault.Actor{Person: nobody, Role: vault.RoleAdmin}, off.Person, ben.Person, vault.ErrForbidden},
	} {
		_, err := h.HandOverFiles(ctx, tt.by, tt.from, tt.to)
		if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && (!errors.As(err, &invalid) || invalid.Field != "to") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Where there is nothing, nothing is made and nothing recorded.
	done, err := h.HandOverFiles(ctx, root, off.Person, ben.Person)
	if err != nil || done.Folder != "" || done.Documents != 0 || len(h.recorded(audit.FilesHandedOver)) != 0 || len(h.owned(ben)) != 0 {
		t.Errorf("%+v %v", done, err)
	}
}

// A damaged file stays, and keeps no other from going.
func TestHandOverDamaged(t *testing.T) {
	h := newHouse(t)
	root, ben := h.admin("root"), h.person("ben")
	ann := h.person("ann")
	bad := h.put(ann, "/bad", []byte("bad"))
	h.put(ann, "/good", []byte("good"))
	if _, err := h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Active: to(false)}); err != nil {
		t.Fatal(err)
	}
	name := bad.Version.FileID.String() + ".env"
	sound := h.object(name)
	broken := bytes.Clone(sound)
	broken[len(broken)/2] ^= 1
	if err := h.objects.Replace(ctx, name, broken); err != nil {
		t.Fatal(err)
	}
	if _, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("%v", err)
	}
	h.mustGet(ben, "/ann/good", []byte("good"))
	var invalid *vault.InvalidError
	if _, err := h.HandOverFiles(ctx, root, ann.Person, root.Person); !errors.As(err, &invalid) {
		t.Errorf("the rest to somebody else: %v", err)
	}
	if err := h.objects.Replace(ctx, name, sound); err != nil {
		t.Fatal(err)
	}
	done, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person)
	if err != nil || done.Documents != 2 || done.Folder != "/ann" {
		t.Errorf("%+v %v", done, err)
	}
	h.mustGet(ben, "/ann/bad", []byte("bad"))
}

// A hand-over that is not at its end when one of the two is erased: the rest can go to somebody else, and nothing tells
// how far the files of an erased person had come.
func TestHandOverErased(t *testing.T) {
	h := newHouse(t)
	root, ben, carl, ann := h.admin("root"), h.person("ben"), h.person("carl"), h.person("ann")
	bad := h.put(ann, "/bad", []byte("bad"))
	if _, err := h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Active: to(false)}); err != nil {
		t.Fatal(err)
	}
	name := bad.Version.FileID.String() + ".env"
	broken := bytes.Clone(h.object(name))
	broken[len(broken)/2] ^= 1
	if err := h.objects.Replace(ctx, name, broken); err != nil {
		t.Fatal(err)
	}
	if _, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person); !errors.Is(err, vault.ErrRefused) {
		t.Fatal(err)
	}
	if _, err := h.Erase(ctx, root, "ben"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.HandOverFiles(ctx, root, ann.Person, carl.Person); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("to somebody else: %v", err)
	}
	if !h.inFiles([]byte("hand_over/" + string(ann.Person))) {
		t.Error("how far it has come is not kept")
	}
	if _, err := h.Erase(ctx, root, "ann"); err != nil {
		t.Fatal(err)
	}
	if h.inFiles([]byte("hand_over/" + string(ann.Person))) {
		t.Error("how far it had come is left")
	}
}

// What would lie too deep, or have too long a path, goes into the last folder that is not.
func TestHandOverDeep(t *testing.T) {
	h := newHouse(t)
	root, ben, ann := h.admin("root"), h.person("ben"), h.person("ann")
	h.put(ann, strings.Repeat("/d", 127)+"/x", []byte("deep"))
	long := "/" + strings.Repeat("l", 250)
	h.put(ann, strings.Repeat(long, 16)+"/y.txt", []byte("long"))
	if _, err := h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Active: to(false)}); err != nil {
		t.Fatal(err)
	}
	done, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person)
	if err != nil || done.Documents != 2 {
		t.Fatal(done, err)
	}
	var contents []string
	for path, b := range h.owned(ben) {
		if _, err := vault.ParsePath(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		contents = append(contents, string(b))
	}
	slices.Sort(contents)
	if !slices.Equal(contents, []string{"deep", "long"}) {
		t.Errorf("%q", contents)
	}
}

// Stopped at any step, every file belongs to one of the two and opens for that one; the next try ends it.
func TestHandOverFaults(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			h := newHouse(t)
			root, ben := h.admin("root"), h.person("ben")
			ann := h.person("ann")
			want := map[string][]byte{"/f/a": []byte("second"), "/b": []byte("b")}
			h.put(ann, "/f/a", []byte("first"))
			h.put(ann, "/f/a", want["/f/a"])
			h.put(ann, "/b", want["/b"])
			if _, err := h.ChangePerson(ctx, root, ann.Person, vault.PersonChange{Active: to(false)}); err != nil {
				t.Fatal(err)
			}
			h.setNow(h.clock().Add(time.Minute)) // when nothing is under way any more
			f := &faults{at: at, after: after}
			sound := h.config
			h.config.Database, h.config.Objects = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}
			reopenUncounted(h, f)
			_, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person)
			steps := f.count()
			h.config = sound
			h.reopen()
			if steps < f.at {
				if err != nil {
					t.Errorf("without a fault: %v", err)
				}
				break
			}
			if files := len(h.owned(ann)) + len(h.owned(ben)); files != 2 {
				t.Errorf("after a fault at %d: %d files", at, files)
			}
			if _, err := h.Collect(ctx); err != nil {
				t.Errorf("after a fault at %d: %v", at, err)
			}
			done, err := h.HandOverFiles(ctx, root, ann.Person, ben.Person)
			if err != nil {
				t.Errorf("again after a fault at %d: %v", at, err)
			}
			if n := len(h.recorded(audit.FilesHandedOver)); n != 1 {
				t.Errorf("after a fault at %d: %d events, %+v", at, n, done)
			}
			same(t, fmt.Sprintf("after a fault at %d", at), h.owned(ben), want, "/ann")
			same(t, fmt.Sprintf("after a fault at %d", at), h.owned(ann), nil, "")
		}
	}
}
