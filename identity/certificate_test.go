package identity

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func testCertificate(t testing.TB, suite Suite) ([]byte, *SigningKey, *Identity) {
	t.Helper()
	root, err := GenerateSigningKey(rand.Reader, suite)
	if err != nil {
		t.Fatal(err)
	}
	id := generated(t, suite)
	c, err := NewCertificate(root, Subject{"person-1", "person", 1}, id.Public(), time.UnixMilli(5))
	if err != nil {
		t.Fatal(err)
	}
	return c, root, id
}

func TestCertificate(t *testing.T) {
	for _, suite := range bothSuites {
		b, root, id := testCertificate(t, suite)
		c, err := ParseCertificate(suite, b)
		if err != nil {
			t.Fatal(err)
		}
		if c.Keys != id.Public().Fingerprint() || c.Root.Fingerprint() != root.Verifying().Fingerprint() || c.Suite != suite ||
			c.Subject != (Subject{"person-1", "person", 1}) || !c.IssuedAt.Equal(time.UnixMilli(5)) {
			t.Errorf("suite %d: %+v", suite, c)
		}
		if _, err := ParseCertificate(suite^3, b); !errors.Is(err, ErrCertificate) {
			t.Errorf("suite %d read as the other: %v", suite, err)
		}
		for _, n := range []int{0, 1, 3, 4, 5, 100, len(b) - 1} {
			if _, err := ParseCertificate(suite, b[:n]); !errors.Is(err, ErrCertificate) {
				t.Errorf("suite %d: %d bytes: %v", suite, n, err)
			}
		}
		if _, err := ParseCertificate(suite, append(bytes.Clone(b), 0)); !errors.Is(err, ErrCertificate) {
			t.Errorf("suite %d: a byte more: %v", suite, err)
		}
	}
}

// TestCertificateEveryBit flips every bit; every 20th, unless STONEVAULT_TORTURE is 1.
func TestCertificateEveryBit(t *testing.T) {
	step := 20
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		step = 1
	}
	for _, suite := range bothSuites {
		b, _, _ := testCertificate(t, suite)
		t.Logf("suite %d: %d of %d flips; all of them with STONEVAULT_TORTURE=1", suite, 8*len(b)/step, 8*len(b))
		var wg sync.WaitGroup
		for half := range 2 {
			wg.Go(func() {
				for bit := half * step; bit < 8*len(b); bit += 2 * step {
					flipped := bytes.Clone(b)
					flipped[bit/8] ^= 1 << (bit % 8)
					if _, err := ParseCertificate(suite, flipped); !errors.Is(err, ErrCertificate) {
						t.Errorf("suite %d: bit %d: %v", suite, bit, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestCertificateRefusesToMake(t *testing.T) {
	root, err := GenerateSigningKey(rand.Reader, SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	pub, now := generated(t, SuiteHybrid).Public(), time.UnixMilli(0)
	good := Subject{"i", "k", 1}
	for name, err := range map[string]error{
		"another suite":   second(NewCertificate(root, good, generated(t, SuiteCNSA).Public(), now)),
		"no id":           second(NewCertificate(root, Subject{"", "k", 1}, pub, now)),
		"long id":         second(NewCertificate(root, Subject{strings.Repeat("i", 65), "k", 1}, pub, now)),
		"id with newline": second(NewCertificate(root, Subject{"a\nb", "k", 1}, pub, now)),
		"no kind":         second(NewCertificate(root, Subject{"i", "", 1}, pub, now)),
		"kind not ASCII":  second(NewCertificate(root, Subject{"i", "é", 1}, pub, now)),
		"version 0":       second(NewCertificate(root, Subject{"i", "k", 0}, pub, now)),
		"version 2^31+1":  second(NewCertificate(root, Subject{"i", "k", 1<<31 + 1}, pub, now)),
		"time unset":      second(NewCertificate(root, good, pub, time.Time{})),
		"time too late":   second(NewCertificate(root, good, pub, time.UnixMilli(1<<53))),
	} {
		if err == nil {
			t.Errorf("%s: made", name)
		}
	}
	for _, subject := range []Subject{good, {strings.Repeat("~", 64), `"\<&>`, 1 << 31}} {
		b, err := NewCertificate(root, subject, pub, time.UnixMilli(1<<53-1))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := ParseCertificate(SuiteHybrid, b); err != nil || c.Subject != subject {
			t.Errorf("%+v: %v", subject, err)
		}
	}
}
