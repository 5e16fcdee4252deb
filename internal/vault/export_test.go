package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

func newKeys(t testing.TB, suite identity.Suite) *identity.Identity {
	t.Helper()
	id, err := identity.Generate(rand.Reader, suite)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// export writes a whole export.
func (h *house) export(a vault.Actor, ref vault.Ref, r vault.ExportRequest) (*vault.Export, []byte) {
	h.t.Helper()
	x, err := h.Export(ctx, a, ref, r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer x.Close()
	var out bytes.Buffer
	if err := x.Stream(ctx, &out); err != nil {
		h.t.Fatal(err)
	}
	if int64(out.Len()) != x.Size {
		h.t.Fatalf("%d bytes were written, and %d announced", out.Len(), x.Size)
	}
	return x, out.Bytes()
}

// openOffline opens a whole stone without any vault.
func openOffline(sealed []byte, keyOf func(*stone.Envelope) (*stone.FileKey, error)) (*stone.Unlocked, []byte, error) {
	r := bytes.NewReader(sealed)
	env, err := stone.ReadEnvelope(r, r.Size())
	if err != nil {
		return nil, nil, err
	}
	key, err := keyOf(env)
	if err != nil {
		return nil, nil, err
	}
	u, err := env.Unlock(key)
	if err != nil {
		return nil, nil, err
	}
	body, err := stone.OpenBody(r, env.BodySize, u)
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	err = body.Stream(ctx, &out, 0, body.Size())
	return u, out.Bytes(), err
}

func keyFor(id *identity.Identity) func(*stone.Envelope) (*stone.FileKey, error) {
	return func(e *stone.Envelope) (*stone.FileKey, error) { return e.KeyFor(id) }
}

// TestExport opens exports offline, of every size and class, and finds in them what they should hold.
func TestExport(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	profile, err := h.Me(ctx, ada)
	if err != nil {
		t.Fatal(err)
	}
	bob, eve, zoe := newKeys(t, identity.SuiteHybrid), newKeys(t, identity.SuiteHybrid), newKeys(t, identity.SuiteHybrid)
	to := vault.ExportRequest{Recipients: []*identity.Public{bob.Public(), eve.Public()}}
	for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
		for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 7} {
			t.Run(fmt.Sprintf("%s/%d", class, size), func(t *testing.T) {
				content := bytes.Repeat([]byte("compressible "), size/13+1)[:size]
				path := fmt.Sprintf("/my/secret folder/%s %d.txt", class, size)
				r := request(path, content)
				r.Class, r.Mode = string(class), 0o640
				if _, _, err := h.Put(ctx, ada, r); err != nil {
					t.Fatal(err)
				}
				// A revision that is not the first.
				e, err := h.Stat(ctx, ada, vault.Ref{Path: path})
				if err != nil {
					t.Fatal(err)
				}
				if e, err = h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: path + ".moved"}); err != nil {
					t.Fatal(err)
				}
				h.now = h.now.Add(time.Second)
				x, sealed := h.export(ada, vault.Ref{Path: e.Path}, to)
				if x.Name != e.Node.Name+".stone" {
					t.Errorf("the name is %q", x.Name)
				}
				for _, id := range []*identity.Identity{bob, eve} {
					u, got, err := openOffline(sealed, keyFor(id))
					if err != nil || !bytes.Equal(got, content) {
						t.Fatalf("offline: %v", err)
					}
					want := stone.Metadata{
						Name: e.Node.Name, MediaType: e.Version.MediaType, Size: int64(size), Class: class, Mode: 0o640,
						ModifiedAt: e.Version.ModifiedAt, CreatedAt: e.Node.CreatedAt, SealedAt: e.Version.SealedAt,
					}
					if u.Metadata != want {
						t.Errorf("metadata is %+v, want %+v", u.Metadata, want)
					}
					if u.Revision != 1 || len(u.Previous) != 0 || !u.Time.Equal(h.now) || len(u.Grants) != 2 {
						t.Errorf("revision %d of %v with %d grants", u.Revision, u.Time, len(u.Grants))
					}
					if u.Signer.Fingerprint() != profile.Fingerprint || u.Certificate == nil || u.Certificate.Subject.ID != string(ada.Person) {
						t.Error("it is not signed by the exporter under his certificate")
					}
				}
				if _, _, err := openOffline(sealed, keyFor(zoe)); !errors.Is(err, stone.ErrNoGrant) {
					t.Errorf("somebody else: %v, want ErrNoGrant", err)
				}
				h.mustGet(ada, e.Path, content) // the vault's own envelope is as it was
			})
		}
	}
}

// TestExportVersions exports an older version under the name that it had.
func TestExportVersions(t *testing.T) {
	h := newHouse(t)
	ada, bob := h.person("ada"), newKeys(t, identity.SuiteHybrid)
	h.put(ada, "/a", []byte("one"))
	e := h.put(ada, "/a", []byte("two"))
	if _, err := h.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/b"}); err != nil {
		t.Fatal(err)
	}
	to := vault.ExportRequest{Recipients: []*identity.Public{bob.Public()}}
	for version, want := range []struct{ name, content string }{{"b.stone", "two"}, {"a.stone", "one"}, {"b.stone", "two"}} {
		x, sealed := h.export(ada, vault.Ref{Path: "/b", Version: version}, to)
		_, got, err := openOffline(sealed, keyFor(bob))
		if err != nil || string(got) != want.content || x.Name != want.name {
			t.Errorf("version %d: %q as %q, %v", version, got, x.Name, err)
		}
	}
	long := strings.Repeat("ü", 127) // 254 bytes
	h.put(ada, "/"+long, nil)
	if x, _ := h.export(ada, vault.Ref{Path: "/" + long}, to); x.Name != strings.Repeat("ü", 124)+".stone" {
		t.Errorf("a long name becomes %q of %d bytes", x.Name, len(x.Name))
	}
}

// TestExportPassphrase runs several at once, of which one at a time derives a key.
func TestExportPassphrase(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	content := randomBytes(1<<20 + 1)
	h.put(ada, "/a", content)
	r := vault.ExportRequest{Passphrase: []byte("six words that nobody would guess")}
	if s := fmt.Sprintf("%v %+v %#v", r, r, r); strings.Contains(s, "115 105 120") || strings.Contains(s, "six") {
		t.Errorf("it prints as %s", s)
	}
	_, sealed := h.export(ada, vault.Ref{Path: "/a"}, r)
	u, got, err := openOffline(sealed, func(e *stone.Envelope) (*stone.FileKey, error) { return e.KeyForPassphrase(r.Passphrase) })
	if err != nil || !bytes.Equal(got, content) || len(u.Grants) != 1 {
		t.Fatalf("offline: %v", err)
	}
	_, _, err = openOffline(sealed, func(e *stone.Envelope) (*stone.FileKey, error) { return e.KeyForPassphrase([]byte("another")) })
	if !errors.Is(err, identity.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v, want ErrPassphrase", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := h.Export(gone, ada, vault.Ref{Path: "/a"}, r); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that has gone: %v", err)
	}
}

func TestExportRefusals(t *testing.T) {
	h := newHouse(t)
	ada, eve := h.person("ada"), h.person("eve")
	h.put(ada, "/f/a", []byte("x"))
	key := newKeys(t, identity.SuiteHybrid).Public()
	other := newKeys(t, identity.SuiteCNSA).Public()
	many := make([]*identity.Public, stone.MaxGrants+1)
	for i := range many {
		many[i] = key
	}
	for _, c := range []struct {
		name  string
		actor vault.Actor
		path  string
		r     vault.ExportRequest
		want  error  // or
		field string // of an InvalidError
		say   string
	}{
		{"nobody", ada, "/f/a", vault.ExportRequest{}, nil, "recipients", "is empty"},
		{"both", ada, "/f/a", vault.ExportRequest{Recipients: []*identity.Public{key}, Passphrase: []byte("p")}, nil, "passphrase", "stands alone"},
		{"another suite", ada, "/f/a", vault.ExportRequest{Recipients: []*identity.Public{key, other}}, nil, "recipients", "has a key of suite 2"},
		{"twice", ada, "/f/a", vault.ExportRequest{Recipients: []*identity.Public{key, key}}, nil, "recipients", "one key twice"},
		{"too many", ada, "/f/a", vault.ExportRequest{Recipients: many}, nil, "recipients", "more than 1000"},
		{"long passphrase", ada, "/f/a", vault.ExportRequest{Passphrase: make([]byte, 1025)}, nil, "passphrase", "longer than 1024"},
		{"a folder", ada, "/f", vault.ExportRequest{Recipients: []*identity.Public{key}}, nil, "path", "is a folder"},
		{"nothing", ada, "/g", vault.ExportRequest{Recipients: []*identity.Public{key}}, vault.ErrNotFound, "", ""},
		{"somebody else's", eve, "/f/a", vault.ExportRequest{Recipients: []*identity.Public{key}}, vault.ErrNotFound, "", ""},
	} {
		_, err := h.Export(ctx, c.actor, vault.Ref{Path: c.path}, c.r)
		var invalid *vault.InvalidError
		switch {
		case c.want != nil:
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		case !errors.As(err, &invalid) || invalid.Field != c.field || !strings.Contains(invalid.Reason, c.say):
			t.Errorf("%s: %v, want %s %q", c.name, err, c.field, c.say)
		}
	}

	cnsa := newHouseOf(t, identity.SuiteCNSA)
	bob := cnsa.person("bob")
	cnsa.put(bob, "/a", []byte("y"))
	var invalid *vault.InvalidError
	if _, err := cnsa.Export(ctx, bob, vault.Ref{Path: "/a"}, vault.ExportRequest{Passphrase: []byte("p")}); !errors.As(err, &invalid) || invalid.Field != "passphrase" {
		t.Errorf("a passphrase in suite 2: %v", err)
	}
	to := newKeys(t, identity.SuiteCNSA)
	_, sealed := cnsa.export(bob, vault.Ref{Path: "/a"}, vault.ExportRequest{Recipients: []*identity.Public{to.Public()}})
	if _, got, err := openOffline(sealed, keyFor(to)); err != nil || string(got) != "y" {
		t.Errorf("suite 2: %q, %v", got, err)
	}
}

// TestExportTampered changes the body in its last segment: the stream ends with an error before that
// segment, so that what was written is no stone.
func TestExportTampered(t *testing.T) {
	h := newHouse(t)
	ada, bob := h.person("ada"), newKeys(t, identity.SuiteHybrid)
	e := h.put(ada, "/a", randomBytes(3<<20))
	name := e.Version.FileID.String() + ".body"
	body := h.object(name)
	to := vault.ExportRequest{Recipients: []*identity.Public{bob.Public()}}

	changed := bytes.Clone(body)
	changed[2<<20+100_000] ^= 1
	h.replaceBody(name, changed)
	x, err := h.Export(ctx, ada, vault.Ref{Path: "/a"}, to)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var out bytes.Buffer
	if err := x.Stream(ctx, &out); !errors.Is(err, vault.ErrRefused) {
		t.Fatalf("Stream: %v, want ErrRefused", err)
	}
	if out.Len() >= 2<<20+100_000 || !bytes.HasPrefix(body, out.Bytes()) {
		t.Errorf("%d bytes were written", out.Len())
	}
	if _, _, err := openOffline(out.Bytes(), keyFor(bob)); !errors.Is(err, stone.ErrRefused) {
		t.Errorf("what was written opens: %v", err)
	}

	for what, b := range map[string][]byte{"cut": body[:len(body)-1], "index changed": append(bytes.Clone(body[:len(body)-1]), body[len(body)-1]^1)} {
		h.replaceBody(name, b)
		if _, err := h.Export(ctx, ada, vault.Ref{Path: "/a"}, to); !errors.Is(err, vault.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", what, err)
		}
	}
	h.replaceBody(name, body)
	x, err = h.Export(ctx, ada, vault.Ref{Path: "/a"}, to)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Stream(ctx, brokenPipe{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a client that has gone: %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// object reads an object whole.
func (h *house) object(name string) []byte {
	h.t.Helper()
	o, err := h.objects.Open(ctx, name)
	if err != nil {
		h.t.Fatal(err)
	}
	defer o.Close()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size()))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// replaceBody puts an object in the place of another, as an attacker would.
func (h *house) replaceBody(name string, b []byte) {
	h.t.Helper()
	if err := h.objects.Delete(ctx, name); err != nil {
		h.t.Fatal(err)
	}
	if err := h.objects.Replace(ctx, name, b); err != nil {
		h.t.Fatal(err)
	}
}
