package stone_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// sizes are the lengths at which something could change.
var sizes = []int{
	0, 1, 511, 16383, 16384, 16385, 32767, 32768, 32769, 65535,
	stone.SegmentSize - 1, stone.SegmentSize, stone.SegmentSize + 1,
	3*stone.SegmentSize - 1, 3 * stone.SegmentSize, 3*stone.SegmentSize + 1, 9*stone.SegmentSize + 12345,
}

func newIdentity(t testing.TB, suite identity.Suite) *identity.Identity {
	t.Helper()
	id, err := identity.Generate(rand.Reader, suite)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wrappingKey(t testing.TB, to *identity.Identity) *identity.WrappingKey {
	t.Helper()
	w, err := identity.NewWrappingKey(rand.Reader, to.Public())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// contents are kinds of plaintext: what zstd shrinks, what it does not, and a mixture by segment.
var contents = map[string]func(n int) []byte{
	"random": func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return b
	},
	"text": func(n int) []byte {
		return bytes.Repeat([]byte("All that is gold does not glitter. "), n/35+1)[:n]
	},
	"mixed": func(n int) []byte {
		b := make([]byte, n)
		for at := stone.SegmentSize; at < n; at += 2 * stone.SegmentSize {
			rand.Read(b[at:min(n, at+stone.SegmentSize)])
		}
		return b
	},
}

func sealBytes(t testing.TB, plain []byte, p stone.SealParams) []byte {
	t.Helper()
	var out bytes.Buffer
	p.Rand = rand.Reader
	p.Now = time.UnixMilli(1_800_000_000_123)
	if err := stone.Seal(context.Background(), &out, bytes.NewReader(plain), p); err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return out.Bytes()
}

func openReader(sealed []byte, id *identity.Identity) (*stone.Reader, *stone.Unlocked, error) {
	r := bytes.NewReader(sealed)
	e, err := stone.ReadEnvelope(r, r.Size())
	if err != nil {
		return nil, nil, err
	}
	key, err := e.KeyFor(id)
	if err != nil {
		return nil, nil, err
	}
	u, err := e.Unlock(key)
	if err != nil {
		return nil, nil, err
	}
	body, err := stone.OpenBody(r, e.BodySize, u)
	return body, u, err
}

func openBytes(sealed []byte, id *identity.Identity) ([]byte, error) {
	r, _, err := openReader(sealed, id)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = r.Stream(context.Background(), &out, 0, r.Size())
	return out.Bytes(), err
}

func TestRoundTrip(t *testing.T) {
	for _, suite := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		id, other := newIdentity(t, suite), newIdentity(t, suite)
		w := []*identity.WrappingKey{wrappingKey(t, id), wrappingKey(t, other)}
		for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
			for kind, make := range contents {
				if kind != "mixed" && (suite == identity.SuiteCNSA || class == stone.ClassRestricted) {
					continue // one kind that has all of them will do
				}
				for _, size := range sizes {
					t.Run(fmt.Sprintf("suite %d/%s/%s/%d", suite, class, kind, size), func(t *testing.T) {
						plain := make(size)
						sealed := sealBytes(t, plain, stone.SealParams{Recipients: w, Signer: id, Metadata: stone.Metadata{Name: "a", Class: class}})
						for _, reader := range []*identity.Identity{id, other} {
							got, err := openBytes(sealed, reader)
							if err != nil {
								t.Fatalf("open: %v", err)
							}
							if !bytes.Equal(got, plain) {
								t.Fatal("opening gives other bytes")
							}
						}
						if _, err := openBytes(sealed, newIdentity(t, suite)); !errors.Is(err, stone.ErrNoGrant) {
							t.Fatalf("a stranger gets %v, want ErrNoGrant", err)
						}
					})
				}
			}
		}
	}
}
