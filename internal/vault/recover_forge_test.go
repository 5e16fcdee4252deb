package vault_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"stonevault/identity"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// forge puts beside the genuine objects what does not belong there, and returns what must be listed with a
// part of the reason.
func (l *lost) forge() map[string]string {
	l.t.Helper()
	forged := make(map[string]string)
	put := func(id stone.FileID, body, env []byte, say string) {
		if body != nil {
			l.replaceBody(id.String()+".body", body)
		}
		if env != nil {
			l.replaceBody(id.String()+".env", env)
		}
		forged[id.String()+".env"] = say
	}
	objects := func(e vault.Entry) (body, env []byte) {
		return l.object(e.Version.FileID.String() + ".body"), l.object(e.Version.FileID.String() + ".env")
	}
	ada, bob := l.people[0], l.people[1]
	content := randomBytes(1<<20 + 300)
	// Each forgery is made of a file of its own, which is then removed.
	fresh := func(a vault.Actor) (vault.Entry, []byte, []byte) {
		e := l.put(a, "/forged/"+fmt.Sprint(len(forged)), content)
		body, env := objects(e)
		if err := l.Delete(ctx, a, e.Node.ID, ""); err != nil {
			l.t.Fatal(err)
		}
		return e, body, env
	}
	flip := func(b []byte, at int) []byte { b = bytes.Clone(b); b[at] ^= 1; return b }

	// Another vault's.
	other := newHouse(l.t)
	stranger := other.person("stranger")
	e := other.put(stranger, "/theirs", content)
	put(e.Version.FileID, other.object(e.Version.FileID.String()+".body"), other.object(e.Version.FileID.String()+".env"), "sealed for others")
	suite2 := newHouseOf(l.t, identity.SuiteCNSA)
	e = suite2.put(suite2.person("stranger"), "/theirs", content)
	put(e.Version.FileID, suite2.object(e.Version.FileID.String()+".body"), suite2.object(e.Version.FileID.String()+".env"), "suite 2")

	// Flips in either object.
	for _, c := range []struct {
		inBody bool
		at     func(n int) int
		say    string
	}{
		{false, func(int) int { return 100 }, "the manifest"},
		{false, func(n int) int { return n - 5000 }, ""},
		{false, func(n int) int { return n - 1 }, "does not end like a stone"},
		{true, func(int) int { return 3 }, "does not begin like a stone"},
		{true, func(int) int { return 100 }, "segment 0"},
		{true, func(n int) int { return n - 1 }, "index"},
	} {
		e, body, env := fresh(ada)
		if c.inBody {
			body = flip(body, c.at(len(body)))
		} else {
			env = flip(env, c.at(len(env)))
		}
		put(e.Version.FileID, body, env, c.say)
	}

	// Cut, empty, missing.
	e, body, env := fresh(ada)
	put(e.Version.FileID, body[:len(body)-1], env, "the body has")
	e, body, env = fresh(ada)
	put(e.Version.FileID, body, env[:len(env)-1], "")
	e, body, _ = fresh(ada)
	put(e.Version.FileID, body, []byte{}, "truncated")
	e, _, env = fresh(ada)
	put(e.Version.FileID, nil, env, "its body is missing")
	e, body, _ = fresh(ada)
	put(e.Version.FileID, body, nil, "")
	delete(forged, e.Version.FileID.String()+".env")
	forged[e.Version.FileID.String()+".body"] = "no envelope"

	// Bodies swapped, and an older revision under another name.
	e, _, env = fresh(ada)
	_, body, _ = fresh(ada)
	put(e.Version.FileID, body, env, "belongs to another envelope")
	e = l.put(ada, "/older", []byte("x"))
	_, older := objects(e)
	l.want[key(ada, "/newer name")] = [][sha256.Size]byte{sha256.Sum256([]byte("x"))}
	if _, err := l.Move(ctx, ada, e.Node.ID, vault.MoveRequest{Path: "/newer name"}); err != nil {
		l.t.Fatal(err)
	}
	id, err := stone.NewFileID(rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	put(id, nil, older, "the envelope of "+e.Version.FileID.String())

	// Signed again, by whoever knows the file key: without a certificate, under a root of his own, and by
	// somebody else of this vault.
	l.resign(put, fresh)
	l.steal(put, fresh, bob)
	return forged
}

// resign gives genuine bodies envelopes that open with the recovery secret, signed by a stranger.
func (l *lost) resign(put func(stone.FileID, []byte, []byte, string), fresh func(vault.Actor) (vault.Entry, []byte, []byte)) {
	l.t.Helper()
	signer := newKeys(l.t, identity.SuiteHybrid)
	root, err := identity.GenerateSigningKey(rand.Reader, identity.SuiteHybrid)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range []struct {
		certified bool
		say       string
	}{{false, "not certified by any root"}, {true, "certified by another root"}} {
		e, body, env := fresh(l.people[0])
		var certificate []byte
		if c.certified {
			subject := identity.Subject{ID: string(l.people[0].Person), Kind: "person", Version: 1}
			if certificate, err = identity.NewCertificate(root, subject, signer.Public(), l.now); err != nil {
				l.t.Fatal(err)
			}
		}
		put(e.Version.FileID, body, l.reseal(env, signer, certificate, nil), c.say)
	}
}

// reseal is the next revision of an envelope, signed by anybody who knows the file key.
func (l *lost) reseal(env []byte, signer *identity.Identity, certificate []byte, change func(*stone.Metadata)) []byte {
	l.t.Helper()
	parsed, err := stone.ParseEnvelope(env)
	if err != nil {
		l.t.Fatal(err)
	}
	k, err := parsed.KeyFor(l.secret)
	if err != nil {
		l.t.Fatal(err)
	}
	u, err := parsed.Unlock(k)
	if err != nil {
		l.t.Fatal(err)
	}
	m := u.Metadata
	if change != nil {
		change(&m)
	}
	out, err := stone.SealEnvelope(stone.EnvelopeParams{
		Body: u.Body(), Key: u.Key(), Revision: u.Revision + 1, Previous: u.ManifestDigest(), Time: l.now,
		Signer: signer, Certificate: certificate, Grants: u.Grants, Metadata: m, Rand: rand.Reader,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// steal has somebody's genuine keys sign what only the owner, or nobody, may state. The keys are the ones of
// an envelope that the person signed: here a person is made whose seeds are known.
func (l *lost) steal(put func(stone.FileID, []byte, []byte, string), fresh func(vault.Actor) (vault.Entry, []byte, []byte), victim vault.Actor) {
	l.t.Helper()
	thief := newKeys(l.t, identity.SuiteHybrid)
	thiefID := strings.Repeat("ab", 16)
	certificate, err := identity.NewCertificate(l.rootKey(), identity.Subject{ID: thiefID, Kind: "person", Version: 1}, thief.Public(), l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range []struct {
		say    string
		change func(*stone.Metadata)
	}{
		{"is not the owner", nil},
		{"no document of a vault", func(m *stone.Metadata) { m.Owner, m.Document = thiefID, "" }},
		{"no document of a vault", func(m *stone.Metadata) { m.Owner, m.Version = thiefID, 0 }},
		{"path and name", func(m *stone.Metadata) { m.Owner, m.Path = thiefID, "/forged/../../etc/passwd" }},
		{"path and name", func(m *stone.Metadata) { m.Owner, m.Name = thiefID, "another" }},
		{"path and name", func(m *stone.Metadata) { m.Owner, m.Path = thiefID, "" }},
		{"path and its folder", func(m *stone.Metadata) { m.Owner, m.Folder = thiefID, "" }},
		{"as its folder", func(m *stone.Metadata) { m.Owner, m.Folder = thiefID, m.Document }},
		{"year 99999", func(m *stone.Metadata) { m.Owner, m.CreatedAt = thiefID, time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC) }},
	} {
		e, body, env := fresh(victim)
		put(e.Version.FileID, body, l.reseal(env, thief, certificate, c.change), c.say)
	}
}

// rootKey opens the root of the vault as the server does.
func (l *lost) rootKey() *identity.SigningKey {
	l.t.Helper()
	var row vault.Identity
	err := l.db.View(ctx, func(tx vault.Tx) (err error) {
		row, err = tx.Identities().Current(ctx, vault.KindRoot, "")
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	seed, err := l.master.Open(fmt.Sprintf("stonevault.v1/seeds/%s/%s/%d", row.ID, row.Kind, row.Version), row.WrappedSeeds)
	if err != nil {
		l.t.Fatal(err)
	}
	k, err := identity.SigningKeyFromSeed(row.Suite, seed)
	if err != nil {
		l.t.Fatal(err)
	}
	return k
}
