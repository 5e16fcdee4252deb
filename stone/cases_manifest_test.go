package stone_test

import (
	"encoding/binary"
	"strings"

	"stonevault/stone"
)

func manifestMember(name, value string) func(f *forge) {
	return func(f *forge) { f.onManifest = func(m *members) { m.set(name, value) } }
}

func withoutMember(name string) func(f *forge) {
	return func(f *forge) { f.onManifest = func(m *members) { m.remove(name) } }
}

// respelled applies a change to the manifest's whole text.
func respelled(change func(text string) string) func(f *forge) {
	return func(f *forge) { f.onManifestText = change }
}

const (
	digestsForm = "wrong form"
	noForm      = "not canonical"
)

var manifestCases = []badCase{
	// Members.
	{name: "manifest unknown member", reason: "a member that version 1 does not know", step: 5, says: noForm, change: manifestMember("comment", `""`)},
	{name: "manifest unknown member before all", reason: "a member that version 1 does not know", step: 5, says: noForm, change: manifestMember("a", `[[{}]]`)},
	{name: "manifest without format", reason: "a member is missing", step: 5, says: noForm, change: withoutMember("format")},
	{name: "manifest without previous", reason: "a member is missing, though it would be empty", step: 5, says: noForm, change: withoutMember("previous")},
	{name: "manifest without sealed", reason: "a member is missing", step: 5, says: noForm, change: withoutMember("sealed")},
	{name: "manifest without grants", reason: "a member is missing", step: 5, says: noForm, change: withoutMember("grants")},
	{name: "manifest null previous", reason: "null is not an empty text", step: 5, says: noForm, change: manifestMember("previous", "null")},
	{name: "manifest null time", reason: "null is not a number", step: 5, says: noForm, change: manifestMember("time", "null")},
	{name: "manifest repeated member", reason: "time stands there twice, with one value", step: 5, says: noForm, change: onText(`"time":1800000000000`, `"time":1800000000000,"time":1800000000000`)},
	{name: "manifest repeated member, two values", reason: "readers differ on which of the two counts", step: 5, says: noForm, change: onText(`"revision":1`, `"revision":2,"revision":1`)},
	{name: "manifest member in upper case", reason: "names are told apart by case", step: 5, says: noForm, change: onText(`"time":`, `"Time":`)},
	{name: "manifest member by folding", reason: "the long s of suite folds to an s", step: 5, says: noForm, change: onText(`"suite":`, `"ſuite":`)},
	{name: "manifest grant with unknown member", reason: "members of grants are fixed too", step: 5, says: noForm, change: onText(`"kind":"hpke"`, `"kind":"hpke","note":""`)},
	{name: "manifest grant null", reason: "a grant is an object", step: 5, says: noForm, change: func(f *forge) {
		f.onManifest = func(m *members) { m.set("grants", "[null]") }
	}},
	{name: "manifest with more than 1000 grants listed", reason: "counted before memory is spent on them", step: 5, says: "1 to 1000 grants", change: manifestMember("grants", "["+strings.Repeat("{},", 3000)+"{}]")},

	// Spelling.
	{name: "manifest space", reason: "a space after a colon", step: 5, says: noForm, change: onText(`"time":`, `"time": `)},
	{name: "manifest line end", reason: "a line end after the text", step: 5, says: noForm, change: respelled(func(s string) string { return s + "\n" })},
	{name: "manifest byte order mark", reason: "a mark before the text", step: 5, says: "JSON", change: respelled(func(s string) string { return "\ufeff" + s })},
	{name: "manifest member order", reason: "suite before signer", step: 5, says: noForm, change: respelled(func(s string) string {
		at, end := strings.Index(s, `"suite":`), strings.Index(s, `,"time"`)
		suite := s[at:end]
		return strings.Replace(strings.Replace(s, suite+",", "", 1), `"signer"`, suite+`,"signer"`, 1)
	})},
	{name: "manifest number 1.0", reason: "another spelling of 1", step: 5, says: "JSON", change: onText(`"revision":1`, `"revision":1.0`)},
	{name: "manifest number 1e0", reason: "another spelling of 1", step: 5, says: "JSON", change: onText(`"revision":1`, `"revision":1e0`)},
	{name: "manifest number 01", reason: "no number of JSON", step: 5, says: "JSON", change: onText(`"revision":1`, `"revision":01`)},
	{name: "manifest number as text", reason: "a text is not a number", step: 5, says: "JSON", change: onText(`"revision":1`, `"revision":"1"`)},
	{name: "manifest number -0", reason: "another spelling of 0", step: 5, says: noForm, change: onText(`"time":1800000000000`, `"time":-0`)},
	{name: "manifest number beyond doubles", reason: "2^53+1, which a double rounds", step: 5, says: noForm, change: manifestMember("time", "9007199254740993")},
	{name: "manifest escaped letter", reason: "s spelled \\u0073", step: 5, says: noForm, change: onText(`"stonevault.v1"`, `"\u0073tonevault.v1"`)},
	{name: "manifest escaped member", reason: "t spelled \\u0074", step: 5, says: noForm, change: onText(`"time":`, `"\u0074ime":`)},
	{name: "manifest escaped slash", reason: "an escape that JSON allows and nobody needs", step: 5, says: noForm, change: onText(`"kind":"hpke"`, `"kind":"hpke\/"`)},
	{name: "manifest not UTF-8", reason: "a byte ff in a text", step: 5, says: noForm, change: onText(`"kind":"hpke"`, "\"kind\":\"hpke\xff\"")},
	{name: "manifest lone surrogate", reason: "half of a pair", step: 5, says: noForm, change: onText(`"kind":"hpke"`, `"kind":"hpke\ud800"`)},
	{name: "manifest not JSON", reason: "the last brace is missing", step: 5, says: "JSON", change: respelled(func(s string) string { return s[:len(s)-1] })},
	{name: "manifest two texts", reason: "another object follows", step: 5, says: "JSON", change: respelled(func(s string) string { return s + "{}" })},
	{name: "manifest array", reason: "the object in an array", step: 5, says: "JSON", change: respelled(func(s string) string { return "[" + s + "]" })},
	{name: "manifest null", reason: "nothing but null", step: 5, says: noForm, change: respelled(func(string) string { return "null" })},
	{name: "manifest empty", reason: "no manifest, genuinely signed", step: 5, says: "JSON", change: respelled(func(string) string { return "" })},
	{name: "manifest nested deeply", reason: "20,000 arrays in an unknown member", step: 5, says: "JSON", change: manifestMember("a", strings.Repeat("[", 20000)+strings.Repeat("]", 20000))},

	// Values.
	{name: "manifest other format", reason: "format v2", step: 5, says: "another format", change: manifestMember("format", `"stonevault.v2"`)},
	{name: "manifest other suite", reason: "suite 2 in a stone of suite 1", step: 5, says: "another format or suite", change: manifestMember("suite", "2")},
	{name: "manifest suite 257", reason: "1 modulo 256", step: 5, says: "JSON", change: manifestMember("suite", "257")},
	{name: "manifest file id upper-case", reason: "hex digits are lower-case", step: 5, says: "lower-case", change: func(f *forge) {
		f.fileID[0] = 0xab
		f.regrant()
		f.onManifest = func(m *members) { m.set("file_id", strings.ToUpper(m.get("file_id"))) }
	}},
	{name: "manifest file id short", reason: "15 bytes", step: 5, says: "32 hex digits", change: manifestMember("file_id", quoted(strings.Repeat("ab", 15)))},
	{name: "manifest file id other", reason: "the preamble's digest is for another file id", step: 5, says: "another preamble", change: manifestMember("file_id", quoted(strings.Repeat("ab", 16)))},
	{name: "manifest index upper-case", reason: "hex digits are lower-case", step: 5, says: digestsForm, change: func(f *forge) {
		f.onManifest = func(m *members) { m.set("index", strings.ToUpper(m.get("index"))) }
	}},
	{name: "manifest index of suite 2's length", reason: "48 bytes", step: 5, says: digestsForm, change: manifestMember("index", quoted(strings.Repeat("ab", 48)))},
	{name: "manifest preamble of suite 2's length", reason: "48 bytes beside an index of 32", step: 5, says: digestsForm, change: manifestMember("preamble", quoted(strings.Repeat("ab", 48)))},
	{name: "manifest for a body of suite 2", reason: "preamble and index of suite 2's length, which is not the preamble's digest", step: 5, says: "another preamble", change: func(f *forge) {
		f.onManifest = func(m *members) {
			m.set("preamble", quoted(strings.Repeat("ab", 48)))
			m.set("index", quoted(strings.Repeat("ab", 48)))
		}
	}},
	{name: "manifest index empty", reason: "no digest", step: 5, says: digestsForm, change: manifestMember("index", `""`)},
	{name: "manifest commitment short", reason: "31 bytes", step: 5, says: digestsForm, change: manifestMember("commitment", quoted(strings.Repeat("ab", 31)))},
	{name: "manifest commitment not hex", reason: "a g among the digits", step: 5, says: digestsForm, change: manifestMember("commitment", quoted(strings.Repeat("0g", 32)))},
	{name: "manifest preamble other", reason: "not the digest of this preamble", step: 5, says: "another preamble", change: manifestMember("preamble", quoted(strings.Repeat("ab", 32)))},
	{name: "manifest signer upper-case", reason: "hex digits are lower-case", step: 5, says: "another signer", change: func(f *forge) {
		f.onManifest = func(m *members) { m.set("signer", strings.ToUpper(m.get("signer"))) }
	}},
	{name: "manifest revision 0", reason: "revisions begin at 1", step: 5, says: "do not fit", change: manifestMember("revision", "0")},
	{name: "manifest revision -1", reason: "revisions begin at 1", step: 5, says: "do not fit", change: manifestMember("revision", "-1")},
	{name: "manifest revision 2^53", reason: "out of range", step: 5, says: "do not fit", change: revision("9007199254740992", 32)},
	{name: "manifest previous in revision 1", reason: "there is none before the first", step: 5, says: "do not fit", change: revision("1", 32)},
	{name: "manifest no previous in revision 2", reason: "it must name the one before", step: 5, says: "do not fit", change: revision("2", 0)},
	{name: "manifest previous short", reason: "31 bytes", step: 5, says: "do not fit", change: revision("2", 31)},
	{name: "manifest time negative", reason: "before 1970", step: 5, says: "out of range", change: manifestMember("time", "-1")},
	{name: "manifest time 2^53", reason: "out of range", step: 5, says: "out of range", change: manifestMember("time", "9007199254740992")},
	{name: "manifest no segments", reason: "an empty file has one", step: 5, says: "out of range", change: manifestMember("segments", "0")},
	{name: "manifest too many segments", reason: "2^20 + 1", step: 5, says: "out of range", change: manifestMember("segments", "1048577")},
	{name: "manifest 2^20 segments", reason: "more than the body can have: nothing is allocated for them", step: 11, says: "shorter than its index", change: manifestMember("segments", "1048576")},
	{name: "manifest one segment more", reason: "the index has one row", step: 11, says: "index is not what was signed", change: manifestMember("segments", "2")},
}

// regrant wraps the key anew, once the file id was changed.
func (f *forge) regrant() {
	f.grants = nil
	f.grant(wrappingKey(f.t, f.person("alice")), f.fileID, f.key)
}

func revision(number string, previous int) func(f *forge) {
	return func(f *forge) {
		f.manifest.set("revision", number)
		f.manifest.set("previous", quoted(strings.Repeat("ab", previous)))
	}
}

func metadataMember(name, value string) func(f *forge) {
	return func(f *forge) { f.onMetadata = func(m *members) { m.set(name, value) } }
}

func metadataText(change func(text string) string) func(f *forge) {
	return func(f *forge) { f.onMetadataText = change }
}

func metadataPad(change func(plain []byte) []byte) func(f *forge) {
	return func(f *forge) { f.onMetadataPad = change }
}

func sealedText(change func(s string) string) func(f *forge) {
	return func(f *forge) { f.onSealedText = change }
}

func sealedUnder(change func(c *sealedContext)) func(f *forge) {
	return func(f *forge) { f.onContext = change }
}

// lastBits gives the last character of unpadded base64 bits that stand for nothing.
func lastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

var metadataCases = []badCase{
	{name: "sealed with base64 padding", reason: "base64url without padding", step: 10, says: "base64url", change: sealedText(func(s string) string { return s + "=" })},
	{name: "sealed with an alien character", reason: "not of the alphabet", step: 10, says: "base64url", change: sealedText(func(s string) string { return s[:40] + "+" + s[41:] })},
	{name: "sealed with a line end", reason: "which lenient decoders skip", step: 10, says: "base64url", change: sealedText(func(s string) string { return s[:40] + `\n` + s[40:] })},
	{name: "sealed with idle bits", reason: "the last character has bits that stand for nothing and are not zero", step: 10, says: "base64url", change: sealedText(lastBits)},
	{name: "sealed empty", reason: "no message", step: 10, says: "truncated", change: sealedText(func(string) string { return "" })},
	{name: "sealed changed", reason: "one character of the ciphertext differs", step: 10, says: "authentic", change: sealedText(func(s string) string {
		c := byte('A')
		if s[300] == 'A' {
			c = 'B'
		}
		return s[:300] + string(c) + s[301:]
	})},
	{name: "sealed for other revision", reason: "taken from revision 2", step: 10, says: "commitment", change: sealedUnder(func(c *sealedContext) { c.revision = 2 })},
	{name: "sealed for other file", reason: "the context has another file id", step: 10, says: "commitment", change: sealedUnder(func(c *sealedContext) { c.file[3] ^= 1 })},
	{name: "sealed for other suite", reason: "the context has suite 2", step: 10, says: "commitment", change: sealedUnder(func(c *sealedContext) { c.suite = 2 })},
	{name: "sealed for other signer", reason: "the context has another fingerprint", step: 10, says: "commitment", change: sealedUnder(func(c *sealedContext) { c.signer[0] ^= 1 })},
	{name: "sealed under other key", reason: "not the file key", step: 10, says: "commitment", change: func(f *forge) { f.metaKey = &stone.FileKey{1} }},

	{name: "metadata not padded", reason: "its length is not a multiple of 512", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { return b[:4+binary.BigEndian.Uint32(b)] })},
	{name: "metadata one byte short", reason: "511 bytes", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { return b[:len(b)-1] })},
	{name: "metadata padded too far", reason: "512 zeros more than needed", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { return append(b, make([]byte, 512)...) })},
	{name: "metadata padding not zero", reason: "its last byte is 1", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { b[len(b)-1] = 1; return b })},
	{name: "metadata length one less", reason: "the last brace becomes padding", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { b[3]--; return b })},
	{name: "metadata length too long", reason: "longer than what is there", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { b[2] = 9; return b })},
	{name: "metadata length 2^32-1", reason: "longer than what is there", step: 10, says: "wrong length", change: metadataPad(func(b []byte) []byte { copy(b, "\xff\xff\xff\xff"); return b })},
	{name: "metadata empty", reason: "a message of no bytes", step: 10, says: "wrong length", change: metadataPad(func([]byte) []byte { return nil })},
	{name: "metadata too long", reason: "65,537 bytes of text", step: 10, says: "wrong length", change: metadataText(func(s string) string {
		return strings.Replace(s, `"path":""`, `"path":"`+strings.Repeat("p", 65537-len(s))+`"`, 1)
	})},

	{name: "metadata unknown member", reason: "a member that version 1 does not know", step: 10, says: noForm, change: metadataMember("acl", `""`)},
	{name: "metadata without scan", reason: "a member is missing", step: 10, says: noForm, change: func(f *forge) { f.onMetadata = func(m *members) { m.remove("scan") } }},
	{name: "metadata null owner", reason: "null is not an empty text", step: 10, says: noForm, change: metadataMember("owner", "null")},
	{name: "metadata repeated name", reason: "two names", step: 10, says: noForm, change: metadataText(func(s string) string { return strings.Replace(s, `"name":`, `"name":"a","name":`, 1) })},
	{name: "metadata space", reason: "a space after a colon", step: 10, says: noForm, change: metadataText(func(s string) string { return strings.Replace(s, `"name":`, `"name": `, 1) })},
	{name: "metadata escaped name", reason: "< spelled \\u003c", step: 10, says: noForm, change: metadataMember("name", `"\u003c"`)},
	{name: "metadata escape in upper case", reason: "\\u001F for \\u001f", step: 10, says: noForm, change: metadataMember("path", `"\u001F"`)},
	{name: "metadata tab as \\u0009", reason: "JSON has a short form", step: 10, says: noForm, change: metadataMember("path", `"\u0009"`)},
	{name: "metadata name not UTF-8", reason: "a byte ff", step: 10, says: noForm, change: metadataMember("name", "\"\xff\"")},
	{name: "metadata name with half a pair", reason: "a lone surrogate", step: 10, says: noForm, change: metadataMember("name", `"\udc00"`)},
	{name: "metadata surrogates in UTF-8", reason: "CESU-8", step: 10, says: noForm, change: metadataMember("name", "\"\xed\xa0\xbd\xed\xb8\x80\"")},
	{name: "metadata size 5.0", reason: "another spelling of 5", step: 10, says: "JSON", change: metadataMember("size", "5.0")},
	{name: "metadata name .", reason: "names no file", step: 10, says: "name", change: metadataMember("name", `"."`)},
	{name: "metadata name ..", reason: "names no file", step: 10, says: "name", change: metadataMember("name", `".."`)},
	{name: "metadata name with slash", reason: "a path", step: 10, says: "name", change: metadataMember("name", `"../a"`)},
	{name: "metadata name with NUL", reason: "ends early for some", step: 10, says: "name", change: metadataMember("name", `"a\u0000b"`)},
	{name: "metadata name of 256 bytes", reason: "one too many", step: 10, says: "name", change: metadataMember("name", quoted(strings.Repeat("é", 128)))},
	{name: "metadata class unknown", reason: "neither normal nor restricted", step: 10, says: "class", change: metadataMember("class", `"secret"`)},
	{name: "metadata class empty", reason: "neither normal nor restricted", step: 10, says: "class", change: metadataMember("class", `""`)},
	{name: "metadata size negative", reason: "out of range", step: 10, says: "out of range", change: metadataMember("size", "-1")},
	{name: "metadata size above 2^40", reason: "out of range", step: 10, says: "out of range", change: metadataMember("size", "1099511627777")},
	{name: "metadata mode 01000", reason: "more than permission bits", step: 10, says: "out of range", change: metadataMember("mode", "512")},
	{name: "metadata mode 2^32", reason: "0 modulo 2^32", step: 10, says: "JSON", change: metadataMember("mode", "4294967296")},
	{name: "metadata version negative", reason: "out of range", step: 10, says: "out of range", change: metadataMember("version", "-1")},
	{name: "metadata version 2^53", reason: "out of range", step: 10, says: "out of range", change: metadataMember("version", "9007199254740992")},
	{name: "metadata time 2^53", reason: "out of range", step: 10, says: "out of range", change: metadataMember("modified_at", "9007199254740992")},
	{name: "metadata time -2^53", reason: "out of range", step: 10, says: "out of range", change: metadataMember("created_at", "-9007199254740992")},
}
