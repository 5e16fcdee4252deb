package stone_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// noGoroutineLeft fails when more goroutines run at the end than at the start; those that are on their
// way out get a second.
func noGoroutineLeft(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for end := time.Now().Add(time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				buf := make([]byte, 1<<16)
				t.Fatalf("%d goroutines at the start, %d at the end:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
			}
		}
	})
}

// failingWriter takes n bytes and then fails, or lies about how many it took.
type failingWriter struct {
	io.Writer
	n   int
	err error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) <= w.n {
		w.n -= len(p)
		return w.Writer.Write(p)
	}
	n, _ := w.Writer.Write(p[:w.n])
	w.n = 0
	return n, w.err
}

var errMedium = errors.New("the medium failed")

// TestSourceFails cuts the source off at places around every buffer's end. A source that says
// io.ErrUnexpectedEOF is what an HTTP request's body is when the client hangs up: sealing what came so
// far as the whole file would lose the rest in silence.
func TestSourceFails(t *testing.T) {
	noGoroutineLeft(t)
	plain := contents["mixed"](3*stone.SegmentSize + 5)
	w := []*identity.WrappingKey{wrappingKey(t, newIdentity(t, identity.SuiteHybrid))}
	for _, cause := range []error{io.ErrUnexpectedEOF, errMedium, io.ErrClosedPipe} {
		for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
			for _, at := range []int{
				0, 1, 32767, 32768, 32769, stone.SegmentSize - 1, stone.SegmentSize, stone.SegmentSize + 1,
				2*stone.SegmentSize + 100, len(plain),
			} {
				src := io.MultiReader(bytes.NewReader(plain[:at]), iotest.ErrReader(cause))
				err := stone.Seal(context.Background(), io.Discard, src, stone.SealParams{
					Rand: rand.Reader, Now: time.UnixMilli(1), Recipients: w, Metadata: stone.Metadata{Class: class},
				})
				if !errors.Is(err, cause) {
					t.Errorf("%s: source fails after %d bytes with %v: Seal says %v", class, at, cause, err)
				}
			}
		}
	}
}

func TestSourceDribbles(t *testing.T) {
	id := newIdentity(t, identity.SuiteHybrid)
	plain := contents["random"](stone.SegmentSize + 77)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"half":           iotest.HalfReader,
		"EOF with data":  iotest.DataErrReader,
		"one byte reads": iotest.OneByteReader,
	} {
		var out bytes.Buffer
		if err := stone.Seal(context.Background(), &out, wrap(bytes.NewReader(plain)), stone.SealParams{
			Rand: rand.Reader, Now: time.UnixMilli(1), Recipients: []*identity.WrappingKey{wrappingKey(t, id)},
		}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := openBytes(out.Bytes(), id); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: came back different, %v", name, err)
		}
	}
}

func TestRandomnessFails(t *testing.T) {
	w := []*identity.WrappingKey{wrappingKey(t, newIdentity(t, identity.SuiteHybrid))}
	plain := make([]byte, 2*stone.SegmentSize)
	for _, n := range []int{0, 40, 100, 160, 191, 192, 215} { // seeds, key, id, grant, salts, metadata
		err := stone.Seal(context.Background(), io.Discard, bytes.NewReader(plain), stone.SealParams{
			Rand: io.MultiReader(io.LimitReader(rand.Reader, int64(n)), iotest.ErrReader(errMedium)), Now: time.UnixMilli(1), Recipients: w,
		})
		if !errors.Is(err, errMedium) {
			t.Errorf("randomness ends after %d bytes: %v", n, err)
		}
	}
}

func TestWriterFails(t *testing.T) {
	noGoroutineLeft(t)
	id := newIdentity(t, identity.SuiteHybrid)
	plain := contents["random"](2*stone.SegmentSize + 9)
	p := stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, id)}, Signer: id}
	sealed := sealBytes(t, plain, p)
	r, _, err := openReader(sealed, id)
	if err != nil {
		t.Fatal(err)
	}
	p.Rand, p.Now = rand.Reader, time.UnixMilli(1)
	for _, c := range []struct{ says, want error }{{errMedium, errMedium}, {nil, io.ErrShortWrite}} {
		for _, n := range []int{0, 1, 31, 32, 33, stone.SegmentSize, 2 * stone.SegmentSize, len(plain) - 1} {
			sink := &failingWriter{io.Discard, n, c.says}
			if err := stone.Seal(context.Background(), sink, bytes.NewReader(plain), p); !errors.Is(err, c.want) {
				t.Errorf("sealing to a writer that takes %d bytes: %v, want %v", n, err, c.want)
			}
			var out bytes.Buffer
			if err := r.Stream(context.Background(), &failingWriter{&out, n, c.says}, 0, r.Size()); !errors.Is(err, c.want) {
				t.Errorf("streaming to a writer that takes %d bytes: %v, want %v", n, err, c.want)
			}
			if out.Len() != n || !bytes.Equal(out.Bytes(), plain[:n]) {
				t.Errorf("a writer that takes %d bytes got %d", n, out.Len())
			}
		}
		if err := stone.Seal(context.Background(), &failingWriter{io.Discard, len(sealed) - 40, c.says}, bytes.NewReader(plain), p); !errors.Is(err, c.want) {
			t.Errorf("sealing to a writer that lacks the end: %v, want %v", err, c.want)
		}
		if _, err := stone.SealBody(context.Background(), &failingWriter{io.Discard, stone.SegmentSize, c.says}, bytes.NewReader(plain),
			stone.BodyParams{Suite: 1, FileID: stone.FileID{1}, Key: new(stone.FileKey), Rand: rand.Reader, Class: stone.ClassNormal}); !errors.Is(err, c.want) {
			t.Errorf("SealBody: %v, want %v", err, c.want)
		}
	}
}

// failingReaderAt fails on every read that touches the bytes from "from" on.
type failingReaderAt struct {
	io.ReaderAt
	from int64
}

func (r failingReaderAt) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > r.from {
		return 0, errMedium
	}
	return r.ReaderAt.ReadAt(p, at)
}

// TestMediumFails tells a broken disk from a broken stone: only the second is a refusal.
func TestMediumFails(t *testing.T) {
	noGoroutineLeft(t)
	id := newIdentity(t, identity.SuiteHybrid)
	plain := contents["random"](3 * stone.SegmentSize)
	sealed := sealBytes(t, plain, stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, id)}, Signer: id})
	_, u, err := openReader(sealed, id)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader(sealed)
	if _, err := stone.OpenBody(failingReaderAt{body, u.BodySize - 1}, u.BodySize, u); !errors.Is(err, errMedium) || errors.Is(err, stone.ErrRefused) {
		t.Errorf("the index cannot be read: %v", err)
	}
	if _, err := stone.ReadEnvelope(failingReaderAt{body, int64(len(sealed)) - 1}, int64(len(sealed))); !errors.Is(err, errMedium) {
		t.Errorf("the trailer cannot be read: %v", err)
	}
	fails := &switchableReaderAt{ReaderAt: body}
	r, err := stone.OpenBody(fails, u.BodySize, u)
	if err != nil {
		t.Fatal(err)
	}
	fails.failFrom = 2 * stone.SegmentSize
	var out bytes.Buffer
	if err := r.Stream(context.Background(), &out, 0, r.Size()); !errors.Is(err, errMedium) || errors.Is(err, stone.ErrRefused) {
		t.Errorf("Stream: %v", err)
	}
	if out.Len()%stone.SegmentSize != 0 || !bytes.HasPrefix(plain, out.Bytes()) {
		t.Errorf("%d bytes were given out that are not whole segments", out.Len())
	}
	p := make([]byte, 100)
	if n, err := r.ReadAt(p, 2*stone.SegmentSize); n != 0 || !errors.Is(err, errMedium) {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	fails.failFrom = 0
	if n, err := r.ReadAt(p, 2*stone.SegmentSize); n != 100 || err != nil || !bytes.Equal(p, plain[2*stone.SegmentSize:][:100]) {
		t.Errorf("ReadAt once the medium works again: %d, %v", n, err)
	}
	// A body that ends early is a truncated stone, not a broken disk.
	if _, err := stone.OpenBody(bytes.NewReader(sealed[:u.BodySize-1]), u.BodySize, u); !errors.Is(err, stone.ErrRefused) {
		t.Errorf("a truncated body: %v", err)
	}
}

type switchableReaderAt struct {
	io.ReaderAt
	failFrom int64 // 0 for never
}

func (r *switchableReaderAt) ReadAt(p []byte, at int64) (int, error) {
	if r.failFrom > 0 {
		return failingReaderAt{r.ReaderAt, r.failFrom}.ReadAt(p, at)
	}
	return r.ReaderAt.ReadAt(p, at)
}

// cancelAfter cancels when n bytes have passed through it, and goes on.
type cancelAfter struct {
	n      int
	cancel func()
}

func (c *cancelAfter) Write(p []byte) (int, error) {
	if c.n -= len(p); c.n <= 0 {
		c.cancel()
	}
	return len(p), nil
}

// endless is a source of zeros that counts what was taken of it.
type endless struct{ given int }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.given += len(p)
	return len(p), nil
}

func TestCancel(t *testing.T) {
	noGoroutineLeft(t)
	id := newIdentity(t, identity.SuiteHybrid)
	plain := contents["random"](12 * stone.SegmentSize)
	p := stone.SealParams{Recipients: []*identity.WrappingKey{wrappingKey(t, id)}, Signer: id}
	sealed := sealBytes(t, plain, p)
	r, _, err := openReader(sealed, id)
	if err != nil {
		t.Fatal(err)
	}
	p.Rand, p.Now = rand.Reader, time.UnixMilli(1)
	const few = 12 * stone.SegmentSize // what may be under way when the end comes
	for range 20 {
		n := mathrand.IntN(5 * stone.SegmentSize)
		cause := fmt.Errorf("after %d bytes", n)
		ctx, cancel := context.WithCancelCause(context.Background())
		stop := func() { cancel(cause) }

		src := new(endless)
		if err := stone.Seal(ctx, io.Discard, io.TeeReader(src, &cancelAfter{n, stop}), p); !errors.Is(err, cause) {
			t.Errorf("Seal: %v, want %v", err, cause)
		}
		if src.given > n+few {
			t.Errorf("Seal read %d bytes after the end came at %d", src.given-n, n)
		}
		ctx, cancel = context.WithCancelCause(context.Background())
		var out bytes.Buffer
		if err := r.Stream(ctx, io.MultiWriter(&out, &cancelAfter{n, func() { cancel(cause) }}), 0, r.Size()); !errors.Is(err, cause) {
			t.Errorf("Stream: %v, want %v", err, cause)
		}
		if out.Len() > n+2*stone.SegmentSize || !bytes.HasPrefix(plain, out.Bytes()) {
			t.Errorf("Stream wrote %d bytes, cancelled at %d", out.Len(), n)
		}
	}

	// At moments that nothing in the stream decides.
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(mathrand.IntN(8000))*time.Microsecond)
		if err := stone.Seal(ctx, io.Discard, new(endless), p); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Seal: %v", err)
		}
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(mathrand.IntN(4000))*time.Microsecond)
		var out bytes.Buffer
		err := r.Stream(ctx, &out, 0, r.Size())
		if whole := out.Len() == len(plain); err == nil && !whole || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stream: %d bytes, %v", out.Len(), err)
		}
		if !bytes.HasPrefix(plain, out.Bytes()) {
			t.Error("Stream wrote something else")
		}
		cancel()
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	if err := r.Stream(ctx, &out, 0, r.Size()); !errors.Is(err, context.Canceled) || out.Len() != 0 {
		t.Errorf("cancelled before the start: %d bytes, %v", out.Len(), err)
	}
}

// TestSealerRefuses lists what would make a stone that no opener takes.
func TestSealerRefuses(t *testing.T) {
	alice, cnsa := newIdentity(t, identity.SuiteHybrid), newIdentity(t, identity.SuiteCNSA)
	key, id := new(stone.FileKey), stone.FileID{1}
	to := func(who *identity.Identity) *identity.Grant {
		g, err := wrappingKey(t, who).Wrap(rand.Reader, id, (*[32]byte)(key))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	body, err := stone.SealBody(context.Background(), io.Discard, strings.NewReader("hello"), stone.BodyParams{
		Suite: identity.SuiteHybrid, FileID: id, Key: key, Rand: rand.Reader, Class: stone.ClassNormal,
	})
	if err != nil {
		t.Fatal(err)
	}
	toAlice := to(alice)
	good := stone.EnvelopeParams{
		Body: body, Key: key, Revision: 1, Time: time.UnixMilli(0), Signer: alice, Grants: []*identity.Grant{toAlice},
		Metadata: stone.Metadata{Size: 5, Class: stone.ClassNormal, Name: strings.Repeat("é", 127)}, Rand: rand.Reader,
	}
	envelope, err := stone.SealEnvelope(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stone.ParseEnvelope(envelope); err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	for name, change := range map[string]func(p *stone.EnvelopeParams){
		"time before 1970":            func(p *stone.EnvelopeParams) { p.Time = time.UnixMilli(-1) },
		"time unset":                  func(p *stone.EnvelopeParams) { p.Time = time.Time{} },
		"time too far ahead":          func(p *stone.EnvelopeParams) { p.Time = time.UnixMilli(1 << 53) },
		"no grant":                    func(p *stone.EnvelopeParams) { p.Grants = nil },
		"grant twice":                 func(p *stone.EnvelopeParams) { p.Grants = []*identity.Grant{toAlice, to(alice)} },
		"grant of another suite":      func(p *stone.EnvelopeParams) { p.Grants = []*identity.Grant{to(cnsa)} },
		"signer of another suite":     func(p *stone.EnvelopeParams) { p.Signer = cnsa },
		"revision 0":                  func(p *stone.EnvelopeParams) { p.Revision = 0 },
		"revision 2 without previous": func(p *stone.EnvelopeParams) { p.Revision = 2 },
		"revision 1 with previous":    func(p *stone.EnvelopeParams) { p.Previous = digest },
		"previous too short":          func(p *stone.EnvelopeParams) { p.Revision, p.Previous = 2, digest[1:] },
		"another size":                func(p *stone.EnvelopeParams) { p.Metadata.Size = 6 },
		"another class":               func(p *stone.EnvelopeParams) { p.Metadata.Class = stone.ClassRestricted },
		"mode with set-uid":           func(p *stone.EnvelopeParams) { p.Metadata.Mode = 0o4755 },
		"name with slash":             func(p *stone.EnvelopeParams) { p.Metadata.Name = "a/b" },
		"name too long":               func(p *stone.EnvelopeParams) { p.Metadata.Name = strings.Repeat("é", 128) },
		"name not UTF-8":              func(p *stone.EnvelopeParams) { p.Metadata.Name = "\xff" },
		"path not UTF-8":              func(p *stone.EnvelopeParams) { p.Metadata.Path = "/\xc3" },
		"metadata too long":           func(p *stone.EnvelopeParams) { p.Metadata.Path = strings.Repeat("p", 1<<16) },
		"version negative":            func(p *stone.EnvelopeParams) { p.Metadata.Version = -1 },
		"certificate too long":        func(p *stone.EnvelopeParams) { p.Certificate = make([]byte, identity.MaxCertificateSize+1) },
		"too many grants": func(p *stone.EnvelopeParams) {
			p.Grants = nil
			for i := range stone.MaxGrants + 1 {
				g := *toAlice
				g.Recipient = identity.Fingerprint(fmt.Sprintf("%032d", i))
				p.Grants = append(p.Grants, &g)
			}
		},
	} {
		p := good
		change(&p)
		if b, err := stone.SealEnvelope(p); err == nil {
			_, err = stone.ParseEnvelope(b)
			t.Errorf("%s: sealed; the opener says %v", name, err)
		}
	}
}
