package stone_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// The golden vectors are made by this package and by the forge, once, with
//
//	go test ./stone -run TestVectors -update
//
// and must end as their files say for ever after. HPKE and ML-DSA draw their randomness from the system,
// so that making them again gives other bytes.
var update = flag.Bool("update", false, "make the golden vectors anew")

// vector is a stone and what opening it comes to.
type vector struct {
	Name   string `json:"name"`
	Expect string `json:"expect"`         // open, refused, no-grant or wrong-passphrase
	Step   int    `json:"step,omitempty"` // of the specification's section 9, at which it ends
	Reason string `json:"reason"`

	Suite      identity.Suite `json:"suite"`
	Identity   string         `json:"identity,omitempty"` // a name in the file's identities
	Passphrase string         `json:"passphrase,omitempty"`

	// Of those that open.
	PlaintextLength *int64 `json:"plaintext_length,omitempty"`
	PlaintextSHA256 string `json:"plaintext_sha256,omitempty"`
	Revision        int64  `json:"revision,omitempty"`
	Signer          string `json:"signer,omitempty"`
	Root            string `json:"root,omitempty"` // of the certificate
	Class           string `json:"class,omitempty"`
	FileName        string `json:"file_name,omitempty"`
	Path            string `json:"path,omitempty"`

	Stone string `json:"stone"` // base64
}

type vectorFile struct {
	Format     string            `json:"format"`
	Identities map[string]string `json:"identities"` // secret keys
	Vectors    []vector          `json:"vectors"`
}

// alike are rules that another vector shows as well as they do. TestBrokenRules forges them all; the
// files leave these out, because a stone takes 15 KB.
const alike = `
trailer version 0|trailer suite 0|trailer reserved 2|trailer manifest too long|trailer certificate too long
trailer grants too long|trailer body takes from manifest|first byte cut off|signature of other manifest
manifest unknown member before all|manifest without sealed|manifest without grants|manifest null time
manifest with more than 1000 grants listed|manifest escaped member|manifest escaped slash|manifest two texts
manifest array|manifest nested deeply|manifest number 01|manifest number as text|manifest index of suite 2's length
manifest index empty|manifest commitment not hex|manifest revision -1|manifest previous short|manifest time 2^53
manifest lone surrogate|manifest signer upper-case|manifest index upper-case|manifest one segment more
certificate other format|certificate length huge|certificate kind empty|certificate id not ASCII
certificate version too high|certificate time too late|certificate keys of suite 2's length|certificate says other suite
certificate white space|certificate root key swapped|grant kind 0|grant kind 5|grant kind 255
grant listed as numbered kind|grant copied|grant replaced|passphrase twice|grant encapsulation no point
grant without info|stranger of suite 2|commitment of zeros|sealed with an alien character|sealed changed
sealed for other suite|sealed under other key|metadata one byte short|metadata length too long|metadata length 2^32-1
metadata too long|metadata null owner|metadata repeated name|metadata escape in upper case
metadata name with half a pair|metadata size 5.0|metadata name .|metadata class empty|metadata size above 2^40
metadata version negative|metadata version 2^53|metadata time -2^53|metadata mode 2^32|metadata space
preamble line end|preamble version 2|row plaintext 2^32-1|row sealed 2^32-1|row encoding 255|row sealed one more
size one less|byte between preamble and segment|restricted padded too far|segment commitment changed
segment tag changed|segment twice|segment of other suite|segment's chunks swapped|zstd empty frame after
zstd cut|zstd without last block|zstd checksum flag|zstd reserved bit|zstd holds less|zstd block too large
first byte of padding not zero|two envelopes|byte before|trailer manifest one more|certificate id too long
certificate length one more|certificate kind with a space|manifest byte order mark|manifest space
manifest without format|grant listed as other kind|zstd trailing byte|signature of zeros|metadata name ..
sealed for other file|segment salt changed`

// files are the groups that the vectors are kept in, so that none is large.
var files = map[string][]badCase{
	"framing":      slices.Concat(framingCases, signatureCases),
	"manifest":     manifestCases,
	"certificates": certificateCases,
	"grants":       grantCases,
	"metadata":     metadataCases,
	"body":         slices.Concat(bodyCases, segmentCases),
}

func vectorPath(name string) string { return filepath.Join("testdata", "vectors", name+".json") }

func writeVectors(t *testing.T) {
	identities := make(map[string]string)
	for _, name := range []string{"alice", "bob", "mallory"} {
		identities[name] = person(t, name, identity.SuiteHybrid).SecretText()
	}
	identities["carol (suite 2)"] = person(t, "carol", identity.SuiteCNSA).SecretText()
	identities["alice (suite 2)"] = person(t, "alice", identity.SuiteCNSA).SecretText()
	write := func(name string, vectors []vector) {
		b, err := json.MarshalIndent(vectorFile{"stonevault.v1", identities, vectors}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(vectorPath(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorPath(name), append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	leftOut := strings.Split(strings.ReplaceAll(strings.TrimSpace(alike), "\n", "|"), "|")
	for name, cases := range files {
		var vectors []vector
		for _, c := range cases {
			if slices.Contains(leftOut, c.name) {
				leftOut = slices.DeleteFunc(leftOut, func(n string) bool { return n == c.name })
				continue
			}
			sealed := c.forge(t)
			v := vector{Name: c.name, Expect: c.expected(), Step: c.step, Reason: c.reason, Suite: c.suite, Stone: base64.StdEncoding.EncodeToString(sealed)}
			if v.Passphrase = c.passphrase; v.Passphrase == "" {
				v.Identity = c.as
				if v.Identity == "" {
					v.Identity = map[identity.Suite]string{1: "alice", 2: "alice (suite 2)"}[c.suite]
				}
			}
			vectors = append(vectors, v)
		}
		write(name, vectors)
	}
	if len(leftOut) > 0 {
		t.Errorf("left out, but not there: %q", leftOut)
	}
	var vectors []vector
	for _, s := range salamanders {
		v := vector{Name: s.name, Expect: s.expect, Step: s.step, Reason: s.reason, Suite: 1, Identity: s.as, Stone: base64.StdEncoding.EncodeToString(salamanderForge(t, s.forBob))}
		if s.expect == "open" {
			describe(t, &v)
		}
		vectors = append(vectors, v)
	}
	write("salamander", vectors)
	write("open", goodVectors(t))
}

// describe fills in what opening v gives now.
func describe(t *testing.T, v *vector) {
	t.Helper()
	sealed, err := base64.StdEncoding.DecodeString(v.Stone)
	if err != nil {
		t.Fatal(err)
	}
	got, u, err := openAs(t, sealed, v.Identity, v.Passphrase, v.Suite)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	size := int64(len(got))
	sum := sha256.Sum256(got)
	v.PlaintextLength, v.PlaintextSHA256 = &size, hex.EncodeToString(sum[:])
	v.Revision, v.Signer, v.Class, v.FileName, v.Path = u.Revision, u.Signer.Fingerprint().Hex(), string(u.Metadata.Class), u.Metadata.Name, u.Metadata.Path
	v.Root = ""
	if u.Certificate != nil {
		v.Root = u.Certificate.Root.Fingerprint().Hex()
	}
}

// goodVectors are made by the package itself.
func goodVectors(t *testing.T) []vector {
	var vectors []vector
	seal := func(name, reason, as, passphrase string, suite identity.Suite, plain []byte, p stone.SealParams) {
		t.Helper()
		p.Rand, p.Now = rand.Reader, time.UnixMilli(1_800_000_000_000)
		var out bytes.Buffer
		if err := stone.Seal(context.Background(), &out, bytes.NewReader(plain), p); err != nil {
			t.Fatal(err)
		}
		v := vector{Name: name, Expect: "open", Reason: reason, Suite: suite, Identity: as, Passphrase: passphrase, Stone: base64.StdEncoding.EncodeToString(out.Bytes())}
		describe(t, &v)
		vectors = append(vectors, v)
	}
	text := []byte(strings.Repeat("All that is gold does not glitter, not all those who wander are lost. ", 80))
	over := append(make([]byte, stone.SegmentSize), 'x')
	for suite, as := range map[identity.Suite]string{1: "alice", 2: "alice (suite 2)"} {
		alice := person(t, "alice", suite)
		p := stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, alice)}, Signer: alice, Metadata: stone.Metadata{Name: "file"}}
		in := map[identity.Suite]string{1: ", suite 1", 2: ", suite 2"}[suite]
		seal("empty"+in, "one segment of no bytes", as, "", suite, nil, p)
		seal("one byte"+in, "raw", as, "", suite, []byte("x"), p)
		seal("text"+in, "one compressed segment", as, "", suite, text, p)
		seal("over a segment"+in, "a compressed segment of 1 MiB and a raw one of a byte", as, "", suite, over, p)
		restricted := p
		restricted.Metadata.Class = stone.ClassRestricted
		seal("restricted"+in, "1,000 zeros, padded to 1,024, not compressed", as, "", suite, make([]byte, 1000), restricted)
	}
	alice, bob := person(t, "alice", identity.SuiteHybrid), person(t, "bob", identity.SuiteHybrid)
	p := stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, alice), wrappingKey(t, bob)}, Signer: alice}
	seal("second of two recipients", "bob's grant is the second", "bob", "", 1, text, p)
	p.Recipients = p.Recipients[:1]
	seal("two chunks", "a raw segment of exactly 16,384 bytes: a full chunk and an empty one", "alice", "", 1, seedFor("content", 16384), p)
	p.Compression.Never = true
	seal("compression off", "compressible, but raw", "alice", "", 1, text[:1000], p)
	p.Signer = nil
	seal("one-time signer", "nobody knows the signer", "alice", "", 1, nil, p)
	p.Signer = alice
	p.Metadata = stone.Metadata{
		Name: `"quotes", back\slash, <&>, é, 漢字, 😀 ` + "\u2028\u007f\ufffd", Path: "/\b\f\n\r\t\x00\x01\x1f/é", Folder: "f", Document: "d",
		Version: 1<<53 - 1, Owner: "o", MediaType: "text/plain; charset=utf-8", Scan: "clean", Mode: 0o777,
		ModifiedAt: time.UnixMilli(1<<53 - 1), CreatedAt: time.UnixMilli(1 - 1<<53), SealedAt: time.UnixMilli(0),
	}
	seal("every escape", "metadata with all that canonical JSON spells in its own way, and numbers at their bounds", "alice", "", 1, nil, p)
	w, err := identity.NewPassphraseKey(rand.Reader, identity.SuiteHybrid, []byte("caf\u00e9"))
	if err != nil {
		t.Fatal(err)
	}
	seal("passphrase", "the passphrase is given decomposed, and sealed composed: both are normalized", "", "cafe\u0301", 1, text, stone.SealParams{Recipients: []*identity.WrappingKey{w}})

	for _, suite := range []identity.Suite{1, 2} {
		f := newForge(t, person(t, "alice", suite), person(t, "alice", suite))
		f.certificate = certificateFor(t, f.signer.Public())
		v := vector{Name: "certified signer", Expect: "open", Reason: "a certificate by a root", Suite: suite, Identity: "alice", Stone: base64.StdEncoding.EncodeToString(f.bytes())}
		if suite == 2 {
			v.Name, v.Identity = "certified signer, suite 2", "alice (suite 2)"
		}
		describe(t, &v)
		vectors = append(vectors, v)
	}
	for suite, as := range map[identity.Suite]string{1: "alice", 2: "alice (suite 2)"} {
		v := vector{Name: "envelope of suite 2 for a body of suite 1", Expect: "open", Reason: "revision 2 moved the file to another suite", Suite: suite, Identity: as}
		if suite == 1 {
			v.Name = "envelope of suite 1 for a body of suite 2"
		}
		v.Stone = base64.StdEncoding.EncodeToString(moved(t, text, person(t, "alice", 3-suite), person(t, "alice", suite)))
		describe(t, &v)
		vectors = append(vectors, v)
	}
	f := newForge(t, alice, alice)
	revision("2", 32)(f)
	v := vector{Name: "revision 2", Expect: "open", Reason: "names a manifest before it", Suite: 1, Identity: "alice", Stone: base64.StdEncoding.EncodeToString(f.bytes())}
	describe(t, &v)
	return append(vectors, v)
}

// moved is a stone whose envelope was replaced by one of another suite.
func moved(t *testing.T, plain []byte, from, to *identity.Identity) []byte {
	t.Helper()
	var out bytes.Buffer
	now := time.UnixMilli(1_800_000_000_000)
	p := stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, from)}, Signer: from, Rand: rand.Reader, Now: now}
	if err := stone.Seal(t.Context(), &out, bytes.NewReader(plain), p); err != nil {
		t.Fatal(err)
	}
	_, u, err := openAs(t, out.Bytes(), "alice", "", from.Suite())
	if err != nil {
		t.Fatal(err)
	}
	g, err := wrappingKey(t, to).Wrap(rand.Reader, u.FileID, (*[32]byte)(u.Key()))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := stone.SealEnvelope(stone.EnvelopeParams{
		Body: u.Body(), Key: u.Key(), Revision: 2, Previous: u.PreviousFor(to.Suite()), Time: now,
		Signer: to, Grants: []*identity.Grant{g}, Metadata: u.Metadata, Rand: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(out.Bytes()[:u.BodySize:u.BodySize], envelope...)
}

// TestVectors opens every golden vector with both openers.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	says := make(map[string]string)
	for _, c := range badCases() {
		says[c.name] = c.says
	}
	for _, s := range salamanders {
		says[s.name] = s.says
	}
	total := make(map[string]int)
	for _, v := range loadVectors(t) {
		total[v.Expect]++
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			sealed, err := base64.StdEncoding.DecodeString(v.Stone)
			if err != nil {
				t.Fatal(err)
			}
			want, known := outcomes[v.Expect]
			if !known {
				t.Fatalf("outcome %q is unknown", v.Expect)
			}
			as := v.Identity
			if as != "" && strings.HasSuffix(as, "(suite 2)") != (identityOf(t, as, v.Suite).Suite() == 2) {
				t.Fatalf("%q is of another suite", as)
			}
			spec, specErr := specOpen(sealed, specKeysOf(t, as, v.Passphrase, v.Suite))
			if want != nil {
				got, _, err := openAs(t, sealed, as, v.Passphrase, v.Suite)
				if !errors.Is(err, want) || !strings.Contains(err.Error(), says[v.Name]) || v.Reason == "" || says[v.Name] == "" {
					t.Errorf("got %d bytes and %v; want %s because %s", len(got), err, v.Expect, v.Reason)
				}
				var end *specError
				if !errors.As(specErr, &end) || end.step != v.Step || end.outcome != v.Expect {
					t.Errorf("the specification's opener: %v; want step %d, %s", specErr, v.Step, v.Expect)
				}
				return
			}
			again := v
			describe(t, &again)
			if *again.PlaintextLength != *v.PlaintextLength {
				t.Errorf("%d bytes, want %d", *again.PlaintextLength, *v.PlaintextLength)
			}
			if again.PlaintextLength = v.PlaintextLength; again != v {
				t.Errorf("opened to something else")
			}
			if specErr != nil {
				t.Fatalf("the specification's opener: %v", specErr)
			}
			if sum := sha256.Sum256(spec.plain); hex.EncodeToString(sum[:]) != v.PlaintextSHA256 || spec.metadata["name"] != v.FileName || spec.metadata["path"] != v.Path {
				t.Error("the specification's opener reads something else")
			}
		})
	}
	t.Logf("vectors: %v", total)
	if total["open"] < 15 || total["refused"] < 80 || total["no-grant"] < 2 || total["wrong-passphrase"] < 2 {
		t.Errorf("vectors are missing: there are only %v", total)
	}
}

func loadVectors(t testing.TB) []vector {
	t.Helper()
	paths, err := filepath.Glob(vectorPath("*"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f vectorFile
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if f.Format != "stonevault.v1" || len(f.Vectors) == 0 {
			t.Fatalf("%s has no vectors", path)
		}
		for name, secret := range f.Identities {
			if id := identityOf(t, name, identity.SuiteHybrid); id.SecretText() != secret {
				t.Fatalf("%s: the secret key of %s is another one", path, name)
			}
		}
		vectors = append(vectors, f.Vectors...)
	}
	return vectors
}

func wantRefusal(t *testing.T, name string, got []byte, err error, says string) {
	t.Helper()
	if !errors.Is(err, stone.ErrRefused) || !strings.Contains(err.Error(), says) || len(got) > 0 {
		t.Errorf("%s: got %d bytes and %v; want a refusal because of %q", name, len(got), err, says)
	}
}
