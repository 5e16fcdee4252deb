package metadbtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// refused runs fn as an Update of its own and demands its error.
func refused(t *testing.T, db Database, what string, want error, fn func(context.Context, vault.Tx) error) {
	t.Helper()
	if err := attempt(t, db, fn); !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func testPeople(t *testing.T, db Database) {
	people(t, db, 3)
	admin := Person(4)
	admin.Role, admin.Name, admin.NameKey = vault.RoleAdmin, "Ägir", "ägir"
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Insert(ctx, admin) })

	refused(t, db, "same id", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		p := Person(5)
		p.ID = admin.ID
		return tx.People().Insert(ctx, p)
	})
	refused(t, db, "same name key", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		p := Person(5)
		p.NameKey = admin.NameKey
		return tx.People().Insert(ctx, p)
	})
	refused(t, db, "renamed to a taken name", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		p := Person(1)
		p.NameKey = admin.NameKey
		return tx.People().Update(ctx, p)
	})
	refused(t, db, "update of nobody", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		return tx.People().Update(ctx, Person(9))
	})

	changed := Person(2)
	changed.Active, changed.Epoch, changed.Role, changed.PasswordHash = false, 7, vault.RoleManager, "other"
	changed.UpdatedAt = start.Add(time.Hour)
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Update(ctx, changed) })

	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, want := range []vault.Person{Person(1), changed, Person(3), admin} {
			got, err := tx.People().ByID(ctx, want.ID)
			if err != nil {
				return err
			}
			equal(t, "by id", got, want)
			if got, err = tx.People().ByNameKey(ctx, want.NameKey); err != nil {
				return err
			}
			equal(t, "by name key", got, want)
		}
		if _, err := tx.People().ByID(ctx, ID[vault.PersonID](9)); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("by unknown id: %v", err)
		}
		if _, err := tx.People().ByNameKey(ctx, "ÄGIR"); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("by unknown name key: %v", err)
		}
		for role, want := range map[vault.Role]int{vault.RoleAdmin: 1, vault.RoleManager: 0, vault.RoleUser: 2} {
			n, err := tx.People().Count(ctx, role)
			if err != nil || n != want {
				t.Errorf("active people of role %s: %d, %v; want %d", role, n, err, want)
			}
		}
		return nil
	})
}

func testIdentities(t *testing.T, db Database) {
	person := people(t, db, 1)
	recovery := key(1)
	recovery.Kind, recovery.WrappedSeeds = vault.KindRecovery, nil
	old, current, retired := key(2), key(3), key(4)
	for i, k := range []*vault.Identity{&old, &current, &retired} {
		k.Kind, k.Person, k.Version = vault.KindPerson, person, i+1
	}
	retired.RetiredAt = start.Add(time.Hour)
	cnsa := key(5)
	cnsa.Suite, cnsa.Kind = identity.SuiteCNSA, vault.KindVault
	cnsa.Fingerprint = identity.Fingerprint(strings.Repeat("c", identity.SuiteCNSA.DigestSize()))
	all := []vault.Identity{recovery, old, current, retired, cnsa}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, k := range all {
			if err := tx.Identities().Insert(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for _, want := range all {
			got, err := tx.Identities().ByFingerprint(ctx, want.Fingerprint)
			if err != nil {
				return err
			}
			equal(t, "by fingerprint", got, want)
		}
		for _, tt := range []struct {
			kind   vault.IdentityKind
			person vault.PersonID
			want   *vault.Identity
		}{
			{vault.KindPerson, person, &current},
			{vault.KindRecovery, "", &recovery},
			{vault.KindVault, "", &cnsa},
			{vault.KindRoot, "", nil},
			{vault.KindPerson, "", nil},
			{vault.KindPerson, ID[vault.PersonID](2), nil},
		} {
			got, err := tx.Identities().Current(ctx, tt.kind, tt.person)
			if tt.want == nil {
				if !errors.Is(err, vault.ErrNotFound) {
					t.Errorf("current %s of %q: %v", tt.kind, tt.person, err)
				}
				continue
			}
			if err != nil {
				return err
			}
			equal(t, "current", got, *tt.want)
		}
		if _, err := tx.Identities().ByFingerprint(ctx, identity.Fingerprint(strings.Repeat("x", 32))); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("unknown fingerprint: %v", err)
		}
		return nil
	})
	ofKind := func(what string, kind vault.IdentityKind, want ...vault.Identity) {
		t.Helper()
		view(t, db, func(ctx context.Context, tx vault.Tx) error {
			got, err := tx.Identities().OfKind(ctx, kind)
			equal(t, what, got, want)
			return err
		})
	}
	ofKind("all of a person", vault.KindPerson, old, current, retired)
	ofKind("none", vault.KindGroup)
	current.Certificate = []byte("another certificate")
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return tx.Identities().Certify(ctx, current.ID, current.Certificate)
	})
	ofKind("certified anew", vault.KindPerson, old, current, retired)
	for what, id := range map[string]vault.IdentityID{"one that is retired": retired.ID, "one that is not there": ID[vault.IdentityID](99)} {
		refused(t, db, "certifying "+what, vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
			return tx.Identities().Certify(ctx, id, []byte("c"))
		})
	}
	for what, change := range map[string]func(*vault.Identity){
		"same id":                      func(k *vault.Identity) { k.ID = recovery.ID },
		"same fingerprint":             func(k *vault.Identity) { k.Fingerprint = recovery.Fingerprint },
		"same version of a person":     func(k *vault.Identity) { k.Kind, k.Person, k.Version = vault.KindPerson, person, 1 },
		"same version, without person": func(k *vault.Identity) { k.Kind, k.Version = vault.KindRecovery, 1 },
	} {
		refused(t, db, what, vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
			k := key(9)
			change(&k)
			return tx.Identities().Insert(ctx, k)
		})
	}
	refused(t, db, "identity of nobody", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		k := key(9)
		k.Kind, k.Person = vault.KindPerson, ID[vault.PersonID](77)
		return tx.Identities().Insert(ctx, k)
	})
}

func testVersions(t *testing.T, db Database) {
	owner := people(t, db, 2)
	node, first := File(1, owner, "", "a")
	second := first
	second.FileID, second.Number, second.Signer = FileID(2), 2, identity.Fingerprint(strings.Repeat("t", 48))
	second.ManifestDigest, second.Class, second.Mode = []byte(strings.Repeat("m", 48)), string(stone.ClassRestricted), 0o777
	second.Size, second.BodySize, second.MediaType = 0, 1<<50, ""
	second.ModifiedAt = time.Date(1935, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		if err := InsertFile(ctx, tx, node, first); err != nil {
			return err
		}
		return tx.Versions().Insert(ctx, second)
	})
	changed := first
	changed.Revision, changed.ManifestDigest, changed.Mode = 2, []byte(strings.Repeat("n", 32)), 0
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.Versions().Update(ctx, changed, 1) })

	for _, tt := range []struct {
		what   string
		want   error
		was    int64
		change func(*vault.Version)
	}{
		{"stale revision", vault.ErrConflict, 1, func(v *vault.Version) { v.Revision = 3 }},
		{"future revision", vault.ErrConflict, 3, func(v *vault.Version) { v.Revision = 4 }},
		{"another document", vault.ErrConflict, 2, func(v *vault.Version) { v.Revision, v.Document = 3, ID[vault.NodeID](8) }},
		{"another owner", vault.ErrConflict, 2, func(v *vault.Version) { v.Revision, v.Owner = 3, ID[vault.PersonID](2) }},
		{"unknown file", vault.ErrNotFound, 2, func(v *vault.Version) { v.Revision, v.FileID = 3, FileID(9) }},
	} {
		refused(t, db, tt.what, tt.want, func(ctx context.Context, tx vault.Tx) error {
			v := changed
			tt.change(&v)
			return tx.Versions().Update(ctx, v, tt.was)
		})
	}
	for what, change := range map[string]func(*vault.Version){
		"same file id": func(v *vault.Version) { v.Number = 3 },
		"same number":  func(v *vault.Version) { v.FileID = FileID(3) },
	} {
		refused(t, db, what, vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
			v := first
			change(&v)
			return tx.Versions().Insert(ctx, v)
		})
	}
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Versions().Latest(ctx, node.ID)
		equal(t, "latest version", got, second)
		if _, missing := tx.Versions().Latest(ctx, ID[vault.NodeID](9)); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("the latest version of nothing: %v", missing)
		}
		return err
	})
	refused(t, db, "version of no document", vault.ErrNotFound, func(ctx context.Context, tx vault.Tx) error {
		v := first
		v.FileID, v.Document = FileID(3), ID[vault.NodeID](9)
		return tx.Versions().Insert(ctx, v)
	})
	refused(t, db, "document with versions", vault.ErrConflict, func(ctx context.Context, tx vault.Tx) error {
		return tx.Nodes().Delete(ctx, node.ID)
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Versions().OfDocument(ctx, node.ID)
		equal(t, "versions", got, []vault.Version{changed, second})
		if err != nil {
			return err
		}
		for _, page := range []struct {
			after stone.FileID
			limit int
			want  []vault.Version
		}{
			{stone.FileID{}, 10, []vault.Version{changed, second}}, {stone.FileID{}, 1, []vault.Version{changed}},
			{first.FileID, 10, []vault.Version{second}}, {second.FileID, 10, nil},
		} {
			got, err := tx.Versions().After(ctx, page.after, page.limit)
			equal(t, "a page of all versions", got, page.want)
			if err != nil {
				return err
			}
		}
		one, err := tx.Versions().ByID(ctx, second.FileID)
		equal(t, "version", one, second)
		if _, missing := tx.Versions().ByID(ctx, FileID(9)); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("unknown file: %v", missing)
		}
		return err
	})
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		if err := tx.Versions().DeleteOfDocument(ctx, node.ID); err != nil {
			return err
		}
		return tx.Nodes().Delete(ctx, node.ID)
	})
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Versions().OfDocument(ctx, node.ID)
		if len(got) != 0 {
			t.Errorf("%d versions remain", len(got))
		}
		return err
	})
}

func testIntents(t *testing.T, db Database) {
	put := vault.Intent{FileID: FileID(1), Kind: vault.IntentPut, CreatedAt: start, Server: "s"}
	del := vault.Intent{FileID: FileID(2), Kind: vault.IntentDelete, CreatedAt: start.Add(-time.Hour)}
	rewrite := vault.Intent{FileID: FileID(3), Kind: vault.IntentRewrite, Envelope: []byte(strings.Repeat("e", 20000)), CreatedAt: start.Add(-time.Minute)}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Intents().Insert(ctx, put), tx.Intents().Insert(ctx, del), tx.Intents().Insert(ctx, rewrite))
	})
	refused(t, db, "second intent", vault.ErrExists, func(ctx context.Context, tx vault.Tx) error {
		i := put
		i.Kind = vault.IntentDelete
		return tx.Intents().Insert(ctx, i)
	})
	before := func(at time.Time, limit int, want ...vault.Intent) {
		t.Helper()
		view(t, db, func(ctx context.Context, tx vault.Tx) error {
			got, err := tx.Intents().Before(ctx, at, limit)
			if len(got) != 0 || len(want) != 0 {
				equal(t, "intents", got, want)
			}
			return err
		})
	}
	before(start.Add(time.Millisecond), 10, del, rewrite, put)
	before(start, 10, del, rewrite)
	before(start, 1, del)
	before(del.CreatedAt, 10)
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		got, err := tx.Intents().ByID(ctx, rewrite.FileID)
		equal(t, "intent", got, rewrite)
		if _, missing := tx.Intents().ByID(ctx, FileID(9)); !errors.Is(missing, vault.ErrNotFound) {
			t.Errorf("unknown intent: %v", missing)
		}
		return errors.Join(err, tx.Intents().Delete(ctx, del.FileID), tx.Intents().Delete(ctx, FileID(9)))
	})
	before(start.Add(time.Hour), 10, rewrite, put)
}

func testSettings(t *testing.T, db Database) {
	values := map[string][]byte{"a": {0, 255, 1}, "A": []byte("upper case"), "empty": {}, "ключ": []byte("x")}
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for name, value := range values {
			if err := tx.Settings().Put(ctx, name, value); err != nil {
				return err
			}
		}
		if err := tx.Settings().Put(ctx, "nil", nil); err != nil {
			return err
		}
		return tx.Settings().Put(ctx, "a", []byte("second"))
	})
	values["a"] = []byte("second")
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		for name, want := range values {
			got, err := tx.Settings().Get(ctx, name)
			if err != nil || string(got) != string(want) {
				t.Errorf("setting %q: %q, %v; want %q", name, got, err, want)
			}
		}
		if got, err := tx.Settings().Get(ctx, "nil"); err != nil || len(got) != 0 {
			t.Errorf("nil setting: %q, %v", got, err)
		}
		if _, err := tx.Settings().Get(ctx, "b"); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("unknown setting: %v", err)
		}
		return nil
	})
}

// testBadValues writes what must never be stored, and sees that nothing is.
func testBadValues(t *testing.T, db Database) {
	owner := people(t, db, 1)
	far := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	person := func(change func(*vault.Person)) func(context.Context, vault.Tx) error {
		p := Person(2)
		change(&p)
		return func(ctx context.Context, tx vault.Tx) error { return tx.People().Insert(ctx, p) }
	}
	identity := func(change func(*vault.Identity)) func(context.Context, vault.Tx) error {
		i := key(1)
		change(&i)
		return func(ctx context.Context, tx vault.Tx) error { return tx.Identities().Insert(ctx, i) }
	}
	file := func(change func(*vault.Node, *vault.Version)) func(context.Context, vault.Tx) error {
		n, v := File(1, owner, "", "a")
		change(&n, &v)
		return func(ctx context.Context, tx vault.Tx) error { return InsertFile(ctx, tx, n, v) }
	}
	group := func(change func(*vault.Group)) func(context.Context, vault.Tx) error {
		g := Group(1)
		change(&g)
		return func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Insert(ctx, g) }
	}
	intent := func(i vault.Intent) func(context.Context, vault.Tx) error {
		return func(ctx context.Context, tx vault.Tx) error { return tx.Intents().Insert(ctx, i) }
	}
	for what, fn := range map[string]func(context.Context, vault.Tx) error{
		"person: short id":          person(func(p *vault.Person) { p.ID = p.ID[1:] }),
		"person: upper-case id":     person(func(p *vault.Person) { p.ID = "A" + p.ID[1:] }),
		"person: role":              person(func(p *vault.Person) { p.Role = "root" }),
		"person: no role":           person(func(p *vault.Person) { p.Role = "" }),
		"person: negative epoch":    person(func(p *vault.Person) { p.Epoch = -1 }),
		"person: no name":           person(func(p *vault.Person) { p.Name = "" }),
		"person: far future":        person(func(p *vault.Person) { p.CreatedAt = far }),
		"identity: kind":            identity(func(i *vault.Identity) { i.Kind = "society" }),
		"identity: person and root": identity(func(i *vault.Identity) { i.Person = owner }),
		"identity: no person":       identity(func(i *vault.Identity) { i.Kind = vault.KindPerson }),
		"identity: no group":        identity(func(i *vault.Identity) { i.Kind = vault.KindGroup }),
		"identity: group and root":  identity(func(i *vault.Identity) { i.Group = Group(1).ID }),
		"identity: suite":           identity(func(i *vault.Identity) { i.Suite = 3 }),
		"identity: fingerprint":     identity(func(i *vault.Identity) { i.Fingerprint += "x" }),
		"identity: version":         identity(func(i *vault.Identity) { i.Version = 0 }),
		"identity: no key":          identity(func(i *vault.Identity) { i.Public = nil }),
		"node: kind":                file(func(n *vault.Node, v *vault.Version) { n.Kind = "link" }),
		"node: no name":             file(func(n *vault.Node, v *vault.Version) { n.Name = "" }),
		"node: long name":           file(func(n *vault.Node, v *vault.Version) { n.Name = strings.Repeat("ä", 128) }),
		"node: file without one":    file(func(n *vault.Node, v *vault.Version) { n.Current = stone.FileID{} }),
		"node: folder with one":     file(func(n *vault.Node, v *vault.Version) { n.Kind = vault.NodeFolder }),
		"node: negative size":       file(func(n *vault.Node, v *vault.Version) { n.Size = -1 }),
		"node: its own parent":      file(func(n *vault.Node, v *vault.Version) { n.Parent = n.ID }),
		"node: time":                file(func(n *vault.Node, v *vault.Version) { n.ModifiedAt = far }),
		"version: number":           file(func(n *vault.Node, v *vault.Version) { v.Number = 0 }),
		"version: no file id":       file(func(n *vault.Node, v *vault.Version) { v.FileID = stone.FileID{} }),
		"version: digest":           file(func(n *vault.Node, v *vault.Version) { v.ManifestDigest = v.ManifestDigest[1:] }),
		"version: signer":           file(func(n *vault.Node, v *vault.Version) { v.Signer = "" }),
		"version: mode":             file(func(n *vault.Node, v *vault.Version) { v.Mode = 0o1000 }),
		"version: class":            file(func(n *vault.Node, v *vault.Version) { v.Class = "secret" }),
		"version: body size":        file(func(n *vault.Node, v *vault.Version) { v.BodySize = -1 }),
		"version: revision":         file(func(n *vault.Node, v *vault.Version) { v.Revision = -1 }),
		"intent: kind":              intent(vault.Intent{FileID: FileID(1), Kind: "", CreatedAt: start}),
		"intent: file id":           intent(vault.Intent{Kind: vault.IntentPut, CreatedAt: start}),
		"intent: envelope":          intent(vault.Intent{FileID: FileID(1), Kind: vault.IntentPut, Envelope: []byte{1}, CreatedAt: start}),
		"intent: no envelope":       intent(vault.Intent{FileID: FileID(1), Kind: vault.IntentRewrite, CreatedAt: start}),
		"group: no name":            group(func(g *vault.Group) { g.Name = "" }),
		"group: short id":           group(func(g *vault.Group) { g.ID = g.ID[1:] }),
		"group: far future":         group(func(g *vault.Group) { g.CreatedAt = far }),
		"membership: neither":       func(ctx context.Context, tx vault.Tx) error { return tx.Groups().Put(ctx, in(8, 1, false, false)) },
		"setting: no name":          func(ctx context.Context, tx vault.Tx) error { return tx.Settings().Put(ctx, "", nil) },
	} {
		if err := attempt(t, db, fn); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	view(t, db, func(ctx context.Context, tx vault.Tx) error {
		entries, err := tx.Nodes().List(ctx, vault.ListQuery{Owner: owner, Limit: 10})
		equal(t, "nodes", len(entries), 0)
		if err != nil {
			return err
		}
		intents, err := tx.Intents().Before(ctx, far, 10)
		equal(t, "intents", len(intents), 0)
		return err
	})
}
