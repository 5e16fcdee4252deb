package auditlog_test

import (
	"errors"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

// TestHeads: from every head to every later one there is a proof, also where the log has grown on.
func TestHeads(t *testing.T) {
	h := newHouse(t)
	heads := auditlog.Heads{Reader: h.reader}
	if _, err := heads.Latest(t.Context()); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("before the first signature: %v", err)
	}
	trees := []audit.Tree{audit.EmptyTree()}
	recorded := 1
	for _, size := range []int{1, 2, 255, 256, 257, 511, 700} {
		h.record(t, puts(recorded, size-recorded)...)
		h.step(t)
		c, err := heads.Latest(t.Context())
		if err != nil || c.Tree.Size != int64(size) || c.Tree != head(t, h) || c.Origin != publicKey(t, h).Origin() {
			t.Fatalf("%+v, %v", c, err)
		}
		trees, recorded = append(trees, c.Tree), size
	}
	for i, tree := range trees {
		for _, old := range trees[:i+1] {
			proof, err := heads.Consistency(t.Context(), old.Size, tree)
			if err != nil || tree.VerifyConsistency(old, proof) != nil {
				t.Errorf("from %d to %d: %v", old.Size, tree.Size, err)
			}
		}
	}
	newest := trees[len(trees)-1]
	if _, err := heads.Consistency(t.Context(), newest.Size+1, newest); !errors.Is(err, audit.ErrProof) {
		t.Errorf("from a larger log: %v", err)
	}
	beyond := newest
	beyond.Size++
	if _, err := heads.Consistency(t.Context(), 1, beyond); !errors.Is(err, auditlog.ErrNotFound) {
		t.Errorf("to a tree that is not signed: %v", err)
	}
	foreign := audit.Tree{Size: 300, Root: trees[3].Root}
	if _, err := heads.Consistency(t.Context(), 1, foreign); !errors.Is(err, auditlog.ErrRewritten) {
		t.Errorf("to a tree of another log: %v", err)
	}
}

// TestHeadsOfDamage: no head and no proof comes from a log that is not the signed one.
func TestHeadsOfDamage(t *testing.T) {
	h := newHouse(t)
	h.record(t, puts(1, 300)...)
	h.step(t)
	heads := auditlog.Heads{Reader: h.reader}
	c, err := heads.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := h.raw(t)
	if _, err := raw.Exec(`UPDATE audit_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0 AND position = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := heads.Consistency(t.Context(), 100, c.Tree); !errors.Is(err, auditlog.ErrRewritten) {
		t.Errorf("a proof from damaged tiles: %v", err)
	}
	if _, err := raw.Exec(`UPDATE audit_checkpoints SET text = zeroblob(length(text))`); err != nil {
		t.Fatal(err)
	}
	if _, err := heads.Latest(t.Context()); !errors.Is(err, auditlog.ErrRewritten) {
		t.Errorf("a damaged checkpoint: %v", err)
	}
}
