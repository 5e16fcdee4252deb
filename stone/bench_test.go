package stone_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// benchSize is large enough that the envelope does not count.
const benchSize = 256 << 20

// benchFile writes content to a file on the memory file system where there is one.
func benchFile(b *testing.B, content []byte) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "stone-bench")
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "plain")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

func benchText(n int) []byte {
	var buf bytes.Buffer
	for i := 0; buf.Len() < n; i++ {
		fmt.Fprintf(&buf, "%d: the quick brown fox %x jumps over lazy dog number %d at %d o'clock\n", i, i*2654435761, i%977, i%24)
	}
	return buf.Bytes()[:n]
}

func BenchmarkStone(b *testing.B) {
	id := newIdentity(b, identity.SuiteHybrid)
	random := make([]byte, benchSize)
	rand.Read(random)
	for _, c := range []struct {
		name    string
		content []byte
		never   bool
	}{{"random", random, false}, {"text", benchText(benchSize), false}, {"text uncompressed", benchText(benchSize), true}} {
		plain := benchFile(b, c.content)
		sealed := plain + ".stone"
		b.Run("seal/"+c.name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				in, _ := os.Open(plain)
				out, _ := os.Create(sealed)
				err := stone.Seal(context.Background(), out, in, stone.SealParams{
					Rand: rand.Reader, Now: time.Now(), Signer: id, Compression: stone.Compression{Never: c.never},
					Recipients: []*identity.WrappingKey{wrappingKey(b, id)}, Metadata: stone.Metadata{Name: "plain"},
				})
				if err != nil {
					b.Fatal(err)
				}
				in.Close()
				out.Close()
			}
		})
		b.Run("open/"+c.name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				in, _ := os.Open(sealed)
				out, _ := os.Create(plain + ".out")
				info, _ := in.Stat()
				e, err := stone.ReadEnvelope(in, info.Size())
				if err != nil {
					b.Fatal(err)
				}
				key, err := e.KeyFor(id)
				if err != nil {
					b.Fatal(err)
				}
				u, err := e.Unlock(key)
				if err != nil {
					b.Fatal(err)
				}
				r, err := stone.OpenBody(in, e.BodySize, u)
				if err != nil {
					b.Fatal(err)
				}
				if err := r.Stream(context.Background(), out, 0, r.Size()); err != nil {
					b.Fatal(err)
				}
				in.Close()
				out.Close()
			}
		})
		b.Run("copy/"+c.name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				in, _ := os.Open(plain)
				out, _ := os.Create(plain + ".out")
				io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
				in.Close()
				out.Close()
			}
		})
	}
}

// BenchmarkEnvelope is what a small file costs besides its content.
func BenchmarkEnvelope(b *testing.B) {
	id := newIdentity(b, identity.SuiteHybrid)
	w := wrappingKey(b, id)
	var sealed []byte
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			sealed = sealBytes(b, make([]byte, 4096), stone.SealParams{Recipients: []*identity.WrappingKey{w}, Signer: id})
		}
	})
	b.Run("parse", func(b *testing.B) {
		r := bytes.NewReader(sealed)
		for b.Loop() {
			if _, err := stone.ReadEnvelope(r, r.Size()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := openBytes(sealed, id); err != nil {
				b.Fatal(err)
			}
		}
	})
}
