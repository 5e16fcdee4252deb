package identity

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

func wrapped(t testing.TB, w *WrappingKey, file [16]byte, key [32]byte) *Grant {
	t.Helper()
	g, err := w.Wrap(rand.Reader, file, &key)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func wrappingFor(t testing.TB, pub *Public) *WrappingKey {
	t.Helper()
	w, err := NewWrappingKey(rand.Reader, pub)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestManyFiles wraps for many files with one public-key operation on either side.
func TestManyFiles(t *testing.T) {
	for _, suite := range bothSuites {
		alice := generated(t, suite)
		w := wrappingFor(t, alice.Public())
		var opened *WrappingKey
		salts := make(map[[32]byte]bool)
		for i := range byte(100) {
			file, key := [16]byte{i}, [32]byte{31: i}
			g, rest, err := ParseGrant(suite, append(wrapped(t, w, file, key).Bytes(), "rest"...))
			if err != nil || string(rest) != "rest" {
				t.Fatal(err)
			}
			if opened == nil {
				if opened, err = alice.OpenWrappingKey(g); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(g.Sealed, w.sealed) || salts[g.Salt] {
				t.Fatal("another ciphertext, or a salt again")
			}
			salts[g.Salt] = true
			got, err := opened.Unwrap(g, file)
			if err != nil || *got != key {
				t.Fatalf("suite %d, file %d: %v", suite, i, err)
			}
			if _, err := opened.Unwrap(g, [16]byte{i + 1}); !errors.Is(err, ErrGrant) {
				t.Errorf("suite %d: the grant of file %d opens as that of the next: %v", suite, i, err)
			}
		}
	}
}

// TestNotTransferable changes what a grant is bound to, one thing at a time.
func TestNotTransferable(t *testing.T) {
	for _, suite := range bothSuites {
		alice, bob := generated(t, suite), generated(t, suite)
		file, key := [16]byte{1}, [32]byte{2}
		forAlice, forBob := wrappingFor(t, alice.Public()), wrappingFor(t, bob.Public())
		g := wrapped(t, forAlice, file, key)
		opened, err := alice.OpenWrappingKey(g)
		if err != nil {
			t.Fatal(err)
		}

		if _, err := bob.OpenWrappingKey(g); !errors.Is(err, ErrGrant) {
			t.Errorf("suite %d: bob opens alice's: %v", suite, err)
		}
		to := *g
		to.Recipient = bob.Public().Fingerprint()
		if _, err := bob.OpenWrappingKey(&to); !errors.Is(err, ErrGrant) {
			t.Errorf("suite %d: bob opens alice's, readdressed: %v", suite, err)
		}
		to = *wrapped(t, forBob, file, key)
		to.Recipient = alice.Public().Fingerprint()
		if _, err := alice.OpenWrappingKey(&to); !errors.Is(err, ErrGrant) {
			t.Errorf("suite %d: alice opens bob's, readdressed: %v", suite, err)
		}
		if _, err := opened.Unwrap(&to, file); !errors.Is(err, ErrGrant) {
			t.Errorf("suite %d: alice's wrapping key opens a grant with another ciphertext: %v", suite, err)
		}
		to = *g
		to.Kind = GrantPassphrase
		if _, err := alice.OpenWrappingKey(&to); !errors.Is(err, ErrGrant) {
			t.Errorf("suite %d: another kind: %v", suite, err)
		}
		if _, err := opened.Unwrap(&to, file); !errors.Is(err, ErrGrant) {
			t.Errorf("suite %d: another kind: %v", suite, err)
		}

		// The same wrapping key, were its kind, suite or recipient another, gives other keys.
		for name, change := range map[string]func(w *WrappingKey){
			"kind":      func(w *WrappingKey) { w.kind = GrantPassphrase },
			"suite":     func(w *WrappingKey) { w.suite ^= 3 },
			"recipient": func(w *WrappingKey) { w.recipient = bob.Public().Fingerprint() },
		} {
			w := *opened
			change(&w)
			moved := *g
			moved.Kind, moved.Recipient = w.kind, w.recipient
			if _, err := w.Unwrap(&moved, file); err == nil {
				t.Errorf("suite %d: a grant moved to another %s opens", suite, name)
			}
		}
		for i := range g.Bytes() {
			b := g.Bytes()
			b[i] ^= 1 << (i % 8)
			flipped, _, err := ParseGrant(suite, b)
			if err != nil {
				continue
			}
			if w, err := alice.OpenWrappingKey(flipped); err == nil {
				if _, err = w.Unwrap(flipped, file); err == nil {
					t.Errorf("suite %d: opens with byte %d changed", suite, i)
				}
			}
		}
	}
}

func TestParseGrant(t *testing.T) {
	for _, suite := range bothSuites {
		g := wrapped(t, wrappingFor(t, generated(t, suite).Public()), [16]byte{}, [32]byte{}).Bytes()
		for n := range g {
			if _, _, err := ParseGrant(suite, g[:n]); !errors.Is(err, ErrGrant) {
				t.Fatalf("suite %d: %d of %d bytes: %v", suite, n, len(g), err)
			}
		}
		for kind := range 256 {
			g[0] = byte(kind)
			_, _, err := ParseGrant(suite, g)
			if allowed := kind == 1 || kind == 4 && suite == SuiteHybrid; (err == nil) != allowed {
				t.Errorf("suite %d: kind %d: %v", suite, kind, err)
			}
		}
	}
}

// TestPassphrase derives four keys of 256 MiB each.
func TestPassphrase(t *testing.T) {
	file, key := [16]byte{3}, [32]byte{4}
	w, err := NewPassphraseKey(rand.Reader, SuiteHybrid, []byte("cafe\u0301 \u212b"))
	if err != nil {
		t.Fatal(err)
	}
	g, rest, err := ParseGrant(SuiteHybrid, wrapped(t, w, file, key).Bytes())
	if err != nil || len(rest) != 0 || g.Recipient != "" {
		t.Fatal(err)
	}
	opened, err := OpenPassphraseKey(SuiteHybrid, g, []byte("caf\u00e9 \u00c5"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := opened.Unwrap(g, file); err != nil || *got != key {
		t.Errorf("normal forms: %v", err)
	}
	if _, err := opened.Unwrap(g, [16]byte{}); !errors.Is(err, ErrPassphrase) {
		t.Errorf("another file: %v", err)
	}
	wrong, err := OpenPassphraseKey(SuiteHybrid, g, []byte("cafe"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Unwrap(g, file); !errors.Is(err, ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}

	if _, err := NewPassphraseKey(rand.Reader, SuiteCNSA, []byte("x")); err == nil {
		t.Error("suite 2 takes a passphrase")
	}
	if _, err := OpenPassphraseKey(SuiteCNSA, g, []byte("x")); err == nil {
		t.Error("suite 2 opens a passphrase grant")
	}
	hpke := wrapped(t, wrappingFor(t, generated(t, SuiteHybrid).Public()), file, key)
	if _, err := OpenPassphraseKey(SuiteHybrid, hpke, []byte("x")); !errors.Is(err, ErrGrant) {
		t.Errorf("a passphrase for an HPKE grant: %v", err)
	}
	if _, err := generated(t, SuiteHybrid).OpenWrappingKey(g); !errors.Is(err, ErrGrant) {
		t.Errorf("an identity for a passphrase grant: %v", err)
	}
}
