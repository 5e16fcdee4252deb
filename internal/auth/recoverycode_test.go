package auth

import (
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func newRecoveryCodes(t testing.TB) ([]RecoveryCode, [][]byte) {
	t.Helper()
	codes, hashes, err := NewRecoveryCodes(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return codes, hashes
}

func TestRecoveryCodesServeOnce(t *testing.T) {
	codes, hashes := newRecoveryCodes(t)
	if len(codes) != RecoveryCodes || len(hashes) != RecoveryCodes {
		t.Fatalf("%d codes, %d hashes", len(codes), len(hashes))
	}
	seen := map[string]bool{}
	for _, at := range []int{9, 0, 5, 1, 8, 2, 7, 3, 6, 4} {
		text := codes[at].Text()
		if !regexp.MustCompile(`^[a-z2-7]{6}(-[a-z2-7]{6}){3}$`).MatchString(text) || seen[text] {
			t.Fatalf("the code looks like %s", text)
		}
		seen[text] = true
		left, err := UseRecoveryCode(hashes, text)
		if err != nil || len(left) != len(hashes)-1 {
			t.Fatalf("code %d: %d left of %d, %v", at, len(left), len(hashes), err)
		}
		if again, err := UseRecoveryCode(left, text); !errors.Is(err, ErrSecondFactor) || again != nil {
			t.Errorf("code %d served twice: %v", at, err)
		}
		hashes = left
	}
	if _, err := UseRecoveryCode(hashes, codes[0].Text()); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("with none left: %v", err)
	}
}

func TestRecoveryCodesAsTyped(t *testing.T) {
	codes, hashes := newRecoveryCodes(t)
	text := codes[3].Text()
	other := "a"
	if text[0] == 'a' {
		other = "b"
	}
	for _, row := range []struct {
		name, typed string
		good        bool
	}{
		{"as it is", text, true},
		{"capitals", strings.ToUpper(text), true},
		{"without groups", strings.ReplaceAll(text, "-", ""), true},
		{"spaces", "  " + strings.ReplaceAll(text, "-", " ") + "\r\n", true},
		{"one character else", other + text[1:], false},
		{"cut", text[:len(text)-1], false},
		{"longer", text + "a", false},
		{"padded", text + "=", false},
		{"twice", text + text, false},
		{"empty", "", false},
		{"a hash", string(hashes[3]), false},
		{"very long", strings.Repeat("-", recoveryTyped) + text, false},
	} {
		left, err := UseRecoveryCode(hashes, row.typed)
		if row.good != (err == nil) || !row.good && !errors.Is(err, ErrSecondFactor) || row.good && len(left) != 9 {
			t.Errorf("%s: %d left, %v", row.name, len(left), err)
		}
	}
	if len(hashes) != RecoveryCodes {
		t.Error("the stored hashes were changed")
	}
	if _, err := UseRecoveryCode([][]byte{nil, {1}, hashes[3][:31]}, text); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("malformed hashes: %v", err)
	}
	if _, _, err := NewRecoveryCodes(strings.NewReader("not enough for ten codes")); err == nil {
		t.Error("drew codes without randomness")
	}
}

func FuzzRecoveryCode(f *testing.F) {
	// The same codes in every process: the seeds are one's, and another tries them.
	codes, hashes, err := NewRecoveryCodes(mathrand.NewChaCha8([32]byte{}))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := UseRecoveryCode(hashes, codes[0].Text()); err != nil {
		f.Fatal(err)
	}
	f.Add(codes[0].Text())
	f.Add(strings.ToUpper(codes[1].text))
	f.Add("abcdef-ghijkl-mnopqr-stuvwx")
	f.Fuzz(func(t *testing.T, typed string) {
		text, err := parseRecoveryCode(typed)
		if err != nil {
			if !errors.Is(err, ErrSecondFactor) {
				t.Error(err)
			}
			return
		}
		if again, err := parseRecoveryCode(grouped(text, recoveryGroup, "-")); err != nil || again != text {
			t.Errorf("%q was read as %q, and that as %q (%v)", typed, text, again, err)
		}
		left, err := UseRecoveryCode(hashes, typed)
		good := slices.ContainsFunc(codes, func(c RecoveryCode) bool { return c.text == text })
		if good != (err == nil) || good && len(left) != RecoveryCodes-1 || !good && left != nil {
			t.Errorf("%q: %d left, %v", typed, len(left), err)
		}
	})
}
