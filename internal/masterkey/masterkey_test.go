package masterkey

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"
)

// secret is a fixed key, so that what is derived from it can be fixed too.
var secret = bytes.Repeat([]byte{0x5a}, keySize)

// secretText is secret as a file holds it. If it changes, every master key in the world is unreadable.
const secretText = "svmk1WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpgvwfE"

func mustKey(t testing.TB, secret []byte) *Key {
	t.Helper()
	k, err := newKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestText(t *testing.T) {
	if got := format(secret); got != secretText {
		t.Errorf("the text of the fixed key is %s", got)
	}
	k, err := Parse(" " + secretText + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.Check(), mustKey(t, secret).Check()) {
		t.Error("the key read is another one")
	}
}

func TestParseRefuses(t *testing.T) {
	body := strings.TrimPrefix(secretText, filePrefix)
	for _, c := range []struct{ name, text string }{
		{"nothing", ""},
		{"the prefix alone", filePrefix},
		{"another prefix", "svmk2" + body},
		{"capitals", strings.ToUpper(secretText)},
		{"no prefix", body},
		{"one character less", secretText[:len(secretText)-1]},
		{"one character more", secretText + "A"},
		{"two lines", secretText + "\n" + secretText},
		{"a line break inside", secretText[:20] + "\n" + secretText[20:]},
		{"padding", secretText + "="},
		{"the other base64, whose sum is wrong as well", filePrefix + base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, keySize+4))},
		{"a short key", format(secret[:31])},
		{"a long key", format(append(bytes.Clone(secret), 0))},
		{"a key without its sum", filePrefix + base64.RawURLEncoding.EncodeToString(secret)},
	} {
		if _, err := Parse(c.text); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestSlips changes each character of a key's text: none of them gives another key.
func TestSlips(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := len(filePrefix); i < len(secretText); i++ {
		for _, r := range alphabet {
			changed := secretText[:i] + string(r) + secretText[i+1:]
			if changed == secretText {
				continue
			}
			if _, err := Parse(changed); !errors.Is(err, ErrMalformed) {
				t.Fatalf("character %d changed to %c: %v", i, r, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(secretText)
	f.Add(secretText + "\n")
	f.Add("svmk1")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || k != nil {
				t.Fatal(k, err)
			}
			return
		}
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimFunc(text, unicode.IsSpace)[len(filePrefix):])
		if err != nil || format(b[:keySize]) != strings.TrimFunc(text, unicode.IsSpace) {
			t.Fatalf("%q is accepted and is not what is written", text)
		}
	})
}

func TestSealOpen(t *testing.T) {
	k, other := mustKey(t, secret), mustKey(t, bytes.Repeat([]byte{1}, keySize))
	for _, plain := range [][]byte{nil, {0}, bytes.Repeat([]byte("seeds"), 100)} {
		sealed, err := k.Seal("place/1", plain)
		if err != nil {
			t.Fatal(err)
		}
		again, err := k.Seal("place/1", plain)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(sealed, again) {
			t.Error("the same sealed twice is the same")
		}
		if len(plain) > 16 && bytes.Contains(sealed, plain[:16]) {
			t.Error("the plaintext shows")
		}
		opened, err := k.Open("place/1", sealed)
		if err != nil || !bytes.Equal(opened, plain) {
			t.Errorf("opened %x, %v", opened, err)
		}
		for _, context := range []string{"", "place/2", "place/1 ", "place/"} {
			if _, err := k.Open(context, sealed); !errors.Is(err, ErrOpen) {
				t.Errorf("opened for %q: %v", context, err)
			}
		}
		if _, err := other.Open("place/1", sealed); !errors.Is(err, ErrOpen) {
			t.Errorf("opened with another key: %v", err)
		}
		for bit := range 8 * len(sealed) {
			sealed[bit/8] ^= 1 << (bit % 8)
			if _, err := k.Open("place/1", sealed); !errors.Is(err, ErrOpen) {
				t.Fatalf("opened with bit %d flipped: %v", bit, err)
			}
			sealed[bit/8] ^= 1 << (bit % 8)
		}
		for n := range len(sealed) {
			if _, err := k.Open("place/1", sealed[:n]); !errors.Is(err, ErrOpen) {
				t.Fatalf("opened when cut to %d bytes: %v", n, err)
			}
		}
		if _, err := k.Open("place/1", append(bytes.Clone(sealed), 0)); !errors.Is(err, ErrOpen) {
			t.Errorf("opened with a byte too many: %v", err)
		}
	}
}

// TestSuspend: a suspended key is zero and does nothing, and what was sealed before opens once it is resumed.
func TestSuspend(t *testing.T) {
	k, away := mustKey(t, secret), errors.New("away")
	sealed, err := k.Seal("place", []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Resume(mustKey(t, bytes.Repeat([]byte{1}, keySize))); !errors.Is(err, ErrOther) {
		t.Errorf("resumed by another key: %v", err)
	}
	k.Suspend(away)
	if k.sealing != [keySize]byte{} {
		t.Error("the key is still in memory")
	}
	if _, err := k.Open("place", sealed); !errors.Is(err, away) {
		t.Errorf("opened: %v", err)
	}
	if _, err := k.Seal("place", nil); !errors.Is(err, away) {
		t.Errorf("sealed: %v", err)
	}
	if !bytes.Equal(k.Check(), mustKey(t, secret).Check()) {
		t.Error("the check went with the key")
	}
	suspended := mustKey(t, secret)
	suspended.Suspend(away)
	if err := k.Resume(suspended); !errors.Is(err, away) {
		t.Errorf("resumed by a suspended key: %v", err)
	}
	if err := k.Resume(mustKey(t, secret)); err != nil {
		t.Fatal(err)
	}
	if plain, err := k.Open("place", sealed); err != nil || string(plain) != "seed" {
		t.Errorf("resumed, it opens %q, %v", plain, err)
	}
}

func TestShowsNothing(t *testing.T) {
	k := mustKey(t, secret)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, k); got != "[redacted]" {
			t.Errorf("%s shows %s", format, got)
		}
	}
	if bytes.Contains(k.Check(), secret[:8]) || bytes.Contains(k.Check(), k.sealing[:8]) {
		t.Error("the check shows the key")
	}
	shown := k.Check()
	shown[0] ^= 1
	if bytes.Equal(shown, k.Check()) {
		t.Error("who has the check can change it")
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := ReadFile(path); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), path) {
		t.Fatalf("a missing file: %v", err)
	}
	made, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Check(), read.Check()) || made.sealing != read.sealing {
		t.Error("the key read is not the one that was made")
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the file has mode %v", info.Mode())
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key in its place: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the first key is gone: %v", err)
	}
	other, err := CreateFile(path + "2")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(other.Check(), made.Check()) {
		t.Error("two keys are the same")
	}
	if _, err := CreateFile(filepath.Join(path, "below")); err == nil {
		t.Error("a key was made below a file")
	}
}

func TestFileRights(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT RUN: this system has other rights")
	}
	path := filepath.Join(t.TempDir(), "key")
	if _, err := CreateFile(path); err != nil {
		t.Fatal(err)
	}
	root := os.Getuid() == 0 && os.Getgid() == 0 // whose file is as a credential of systemd's
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false, 0o602: false, 0o610: false,
		0o440: root, 0o444: false, 0o460: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(path)
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if !root {
		return
	}
	if err := errors.Join(os.Chmod(path, 0o440), os.Chown(path, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil {
		t.Error("a key that another group can read is accepted")
	}
}

func TestPassphrase(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, SaltSize)
	derive := func(passphrase string, salt []byte) []byte {
		t.Helper()
		k, err := FromPassphrase([]byte(passphrase), salt)
		if err != nil {
			t.Fatal(err)
		}
		return k.Check()
	}
	composed := derive("caf\u00e9 corr\u00e8s", salt)
	if !bytes.Equal(composed, derive("cafe\u0301 corre\u0300s", salt)) {
		t.Error("another keyboard's way to write the passphrase gives another key")
	}
	if bytes.Equal(composed, derive("cafe corres", salt)) {
		t.Error("another passphrase gives the same key")
	}
	if bytes.Equal(composed, derive("caf\u00e9 corr\u00e8s", bytes.Repeat([]byte{8}, SaltSize))) {
		t.Error("another salt gives the same key")
	}
	for _, c := range []struct {
		passphrase string
		salt       []byte
	}{{"", salt}, {"passphrase", nil}, {"passphrase", salt[1:]}, {"passphrase", append(bytes.Clone(salt), 7)}} {
		if _, err := FromPassphrase([]byte(c.passphrase), c.salt); err == nil {
			t.Errorf("a passphrase of %d bytes and a salt of %d were accepted", len(c.passphrase), len(c.salt))
		}
	}
}
