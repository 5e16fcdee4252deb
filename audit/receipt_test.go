package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/proof"

	"stonevault/audit"
)

func sha(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// receipt is that of one event of a log.
func (l *storedLog) receipt(t testing.TB, k *audit.SigningKey, index int64) *audit.Receipt {
	t.Helper()
	path, err := l.tree.ProveInclusion(l, index)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := audit.ParseLeaf(l.rows[index].Leaf)
	if err != nil {
		t.Fatal(err)
	}
	r := &audit.Receipt{Index: index, Record: audit.Record{Leaf: leaf}, Proof: path, Checkpoint: sign(t, k, l.tree)}
	for slot, p := range l.rows[index].Parts {
		r.Record.Openings[slot] = p.Opening
	}
	return r
}

func TestReceipt(t *testing.T) {
	k := newKey(t)
	for _, size := range []int{1, 2, 3, 256, 257, 300} {
		l := newLog()
		l.fill(t, size)
		for _, index := range []int64{0, int64(size) / 2, int64(size) - 1} {
			r := l.receipt(t, k, index)
			text := r.Marshal()
			read, err := audit.ParseReceipt(text)
			if err != nil {
				t.Fatal(err)
			}
			c, e, missing, err := read.Verify(k.Public())
			want := put(int(index))
			if index%5 == 4 {
				want = stopped(int(index))
			}
			if err != nil || c.Tree != l.tree || len(missing) != 0 || e.Type != want.Type || !e.Time.Equal(want.Time) || !reflect.DeepEqual(e.Subject, want.Subject) {
				t.Errorf("event %d of %d: %v, %v, %v", index, size, e, missing, err)
			}
			var theirs proof.TLogProof
			if err := theirs.Unmarshal(text); err != nil || theirs.Index != uint64(index) || !bytes.Equal(theirs.Checkpoint, r.Checkpoint) || len(theirs.Hashes) != len(r.Proof) {
				t.Errorf("by transparency-dev/formats: %v, %v", theirs, err)
			}
		}
	}
}

func TestWithheldReceipt(t *testing.T) {
	k, l := newKey(t), newLog()
	l.fill(t, 10)
	r := l.receipt(t, k, 3)
	r.Record.Openings[audit.Actor] = nil
	read, err := audit.ParseReceipt(r.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	_, e, missing, err := read.Verify(k.Public())
	if err != nil || !slices.Equal(missing, []audit.Slot{audit.Actor}) || e.Actor != nil || e.Subject == nil {
		t.Errorf("%v, %v, %v", e, missing, err)
	}
}

// TestWrongReceipts: what is well-formed and untrue is refused for its own reason.
func TestWrongReceipts(t *testing.T) {
	k, l := newKey(t), newLog()
	l.fill(t, 300)
	stranger, err := audit.NewSigningKey(randomness(98), origin)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		change func(*audit.Receipt)
		want   error
	}{
		{"other index", func(r *audit.Receipt) { r.Index++ }, audit.ErrProof},
		{"index outside", func(r *audit.Receipt) { r.Index = 300 }, audit.ErrProof},
		{"node changed", func(r *audit.Receipt) { r.Proof = flipOne(r.Proof) }, audit.ErrProof},
		{"node less", func(r *audit.Receipt) { r.Proof = r.Proof[1:] }, audit.ErrProof},
		{"node more", func(r *audit.Receipt) { r.Proof = append(slices.Clone(r.Proof), audit.Hash{}) }, audit.ErrProof},
		{"other leaf", func(r *audit.Receipt) { r.Record = l.receipt(t, k, 8).Record }, audit.ErrProof},
		{"leaf of a later type", func(r *audit.Receipt) { r.Record.Leaf.Type = 9999 }, audit.ErrProof},
		{"other opening", func(r *audit.Receipt) { r.Record.Openings = l.receipt(t, k, 8).Record.Openings }, audit.ErrOpening},
		{"stranger's checkpoint", func(r *audit.Receipt) { r.Checkpoint = sign(t, stranger, l.tree) }, audit.ErrCheckpoint},
		{"other tree's checkpoint", func(r *audit.Receipt) { r.Checkpoint = sign(t, k, aTree) }, audit.ErrProof},
		{"no checkpoint", func(r *audit.Receipt) { r.Checkpoint = nil }, audit.ErrCheckpoint},
	} {
		r := l.receipt(t, k, 7)
		c.change(r)
		read, err := audit.ParseReceipt(r.Marshal())
		if err != nil {
			t.Errorf("%s is not parsed: %v", c.what, err)
			continue
		}
		if _, e, _, err := read.Verify(k.Public()); !errors.Is(err, c.want) || e.Operational != nil {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

func TestMalformedReceipts(t *testing.T) {
	k, l := newKey(t), newLog()
	l.fill(t, 300)
	good := string(l.receipt(t, k, 7).Marshal())
	line := strings.SplitAfter(good, "\n")
	extra, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(line[1], "extra "), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	withExtra := func(b []byte) string {
		return strings.Replace(good, line[1], "extra "+base64.StdEncoding.EncodeToString(b)+"\n", 1)
	}
	for what, text := range map[string]string{
		"nothing":             "",
		"other format":        strings.Replace(good, "@v1", "@v2", 1),
		"no extra":            strings.Replace(good, line[1], "", 1),
		"extra of nothing":    withExtra(nil),
		"extra cut":           withExtra(extra[:len(extra)-1]),
		"extra longer":        withExtra(append(bytes.Clone(extra), 0)),
		"extra length huge":   withExtra(change(extra, audit.LeafSize, 0xff)),
		"extra of other leaf": withExtra(change(extra, 0, 2)),
		"extra twice":         strings.Replace(good, line[1], line[1]+line[1], 1),
		"index 07":            strings.Replace(good, "index 7", "index 07", 1),
		"index -7":            strings.Replace(good, "index 7", "index -7", 1),
		"index 2^48":          strings.Replace(good, "index 7", "index 281474976710656", 1),
		"no index":            strings.Replace(good, line[2], "", 1),
		"short hash":          strings.Replace(good, line[3], line[3][4:], 1),
		"hash of other bits":  strings.Replace(good, line[3], line[3][:42]+string(line[3][42]+1)+"=\n", 1),
		"too many hashes":     strings.Replace(good, line[3], strings.Repeat(line[3], 50), 1),
		"carriage return":     strings.Replace(good, "\n", "\r\n", 1),
		"no empty line":       strings.Replace(good, "\n\n", "\n", 1),
		"a line before":       "\n" + good,
		"very long":           good + strings.Repeat("x", audit.MaxReceipt),
	} {
		if _, err := audit.ParseReceipt([]byte(text)); text == good || !errors.Is(err, audit.ErrReceipt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	checkpoint := strings.Index(good, "\n\n") + 2
	for i := 0; i < len(good); i++ {
		if i > checkpoint {
			i += 36 // TestEveryByte has them all
		}
		if i >= len(good) {
			break
		}
		wrong := change([]byte(good), i, good[i]^1)
		r, err := audit.ParseReceipt(wrong)
		if err != nil {
			continue
		}
		if _, _, _, err := r.Verify(k.Public()); err == nil {
			t.Fatalf("byte %d can be changed", i)
		}
	}
}

// TestLongestReceipt: MaxReceipt is enough.
func TestLongestReceipt(t *testing.T) {
	r := audit.Receipt{Index: audit.MaxSize - 1, Proof: make([]audit.Hash, 48), Checkpoint: make([]byte, audit.MaxCheckpoint)}
	for slot := range r.Record.Openings {
		r.Record.Openings[slot] = make([]byte, audit.SaltSize+1+audit.MaxPayload)
	}
	r.Record.Leaf = audit.Leaf{Type: 1, Version: 1, Time: noon}
	read, err := audit.ParseReceipt(r.Marshal())
	if err != nil || !reflect.DeepEqual(*read, r) {
		t.Error(err)
	}
}

func FuzzReceipt(f *testing.F) {
	k, l := newKey(f), newLog()
	l.fill(f, 300)
	for _, index := range []int64{0, 4, 299} {
		f.Add(l.receipt(f, k, index).Marshal())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := audit.ParseReceipt(text)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Marshal(), text) {
			t.Fatalf("%q is written in another way", text)
		}
		if c, _, _, err := r.Verify(k.Public()); err == nil && audit.LeafHash(r.Record.Leaf.Bytes()) != audit.LeafHash(l.rows[r.Index].Leaf) {
			t.Fatalf("event %d of %d is another", r.Index, c.Tree.Size)
		}
	})
}
