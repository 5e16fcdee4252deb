package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"testing"
)

func TestTextRoundTrip(t *testing.T) {
	for _, suite := range bothSuites {
		id := generated(t, suite)
		pub, err := ParsePublic(id.Public().Text())
		if err != nil || pub.Suite() != suite || !bytes.Equal(pub.Bytes(), id.Public().Bytes()) || pub.Fingerprint() != id.Public().Fingerprint() {
			t.Errorf("suite %d: public key: %v", suite, err)
		}
		for form, text := range map[string]string{
			"text": id.SecretText(), "sheet": id.SecretSheet(), "lower case": strings.ToLower(id.SecretSheet()),
			"broken lines": strings.ReplaceAll(id.SecretSheet(), "-", " \r\n\t"),
		} {
			got, err := ParseSecret(text)
			if err != nil || got.Suite() != suite || !bytes.Equal(got.Seeds(), id.Seeds()) {
				t.Errorf("suite %d: secret as %s: %v", suite, form, err)
			}
		}
	}
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// TestPublicSlips changes, leaves out, doubles and swaps every character of a public key.
func TestPublicSlips(t *testing.T) {
	for _, suite := range bothSuites {
		text := generated(t, suite).Public().Text()
		slips(t, text, base64url+"=+/ \n.\x00é", func(s string) error { return second(ParsePublic(s)) })
		for _, bad := range []string{"", "svpub1", "SVPUB1" + text[6:], text[6:], text + "=", " " + text, text + "\n", text[:100] + "\r\n" + text[100:], text + text} {
			if _, err := ParsePublic(bad); err == nil {
				t.Errorf("%.20q… is a public key", bad)
			}
		}
	}
}

// TestSecretSlips does so with a secret key, where separators and case do not count.
func TestSecretSlips(t *testing.T) {
	for _, suite := range bothSuites {
		text := generated(t, suite).SecretText()
		slips(t, text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567018=.\x00é", func(s string) error { return second(ParseSecret(s)) })
		for _, bad := range []string{"", "SVSEC1", text[6:], text + "=", text + "A", "svpub1" + text[6:]} {
			if _, err := ParseSecret(bad); err == nil {
				t.Errorf("%.20q… is a secret key", bad)
			}
		}
	}
}

func slips(t *testing.T, text, alphabet string, parse func(string) error) {
	t.Helper()
	if err := parse(text); err != nil {
		t.Fatal(err)
	}
	letters := []rune(alphabet)
	for i := range text {
		c := letters[mathrand.IntN(len(letters))]
		for c == rune(text[i]) {
			c = letters[mathrand.IntN(len(letters))]
		}
		tries := []string{text[:i] + string(c) + text[i+1:], text[:i] + text[i+1:], text[:i] + text[i:i+1] + text[i:]}
		if i > 0 && text[i] != text[i-1] {
			tries = append(tries, text[:i-1]+text[i:i+1]+text[i-1:i]+text[i+1:])
		}
		for _, try := range tries {
			if parse(try) == nil {
				t.Errorf("a slip at character %d of %.8s… is not noticed", i, text)
			}
		}
	}
}

// TestIdleBits sets bits of the last character that stand for nothing: another spelling of the same key.
func TestIdleBits(t *testing.T) {
	for _, suite := range bothSuites {
		id := generated(t, suite)
		for _, c := range []struct {
			text, alphabet string
			bits           int // of a character
			parse          func(string) error
		}{
			{id.Public().Text(), base64url, 6, func(s string) error { return second(ParsePublic(s)) }},
			{id.SecretText(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5, func(s string) error { return second(ParseSecret(s)) }},
		} {
			body := len(c.text) - 6
			idle := body * c.bits % 8
			last := strings.IndexByte(c.alphabet, c.text[len(c.text)-1])
			for bits := 1; bits < 1<<idle; bits++ {
				if c.parse(c.text[:len(c.text)-1]+string(c.alphabet[last|bits])) == nil {
					t.Errorf("suite %d: %.6s… has two spellings", suite, c.text)
				}
			}
		}
	}
}

// TestTextByHand takes the texts apart as the specification says.
func TestTextByHand(t *testing.T) {
	for _, suite := range bothSuites {
		id := generated(t, suite)
		for _, c := range []struct {
			prefix, text string
			decode       func(string) ([]byte, error)
			content      []byte
		}{
			{"svpub1", id.Public().Text(), base64.RawURLEncoding.DecodeString, id.Public().Bytes()},
			{"SVSEC1", id.SecretText(), base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString, id.Seeds()},
		} {
			b, err := c.decode(c.text[6:])
			if err != nil || c.text[:6] != c.prefix {
				t.Fatal(err)
			}
			n := len(b) - 4
			if b[0] != byte(suite) || !bytes.Equal(b[1:n], c.content) || sum(append([]byte(c.prefix), b[:n]...))[:8] != strings.ToLower(hexOf(b[n:])) {
				t.Errorf("suite %d: %s… is something else", suite, c.prefix)
			}
			// A right checksum over a wrong suite or length does not help.
			for name, payload := range map[string][]byte{
				"suite 3": append([]byte{3}, c.content...), "other suite": append([]byte{byte(suite) ^ 3}, c.content...),
				"short": b[:n-1], "long": append(bytes.Clone(b[:n]), 0), "nothing": {}, "suite alone": {byte(suite)},
			} {
				payload = append(bytes.Clone(payload), checksum(c.prefix, payload)...)
				if _, err := ParsePublic("svpub1" + base64.RawURLEncoding.EncodeToString(payload)); err == nil {
					t.Errorf("a public key with %s", name)
				}
				if _, err := ParseSecret("SVSEC1" + secretEncoding.EncodeToString(payload)); err == nil {
					t.Errorf("a secret key with %s", name)
				}
			}
		}
	}
}

func hexOf(b []byte) string { return Fingerprint(b).Hex() }

func TestSpoken(t *testing.T) {
	for print, want := range map[Fingerprint]string{
		"":                                      strings.Repeat("00000 ", 11) + "00000",
		Fingerprint("\x01\x00"):                 strings.Repeat("00000 ", 11) + "00256",
		Fingerprint(sequence(32, 0x00)):         "70004 49607 22568 37659 22007 42329 63730 31997 54547 59836 99794 40671",
		Fingerprint(strings.Repeat("\xff", 48)): "94829 34042 45721 77149 72106 11414 26625 48849 15640 80662 79903 06815",
	} {
		if print.Spoken() != want {
			t.Errorf("%x is spoken as\n%s, not\n%s", string(print), print.Spoken(), want)
		}
	}
	for _, bad := range []string{"", "ab", strings.Repeat("AB", 32), strings.Repeat("ab", 48), strings.Repeat("0g", 32)} {
		if _, err := ParseFingerprint(SuiteHybrid, bad); err == nil {
			t.Errorf("%q is a fingerprint", bad)
		}
	}
	if f, err := ParseFingerprint(SuiteHybrid, strings.Repeat("ab", 32)); err != nil || f.Hex() != strings.Repeat("ab", 32) {
		t.Error(err)
	}
}

func TestPlainFile(t *testing.T) {
	id := generated(t, SuiteHybrid)
	plain, err := FormatIdentityFile(rand.Reader, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as written":   string(plain),
		"Windows":      strings.ReplaceAll(string(plain), "\n", "\r\n"),
		"no last line": strings.TrimSuffix(string(plain), "\n"),
		"key alone":    id.SecretText(),
		"sheet":        "\n# mine\n\n  " + id.SecretSheet() + "  \n",
	} {
		if got, err := ParseIdentityFile([]byte(text), nil); err != nil || !bytes.Equal(got.Seeds(), id.Seeds()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty":          "",
		"comments":       "# one\n# two\n",
		"two keys":       string(plain) + generated(t, SuiteHybrid).SecretText(),
		"same key twice": id.SecretText() + "\n" + id.SecretText(),
		"public key":     id.Public().Text(),
		"key and words":  string(plain) + "hello\n",
		"broken":         strings.Replace(string(plain), "SVSEC1A", "SVSEC1B", 1),
	} {
		if _, err := ParseIdentityFile([]byte(text), nil); err == nil {
			t.Errorf("%s is an identity file", name)
		}
	}
}

// TestSealedFile derives five keys of 256 MiB each.
func TestSealedFile(t *testing.T) {
	id := generated(t, SuiteCNSA)
	sealed, err := FormatIdentityFile(rand.Reader, id, []byte("open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte(id.SecretText()[:30])) || !bytes.HasPrefix(sealed, []byte("-----BEGIN STONEVAULT ENCRYPTED IDENTITY-----\n")) {
		t.Errorf("the file begins %.60q", sealed)
	}
	if got, err := ParseIdentityFile(append(sealed, "\r\n \n"...), []byte("open sesame")); err != nil || !bytes.Equal(got.Seeds(), id.Seeds()) {
		t.Fatal(err)
	}
	if _, err := ParseIdentityFile(sealed, []byte("open  sesame")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := ParseIdentityFile(sealed, nil); !errors.Is(err, ErrNeedsPassphrase) {
		t.Errorf("no passphrase: %v", err)
	}
	lines := strings.Split(string(sealed), "\n")
	for name, text := range map[string]string{
		"another label":   strings.ReplaceAll(string(sealed), "ENCRYPTED IDENTITY", "IDENTITY"),
		"a header":        strings.Replace(string(sealed), "-----\n", "-----\nComment: x\n\n", 1),
		"words after":     string(sealed) + "hello",
		"words before":    "hello\n" + string(sealed),
		"a key before":    id.SecretText() + "\n" + string(sealed),
		"two blocks":      string(sealed) + string(sealed),
		"end cut off":     strings.Join(lines[:len(lines)-2], "\n"),
		"alien character": strings.Replace(string(sealed), lines[2], "!"+lines[2][1:], 1),
		"hardly anything": "-----BEGIN STONEVAULT ENCRYPTED IDENTITY-----\nAAAA\n-----END STONEVAULT ENCRYPTED IDENTITY-----\n",
	} {
		if _, err := ParseIdentityFile([]byte(text), []byte("open sesame")); err == nil || errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, line := range []int{1, len(lines) - 3} { // the salt, the last tag
		changed := bytes.Clone(sealed)
		at := bytes.Index(changed, []byte(lines[line])) + 4
		if changed[at] != 'A' {
			changed[at] = 'A'
		} else {
			changed[at] = 'B'
		}
		if _, err := ParseIdentityFile(changed, []byte("open sesame")); err == nil {
			t.Errorf("line %d changed: opened", line)
		}
	}
}
