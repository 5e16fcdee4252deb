package stone_test

import (
	"bytes"
	"context"
	"crypto/rand"
	mrand "math/rand/v2"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// TestBuilderSittings builds bodies in sittings of every awkward length, each cut where it pleases, and
// opens the result.
func TestBuilderSittings(t *testing.T) {
	ctx := context.Background()
	id := newIdentity(t, identity.SuiteHybrid)
	w := wrappingKey(t, id)
	for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
		for _, step := range []int{1, 1000, 1 << 20, 1<<20 - 1, 1<<20 + 1, 3<<20 + 7} {
			size := 4<<20 + 321
			if step == 1 {
				size = 300
			}
			content := contents["mixed"](size)
			if step == 1000 {
				content = content[:200_000]
			}
			key, err := stone.NewFileKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			fileID, err := stone.NewFileID(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			params := stone.BodyParams{Suite: id.Suite(), FileID: fileID, Key: key, Rand: rand.Reader, Class: class}
			var body, rows []byte
			sitting := func(src []byte, final bool) {
				b, err := stone.NewBuilder(params) // a new one each time, as after a restart
				if err != nil {
					t.Fatal(err)
				}
				if len(body) == 0 {
					body = b.Preamble()
				}
				n := len(rows) / b.RowSize()
				if n > 0 {
					last := rows[(n-1)*b.RowSize():]
					_, length, err := b.Lengths(last)
					if err != nil {
						t.Fatal(err)
					}
					plain, err := b.Reopen(n-1, last, body[int64(len(body))-length:])
					if err != nil {
						t.Fatal(err)
					}
					if len(plain) < stone.SegmentSize {
						src = append(plain, src...)
						n--
						body, rows = body[:int64(len(body))-length], rows[:n*b.RowSize()]
					}
				}
				if final {
					src = append(src, make([]byte, b.Padding(int64(len(content))))...)
				}
				_, err = b.Append(ctx, n, bytes.NewReader(src), func(sealed, row []byte) error {
					body, rows = append(body, sealed...), append(rows, row...)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for rest := content; len(rest) > 0; {
				n := min(step, len(rest), 1+mrand.IntN(step))
				sitting(bytes.Clone(rest[:n]), false)
				rest = rest[n:]
			}
			sitting(nil, true)
			b, err := stone.NewBuilder(params)
			if err != nil {
				t.Fatal(err)
			}
			finished, err := b.Finish(rows, int64(len(content)))
			if err != nil {
				t.Fatalf("class %s, step %d: %v", class, step, err)
			}
			body = append(body, rows...)
			g, err := w.Wrap(rand.Reader, fileID, (*[32]byte)(key))
			if err != nil {
				t.Fatal(err)
			}
			envelope, err := stone.SealEnvelope(stone.EnvelopeParams{
				Body: finished, Key: key, Revision: 1, Time: time.Now(), Signer: id, Grants: []*identity.Grant{g}, Rand: rand.Reader,
				Metadata: stone.Metadata{Size: finished.Size, Class: class},
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := openBytes(append(body, envelope...), id)
			if err != nil || !bytes.Equal(got, content) {
				t.Fatalf("class %s, step %d: opening gives other bytes: %v", class, step, err)
			}
		}
	}
}
