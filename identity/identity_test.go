package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"filippo.io/mldsa"
)

var bothSuites = []Suite{SuiteHybrid, SuiteCNSA}

func sequence(n int, from byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func generated(t testing.TB, suite Suite) *Identity {
	t.Helper()
	id, err := Generate(rand.Reader, suite)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

const knownFile = "testdata/known.json"

var update = flag.Bool("update", false, "write testdata/known.json anew")

// known is what seeds become. Public keys stand as their digests; the prefixes are there to see which
// part changed.
type known struct {
	Suite         Suite  `json:"suite"`
	Seeds         string `json:"seeds"`
	ReceivingSHA  string `json:"receiving_sha256"`
	VerifyingSHA  string `json:"verifying_sha256"`
	Fingerprint   string `json:"fingerprint"`
	Spoken        string `json:"spoken"`
	RootPrint     string `json:"signing_key_fingerprint"`
	PublicTextSHA string `json:"public_text_sha256"`
	Secret        string `json:"secret"`
	Sheet         string `json:"sheet"`
	// Made once by this package, and to be read for ever.
	Payload     string `json:"payload"`
	Signature   string `json:"signature"`
	Certificate string `json:"certificate"`
	Grant       string `json:"grant"`
	FileID      string `json:"file_id"`
	FileKey     string `json:"file_key"`
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makeKnown(t *testing.T, suite Suite) known {
	t.Helper()
	id, err := FromSeeds(suite, sequence(suite.SeedsSize(), 0x40))
	if err != nil {
		t.Fatal(err)
	}
	k := derived(id)
	k.Payload = hex.EncodeToString([]byte("a payload"))
	sig, err := id.Sign(StatementManifest, []byte("a payload"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := NewCertificate(id.signing, Subject{"person-1", "person", 3}, id.Public(), time.UnixMilli(1_800_000_000_000))
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWrappingKey(rand.Reader, id.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, file := [32]byte(sequence(32, 1)), [16]byte(sequence(16, 2))
	g, err := w.Wrap(rand.Reader, file, &key)
	if err != nil {
		t.Fatal(err)
	}
	k.Signature, k.Certificate, k.Grant = hex.EncodeToString(sig), hex.EncodeToString(certificate), hex.EncodeToString(g.Bytes())
	k.FileID, k.FileKey = hex.EncodeToString(file[:]), hex.EncodeToString(key[:])
	return k
}

// derived is the part of known that follows from the seeds.
func derived(id *Identity) known {
	pub := id.Public()
	kem := suites[id.Suite()].kemPub
	return known{
		Suite: id.Suite(), Seeds: hex.EncodeToString(id.Seeds()),
		ReceivingSHA: sum(pub.bytes[:kem]), VerifyingSHA: sum(pub.bytes[kem:]),
		Fingerprint: pub.Fingerprint().Hex(), Spoken: pub.Fingerprint().Spoken(), RootPrint: id.signing.Verifying().Fingerprint().Hex(),
		PublicTextSHA: sum([]byte(pub.Text())), Secret: id.SecretText(), Sheet: id.SecretSheet(),
	}
}

// TestKnown catches a library that makes other keys of the same seeds, or does not read what it wrote.
func TestKnown(t *testing.T) {
	if *update {
		var all []known
		for _, suite := range bothSuites {
			all = append(all, makeKnown(t, suite))
		}
		b, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(knownFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(knownFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []known
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("%d rows, not one for each suite", len(all))
	}
	for _, k := range all {
		id, err := FromSeeds(k.Suite, mustHex(t, k.Seeds))
		if err != nil {
			t.Fatal(err)
		}
		want := k
		want.Payload, want.Signature, want.Certificate, want.Grant, want.FileID, want.FileKey = "", "", "", "", "", ""
		if got := derived(id); got != want {
			t.Errorf("suite %d: seeds become\n%+v, not\n%+v", k.Suite, got, want)
		}
		if err := id.Public().Verify(StatementManifest, mustHex(t, k.Payload), mustHex(t, k.Signature)); err != nil {
			t.Errorf("suite %d: %v", k.Suite, err)
		}
		c, err := ParseCertificate(k.Suite, mustHex(t, k.Certificate))
		if err != nil || c.Subject != (Subject{"person-1", "person", 3}) || c.Keys.Hex() != k.Fingerprint || c.Root.Fingerprint().Hex() != k.RootPrint ||
			!c.IssuedAt.Equal(time.UnixMilli(1_800_000_000_000)) {
			t.Errorf("suite %d: certificate %+v, %v", k.Suite, c, err)
		}
		g, rest, err := ParseGrant(k.Suite, mustHex(t, k.Grant))
		if err != nil || len(rest) != 0 {
			t.Fatalf("suite %d: %v", k.Suite, err)
		}
		w, err := id.OpenWrappingKey(g)
		if err != nil {
			t.Fatalf("suite %d: %v", k.Suite, err)
		}
		if key, err := w.Unwrap(g, [16]byte(mustHex(t, k.FileID))); err != nil || hex.EncodeToString(key[:]) != k.FileKey {
			t.Errorf("suite %d: unwrap: %v", k.Suite, err)
		}
	}
}

// TestSizes has FIPS 203's and FIPS 204's numbers, and the draft's.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		suite                                                                         Suite
		kem                                                                           uint16
		seeds, public, verifying, signature, encapsulation, digest, hpkeGrant, passed int
	}{
		{SuiteHybrid, 0x0051, 64, 3617, 1952, 3309, 1665, 32, 1826, 113},
		{SuiteCNSA, 0x0042, 96, 4160, 2592, 4627, 1568, 48, 1745, 0},
	} {
		id := generated(t, c.suite)
		if got := suites[c.suite].kem.ID(); got != c.kem {
			t.Errorf("suite %d: KEM %#04x", c.suite, got)
		}
		sig, err := id.Sign(StatementManifest, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWrappingKey(rand.Reader, id.Public())
		if err != nil {
			t.Fatal(err)
		}
		g, err := w.Wrap(rand.Reader, [16]byte{}, new([32]byte))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []struct {
			what      string
			got, said int
			want      int
		}{
			{"seeds", len(id.Seeds()), c.suite.SeedsSize(), c.seeds},
			{"public", len(id.Public().Bytes()), c.suite.PublicSize(), c.public},
			{"verifying", len(id.signing.Verifying().Bytes()), c.suite.VerifyingKeySize(), c.verifying},
			{"signature", len(sig), c.suite.SignatureSize(), c.signature},
			{"encapsulation", len(g.Sealed) - 48, c.suite.EncapsulationSize(), c.encapsulation},
			{"digest", len(id.Public().Fingerprint()), c.suite.DigestSize(), c.digest},
			{"grant", len(g.Bytes()), c.hpkeGrant, c.hpkeGrant},
		} {
			if n.got != n.want || n.said != n.want {
				t.Errorf("suite %d: %s has %d bytes, said to have %d; want %d", c.suite, n.what, n.got, n.said, n.want)
			}
		}
		if c.suite.AllowsPassphrase() != (c.passed > 0) {
			t.Errorf("suite %d: passphrases", c.suite)
		}
	}
	for _, bad := range []Suite{0, 3, 255} {
		if bad.Valid() {
			t.Errorf("suite %d is valid", bad)
		}
		for what, err := range map[string]error{
			"Generate":              second(Generate(rand.Reader, bad)),
			"FromSeeds":             second(FromSeeds(bad, make([]byte, 64))),
			"PublicFromBytes":       second(PublicFromBytes(bad, make([]byte, 3617))),
			"SigningKeyFromSeed":    second(SigningKeyFromSeed(bad, make([]byte, 32))),
			"GenerateSigningKey":    second(GenerateSigningKey(rand.Reader, bad)),
			"VerifyingKeyFromBytes": second(VerifyingKeyFromBytes(bad, make([]byte, 1952))),
			"ParseCertificate":      second(ParseCertificate(bad, make([]byte, 6000))),
		} {
			if err == nil {
				t.Errorf("%s takes suite %d", what, bad)
			}
		}
		if _, _, err := ParseGrant(bad, make([]byte, 2000)); !errors.Is(err, ErrGrant) {
			t.Errorf("ParseGrant takes suite %d", bad)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestWrongLengths(t *testing.T) {
	for _, suite := range bothSuites {
		id := generated(t, suite)
		pub := id.Public().Bytes()
		for _, n := range []int{0, 1, len(pub) - 1, len(pub) + 1, 2 * len(pub)} {
			if _, err := PublicFromBytes(suite, append(bytes.Clone(pub), pub...)[:n]); err == nil {
				t.Errorf("suite %d: a public key of %d bytes", suite, n)
			}
		}
		for _, n := range []int{0, 32, suite.SeedsSize() - 1, suite.SeedsSize() + 1} {
			if _, err := FromSeeds(suite, make([]byte, n)); err == nil {
				t.Errorf("suite %d: seeds of %d bytes", suite, n)
			}
		}
		for _, n := range []int{0, 31, 33} {
			if _, err := SigningKeyFromSeed(suite, make([]byte, n)); err == nil {
				t.Errorf("suite %d: a signing seed of %d bytes", suite, n)
			}
			if _, err := Generate(bytes.NewReader(make([]byte, n)), suite); err == nil {
				t.Errorf("suite %d: generated from %d bytes", suite, n)
			}
		}
	}
}

// TestInvalidKeys gives encodings that have the right length and are no keys.
func TestInvalidKeys(t *testing.T) {
	for _, suite := range bothSuites {
		pub := generated(t, suite).Public().Bytes()
		pub[0], pub[1] = 0xff, pub[1]|0x0f // an ML-KEM coefficient of 4095
		if _, err := PublicFromBytes(suite, pub); err == nil {
			t.Errorf("suite %d: an ML-KEM key with a coefficient above q", suite)
		}
	}
	for name, change := range map[string]func(point []byte){
		"compressed":       func(p []byte) { p[0] = 2 },
		"hybrid form":      func(p []byte) { p[0] = 6 },
		"not on the curve": func(p []byte) { p[96] ^= 1 },
		"infinity":         func(p []byte) { clear(p) },
		"coordinate >= p":  func(p []byte) { copy(p[1:], bytes.Repeat([]byte{0xff}, 48)) },
	} {
		pub := generated(t, SuiteHybrid).Public().Bytes()
		change(pub[1568:1665])
		if _, err := PublicFromBytes(SuiteHybrid, pub); err == nil {
			t.Errorf("a P-384 point: %s", name)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	id := generated(t, SuiteHybrid)
	w, err := NewWrappingKey(rand.Reader, id.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []any{id, id.signing, w} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(format, secret); got != "[redacted]" {
				t.Errorf("%T prints as %.60q by %s", secret, got, format)
			}
		}
	}
}

func TestSignatures(t *testing.T) {
	other := Statement{"stonevault.v1/other", StatementManifest.PayloadType}
	otherType := Statement{StatementManifest.Context, "application/vnd.stonevault.other"}
	for _, suite := range bothSuites {
		id, stranger := generated(t, suite), generated(t, suite)
		payload := []byte("a payload")
		sig, err := id.Sign(StatementManifest, payload)
		if err != nil {
			t.Fatal(err)
		}
		again, err := id.Sign(StatementManifest, payload)
		if err != nil || bytes.Equal(sig, again) {
			t.Errorf("suite %d: signing is not hedged: %v", suite, err)
		}
		for _, s := range [][]byte{sig, again} {
			if err := id.Public().Verify(StatementManifest, payload, s); err != nil {
				t.Errorf("suite %d: %v", suite, err)
			}
		}
		for name, err := range map[string]error{
			"certificate":   id.Public().Verify(StatementCertificate, payload, sig),
			"other context": id.Public().Verify(other, payload, sig),
			"other type":    id.Public().Verify(otherType, payload, sig),
			"other payload": id.Public().Verify(StatementManifest, append(payload, ' '), sig),
			"no payload":    id.Public().Verify(StatementManifest, nil, sig),
			"stranger":      stranger.Public().Verify(StatementManifest, payload, sig),
			"cut":           id.Public().Verify(StatementManifest, payload, sig[:len(sig)-1]),
			"longer":        id.Public().Verify(StatementManifest, payload, append(bytes.Clone(sig), 0)),
			"empty":         id.Public().Verify(StatementManifest, payload, nil),
		} {
			if !errors.Is(err, ErrSignature) {
				t.Errorf("suite %d, %s: %v", suite, name, err)
			}
		}
	}
}

// TestOracle checks ML-DSA against filippo.io/mldsa, in both directions and from the seed.
func TestOracle(t *testing.T) {
	for _, c := range []struct {
		suite  Suite
		params mldsa.Parameters
	}{{SuiteHybrid, mldsa.MLDSA65()}, {SuiteCNSA, mldsa.MLDSA87()}} {
		for range 20 {
			key, err := GenerateSigningKey(rand.Reader, c.suite)
			if err != nil {
				t.Fatal(err)
			}
			oracle, err := mldsa.NewPrivateKey(c.params, key.Seed())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(oracle.PublicKey().Bytes(), key.Verifying().Bytes()) {
				t.Fatalf("suite %d: one seed, two public keys", c.suite)
			}
			payload := make([]byte, 100)
			rand.Read(payload)
			encoded := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(StatementManifest.PayloadType), StatementManifest.PayloadType, len(payload), payload)
			options := &mldsa.Options{Context: StatementManifest.Context}
			ours, err := key.Sign(StatementManifest, payload)
			if err != nil {
				t.Fatal(err)
			}
			if err := mldsa.Verify(oracle.PublicKey(), encoded, ours, options); err != nil {
				t.Errorf("suite %d: the oracle refuses our signature: %v", c.suite, err)
			}
			theirs, err := oracle.Sign(nil, encoded, options)
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Verifying().Verify(StatementManifest, payload, theirs); err != nil {
				t.Errorf("suite %d: we refuse the oracle's signature: %v", c.suite, err)
			}
			// Where one is refused, so by both: a flip in every part of a signature, the hints last.
			for _, at := range []int{0, 40, 1000, len(ours) - 80, len(ours) - 1} {
				bad := bytes.Clone(ours)
				bad[at] ^= 1
				a, b := key.Verifying().Verify(StatementManifest, payload, bad), mldsa.Verify(oracle.PublicKey(), encoded, bad, options)
				if a == nil || b == nil {
					t.Errorf("suite %d, byte %d: %v, oracle %v", c.suite, at, a, b)
				}
			}
		}
	}
}
