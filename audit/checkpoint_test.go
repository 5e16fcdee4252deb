package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"
	formats "github.com/transparency-dev/formats/log"
	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"stonevault/audit"
)

var aTree = audit.Tree{Size: 1234567, Root: audit.LeafHash([]byte("root"))}

func sign(t testing.TB, k *audit.SigningKey, tree audit.Tree) []byte {
	t.Helper()
	b, err := k.Sign(tree, noon)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckpoint(t *testing.T) {
	k := newKey(t)
	for _, tree := range []audit.Tree{audit.EmptyTree(), {Size: 1, Root: aTree.Root}, aTree, {Size: audit.MaxSize, Root: aTree.Root}} {
		c, err := k.Public().Open(sign(t, k, tree))
		if err != nil || c != (audit.Checkpoint{Origin: origin, Tree: tree, Time: noon}) {
			t.Errorf("size %d: %v, %v", tree.Size, c, err)
		}
	}
	for _, tree := range []audit.Tree{{Size: -1}, {Size: audit.MaxSize + 1}, {Size: 0}} {
		if _, err := k.Sign(tree, noon); err == nil {
			t.Errorf("size %d is signed", tree.Size)
		}
	}
	if _, err := k.Sign(aTree, time.Time{}); err == nil {
		t.Error("a time before 1970 is signed")
	}
	long, err := audit.NewSigningKey(randomness(1), strings.Repeat("o", audit.MaxOrigin))
	if err != nil {
		t.Fatal(err)
	}
	b := sign(t, long, audit.Tree{Size: audit.MaxSize, Root: aTree.Root})
	if len(b) != audit.MaxCheckpoint {
		t.Errorf("the longest checkpoint has %d bytes, not %d", len(b), audit.MaxCheckpoint)
	}
	if _, err := long.Public().Open(b); err != nil {
		t.Error(err)
	}
}

// TestCheckpointByOthers: what is signed here verifies by transparency-dev/formats and filippo.io/mldsa, and
// what they sign verifies here.
func TestCheckpointByOthers(t *testing.T) {
	k := newKey(t)
	keys := strings.Split(k.Public().Text(), "\n")
	classical, err := note.NewVerifier(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	quantumSafe, err := formatsnote.NewVerifier(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	b := sign(t, k, aTree)
	c, rest, n, err := formats.ParseCheckpoint(b, origin, classical, quantumSafe)
	if err != nil || len(rest) != 0 || len(n.Sigs) != 2 || c.Size != uint64(aTree.Size) || !bytes.Equal(c.Hash, aTree.Root[:]) {
		t.Fatalf("%v, %q, %v", c, rest, err)
	}
	if at, err := formatsnote.CoSigV1Timestamp(n.Sigs[1]); err != nil || !at.Equal(noon) {
		t.Errorf("signed at %v, %v", at, err)
	}

	seed := k.Seed()
	theirKey, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[ed25519.SeedSize:])
	if err != nil {
		t.Fatal(err)
	}
	skey := func(kind byte, secret, public []byte) string {
		id := binary.BigEndian.Uint32(sha([]byte(origin), []byte{'\n', kind}, public))
		return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, id, base64.StdEncoding.EncodeToString(append([]byte{kind}, secret...)))
	}
	one, err := note.NewSigner(skey(1, seed[:32], ed25519.NewKeyFromSeed(seed[:32]).Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	two, err := formatsnote.NewSignerForCosignatureV1(skey(6, seed[32:], theirKey.PublicKey().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := note.Sign(&note.Note{Text: string(formats.Checkpoint{Origin: origin, Size: 1234567, Hash: aTree.Root[:]}.Marshal())}, one, two)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Public().Open(theirs); err != nil || got.Tree != aTree {
		t.Errorf("theirs is %v, %v", got, err)
	}
}

// lines takes a checkpoint apart: the text, and the signature lines.
func lines(b []byte) (text string, signatures []string) {
	text, rest, _ := strings.Cut(string(b), "\n\n")
	return text + "\n", slices.Collect(strings.Lines(rest))
}

// forgeries are what must not pass for a checkpoint of k.
func forgeries(t testing.TB, k *audit.SigningKey) map[string]string {
	b := sign(t, k, aTree)
	text, sigs := lines(b)
	whole := func(text string, sigs ...string) string { return text + "\n" + strings.Join(sigs, "") }
	resign := func(k *audit.SigningKey, text string) string { // by the real keys, over any text
		one, two := audit.LineKeys(k)
		signed, err := note.Sign(&note.Note{Text: text}, one, two)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	stranger, err := audit.NewSigningKey(randomness(99), origin)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := audit.SigningKeyFromSeed("vault.example/audit/2", k.Seed())
	if err != nil {
		t.Fatal(err)
	}
	_, strange := lines(sign(t, stranger, aTree))
	_, otherTree := lines(sign(t, k, audit.Tree{Size: aTree.Size + 1, Root: aTree.Root}))
	_, otherName := lines(sign(t, elsewhere, aTree))
	root := base64.StdEncoding.EncodeToString(aTree.Root[:])
	return map[string]string{
		"nothing":                      "",
		"without signatures":           text,
		"without signature lines":      text + "\n",
		"without Ed25519":              whole(text, sigs[1]),
		"without ML-DSA":               whole(text, sigs[0]),
		"other order":                  whole(text, sigs[1], sigs[0]),
		"a signature twice":            whole(text, sigs[0], sigs[1], sigs[1]),
		"a stranger's Ed25519":         whole(text, strange[0], sigs[1]),
		"a stranger's ML-DSA":          whole(text, sigs[0], strange[1]),
		"a stranger's both":            whole(text, strange...),
		"a stranger's beside":          whole(text, append(slices.Clone(sigs), strange...)...),
		"other tree's Ed25519":         whole(text, otherTree[0], sigs[1]),
		"other tree's ML-DSA":          whole(text, sigs[0], otherTree[1]),
		"other log's, same keys":       whole(text, otherName...),
		"other origin":                 string(sign(t, elsewhere, aTree)),
		"other origin, resigned":       resign(k, strings.Replace(text, origin, origin+"2", 1)),
		"an extension line":            whole(text+"more\n", sigs...),
		"an extension line, resigned":  resign(k, text+"more\n"),
		"an extension line of nothing": resign(k, text+"\n"),
		"size with a zero":             resign(k, strings.Replace(text, "1234567", "01234567", 1)),
		"size with a sign":             resign(k, strings.Replace(text, "1234567", "+1234567", 1)),
		"size too large":               resign(k, strings.Replace(text, "1234567", "281474976710656", 1)),
		"size 0":                       resign(k, strings.Replace(text, "1234567", "0", 1)),
		"no size":                      resign(k, strings.Replace(text, "1234567", "", 1)),
		"short root":                   resign(k, strings.Replace(text, root, base64.StdEncoding.EncodeToString(aTree.Root[1:]), 1)),
		"root in other base64":         resign(k, strings.Replace(text, root, root[:42]+string(root[42]+1)+"=", 1)),
		"root without padding":         resign(k, strings.Replace(text, root, root[:43], 1)),
		"carriage return":              strings.Replace(string(b), "\n", "\r\n", 1),
		"something behind":             string(b) + "\n",
		"a line before":                "\n" + string(b),
		"no last line end":             strings.TrimSuffix(string(b), "\n"),
		"very long":                    string(b) + strings.Repeat("x", audit.MaxCheckpoint),
	}
}

func TestForgedCheckpoints(t *testing.T) {
	k := newKey(t)
	for what, b := range forgeries(t, k) {
		if c, err := k.Public().Open([]byte(b)); !errors.Is(err, audit.ErrCheckpoint) || c != (audit.Checkpoint{}) {
			t.Errorf("%s: %v, %v", what, c, err)
		}
	}
}

// TestEveryByte: no byte of a checkpoint can be changed, taken away or doubled.
func TestEveryByte(t *testing.T) {
	k := newKey(t)
	b := sign(t, k, aTree)
	for i := range b {
		for what, wrong := range map[string][]byte{
			"a low bit":  change(b, i, b[i]^1),
			"a high bit": change(b, i, b[i]^0x40),
			"taken away": append(bytes.Clone(b[:i]), b[i+1:]...),
			"doubled":    append(bytes.Clone(b[:i+1]), b[i:]...),
		} {
			if bytes.Equal(wrong, b) {
				continue // one of two equal neighbours
			}
			if _, err := k.Public().Open(wrong); !errors.Is(err, audit.ErrCheckpoint) {
				t.Fatalf("byte %d, %s: %v", i, what, err)
			}
		}
	}
}

func change(b []byte, at int, to byte) []byte {
	c := bytes.Clone(b)
	c[at] = to
	return c
}

func TestKeys(t *testing.T) {
	k := newKey(t)
	again, err := audit.SigningKeyFromSeed(origin, k.Seed())
	if err != nil || !again.Public().Equal(k.Public()) {
		t.Fatal(err)
	}
	text := k.Public().Text()
	read, err := audit.ParsePublicKey(text)
	if err != nil || !read.Equal(k.Public()) || read.Origin() != origin {
		t.Fatal(err)
	}
	if _, err := read.Open(sign(t, k, aTree)); err != nil {
		t.Error(err)
	}
	if shown := fmt.Sprintf("%v %s %#v", k, k, k); shown != "[redacted] [redacted] [redacted]" {
		t.Error(shown)
	}
	first, second, _ := strings.Cut(text, "\n")
	for what, wrong := range map[string]string{
		"nothing": "", "one line": first + "\n", "swapped": second + first + "\n", "twice": text + text, "no line end": strings.TrimSuffix(text, "\n"),
		"other origin": strings.Replace(text, origin, "elsewhere.example", 1), "other origins": strings.ReplaceAll(text, origin, "elsewhere.example"),
		"other id": strings.Replace(text, "+"+strings.Split(text, "+")[1]+"+", "+00000000+", 1), "changed key": strings.Replace(text, "A", "B", 1),
		"line feed in key": text[:len(text)-40] + "\n" + text[len(text)-40:], "long": strings.Repeat("x", 10000),
	} {
		if _, err := audit.ParsePublicKey(wrong); !errors.Is(err, audit.ErrKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "ä", "a\x7f", strings.Repeat("x", 256)} {
		if _, err := audit.NewSigningKey(randomness(1), name); !errors.Is(err, audit.ErrKey) {
			t.Errorf("origin %q: %v", name, err)
		}
	}
	for _, n := range []int{0, 32, 63, 65} {
		if _, err := audit.SigningKeyFromSeed(origin, make([]byte, n)); !errors.Is(err, audit.ErrKey) {
			t.Errorf("a seed of %d bytes: %v", n, err)
		}
	}
	if _, err := audit.NewSigningKey(bytes.NewReader(make([]byte, 63)), origin); err == nil {
		t.Error("a key without randomness")
	}
}

// FuzzCheckpoint: what opens is what was signed, whatever it is made from. Lines are put together from the
// fuzzer's text and real signatures of that text, so that it gets behind the signatures.
func FuzzCheckpoint(f *testing.F) {
	k := newKey(f)
	b := sign(f, k, aTree)
	text, _ := lines(b)
	f.Add(b, text)
	f.Add([]byte(strings.Replace(string(b), "1234567", "1234568", 1)), text+"extension\n")
	f.Add([]byte(nil), strings.Replace(text, "1234567", "0", 1))
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		if c, err := k.Public().Open(b); err == nil && c.Tree != aTree {
			t.Fatalf("%v was never signed", c)
		}
		one, two := audit.LineKeys(k)
		signed, err := note.Sign(&note.Note{Text: text}, one, two)
		if err != nil {
			return
		}
		if c, err := k.Public().Open(signed); err == nil {
			exact := formats.Checkpoint{Origin: origin, Size: uint64(c.Tree.Size), Hash: c.Tree.Root[:]}.Marshal()
			if string(exact) != text {
				t.Fatalf("%q is taken for %q", text, exact)
			}
		}
	})
}

func FuzzPublicKey(f *testing.F) {
	f.Add(newKey(f).Public().Text())
	f.Add(origin + "+00000000+AQ==\n" + origin + "+00000000+Bg==\n")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := audit.ParsePublicKey(text); err == nil && k.Text() != text {
			t.Fatalf("%q is written %q", text, k.Text())
		}
	})
}
