package stone

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"stonevault/identity"
)

// TestCopyBody copies bodies as they are, and stops before the first byte of a segment that was changed.
func TestCopyBody(t *testing.T) {
	for _, class := range []Class{ClassNormal, ClassRestricted} {
		for _, size := range []int{0, 1, SegmentSize - 1, SegmentSize, SegmentSize + 1, 3*SegmentSize + 7} {
			t.Run(fmt.Sprintf("%s/%d", class, size), func(t *testing.T) {
				body, u := sealedBody(t, class, size)
				r, err := OpenBody(bytes.NewReader(body), int64(len(body)), u)
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				if err := r.CopyBody(t.Context(), &out); err != nil || !bytes.Equal(out.Bytes(), body) {
					t.Fatalf("the copy differs: %v", err)
				}
				last := r.Segments() - 1
				for _, i := range []int{0, last} {
					changed := bytes.Clone(body)
					changed[r.index.offsets[i]+60] ^= 1
					r, err := OpenBody(bytes.NewReader(changed), int64(len(changed)), u)
					if err != nil {
						t.Fatal(err)
					}
					out.Reset()
					if err := r.CopyBody(t.Context(), &out); !errors.Is(err, ErrRefused) {
						t.Errorf("segment %d changed: %v, want ErrRefused", i, err)
					}
					if want := body[:r.index.offsets[i]]; !bytes.Equal(out.Bytes(), want) {
						t.Errorf("segment %d changed: %d bytes were written, want the %d before it", i, out.Len(), len(want))
					}
				}
				if err := r.CopyBody(t.Context(), shortWriter{}); err == nil {
					t.Error("a writer that takes less than it is given makes no error")
				}
			})
		}
	}
}

// TestSmallBuffers makes sure that a small file never takes the room of a whole segment.
func TestSmallBuffers(t *testing.T) {
	large := buffers.large.New
	defer func() { buffers.large = sync.Pool{New: large} }()
	for _, class := range []Class{ClassNormal, ClassRestricted} {
		for _, size := range []int{0, 1, 20_000} {
			taken := 0
			buffers.large = sync.Pool{New: func() any { taken++; return large() }}
			body, u := sealedBody(t, class, size)
			r, err := OpenBody(bytes.NewReader(body), int64(len(body)), u)
			if err != nil {
				t.Fatal(err)
			}
			for name, err := range map[string]error{
				"Stream":   r.Stream(t.Context(), io.Discard, 0, r.Size()),
				"CopyBody": r.CopyBody(t.Context(), io.Discard),
			} {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if taken > 0 {
				t.Errorf("%s, %d bytes: %d large buffers were taken", class, size, taken)
			}
		}
	}
}

type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return len(p) / 2, nil }

func sealedBody(t *testing.T, class Class, size int) ([]byte, *Unlocked) {
	t.Helper()
	to, err := identity.Generate(rand.Reader, identity.SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	w, err := identity.NewWrappingKey(rand.Reader, to.Public())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = Seal(t.Context(), &out, bytes.NewReader(bytes.Repeat([]byte("text that is compressed "), size/24+1)[:size]), SealParams{
		Rand: rand.Reader, Now: time.UnixMilli(1_800_000_000_000), Recipients: []*identity.WrappingKey{w}, Metadata: Metadata{Class: class},
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed := out.Bytes()
	env, err := ReadEnvelope(bytes.NewReader(sealed), int64(len(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := env.KeyFor(to)
	if err != nil {
		t.Fatal(err)
	}
	u, err := env.Unlock(key)
	if err != nil {
		t.Fatal(err)
	}
	return sealed[:env.BodySize], u
}
