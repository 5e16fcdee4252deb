package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"runtime/metrics"
	"testing"
	"time"
)

// within fails a fuzz target whose input takes more than 2 seconds, or more than 64 MiB in all.
func within(t *testing.T, f func()) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before, start := sample[0].Value.Uint64(), time.Now()
	f()
	took := time.Since(start)
	metrics.Read(sample)
	if n := sample[0].Value.Uint64() - before; n > 64<<20 || took > 2*time.Second {
		t.Fatalf("took %d MiB and %v", n>>20, took)
	}
}

func knowns(f *testing.F) []known {
	raw, err := os.ReadFile(knownFile)
	if err != nil {
		f.Fatal(err)
	}
	var all []known
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		f.Fatal("no seeds", err)
	}
	return all
}

func seeded(f *testing.F, k known) *Identity {
	id, err := FromSeeds(k.Suite, mustHex(f, k.Seeds))
	if err != nil {
		f.Fatal(err)
	}
	return id
}

// FuzzPublicKey reads a signer's keys as they stand in an envelope.
func FuzzPublicKey(f *testing.F) {
	for _, k := range knowns(f) {
		f.Add(byte(k.Suite), seeded(f, k).Public().Bytes())
	}
	f.Fuzz(func(t *testing.T, suite byte, b []byte) {
		within(t, func() {
			pub, err := PublicFromBytes(Suite(suite), b)
			if err != nil {
				return
			}
			if !bytes.Equal(pub.Bytes(), b) || pub.Suite() != Suite(suite) {
				t.Fatal("a key has two encodings")
			}
			if _, err := NewWrappingKey(rand.Reader, pub); err != nil {
				t.Errorf("a key that nothing can be sealed to: %v", err)
			}
			if pub.Verify(StatementManifest, nil, make([]byte, pub.Suite().SignatureSize())) == nil {
				t.Error("a signature of zeros holds")
			}
		})
	})
}

// FuzzSignature verifies what is no signature.
func FuzzSignature(f *testing.F) {
	ks := knowns(f)
	ids := make(map[Suite]*Public)
	for _, k := range ks {
		ids[k.Suite] = seeded(f, k).Public()
		f.Add(byte(k.Suite), mustHex(f, k.Payload), mustHex(f, k.Signature))
	}
	f.Fuzz(func(t *testing.T, suite byte, payload, sig []byte) {
		pub := ids[Suite(suite)]
		if pub == nil {
			return
		}
		within(t, func() {
			if pub.Verify(StatementManifest, payload, sig) != nil {
				return
			}
			for _, k := range ks {
				if k.Suite == Suite(suite) && bytes.Equal(payload, mustHex(t, k.Payload)) && bytes.Equal(sig, mustHex(t, k.Signature)) {
					return
				}
			}
			t.Errorf("a forgery: %x over %x", sig, payload)
		})
	})
}

func FuzzGrant(f *testing.F) {
	ids := make(map[Suite]*Identity)
	for _, k := range knowns(f) {
		ids[k.Suite] = seeded(f, k)
		f.Add(byte(k.Suite), mustHex(f, k.Grant))
	}
	f.Add(byte(1), append([]byte{4}, make([]byte, 112)...))
	f.Fuzz(func(t *testing.T, suite byte, b []byte) {
		within(t, func() {
			g, rest, err := ParseGrant(Suite(suite), b)
			if err != nil {
				if !errors.Is(err, ErrGrant) {
					t.Error(err)
				}
				return
			}
			if !bytes.Equal(append(g.Bytes(), rest...), b) {
				t.Fatal("a grant has two encodings")
			}
			if id := ids[Suite(suite)]; g.Kind == GrantHPKE {
				g.Recipient = id.Public().Fingerprint()
				w, err := id.OpenWrappingKey(g)
				if err != nil && !errors.Is(err, ErrGrant) {
					t.Error(err)
				}
				if err == nil {
					if _, err := w.Unwrap(g, [16]byte{}); !errors.Is(err, ErrGrant) {
						t.Errorf("a grant opens for another file: %v", err)
					}
				}
			}
		})
	})
}

func FuzzCertificate(f *testing.F) {
	for _, k := range knowns(f) {
		f.Add(byte(k.Suite), mustHex(f, k.Certificate))
	}
	f.Fuzz(func(t *testing.T, suite byte, b []byte) {
		within(t, func() {
			c, err := ParseCertificate(Suite(suite), b)
			if (c == nil) != (err != nil) {
				t.Errorf("%v, %v", c, err)
			}
			if c != nil && (c.Subject.check() != nil || len(b) > MaxCertificateSize || len(c.Keys) != c.Suite.DigestSize()) {
				t.Errorf("%+v", c)
			}
		})
	})
}

func FuzzPublicText(f *testing.F) {
	for _, k := range knowns(f) {
		f.Add(seeded(f, k).Public().Text())
	}
	f.Add("svpub1")
	f.Fuzz(func(t *testing.T, text string) {
		within(t, func() {
			if pub, err := ParsePublic(text); err == nil && pub.Text() != text {
				t.Errorf("%q is written %q", text, pub.Text())
			}
		})
	})
}

func FuzzSecretText(f *testing.F) {
	for _, k := range knowns(f) {
		f.Add(k.Secret)
		f.Add(k.Sheet)
	}
	f.Fuzz(func(t *testing.T, text string) {
		within(t, func() {
			id, err := ParseSecret(text)
			if err != nil {
				return
			}
			if again, err := ParseSecret(id.SecretSheet()); err != nil || !bytes.Equal(again.Seeds(), id.Seeds()) {
				t.Errorf("%q comes back different: %v", text, err)
			}
		})
	})
}

// FuzzIdentityFile reads files without a passphrase: those that are sealed ask for one.
func FuzzIdentityFile(f *testing.F) {
	for _, k := range knowns(f) {
		plain, err := FormatIdentityFile(rand.Reader, seeded(f, k), nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
	}
	f.Add([]byte("-----BEGIN STONEVAULT ENCRYPTED IDENTITY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END STONEVAULT ENCRYPTED IDENTITY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		within(t, func() {
			id, err := ParseIdentityFile(text, nil)
			if (id == nil) != (err != nil) || errors.Is(err, ErrPassphrase) {
				t.Errorf("%v, %v", id, err)
			}
		})
	})
}
