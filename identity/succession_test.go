package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"stonevault/stone/canonical"
)

func testRoot(t testing.TB, suite Suite, n byte) *SigningKey {
	t.Helper()
	root, err := SigningKeyFromSeed(suite, bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func testSuccession(t testing.TB, from, to *SigningKey, vault string) []byte {
	t.Helper()
	b, err := NewSuccession(from, to.Verifying(), vault, time.UnixMilli(5))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuccession(t *testing.T) {
	for _, from := range bothSuites {
		for _, to := range bothSuites {
			former, next := testRoot(t, from, 1), testRoot(t, to, 2)
			b := testSuccession(t, former, next, "vault")
			s, err := ParseSuccession(b)
			if err != nil {
				t.Fatal(err)
			}
			if s.Vault != "vault" || !s.IssuedAt.Equal(time.UnixMilli(5)) || s.From.Fingerprint() != former.Verifying().Fingerprint() ||
				s.To.Fingerprint() != next.Verifying().Fingerprint() || s.To.Suite() != to {
				t.Errorf("%+v", s)
			}
			for bit := 0; bit < 8*len(b); bit += 61 {
				flipped := bytes.Clone(b)
				flipped[bit/8] ^= 1 << (bit % 8)
				if _, err := ParseSuccession(flipped); !errors.Is(err, ErrSuccession) {
					t.Fatalf("bit %d: %v", bit, err)
				}
			}
			for _, n := range []int{0, 1, 4, 5, 100, len(b) - 1} {
				if _, err := ParseSuccession(b[:n]); !errors.Is(err, ErrSuccession) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			if _, err := ParseSuccession(append(bytes.Clone(b), 0)); !errors.Is(err, ErrSuccession) {
				t.Errorf("a byte more: %v", err)
			}
		}
	}
	if _, err := NewSuccession(testRoot(t, 1, 1), testRoot(t, 1, 2).Verifying(), "", time.UnixMilli(5)); !errors.Is(err, ErrSuccession) {
		t.Errorf("without a vault: %v", err)
	}
	if _, err := NewSuccession(testRoot(t, 1, 1), testRoot(t, 1, 2).Verifying(), "v", time.UnixMilli(-1)); !errors.Is(err, ErrSuccession) {
		t.Errorf("before 1970: %v", err)
	}
}

// TestSuccessionForged: statements that their root signed, and that say what no succession says.
func TestSuccessionForged(t *testing.T) {
	root := testRoot(t, SuiteHybrid, 1)
	genuine, err := ParseSuccession(testSuccession(t, root, testRoot(t, SuiteHybrid, 2), "vault"))
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]any{
		"format": successionFormat, "issued_at": 5, "root": root.Verifying().Fingerprint().Hex(), "suite": 1, "vault": "vault",
		"to": base64.RawURLEncoding.EncodeToString(genuine.To.Bytes()),
	}
	sign := func(s Statement, body map[string]any) []byte {
		text, err := canonical.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := root.Sign(s, text)
		if err != nil {
			t.Fatal(err)
		}
		b := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(text))), text...)
		return append(append(b, root.Verifying().Bytes()...), sig...)
	}
	if _, err := ParseSuccession(sign(StatementSuccession, good)); err != nil {
		t.Fatalf("the genuine one: %v", err)
	}
	if _, err := ParseSuccession(sign(StatementCertificate, good)); !errors.Is(err, ErrSuccession) {
		t.Errorf("signed as a certificate: %v", err)
	}
	for name, value := range map[string]any{
		"format": "stonevault.v1/certificate", "issued_at": -1, "root": testRoot(t, SuiteHybrid, 3).Verifying().Fingerprint().Hex(), "suite": 2,
		"vault": "", "to": good["to"].(string) + "A", "more": 1,
	} {
		body := make(map[string]any)
		for k, v := range good {
			body[k] = v
		}
		body[name] = value
		if _, err := ParseSuccession(sign(StatementSuccession, body)); !errors.Is(err, ErrSuccession) {
			t.Errorf("%s = %v: %v", name, value, err)
		}
	}
}

func TestFollowRoots(t *testing.T) {
	a, b, c := testRoot(t, SuiteHybrid, 1), testRoot(t, SuiteHybrid, 2), testRoot(t, SuiteCNSA, 3)
	print := func(k *SigningKey) string { return k.Verifying().Fingerprint().Hex() }
	ab, bc := testSuccession(t, a, b, "vault"), testSuccession(t, b, c, "vault")
	for _, test := range []struct {
		what     string
		from, to *SigningKey
		given    [][]byte
		steps    int // -1 for an error
	}{
		{"two steps", a, c, [][]byte{ab, bc}, 2},
		{"one step", b, c, [][]byte{ab, bc}, 1},
		{"none needed", c, c, [][]byte{ab, bc}, 0},
		{"to one in between", a, b, [][]byte{ab, bc}, 1},
		{"backwards", c, a, [][]byte{ab, bc}, -1},
		{"a gap", a, c, [][]byte{bc}, -1},
		{"another order", a, c, [][]byte{bc, ab}, -1},
		{"another vault", a, b, [][]byte{testSuccession(t, a, b, "other")}, -1},
		{"nonsense", a, b, [][]byte{{1, 2, 3}}, -1},
		{"nothing", a, b, nil, -1},
	} {
		steps, err := FollowRoots(print(test.from), print(test.to), "vault", test.given)
		if (err != nil) != (test.steps < 0) || err == nil && len(steps) != test.steps || err != nil && !errors.Is(err, ErrSuccession) {
			t.Errorf("%s: %d steps, %v", test.what, len(steps), err)
		}
	}
}

func FuzzSuccession(f *testing.F) {
	for _, suite := range bothSuites {
		f.Add(testSuccession(f, testRoot(f, suite, 1), testRoot(f, SuiteHybrid, 2), "vault"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		within(t, func() {
			s, err := ParseSuccession(b)
			if (s == nil) != (err != nil) {
				t.Errorf("%v, %v", s, err)
			}
			if s != nil && (s.Vault == "" || !s.To.Suite().Valid() || len(b) > MaxSuccessionSize) {
				t.Errorf("%+v", s)
			}
		})
	})
}
