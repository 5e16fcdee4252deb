package stone_test

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"

	"stonevault/identity"
	"stonevault/stone"
)

// badCase is a rule of the specification and a stone that breaks it and no other. step is the step of
// section "Opening" that ends it; says is a part of this package's reason, so that a stone that is
// refused for some other reason does not pass for this one.
type badCase struct {
	name   string
	reason string
	step   int
	says   string
	change func(f *forge)
	opener // nobody in particular: alice
}

// opener is who tries, and what should come of it: "" is refused.
type opener struct {
	as         string
	passphrase string
	expect     string
	suite      identity.Suite // of the stone
}

func (f *forge) person(name string) *identity.Identity { return person(f.t, name, f.suite) }

// onText replaces one part of the manifest's text.
func onText(old, new string) func(f *forge) {
	return func(f *forge) {
		f.onManifestText = func(text string) string {
			if strings.Count(text, old) != 1 {
				f.t.Fatalf("%q is %d times in the manifest", old, strings.Count(text, old))
			}
			return strings.Replace(text, old, new, 1)
		}
	}
}

func whole(change func(b []byte) []byte) func(f *forge) {
	return func(f *forge) { f.onWhole = change }
}

// trailer changes a byte, counted from the trailer's start.
func trailer(at int, to byte) func(f *forge) {
	return func(f *forge) { f.onTrailer = func(t []byte) { t[at] = to } }
}

func lengths(body, manifest, certificate, grants int) func(f *forge) {
	return func(f *forge) {
		f.onTrailer = func(t []byte) {
			binary.BigEndian.PutUint64(t, binary.BigEndian.Uint64(t)+uint64(body))
			for i, n := range []int{manifest, certificate, grants} {
				at := t[8+4*i:]
				binary.BigEndian.PutUint32(at, binary.BigEndian.Uint32(at)+uint32(n))
			}
		}
	}
}

var framingCases = []badCase{
	{name: "empty", reason: "there is nothing", step: 1, says: "too short", change: whole(func(b []byte) []byte { return nil })},
	{name: "only a trailer", reason: "shorter than a preamble and a trailer", step: 1, says: "too short", change: whole(func(b []byte) []byte { return b[len(b)-32:] })},
	{name: "trailer magic", reason: "the last byte of the magic differs", step: 1, says: "does not end like", change: trailer(31, 'd')},
	{name: "trailer version 0", reason: "version 0", step: 1, says: "version 0", change: trailer(20, 0)},
	{name: "trailer version 2", reason: "version 2", step: 1, says: "version 2", change: trailer(20, 2)},
	{name: "trailer suite 0", reason: "suite 0 is unknown", step: 1, says: "suite 0", change: trailer(21, 0)},
	{name: "trailer suite 3", reason: "suite 3 is unknown", step: 1, says: "suite 3", change: trailer(21, 3)},
	{name: "trailer other suite", reason: "suite 2 over a stone of suite 1", step: 2, says: "length", change: trailer(21, 2)},
	{name: "trailer reserved 1", reason: "a reserved byte is not zero", step: 1, says: "does not allow", change: trailer(22, 1)},
	{name: "trailer reserved 2", reason: "a reserved byte is not zero", step: 1, says: "does not allow", change: trailer(23, 0x80)},
	{name: "trailer body too long", reason: "body length above 2^62", step: 1, says: "out of range", change: trailer(0, 0x80)},
	{name: "trailer manifest too long", reason: "manifest length above 2^20", step: 1, says: "out of range", change: trailer(9, 0x20)},
	{name: "trailer certificate too long", reason: "certificate length above 16 KiB", step: 1, says: "out of range", change: trailer(14, 0x41)},
	{name: "trailer grants too long", reason: "grants length above 4 MiB", step: 1, says: "out of range", change: trailer(17, 0x41)},
	{name: "trailer envelope too long", reason: "each length is allowed, but the envelope has more than 4 MiB", step: 1, says: "does not allow", change: func(f *forge) {
		f.onTrailer = func(t []byte) { copy(t[16:], "\x00\x3f\xff\xff") }
	}},
	{name: "trailer body one more", reason: "body length is not what is there", step: 2, says: "length", change: lengths(1, 0, 0, 0)},
	{name: "trailer manifest one more", reason: "the lengths do not add up", step: 2, says: "length", change: lengths(0, 1, 0, 0)},
	{name: "trailer manifest takes from body", reason: "the manifest begins one byte early; lengths add up", step: 4, says: "signature", change: lengths(-1, 1, 0, 0)},
	{name: "trailer body takes from manifest", reason: "the manifest begins one byte late; lengths add up", step: 4, says: "signature", change: lengths(1, -1, 0, 0)},
	{name: "trailer grants become certificate", reason: "grants of one byte less, a certificate of one byte", step: 6, says: "certificate", change: lengths(0, 0, 1, -1)},
	{name: "byte appended", reason: "a byte follows the trailer", step: 1, says: "does not end like", change: whole(func(b []byte) []byte { return append(b, 0) })},
	{name: "byte cut off", reason: "the last byte is missing", step: 1, says: "does not end like", change: whole(func(b []byte) []byte { return b[:len(b)-1] })},
	{name: "byte before", reason: "a byte stands before the preamble", step: 2, says: "length", change: whole(func(b []byte) []byte { return append([]byte{0}, b...) })},
	{name: "first byte cut off", reason: "the first byte is missing", step: 2, says: "length", change: whole(func(b []byte) []byte { return b[1:] })},
	{name: "two envelopes", reason: "the envelope stands there twice", step: 2, says: "length", change: func(f *forge) {
		f.onWhole = func(b []byte) []byte {
			body := binary.BigEndian.Uint64(b[len(b)-32:])
			return append(b, b[body:]...)
		}
	}},
	{name: "no body", reason: "an envelope alone, with a trailer that says so", step: 11, says: "shorter than its index", change: func(f *forge) {
		f.onWhole = func(b []byte) []byte {
			body := binary.BigEndian.Uint64(b[len(b)-32:])
			binary.BigEndian.PutUint64(b[len(b)-32:], 0)
			return b[body:]
		}
	}},
}

var signatureCases = []badCase{
	{name: "signature of zeros", reason: "no signature", step: 4, says: "signature", change: func(f *forge) {
		f.onSignature = func(_, sig []byte) []byte { return make([]byte, len(sig)) }
	}},
	{name: "signature one bit", reason: "one bit of the signature flipped", step: 4, says: "signature", change: func(f *forge) {
		f.onSignature = func(_, sig []byte) []byte { sig[1000] ^= 4; return sig }
	}},
	{name: "signature as certificate", reason: "signed with a certificate's context and payload type", step: 4, says: "signature", change: signedAs(func(id *identity.Identity, m []byte) ([]byte, error) {
		return id.Sign(identity.StatementCertificate, m)
	})},
	{name: "signature other context", reason: "the payload type is right, the context string is not", step: 4, says: "signature", change: signedAs(func(id *identity.Identity, m []byte) ([]byte, error) {
		return id.Sign(identity.Statement{Context: "stonevault.v1/certificate", PayloadType: identity.StatementManifest.PayloadType}, m)
	})},
	{name: "signature other payload type", reason: "the context string is right, the payload type is not", step: 4, says: "signature", change: signedAs(func(id *identity.Identity, m []byte) ([]byte, error) {
		return id.Sign(identity.Statement{Context: "stonevault.v1/manifest", PayloadType: identity.StatementCertificate.PayloadType}, m)
	})},
	{name: "signature without encoding", reason: "the bare manifest is signed, without DSSE's encoding", step: 4, says: "signature", change: signedAs(func(id *identity.Identity, m []byte) ([]byte, error) {
		return rawSign(id, m, "stonevault.v1/manifest")
	})},
	{name: "signature without context", reason: "signed with an empty context string", step: 4, says: "signature", change: signedAs(func(id *identity.Identity, m []byte) ([]byte, error) {
		return rawSign(id, fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(identity.StatementManifest.PayloadType), identity.StatementManifest.PayloadType, len(m), m), "")
	})},
	{name: "signature of other manifest", reason: "a genuine signature of another manifest", step: 4, says: "signature", change: func(f *forge) {
		f.onSignature = func(m, _ []byte) []byte {
			sig, err := f.signer.Sign(identity.StatementManifest, append(m, ' '))
			if err != nil {
				f.t.Fatal(err)
			}
			return sig
		}
	}},
	{name: "signer's point not on the curve", reason: "the P-384 part of the signer's receiving key is no point", step: 3, says: "receiving key", change: func(f *forge) {
		f.onSigner = func(keys []byte) []byte { keys[1664] ^= 1; return keys }
	}},
	{name: "signer's ML-KEM key out of range", reason: "a coefficient of the ML-KEM key is 4095, more than q", step: 3, says: "receiving key", change: func(f *forge) {
		f.onSigner = func(keys []byte) []byte { keys[0], keys[1] = 0xff, keys[1]|0x0f; return keys }
	}},
	{name: "signer's key swapped", reason: "the keys of somebody who did not sign", step: 4, says: "signature", change: func(f *forge) {
		f.onSigner = func([]byte) []byte { return f.person("mallory").Public().Bytes() }
	}},
	{name: "signer's receiving key swapped", reason: "the key that signed beside another's receiving key: another fingerprint", step: 5, says: "another signer", change: func(f *forge) {
		f.onSigner = func(keys []byte) []byte {
			return append(bytes.Clone(f.person("mallory").Public().Bytes()[:1665]), keys[1665:]...)
		}
	}},
	{name: "signed by another", reason: "mallory signs a manifest that names alice", step: 5, says: "another signer", change: func(f *forge) {
		mallory := f.person("mallory")
		f.onSignature = func(m, _ []byte) []byte {
			sig, err := mallory.Sign(identity.StatementManifest, m)
			if err != nil {
				f.t.Fatal(err)
			}
			return sig
		}
		f.onSigner = func([]byte) []byte { return mallory.Public().Bytes() }
	}},
}

func signedAs(sign func(id *identity.Identity, manifest []byte) ([]byte, error)) func(f *forge) {
	return func(f *forge) {
		f.onSignature = func(m, _ []byte) []byte {
			sig, err := sign(f.signer, m)
			if err != nil {
				f.t.Fatal(err)
			}
			return sig
		}
	}
}

func rawSign(id *identity.Identity, message []byte, context string) ([]byte, error) {
	seed := [32]byte(id.Seeds()[32:])
	_, sk := mldsa65.NewKeyFromSeed(&seed)
	sig := make([]byte, mldsa65.SignatureSize)
	return sig, mldsa65.SignTo(sk, message, []byte(context), true, sig)
}

// certificate makes one from its parts; change gets the members, and the pieces after signing.
func forgedCertificate(f *forge, change func(m *members), pieces func(text, key, sig []byte) []byte) {
	root := rootKey(f.t, f.suite)
	m := members{
		{"format", `"stonevault.v1/certificate"`}, {"id", `"person-1"`}, {"issued_at", "1700000000000"},
		{"keys", quoted(f.signer.Public().Fingerprint().Hex())}, {"kind", `"person"`},
		{"root", quoted(root.Verifying().Fingerprint().Hex())}, {"suite", "1"}, {"version", "1"},
	}
	if change != nil {
		change(&m)
	}
	text := []byte(m.text())
	sig, err := root.Sign(identity.StatementCertificate, text)
	if err != nil {
		f.t.Fatal(err)
	}
	if pieces == nil {
		pieces = func(text, key, sig []byte) []byte {
			return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text, key, sig)
		}
	}
	f.certificate = pieces(text, root.Verifying().Bytes(), sig)
}

func certified(member, value string) func(f *forge) {
	return func(f *forge) { forgedCertificate(f, func(m *members) { m.set(member, value) }, nil) }
}

func certifiedPieces(pieces func(text, key, sig []byte) []byte) func(f *forge) {
	return func(f *forge) { forgedCertificate(f, nil, pieces) }
}

var certificateCases = []badCase{
	{name: "certificate for other keys", reason: "genuine, but for bob's keys", step: 6, says: "for other keys", change: func(f *forge) {
		f.certificate = certificateFor(f.t, f.person("bob").Public())
	}},
	{name: "certificate of other suite", reason: "genuine, but of suite 2", step: 6, says: "length", change: func(f *forge) {
		f.certificate = certificateFor(f.t, person(f.t, "carol", identity.SuiteCNSA).Public())
	}},
	{name: "certificate says other suite", reason: "the text says suite 2", step: 6, says: "do not fit", change: certified("suite", "2")},
	{name: "certificate other format", reason: "format v2", step: 6, says: "do not fit", change: certified("format", `"stonevault.v2/certificate"`)},
	{name: "certificate other root", reason: "the text names another root than the key beside it", step: 6, says: "do not fit", change: certified("root", quoted(strings.Repeat("ab", 32)))},
	{name: "certificate root key swapped", reason: "the verifying key is mallory's", step: 6, says: "do not fit", change: certifiedPieces(func(text, key, sig []byte) []byte {
		key[0] ^= 1
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text, key, sig)
	})},
	{name: "certificate signature", reason: "one bit of its signature flipped", step: 6, says: "signature", change: certifiedPieces(func(text, key, sig []byte) []byte {
		sig[7] ^= 1
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text, key, sig)
	})},
	{name: "certificate signed as manifest", reason: "signed by the root, as a manifest", step: 6, says: "signature", change: func(f *forge) {
		forgedCertificate(f, nil, func(text, key, _ []byte) []byte {
			sig, err := rootKey(f.t, f.suite).Sign(identity.StatementManifest, text)
			if err != nil {
				f.t.Fatal(err)
			}
			return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text, key, sig)
		})
	}},
	{name: "certificate length one more", reason: "its length field says one byte too many", step: 6, says: "length", change: certifiedPieces(func(text, key, sig []byte) []byte {
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text)+1)), text, key, sig)
	})},
	{name: "certificate length huge", reason: "its length field says 2^32-1", step: 6, says: "length", change: certifiedPieces(func(text, key, sig []byte) []byte {
		return slices.Concat([]byte{255, 255, 255, 255}, text, key, sig)
	})},
	{name: "certificate trailing byte", reason: "a byte follows its signature", step: 6, says: "length", change: certifiedPieces(func(text, key, sig []byte) []byte {
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text, key, sig, []byte{0})
	})},
	{name: "certificate of three bytes", reason: "no room for its length", step: 6, says: "length", change: func(f *forge) { f.certificate = []byte{0, 0, 0} }},
	{name: "certificate unknown member", reason: "a member that version 1 does not know", step: 6, says: "canonical", change: certified("admin", "true")},
	{name: "certificate white space", reason: "a line end after the text", step: 6, says: "canonical", change: func(f *forge) {
		forgedCertificate(f, nil, func(text, key, _ []byte) []byte {
			text = append(text, '\n')
			sig, err := rootKey(f.t, f.suite).Sign(identity.StatementCertificate, text)
			if err != nil {
				f.t.Fatal(err)
			}
			return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text, key, sig)
		})
	}},
	{name: "certificate kind empty", reason: "no kind", step: 6, says: "1 to 64 bytes", change: certified("kind", `""`)},
	{name: "certificate kind with a space", reason: "not printable ASCII", step: 6, says: "printable", change: certified("kind", `"a person"`)},
	{name: "certificate id not ASCII", reason: "not printable ASCII", step: 6, says: "printable", change: certified("id", `"é"`)},
	{name: "certificate id too long", reason: "65 bytes", step: 6, says: "1 to 64 bytes", change: certified("id", quoted(strings.Repeat("x", 65)))},
	{name: "certificate version 0", reason: "versions begin at 1", step: 6, says: "out of range", change: certified("version", "0")},
	{name: "certificate version too high", reason: "above 2^31", step: 6, says: "out of range", change: certified("version", "2147483649")},
	{name: "certificate time negative", reason: "before 1970", step: 6, says: "time is out of range", change: certified("issued_at", "-1")},
	{name: "certificate time too late", reason: "2^53", step: 6, says: "time is out of range", change: certified("issued_at", "9007199254740992")},
	{name: "certificate keys upper-case", reason: "hex digits are lower-case", step: 6, says: "lower-case", change: func(f *forge) {
		certified("keys", quoted(strings.ToUpper(f.signer.Public().Fingerprint().Hex())))(f)
	}},
	{name: "certificate keys of suite 2's length", reason: "48 bytes", step: 6, says: "hex digits", change: certified("keys", quoted(strings.Repeat("ab", 48)))},
}

var grantCases = []badCase{
	{name: "grant twice", reason: "two grants of one kind to one recipient", step: 7, says: "named twice", change: func(f *forge) {
		f.grant(wrappingKey(f.t, f.person("alice")), f.fileID, f.key)
	}},
	{name: "grant copied", reason: "the same grant, byte for byte, twice", step: 7, says: "named twice", change: func(f *forge) {
		f.grants = append(f.grants, f.grants[0])
	}},
	{name: "grants re-ordered", reason: "both are genuine and listed, in the other order", step: 7, says: "not those of the manifest", change: twoGrants(func(f *forge) { slices.Reverse(f.grants) })},
	{name: "grant removed", reason: "listed, but not there", step: 7, says: "not those of the manifest", change: twoGrants(func(f *forge) { f.grants = f.grants[:1] })},
	{name: "grant added", reason: "there, but not listed", step: 7, says: "not those of the manifest", change: func(f *forge) {
		f.onListed = func() { f.grant(wrappingKey(f.t, f.person("mallory")), f.fileID, f.key) }
	}},
	{name: "grant replaced", reason: "another genuine grant to the same recipient", step: 7, says: "not those of the manifest", change: func(f *forge) {
		f.onListed = func() {
			f.grants = nil
			f.grant(wrappingKey(f.t, f.person("alice")), f.fileID, f.key)
		}
	}},
	{name: "no grants", reason: "none there, none listed", step: 7, says: "1 to 1000 grants", change: func(f *forge) { f.grants = nil }},
	{name: "grants listed as null", reason: "an absent list is not an empty one", step: 5, says: "not a list", change: func(f *forge) {
		f.onManifest = func(m *members) { m.set("grants", "null"); f.grants = nil }
	}},
	{name: "grant kind 0", reason: "unknown kind", step: 7, says: "not allowed", change: kind(0)},
	{name: "grant kind 2", reason: "reserved for hpke+qkd, unknown to version 1", step: 7, says: "not allowed", change: kind(2)},
	{name: "grant kind 3", reason: "reserved for links, unknown to version 1", step: 7, says: "not allowed", change: kind(3)},
	{name: "grant kind 5", reason: "unknown kind", step: 7, says: "not allowed", change: kind(5)},
	{name: "grant kind 255", reason: "unknown kind", step: 7, says: "not allowed", change: kind(255)},
	{name: "grant of suite 2", reason: "foreign: made for a recipient of suite 2", step: 7, says: "grant", change: func(f *forge) {
		f.grant(wrappingKey(f.t, person(f.t, "carol", identity.SuiteCNSA)), f.fileID, f.key)
	}},
	{name: "grant truncated", reason: "its last byte is missing", step: 7, says: "truncated", change: func(f *forge) {
		f.grants[0] = f.grants[0][:len(f.grants[0])-1]
	}},
	{name: "grants with a byte after", reason: "one byte, the kind of a grant that is not there", step: 7, says: "truncated", change: func(f *forge) {
		f.onListed = func() { f.grants = append(f.grants, []byte{1}) }
	}},
	{name: "grant listed as other kind", reason: "the manifest calls it a passphrase", step: 7, says: "not those of the manifest", change: onText(`"kind":"hpke"`, `"kind":"passphrase"`)},
	{name: "grant listed as numbered kind", reason: "a kind's name is its word", step: 7, says: "not those of the manifest", change: onText(`"kind":"hpke"`, `"kind":"1"`)},
	{name: "grant listed for other", reason: "the manifest names another recipient", step: 7, says: "not those of the manifest", change: func(f *forge) {
		onText(`"recipient":"`+f.person("alice").Public().Fingerprint().Hex(), `"recipient":"`+f.person("bob").Public().Fingerprint().Hex())(f)
	}},
	{name: "grant's recipient upper-case", reason: "hex digits are lower-case", step: 7, says: "not those of the manifest", change: func(f *forge) {
		hex := f.person("alice").Public().Fingerprint().Hex()
		onText(`"recipient":"`+hex, `"recipient":"`+strings.ToUpper(hex))(f)
	}},
	{name: "passphrase beside a recipient", reason: "a passphrase stands alone", step: 7, says: "stands alone", change: func(f *forge) {
		f.grants = append(f.grants, passphraseShape())
	}},
	{name: "passphrase twice", reason: "a passphrase stands alone", step: 7, says: "stands alone", change: func(f *forge) {
		f.grants = [][]byte{passphraseShape(), passphraseShape()}
	}},
	{name: "passphrase in suite 2", reason: "suite 2 allows none", step: 7, says: "not allowed", opener: opener{suite: identity.SuiteCNSA}, change: func(f *forge) {
		f.grants = [][]byte{passphraseShape()}
	}},

	{name: "grant opens for nobody", reason: "addressed to alice, the encapsulation is for bob", step: 8, says: "wrapping key is not genuine", change: func(f *forge) {
		bob := f.person("bob")
		f.grant(wrappingKey(f.t, bob), f.fileID, f.key)
		copy(f.grants[1][1:], f.person("alice").Public().Fingerprint())
		f.grants = f.grants[1:]
	}},
	{name: "grant encapsulation changed", reason: "one bit of the ML-KEM ciphertext flipped, and signed", step: 8, says: "wrapping key is not genuine", change: grantByte(1+32+700, 1)},
	{name: "grant encapsulation no point", reason: "the P-384 part is no point of the curve, and signed", step: 8, says: "wrapping key is not genuine", change: grantByte(1+32+1568, 1)},
	{name: "grant ciphertext changed", reason: "one bit of the sealed wrapping key flipped, and signed", step: 8, says: "wrapping key is not genuine", change: grantByte(1+32+1665, 0x10)},
	{name: "grant salt changed", reason: "one bit of the salt flipped, and signed", step: 8, says: "file key is not genuine", change: grantByte(1+32+1665+48+5, 2)},
	{name: "grant wrapped key changed", reason: "one bit of the wrapped file key flipped, and signed", step: 8, says: "file key is not genuine", change: grantByte(1+32+1665+48+32, 0x40)},
	{name: "grant of other file", reason: "wrapped for another file id", step: 8, says: "file key is not genuine", change: func(f *forge) {
		f.grants = nil
		f.grant(wrappingKey(f.t, f.person("alice")), stone.FileID{1, 2, 3}, f.key)
	}},
	{name: "grant without info", reason: "the HPKE info string is empty", step: 8, says: "wrapping key is not genuine", change: hpkeInfo("")},
	{name: "grant with passphrase's info", reason: "the HPKE info string is that of another kind", step: 8, says: "wrapping key is not genuine", change: hpkeInfo("\x00\x00\x00\x0dstonevault.v1\x00\x00\x00\x01\x01\x00\x00\x00\x0apassphrase\x00\x00\x00\x00")},

	{name: "stranger", reason: "sealed for somebody else", step: 8, says: "no grant", opener: opener{as: "bob", expect: "no-grant"}, change: func(*forge) {}},
	{name: "stranger of suite 2", reason: "an identity of suite 2 has no grant in suite 1", step: 8, says: "no grant", opener: opener{as: "carol (suite 2)", expect: "no-grant"}, change: func(*forge) {}},
	{name: "passphrase for an identity's stone", reason: "there is no passphrase grant", step: 8, says: "no grant", opener: opener{passphrase: "open sesame", expect: "no-grant"}, change: func(*forge) {}},
	{name: "identity for a passphrase's stone", reason: "there is nothing but a passphrase grant", step: 8, says: "no grant", opener: opener{expect: "no-grant"}, change: func(f *forge) {
		f.grants = [][]byte{passphraseShape()}
	}},
	{name: "wrong passphrase", reason: "a genuine passphrase grant", step: 8, says: "passphrase is wrong", opener: opener{passphrase: "open sesame!", expect: "wrong-passphrase"}, change: passphraseGrant("open sesame")},
	{name: "passphrase grant changed", reason: "one bit of the wrapped key flipped by its signer: nobody can tell it from a wrong passphrase", step: 8, says: "passphrase is wrong", opener: opener{passphrase: "open sesame", expect: "wrong-passphrase"}, change: func(f *forge) {
		passphraseGrant("open sesame")(f)
		f.grants[0][1+32+32] ^= 1
	}},

	{name: "grant with another key", reason: "the grant is genuine and holds a key that the manifest does not commit to", step: 9, says: "commit", change: func(f *forge) {
		f.grants = nil
		f.grant(wrappingKey(f.t, f.person("alice")), f.fileID, stone.FileKey{9})
	}},
	{name: "passphrase grant with another key", reason: "the passphrase is right, the key is not committed to", step: 9, says: "commit", opener: opener{passphrase: "open sesame"}, change: func(f *forge) {
		right := f.key
		f.key = stone.FileKey{9}
		passphraseGrant("open sesame")(f)
		f.key = right
	}},
	{name: "commitment of zeros", reason: "to no key", step: 9, says: "commit", change: manifestMember("commitment", quoted(strings.Repeat("0", 64)))},
	{name: "commitment one bit", reason: "the last bit flipped", step: 9, says: "commit", change: func(f *forge) {
		f.onManifest = func(m *members) {
			b, _ := hex.DecodeString(strings.Trim(m.get("commitment"), `"`))
			b[31] ^= 1
			m.set("commitment", quotedHex(b))
		}
	}},
}

// twoGrants changes the grants of alice and bob once the manifest has listed them.
func twoGrants(change func(f *forge)) func(f *forge) {
	return func(f *forge) {
		f.grant(wrappingKey(f.t, f.person("bob")), f.fileID, f.key)
		f.onListed = func() { change(f) }
	}
}

func kind(k byte) func(f *forge) {
	return func(f *forge) { f.grants[0][0] = k }
}

func grantByte(at int, bits byte) func(f *forge) {
	return func(f *forge) { f.grants[0][at] ^= bits }
}

// passphraseShape has the form of a passphrase grant and opens with none.
func passphraseShape() []byte {
	g := make([]byte, 1+32+32+48)
	rand.Read(g)
	g[0] = 4
	return g
}

// passphraseKeys keeps keys, because each takes 256 MiB.
var passphraseKeys = func() func(passphrase string) (*identity.WrappingKey, error) {
	keys := make(map[string]*identity.WrappingKey)
	return func(passphrase string) (w *identity.WrappingKey, err error) {
		if keys[passphrase] == nil {
			keys[passphrase], err = identity.NewPassphraseKey(rand.Reader, identity.SuiteHybrid, []byte(passphrase))
		}
		return keys[passphrase], err
	}
}()

func passphraseGrant(passphrase string) func(f *forge) {
	return func(f *forge) {
		w, err := passphraseKeys(passphrase)
		if err != nil {
			f.t.Fatal(err)
		}
		f.grants = nil
		f.grant(w, f.fileID, f.key)
	}
}

// hpkeInfo seals the wrapping key to alice under another info string.
func hpkeInfo(info string) func(f *forge) {
	return func(f *forge) {
		pub, err := hpke.MLKEM1024P384().NewPublicKey(f.person("alice").Public().Bytes()[:1665])
		if err != nil {
			f.t.Fatal(err)
		}
		sealed, err := hpke.Seal(pub, hpke.HKDFSHA384(), hpke.AES256GCM(), []byte(info), make([]byte, 32))
		if err != nil {
			f.t.Fatal(err)
		}
		copy(f.grants[0][1+32:], sealed)
	}
}
