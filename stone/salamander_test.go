package stone_test

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"testing"

	"stonevault/identity"
	"stonevault/stone"
	"stonevault/stone/cobblestone"
)

// block is an element of GCM's field GF(2^128), most significant coefficient last, as in NIST SP 800-38D.
type block [2]uint64

func (a block) xor(b block) block { return block{a[0] ^ b[0], a[1] ^ b[1]} }

// times is algorithm 1 of SP 800-38D.
func (a block) times(b block) (z block) {
	for i := range 128 {
		if a[i/64]>>(63-i%64)&1 == 1 {
			z = z.xor(b)
		}
		carry := b[1] & 1
		b = block{b[0] >> 1, b[1]>>1 | b[0]<<63}
		b[0] ^= carry * (0xe1 << 56)
	}
	return z
}

// inverse is a^(2^128-2).
func (a block) inverse() block {
	z := block{1 << 63}
	for range 127 {
		a = a.times(a)
		z = z.times(a)
	}
	return z
}

func (a block) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, a[0]), a[1])
}

func blockOf(b []byte) block {
	return block{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// side is one of the two keys that a salamander opens under.
type side struct {
	h, mask block  // of GHASH, and what covers the tag
	stream  []byte // what covers the plaintext
}

func sideOf(t testing.TB, key, nonce []byte, blocks int) side {
	t.Helper()
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	h, mask := make([]byte, 16), append(bytes.Clone(nonce), 0, 0, 0, 1)
	c.Encrypt(h, h)
	c.Encrypt(mask, mask)
	return side{blockOf(h), blockOf(mask), gcm(key).Seal(nil, nonce, make([]byte, 16*blocks), nil)[:16*blocks]}
}

// hash is GHASH of a ciphertext without additional data.
func (s side) hash(ciphertext []byte) (y block) {
	for at := 0; at < len(ciphertext); at += 16 {
		y = y.xor(blockOf(ciphertext[at:])).times(s.h)
	}
	return y.xor(block{0, uint64(len(ciphertext)) * 8}).times(s.h)
}

// salamander returns one AES-GCM ciphertext with a tag that is right under both keys. The plaintext of
// one begins with text a, that of the other has text b behind it. (Dodis, Grubbs, Ristenpart, Woodage,
// "Fast Message Franking: From Invisible Salamanders to Encryptment", 2018.)
func salamander(t testing.TB, okmA, okmB []byte, a, b string) []byte {
	t.Helper()
	const blocks = 8
	one, two := sideOf(t, okmA[:32], okmA[32:44], blocks), sideOf(t, okmB[:32], okmB[32:44], blocks)
	ciphertext := make([]byte, 16*blocks)
	for i := range 3 * 16 {
		ciphertext[i] = one.stream[i] ^ a[i]
		ciphertext[48+i] = two.stream[48+i] ^ b[i]
	}
	// The last block is multiplied by h^2 on either side and makes both tags equal.
	difference := one.hash(ciphertext).xor(one.mask).xor(two.hash(ciphertext)).xor(two.mask)
	squares := one.h.times(one.h).xor(two.h.times(two.h))
	copy(ciphertext[16*(blocks-1):], difference.times(squares.inverse()).bytes())
	return append(ciphertext, one.hash(ciphertext).xor(one.mask).bytes()...)
}

const (
	saysA = "PAY ALICE 100 EURO; signed: the board.          "
	saysB = "PAY MALLORY 9,900 EURO; signed: the board.      "
)

// salamanderForge makes a stone whose one segment is an AES-GCM ciphertext that opens under the keys of
// alice and of bob, each of whom has a grant of his own key. The segment commits to alice's key; the
// manifest to alice's, or to bob's.
func salamanderForge(t testing.TB, manifestForBob bool) []byte {
	t.Helper()
	alice, bob := person(t, "alice", identity.SuiteHybrid), person(t, "bob", identity.SuiteHybrid)
	f := newForge(t, alice)
	keyA, keyB := stone.FileKey{0: 0xa}, stone.FileKey{0: 0xb}
	rand.Read(keyA[1:])
	rand.Read(keyB[1:])
	f.grant(wrappingKey(t, alice), f.fileID, keyA)
	f.grant(wrappingKey(t, bob), f.fileID, keyB)
	f.plain = make([]byte, 128)
	if f.key = keyA; manifestForBob {
		f.key = keyB
	}
	f.onSealed = func(s []forgedSegment) {
		salt := make([]byte, cobblestone.SaltSize)
		rand.Read(salt)
		okm := func(key stone.FileKey) []byte {
			return expand(key[:], slices.Concat([]byte("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"), salt, s[0].context()), 76)
		}
		okmA, okmB := okm(keyA), okm(keyB)
		sealed := salamander(t, okmA, okmB, saysA, saysB)
		for _, side := range []struct {
			okm  []byte
			at   int
			says string
		}{{okmA, 0, saysA}, {okmB, 48, saysB}} {
			plain, err := gcm(side.okm[:32]).Open(nil, side.okm[32:44], sealed, nil)
			if err != nil || string(plain[side.at:][:48]) != side.says {
				t.Fatalf("not a salamander: %v", err)
			}
		}
		s[0].sealed = slices.Concat(salt, okmA[44:], sealed)
	}
	return f.bytes()
}

// TestSalamander shows what the two commitments are for: without them alice and bob would read different
// things in one stone with one signature.
func TestSalamander(t *testing.T) {
	sealed := salamanderForge(t, false)
	got, _, err := openAs(t, sealed, "alice", "", identity.SuiteHybrid)
	if err != nil || string(got[:48]) != saysA {
		t.Errorf("alice, to whose key everything commits: %q, %v", got, err)
	}
	for _, c := range salamanders {
		if c.expect == "open" {
			continue
		}
		got, _, err := openAs(t, salamanderForge(t, c.forBob), c.as, "", identity.SuiteHybrid)
		wantRefusal(t, c.name, got, err, c.says)
	}
}

var salamanders = []struct {
	name, reason, as, expect string
	step                     int
	says                     string
	forBob                   bool
}{
	{"salamander, alice", "one AES-GCM ciphertext under two keys: for alice, to whose key everything commits, it is a stone", "alice", "open", 0, "", false},
	{"salamander, bob", "one AES-GCM ciphertext under two keys: bob's grant holds the other", "bob", "refused", 9, "commit", false},
	{"salamander committed to bob, alice", "the manifest commits to bob's key, the segment to alice's", "alice", "refused", 9, "commit", true},
	{"salamander committed to bob, bob", "the manifest commits to bob's key, the segment to alice's", "bob", "refused", 12, "commitment", true},
}
