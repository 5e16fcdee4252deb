package stone_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// The campaigns run in full when STONEVAULT_TORTURE is 1, and at a twentieth otherwise.
var torture = os.Getenv("STONEVAULT_TORTURE") == "1"

// share is how many of n a campaign does in this run.
func share(t testing.TB, what string, n int) int {
	if torture {
		return n
	}
	part := (n + 19) / 20
	t.Logf("%s: %d of %d; all of them with STONEVAULT_TORTURE=1", what, part, n)
	return part
}

// inParallel calls f for 0 to n-1 on all processors.
func inParallel(n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

// TestEveryBit flips every bit of a small stone, one at a time. None is idle: whatever is changed, by
// whomever, the stone is refused, and nothing of it is given out.
func TestEveryBit(t *testing.T) {
	for _, c := range []struct {
		name  string
		suite identity.Suite
		class string
		plain []byte
	}{
		{"zstd", identity.SuiteHybrid, "normal", bytes.Repeat([]byte("gold "), 200)},
		{"raw, restricted", identity.SuiteCNSA, "restricted", make([]byte, 99)},
	} {
		t.Run(fmt.Sprintf("suite %d, %s", c.suite, c.name), func(t *testing.T) {
			alice := newIdentity(t, c.suite)
			f := newForge(t, alice, newIdentity(t, c.suite), alice)
			f.plain = c.plain
			f.zstd = len(c.plain) > 500
			f.metadata.set("class", quoted(c.class))
			if c.class == "restricted" {
				f.pad = specPadme(int64(len(c.plain))) - int64(len(c.plain))
			}
			f.certificate = certificateFor(t, alice.Public())
			sealed := f.bytes()
			if got, err := openBytes(sealed, alice); err != nil || !bytes.Equal(got, c.plain) {
				t.Fatalf("before any change: %v", err)
			}
			flips := mathrand.Perm(8 * len(sealed))
			flips = flips[:share(t, "flips", len(flips))]
			start := time.Now()
			inParallel(len(flips), func(i int) {
				bit := flips[i]
				flipped := bytes.Clone(sealed)
				flipped[bit/8] ^= 1 << (bit % 8)
				got, err := openBytes(flipped, alice)
				if !errors.Is(err, stone.ErrRefused) || len(got) > 0 {
					t.Errorf("bit %d of byte %d: %d bytes, %v", bit%8, bit/8, len(got), err)
				}
			})
			t.Logf("%d bytes, %d flips in %v", len(sealed), len(flips), time.Since(start).Round(time.Millisecond))
		})
	}
}

// attack changes a stone in one of the ways in which stones are changed. It gets other stones by the same
// person to the same person to take from, and returns nil where what it did changed nothing.
type attack struct {
	name string
	do   func(r *mathrand.Rand, s *target) []byte
}

// target is a stone, and what an attacker has beside it.
type target struct {
	sealed   []byte
	body     int      // its length
	segments [][2]int // where each begins and ends
	others   [][]byte // whole stones
}

func (s *target) copy() []byte { return bytes.Clone(s.sealed) }

func (s *target) segment(r *mathrand.Rand) [2]int { return s.segments[r.IntN(len(s.segments))] }

// span is a random range of at most max bytes in n.
func span(r *mathrand.Rand, n, max int) (from, to int) {
	from = r.IntN(n)
	return from, from + 1 + r.IntN(min(max, n-from))
}

var attacks = []attack{
	{"flip", func(r *mathrand.Rand, s *target) []byte {
		b := s.copy()
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		return b
	}},
	{"flip in index or envelope", func(r *mathrand.Rand, s *target) []byte {
		b := s.copy()
		from := s.segments[len(s.segments)-1][1]
		b[from+r.IntN(len(b)-from)] ^= 1 << r.IntN(8)
		return b
	}},
	{"overwrite", func(r *mathrand.Rand, s *target) []byte {
		b := s.copy()
		from, to := span(r, len(b), 4096)
		for i := from; i < to; i++ {
			b[i] = byte(r.Uint32())
		}
		return b
	}},
	{"zeros", func(r *mathrand.Rand, s *target) []byte {
		b := s.copy()
		from, to := span(r, len(b), 1<<20)
		clear(b[from:to])
		return b
	}},
	{"cut the end", func(r *mathrand.Rand, s *target) []byte { return s.copy()[:r.IntN(len(s.sealed))] }},
	{"cut the start", func(r *mathrand.Rand, s *target) []byte { return s.copy()[1+r.IntN(len(s.sealed)-1):] }},
	{"cut out", func(r *mathrand.Rand, s *target) []byte {
		from, to := span(r, len(s.sealed), 1<<20)
		return slices.Delete(s.copy(), from, to)
	}},
	{"cut out, and mend the trailer", func(r *mathrand.Rand, s *target) []byte {
		from, to := span(r, s.body, 1<<20)
		b := slices.Delete(s.copy(), from, to)
		binary.BigEndian.PutUint64(b[len(b)-32:], uint64(s.body-(to-from)))
		return b
	}},
	{"cut a segment out, and mend the trailer", func(r *mathrand.Rand, s *target) []byte {
		g := s.segment(r)
		b := slices.Delete(s.copy(), g[0], g[1])
		binary.BigEndian.PutUint64(b[len(b)-32:], uint64(s.body-(g[1]-g[0])))
		return b
	}},
	{"insert, and mend the trailer", func(r *mathrand.Rand, s *target) []byte {
		n := 1 + r.IntN(1000)
		b := slices.Insert(s.copy(), r.IntN(s.body+1), make([]byte, n)...)
		binary.BigEndian.PutUint64(b[len(b)-32:], uint64(s.body+n))
		return b
	}},
	{"append", func(r *mathrand.Rand, s *target) []byte { return append(s.copy(), make([]byte, 1+r.IntN(100))...) }},
	{"repeat", func(r *mathrand.Rand, s *target) []byte {
		from, to := span(r, len(s.sealed), 1<<16)
		return slices.Insert(s.copy(), to, s.sealed[from:to]...)
	}},
	{"swap two segments", func(r *mathrand.Rand, s *target) []byte {
		i, j := s.segment(r), s.segment(r)
		if i[0] > j[0] {
			i, j = j, i
		}
		if i == j {
			return nil
		}
		return slices.Concat(s.sealed[:i[0]], s.sealed[j[0]:j[1]], s.sealed[i[1]:j[0]], s.sealed[i[0]:i[1]], s.sealed[j[1]:])
	}},
	{"swap two ranges", func(r *mathrand.Rand, s *target) []byte {
		b, n := s.copy(), 1+r.IntN(20000)
		i, j := r.IntN(len(b)-n), r.IntN(len(b)-n)
		copy(b[i:i+n], s.sealed[j:j+n])
		copy(b[j:j+n], s.sealed[i:i+n])
		return b
	}},
	{"swap two rows", func(r *mathrand.Rand, s *target) []byte {
		b, index := s.copy(), s.segments[len(s.segments)-1][1]
		row := (s.body - index) / len(s.segments)
		i, j := index+row*r.IntN(len(s.segments)), index+row*r.IntN(len(s.segments))
		copy(b[i:i+row], s.sealed[j:j+row])
		copy(b[j:j+row], s.sealed[i:i+row])
		return b
	}},
	{"splice", func(r *mathrand.Rand, s *target) []byte {
		other := s.others[r.IntN(len(s.others))]
		at := r.IntN(min(len(other), len(s.sealed)))
		return append(s.copy()[:at], other[at:]...)
	}},
	{"replay a segment", func(r *mathrand.Rand, s *target) []byte {
		b, g := s.copy(), s.segment(r)
		copy(b[g[0]:g[1]], s.others[r.IntN(len(s.others))][g[0]:])
		return b
	}},
	{"replay a segment and its row", func(r *mathrand.Rand, s *target) []byte {
		other := s.others[r.IntN(len(s.others))]
		b, i := s.copy(), r.IntN(len(s.segments))
		g, index := s.segments[i], s.segments[len(s.segments)-1][1]
		row := (s.body - index) / len(s.segments)
		copy(b[g[0]:g[1]], other[g[0]:])
		copy(b[index+i*row:][:row], other[index+i*row:])
		return b
	}},
	{"envelope of another body", func(r *mathrand.Rand, s *target) []byte {
		other := s.others[r.IntN(len(s.others))]
		return append(s.copy()[:s.body], other[binary.BigEndian.Uint64(other[len(other)-32:]):]...)
	}},
	{"body of another envelope, with this preamble", func(r *mathrand.Rand, s *target) []byte {
		other := s.others[r.IntN(len(s.others))]
		return slices.Concat(s.sealed[:32], other[32:s.body], s.sealed[s.body:])
	}},
}

// TestCampaign changes a stone of several segments in 10,000 ways. None is accepted, and what was given
// out before the refusal is a prefix of what was sealed, made of whole segments.
func TestCampaign(t *testing.T) {
	noGoroutineLeft(t)
	for _, suite := range []identity.Suite{identity.SuiteHybrid, identity.SuiteCNSA} {
		alice := newIdentity(t, suite)
		w := wrappingKey(t, alice)
		plain := contents["mixed"](4*stone.SegmentSize + 4321)
		seal := func(plain []byte) []byte {
			return sealBytes(t, plain, stone.SealParams{Recipients: []*identity.WrappingKey{w}, Signer: alice, Compression: stone.Compression{Never: true}, Metadata: stone.Metadata{Name: "a"}})
		}
		s := &target{sealed: seal(plain)}
		s.others = [][]byte{seal(plain), seal(contents["random"](len(plain)))}
		spec, err := specOpen(s.sealed, specKeys{suite: byte(suite), seeds: alice.Seeds()})
		if err != nil || !bytes.Equal(spec.plain, plain) {
			t.Fatal(err)
		}
		s.body = len(spec.body)
		for _, r := range spec.rows {
			s.segments = append(s.segments, [2]int{r.at, r.at + int(r.sealed)})
		}
		n := share(t, "attacks", 5000)
		seed := mathrand.Uint64()
		t.Logf("suite %d, seed %d", suite, seed)
		var done [32]atomic.Int64
		inParallel(n, func(i int) {
			r := mathrand.New(mathrand.NewPCG(seed, uint64(i)))
			a := attacks[i%len(attacks)]
			changed := a.do(r, s)
			if changed == nil || bytes.Equal(changed, s.sealed) {
				return
			}
			done[i%len(attacks)].Add(1)
			got, err := openBytes(changed, alice)
			if !errors.Is(err, stone.ErrRefused) {
				t.Errorf("attack %d, %s: %d bytes, %v", i, a.name, len(got), err)
			}
			if len(got)%stone.SegmentSize != 0 && len(got) != len(plain) || !bytes.HasPrefix(plain, got) {
				t.Errorf("attack %d, %s: gave out %d bytes that are not whole segments of what was sealed", i, a.name, len(got))
			}
		})
		for i, a := range attacks {
			if done[i].Load() == 0 {
				t.Errorf("%s was never done", a.name)
			}
		}
	}
}

// TestWrongContexts seals segments under every other context: nothing in one is idle.
func TestWrongContexts(t *testing.T) {
	alice := newIdentity(t, identity.SuiteHybrid)
	n := share(t, "contexts", 1000)
	inParallel(n, func(i int) {
		f := newForge(t, alice, alice)
		f.onSegment = func(_ int, s *forgedSegment) {
			switch i % 5 {
			case 0:
				s.ctxSuite ^= 1 << mathrand.IntN(8)
			case 1:
				s.ctxFile[mathrand.IntN(16)] ^= 1 << mathrand.IntN(8)
			case 2:
				s.ctxIndex ^= 1 << mathrand.IntN(64)
			case 3:
				s.ctxPlain ^= 1 << mathrand.IntN(32)
			case 4:
				s.ctxCoding = 1 << mathrand.IntN(8)
			}
		}
		got, err := openBytes(f.bytes(), alice)
		wantRefusal(t, fmt.Sprint("context ", i), got, err, "commitment")
	})
}

func TestRandomAccess(t *testing.T) {
	alice := newIdentity(t, identity.SuiteHybrid)
	for kind, content := range contents {
		plain := content(5*stone.SegmentSize + 321)
		sealed := sealBytes(t, plain, stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, alice)}, Signer: alice})
		r, _, err := openReader(sealed, alice)
		if err != nil {
			t.Fatal(err)
		}
		near := []int64{0, 1, 16383, 16384, stone.SegmentSize - 1, stone.SegmentSize, stone.SegmentSize + 1, 5 * stone.SegmentSize, r.Size() - 1, r.Size()}
		point := func() int64 {
			if mathrand.IntN(3) == 0 {
				return near[mathrand.IntN(len(near))]
			}
			return mathrand.Int64N(r.Size() + 1)
		}
		inParallel(share(t, kind+" ranges", 1000), func(int) {
			from, to := point(), point()
			if from > to {
				from, to = to, from
			}
			p := make([]byte, to-from)
			if n, err := r.ReadAt(p, from); n != len(p) || err != nil || !bytes.Equal(p, plain[from:to]) {
				t.Errorf("%s: ReadAt [%d:%d]: %d, %v", kind, from, to, n, err)
			}
			var out bytes.Buffer
			if err := r.Stream(context.Background(), &out, from, to-from); err != nil || !bytes.Equal(out.Bytes(), plain[from:to]) {
				t.Errorf("%s: Stream [%d:%d]: %d, %v", kind, from, to, out.Len(), err)
			}
		})
		p := make([]byte, 100)
		if n, err := r.ReadAt(p, r.Size()-30); n != 30 || err != io.EOF || !bytes.Equal(p[:30], plain[len(plain)-30:]) {
			t.Errorf("%s: ReadAt over the end: %d, %v", kind, n, err)
		}
		if n, err := r.ReadAt(p, r.Size()+1); n != 0 || err != io.EOF {
			t.Errorf("%s: ReadAt behind the end: %d, %v", kind, n, err)
		}
		if n, err := r.ReadAt(p, -1); n != 0 || err == nil || err == io.EOF {
			t.Errorf("%s: ReadAt at -1: %d, %v", kind, n, err)
		}
		for _, bad := range [][2]int64{{-1, 1}, {0, -1}, {0, r.Size() + 1}, {r.Size() + 1, 0}, {1, 1<<63 - 1}, {1<<63 - 1, 1}} {
			if err := r.Stream(context.Background(), io.Discard, bad[0], bad[1]); err == nil {
				t.Errorf("%s: Stream of %v was not refused", kind, bad)
			}
		}
		if got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size())); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: read in sequence: %v", kind, err)
		}
	}
}

// TestRandomAccessToDamage reads around a broken segment.
func TestRandomAccessToDamage(t *testing.T) {
	alice := newIdentity(t, identity.SuiteHybrid)
	plain := contents["random"](3 * stone.SegmentSize)
	sealed := sealBytes(t, plain, stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, alice)}, Signer: alice})
	sealed[32+stone.SegmentSize*3/2] ^= 1
	r, _, err := openReader(sealed, alice)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		p := make([]byte, 10)
		n, err := r.ReadAt(p, i*stone.SegmentSize+5)
		var out bytes.Buffer
		streamErr := r.Stream(context.Background(), &out, i*stone.SegmentSize+5, 10)
		if i == 1 {
			if n != 0 || !errors.Is(err, stone.ErrRefused) || out.Len() != 0 || !errors.Is(streamErr, stone.ErrRefused) {
				t.Errorf("the broken segment: %d, %v; %d, %v", n, err, out.Len(), streamErr)
			}
		} else if want := plain[i*stone.SegmentSize+5:][:10]; err != nil || streamErr != nil || !bytes.Equal(p, want) || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("segment %d: %v, %v", i, err, streamErr)
		}
	}
	p := make([]byte, 20)
	if n, err := r.ReadAt(p, stone.SegmentSize-10); n != 10 || !errors.Is(err, stone.ErrRefused) || !bytes.Equal(p[:10], plain[stone.SegmentSize-10:stone.SegmentSize]) {
		t.Errorf("into the broken segment: %d, %v", n, err)
	}
}

// TestTrailerApart flips every bit of the trailer of an envelope that is kept apart from its body, as in a
// vault. It is not signed; the body shows the lie at the latest.
func TestTrailerApart(t *testing.T) {
	alice := newIdentity(t, identity.SuiteHybrid)
	f := newForge(t, alice, alice)
	sealed := f.bytes()
	body := binary.BigEndian.Uint64(sealed[len(sealed)-32:])
	open := func(envelope []byte) error {
		e, err := stone.ParseEnvelope(envelope)
		if err != nil {
			return err
		}
		key, err := e.KeyFor(alice)
		if err != nil {
			return err
		}
		u, err := e.Unlock(key)
		if err != nil {
			return err
		}
		_, err = stone.OpenBody(bytes.NewReader(sealed[:body]), int64(body), u)
		return err
	}
	if err := open(sealed[body:]); err != nil {
		t.Fatal(err)
	}
	for bit := range 256 {
		envelope := bytes.Clone(sealed[body:])
		envelope[len(envelope)-32+bit/8] ^= 1 << (bit % 8)
		if err := open(envelope); !errors.Is(err, stone.ErrRefused) {
			t.Errorf("bit %d of the trailer: %v", bit, err)
		}
	}
}
