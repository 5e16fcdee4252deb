package stone_test

import (
	"bytes"
	"errors"
	"testing"

	"stonevault/identity"
	"stonevault/stone"
)

// FuzzOpeners edits one piece of a stone before it is digested, sealed and signed, and asks both openers.
// They must come to the same end at the same step; where they open, to the same plaintext.
func FuzzOpeners(f *testing.F) {
	const pieces = 8
	for piece := range byte(pieces) {
		f.Add(piece, uint16(0), uint16(0), []byte{})
		f.Add(piece, uint16(8), uint16(1), []byte{0xff})
		f.Add(piece, uint16(65535), uint16(4), []byte("\x00\x00"))
	}
	for _, c := range []struct {
		piece    byte
		at, cut  uint16
		inserted string
	}{
		{0, 15, 0, " "}, {0, 1, 0, `"a":1,`}, {1, 30, 1, `\u0041`}, {1, 1, 8, `"class"`}, {2, 4, 1, "\x64"}, {2, 65535, 0, "\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"},
		{3, 3, 1, "\x01"}, {4, 0, 1, "\x04"}, {5, 4, 0, " "}, {6, 3, 1, "\x09"}, {7, 0, 1, "\x01"},
	} {
		f.Add(c.piece, c.at, c.cut, []byte(c.inserted))
	}
	alice := person(f, "alice", identity.SuiteHybrid)
	base := newForge(f, alice, alice)
	certificate := certificateFor(f, alice.Public())
	f.Fuzz(func(t *testing.T, piece byte, at, cut uint16, inserted []byte) {
		// at counts from the front; high values from the back.
		edit := func(b []byte) []byte {
			from := int(at) % (len(b) + 1)
			if at > 1<<15 {
				from = len(b) - int(65535-at)%(len(b)+1)
			}
			to := min(from+int(cut), len(b))
			return append(append(bytes.Clone(b[:from]), inserted...), b[to:]...)
		}
		g := *base
		g.t, g.manifest, g.metadata = t, append(members(nil), base.manifest...), append(members(nil), base.metadata...)
		g.grants = [][]byte{bytes.Clone(base.grants[0])}
		g.plain, g.zstd = bytes.Repeat([]byte("All that is gold does not glitter. "), 40), true
		switch piece % pieces {
		case 0:
			g.onManifestText = func(s string) string { return string(edit([]byte(s))) }
		case 1:
			g.onMetadataText = func(s string) string { return string(edit([]byte(s))) }
		case 2:
			g.onSegment = func(_ int, s *forgedSegment) { s.content = edit(s.content) }
		case 3:
			g.onIndex = func() { g.index = edit(g.index) }
		case 4:
			g.onGrants = func() {
				if g.grants[0] = edit(g.grants[0]); len(g.grants[0]) == 0 {
					g.grants = nil
				}
			}
		case 5:
			forgedCertificate(&g, nil, func(text, key, _ []byte) []byte {
				text = edit(text)
				sig, err := rootKey(t, 1).Sign(identity.StatementCertificate, text)
				if err != nil {
					t.Fatal(err)
				}
				return append(append(append([]byte{0, 0, byte(len(text) >> 8), byte(len(text))}, text...), key...), sig...)
			})
		case 6:
			g.onMetadataPad = edit
		case 7:
			g.certificate = edit(certificate)
		}
		sealed := g.bytes()
		got, _, err := openAs(t, sealed, "alice", "", 1)
		s, specErr := specOpen(sealed, specKeys{suite: 1, seeds: alice.Seeds()})
		var end *specError
		switch {
		case errors.As(specErr, &end):
			if !errors.Is(err, outcomes[end.outcome]) || err == nil {
				t.Errorf("the package says %v, the specification %v", err, specErr)
			}
		case err != nil && !errors.Is(err, stone.ErrRefused):
			t.Error(err)
		case err != nil || !bytes.Equal(got, s.plain):
			t.Errorf("the package says %v, the specification opens", err)
		}
	})
}
