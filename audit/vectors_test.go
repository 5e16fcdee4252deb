package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/vectors"
)

// The golden vectors are made once, with
//
//	go test ./audit -update
//
// and must end as their file says for ever after. Signatures of ML-DSA are hedged, so that making them again
// gives other bytes.
const vectorsPath = "testdata/vectors.json"

type vectorFile struct {
	Format      string             `json:"format"`
	Key         string             `json:"key"`  // as ParsePublicKey takes it
	Seed        vectors.Hex        `json:"seed"` // of the signing key
	Records     []recordVector     `json:"records"`
	Trees       []treeVector       `json:"trees"`
	Proofs      []proofVector      `json:"proofs"`
	Checkpoints []checkpointVector `json:"checkpoints"`
	Receipts    []receiptVector    `json:"receipts"`
}

// recordVector is a leaf with openings, and what reading them comes to.
type recordVector struct {
	Name     string         `json:"name"`
	Expect   string         `json:"expect"` // event, no-leaf, no-opening or no-event
	Leaf     vectors.Hex    `json:"leaf"`
	Openings [3]vectors.Hex `json:"openings"` // empty: not there

	LeafHash vectors.Hex     `json:"leaf_hash,omitempty"`
	Type     string          `json:"type,omitempty"`
	Version  uint8           `json:"version,omitempty"`
	Time     int64           `json:"time,omitempty"` // milliseconds
	Missing  []string        `json:"missing,omitempty"`
	Values   [3]audit.Values `json:"values"`
}

// treeVector is the root over the leaves "leaf 0", "leaf 1" and so on, as decimal numbers.
type treeVector struct {
	Size  int64             `json:"size"`
	Root  vectors.Hex       `json:"root"`
	Tiles map[string]string `json:"tiles"` // by path, the SHA-256 of their hashes in hex
}

// proofVector is about that log, too.
type proofVector struct {
	Name   string        `json:"name"`
	Expect string        `json:"expect"` // holds or refused
	Size   int64         `json:"size"`
	Root   vectors.Hex   `json:"root"`
	Index  *int64        `json:"index,omitempty"` // of inclusion
	Old    *int64        `json:"old,omitempty"`   // of consistency
	From   vectors.Hex   `json:"from"`            // the leaf's hash, or the old root
	Proof  []vectors.Hex `json:"proof"`
}

type checkpointVector struct {
	Name       string      `json:"name"`
	Expect     string      `json:"expect"` // opens or refused
	Size       int64       `json:"size,omitempty"`
	Root       vectors.Hex `json:"root,omitempty"`
	Time       int64       `json:"time,omitempty"` // seconds
	Checkpoint string      `json:"checkpoint"`
}

type receiptVector struct {
	Name    string `json:"name"`
	Expect  string `json:"expect"` // verifies, malformed, no-checkpoint, no-proof or no-opening
	Index   int64  `json:"index,omitempty"`
	Type    string `json:"type,omitempty"`
	Receipt string `json:"receipt"`
}

func TestVectors(t *testing.T) {
	if *update {
		b, err := json.MarshalIndent(makeVectors(t), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsPath, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{
		"records": len(f.Records), "trees": len(f.Trees), "proofs": len(f.Proofs), "checkpoints": len(f.Checkpoints), "receipts": len(f.Receipts),
	} {
		if n < 5 {
			t.Errorf("only %d %s", n, what)
		}
	}
	key, err := audit.ParsePublicKey(f.Key)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := audit.SigningKeyFromSeed(key.Origin(), f.Seed); err != nil || !k.Public().Equal(key) {
		t.Fatalf("the seed is of another key: %v", err)
	}
	for _, v := range f.Records {
		v.check(t)
	}
	for _, v := range f.Trees {
		v.check(t)
	}
	for _, v := range f.Proofs {
		v.check(t)
	}
	for _, v := range f.Checkpoints {
		c, err := key.Open([]byte(v.Checkpoint))
		switch {
		case v.Expect == "refused" && errors.Is(err, audit.ErrCheckpoint):
		case v.Expect == "opens" && err == nil && c.Tree.Size == v.Size && string(c.Tree.Root[:]) == string(v.Root) && c.Time.Unix() == v.Time:
		default:
			t.Errorf("checkpoint %s: %v, %v, and %s is expected", v.Name, c, err, v.Expect)
		}
	}
	for _, v := range f.Receipts {
		v.check(t, key)
	}
}

// outcome is the word for an error, by the first of those in the table that it is.
func outcome(err error, good string, words ...any) string {
	if err == nil {
		return good
	}
	for i := 0; i < len(words); i += 2 {
		if errors.Is(err, words[i].(error)) {
			return words[i+1].(string)
		}
	}
	return err.Error()
}

func (v *recordVector) check(t *testing.T) {
	leaf, err := audit.ParseLeaf(v.Leaf)
	var e audit.Event
	var missing []audit.Slot
	if err == nil {
		r := audit.Record{Leaf: leaf}
		for slot, o := range v.Openings {
			if len(o) > 0 {
				r.Openings[slot] = audit.Opening(o)
			}
		}
		e, missing, err = r.Event()
	}
	if got := outcome(err, "event", audit.ErrLeaf, "no-leaf", audit.ErrOpening, "no-opening", audit.ErrEvent, "no-event"); got != v.Expect {
		t.Errorf("record %s is %s, and %s is expected", v.Name, got, v.Expect)
	}
	if err != nil || v.Expect != "event" {
		return
	}
	hash := audit.LeafHash(v.Leaf)
	var names []string
	for _, s := range missing {
		names = append(names, s.String())
	}
	if string(hash[:]) != string(v.LeafHash) || e.Type.String() != v.Type || e.Version != v.Version || e.Time.UnixMilli() != v.Time || !slices.Equal(names, v.Missing) {
		t.Errorf("record %s is %v, hash %v, missing %v", v.Name, e, hash, names)
	}
	for slot, got := range []audit.Values{e.Operational, e.Actor, e.Subject} {
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(v.Values[slot])
		if string(a) != string(b) {
			t.Errorf("record %s, slot %d: %s, not %s", v.Name, slot, a, b)
		}
	}
}

// numbered is the log that the trees and proofs are of.
func numbered(t testing.TB, size int64) *storedLog {
	l := newLog()
	leaves := make([]audit.Hash, size)
	for i := range leaves {
		leaves[i] = audit.LeafHash(fmt.Appendf(nil, "leaf %d", i))
	}
	l.addLeaves(t, leaves...)
	return l
}

func (v *treeVector) check(t *testing.T) {
	l := numbered(t, v.Size)
	tiles := map[string]string{}
	for tile := range l.tree.Tiles() {
		tiles[tile.Path()] = fmt.Sprintf("%x", sha(l.tiles[coordinates(tile)]))
	}
	if string(l.tree.Root[:]) != string(v.Root) || !reflect.DeepEqual(tiles, v.Tiles) {
		t.Errorf("the tree of %d leaves is another", v.Size)
	}
}

func (v *proofVector) check(t *testing.T) {
	tree := audit.Tree{Size: v.Size, Root: audit.Hash(v.Root)}
	var path []audit.Hash
	for _, h := range v.Proof {
		path = append(path, audit.Hash(h))
	}
	var err error
	if v.Index != nil {
		err = tree.VerifyInclusion(*v.Index, audit.Hash(v.From), path)
	} else {
		err = tree.VerifyConsistency(audit.Tree{Size: *v.Old, Root: audit.Hash(v.From)}, path)
	}
	if got := outcome(err, "holds", audit.ErrProof, "refused"); got != v.Expect {
		t.Errorf("proof %s: %s, and %s is expected", v.Name, got, v.Expect)
	}
}

func (v *receiptVector) check(t *testing.T, key *audit.PublicKey) {
	r, err := audit.ParseReceipt([]byte(v.Receipt))
	var e audit.Event
	if err == nil {
		_, e, _, err = r.Verify(key)
	}
	got := outcome(err, "verifies", audit.ErrReceipt, "malformed", audit.ErrCheckpoint, "no-checkpoint", audit.ErrProof, "no-proof", audit.ErrOpening, "no-opening")
	if got != v.Expect || err == nil && (r.Index != v.Index || e.Type.String() != v.Type) {
		t.Errorf("receipt %s: %s of %v, and %s is expected", v.Name, got, e.Type, v.Expect)
	}
}

func makeVectors(t *testing.T) *vectorFile {
	k := newKey(t)
	f := &vectorFile{Format: "stonevault audit vectors, version 1", Key: k.Public().Text(), Seed: k.Seed()}
	for _, d := range audit.Definitions() {
		f.record(t, d.Name, sample(d), "event", func(*audit.Record) {})
	}
	f.record(t, "about nobody", stopped(1), "event", func(*audit.Record) {})
	f.record(t, "actor erased", put(1), "event", func(r *audit.Record) { r.Openings[1] = nil })
	f.record(t, "operational withheld", put(1), "event", func(r *audit.Record) { r.Openings[0] = nil })
	f.record(t, "slots exchanged", put(1), "no-opening", func(r *audit.Record) { r.Openings[1], r.Openings[2] = r.Openings[2], r.Openings[1] })
	f.record(t, "other time", put(1), "no-opening", func(r *audit.Record) { r.Leaf.Time = r.Leaf.Time.Add(time.Millisecond) })
	f.record(t, "salt changed", put(1), "no-opening", func(r *audit.Record) { r.Openings[1][0] ^= 1 })
	f.record(t, "type of nobody", put(1), "no-event", func(r *audit.Record) {
		r.Leaf.Type = 9999
		clear(r.Openings[:])
	})
	f.record(t, "type 0", put(1), "no-leaf", func(r *audit.Record) { r.Leaf.Type = 0 })
	payloads := map[string]string{
		"not canonical": ` {"reason":"asked"}`, "field missing": `{}`, "field more": `{"more":1,"reason":"asked"}`,
		"null": `{"reason":null}`, "not among": `{"reason":"tired"}`, "number": `{"reason":1}`, "not JSON": `{`,
	}
	for _, what := range slices.Sorted(maps.Keys(payloads)) {
		f.record(t, what, stopped(1), "no-event", func(r *audit.Record) { f.forge(r, "\x00"+payloads[what]) })
	}
	f.record(t, "an actor that is not said", stopped(1), "no-event", func(r *audit.Record) { f.forge(r, "\x04"+`{"reason":"asked"}`) })

	for _, size := range []int64{0, 1, 2, 3, 7, 8, 255, 256, 257, 1000, 65537} {
		l := numbered(t, size)
		v := treeVector{Size: size, Root: slices.Clone(l.tree.Root[:]), Tiles: map[string]string{}}
		for tile := range l.tree.Tiles() {
			v.Tiles[tile.Path()] = fmt.Sprintf("%x", sha(l.tiles[coordinates(tile)]))
		}
		if len(v.Tiles) < 20 {
			f.Trees = append(f.Trees, v)
		}
		if size > 0 {
			f.proofs(t, l)
		}
	}

	open := func(name, expect, text string, tree audit.Tree) {
		v := checkpointVector{Name: name, Expect: expect, Checkpoint: text}
		if expect == "opens" {
			v.Size, v.Root, v.Time = tree.Size, slices.Clone(tree.Root[:]), noon.Unix()
		}
		f.Checkpoints = append(f.Checkpoints, v)
	}
	for _, tree := range []audit.Tree{audit.EmptyTree(), aTree, {Size: audit.MaxSize, Root: aTree.Root}} {
		open(fmt.Sprintf("size %d", tree.Size), "opens", string(sign(t, k, tree)), tree)
	}
	forged := forgeries(t, k)
	for _, what := range slices.Sorted(maps.Keys(forged)) {
		open(what, "refused", forged[what], audit.Tree{})
	}

	l := newLog()
	l.fill(t, 300)
	add := func(name, expect string, r *audit.Receipt, change func(text string) string) {
		f.Receipts = append(f.Receipts, receiptVector{name, expect, r.Index, r.Record.Leaf.Type.String(), change(string(r.Marshal()))})
	}
	same := func(text string) string { return text }
	for _, index := range []int64{0, 4, 255, 256, 299} {
		add(fmt.Sprintf("event %d", index), "verifies", l.receipt(t, k, index), same)
	}
	r := l.receipt(t, k, 7)
	r.Index++
	add("other index", "no-proof", r, same)
	r = l.receipt(t, k, 7)
	r.Record.Openings = l.receipt(t, k, 8).Record.Openings
	add("other openings", "no-opening", r, same)
	r = l.receipt(t, k, 7)
	r.Checkpoint = []byte(forged["without ML-DSA"])
	add("half a checkpoint", "no-checkpoint", r, same)
	add("other version", "malformed", l.receipt(t, k, 7), func(text string) string { return strings.Replace(text, "@v1", "@v2", 1) })
	add("index 07", "malformed", l.receipt(t, k, 7), func(text string) string { return strings.Replace(text, "index 7", "index 07", 1) })
	return f
}

func (f *vectorFile) record(t *testing.T, name string, e audit.Event, expect string, change func(*audit.Record)) {
	r, err := e.Commit(randomness(byte(len(f.Records))))
	if err != nil {
		t.Fatal(err)
	}
	change(&r)
	v := recordVector{Name: name, Expect: expect, Leaf: r.Leaf.Bytes()}
	for slot, o := range r.Openings {
		v.Openings[slot] = vectors.Hex(o)
	}
	if expect == "event" {
		hash := audit.LeafHash(v.Leaf)
		got, missing, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		v.LeafHash, v.Type, v.Version, v.Time = hash[:], got.Type.String(), got.Version, got.Time.UnixMilli()
		v.Values = [3]audit.Values{got.Operational, got.Actor, got.Subject}
		for _, s := range missing {
			v.Missing = append(v.Missing, s.String())
		}
	}
	f.Records = append(f.Records, v)
}

// forge makes a leaf committed to any operational content.
func (f *vectorFile) forge(r *audit.Record, content string) {
	r.Openings[0] = append(r.Openings[0][:audit.SaltSize:audit.SaltSize], content...)
	r.Leaf.Commitments[0] = audit.Commitment(audit.Operational, r.Leaf.Bytes(), r.Openings[0])
}

func (f *vectorFile) proofs(t *testing.T, l *storedLog) {
	add := func(v proofVector, path []audit.Hash) {
		for _, h := range path {
			v.Proof = append(v.Proof, slices.Clone(h[:]))
		}
		v.Size, v.Root = l.tree.Size, slices.Clone(l.tree.Root[:])
		v.Expect = "holds"
		f.Proofs = append(f.Proofs, v)
		v.Expect, v.Name = "refused", v.Name+", a node more"
		v.Proof = append(slices.Clone(v.Proof), make([]byte, audit.HashSize))
		f.Proofs = append(f.Proofs, v)
	}
	for _, n := range []int64{0, l.tree.Size / 2, l.tree.Size - 1} {
		path, err := l.tree.ProveInclusion(l, n)
		if err != nil {
			t.Fatal(err)
		}
		leaf := audit.LeafHash(fmt.Appendf(nil, "leaf %d", n))
		add(proofVector{Name: fmt.Sprintf("leaf %d of %d", n, l.tree.Size), Index: &n, From: leaf[:]}, path)
		path, err = l.tree.ProveConsistency(l, n)
		if err != nil {
			t.Fatal(err)
		}
		old := numbered(t, n).tree
		add(proofVector{Name: fmt.Sprintf("%d to %d", n, l.tree.Size), Old: &n, From: old.Root[:]}, path)
	}
}
