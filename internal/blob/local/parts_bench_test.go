package local

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/vault"
)

// plainPart is what a part is measured against: a file, written through the page cache.
type plainPart struct{ *os.File }

func (p plainPart) BeginSync() (wait func() error) { return p.Sync }

var _ vault.Part = plainPart{}

// BenchmarkAppend grows 1 GiB by 8 MiB at a time, each durable before the next, or while the next is
// written.
func BenchmarkAppend(b *testing.B) {
	const total, step = 1 << 30, 8 << 20
	piece := make([]byte, 1<<20)
	rand.Read(piece)
	dir := benchDir(b)
	s := open(b, dir)
	id := blobtest.NewID()
	for _, kind := range []struct {
		name string
		open func() (vault.Part, error)
		done func()
	}{
		{"store", func() (vault.Part, error) { return s.OpenPart(b.Context(), id, 0) },
			func() { s.DeletePart(b.Context(), id) }},
		{"plain", func() (vault.Part, error) {
			f, err := os.Create(filepath.Join(dir, "plain"))
			return plainPart{f}, err
		}, func() { os.Remove(filepath.Join(dir, "plain")) }},
	} {
		for _, mode := range []string{"between", "beside"} {
			b.Run(kind.name+"/sync="+mode, func(b *testing.B) {
				b.SetBytes(total)
				for b.Loop() {
					p, err := kind.open()
					if err != nil {
						b.Fatal(err)
					}
					synced := make(chan error, 1)
					synced <- nil
					for n := 0; n < total; {
						for range step / len(piece) {
							// Odd lengths, as sealed segments have.
							if _, err := p.Write(piece[:len(piece)-n%97]); err != nil {
								b.Fatal(err)
							}
							n += len(piece)
						}
						if err := <-synced; err != nil {
							b.Fatal(err)
						}
						if mode == "between" {
							synced <- p.Sync()
						} else {
							go func() { synced <- p.Sync() }()
						}
					}
					if err := <-synced; err != nil {
						b.Fatal(err)
					}
					if err := p.Close(); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					kind.done()
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkRequests brings 256 MiB in openings of their own, as clients do that send pieces.
func BenchmarkRequests(b *testing.B) {
	const total = 256 << 20
	for _, c := range []struct {
		name string
		step int
	}{{"64KiB", 64 << 10}, {"1MiB", 1 << 20}, {"4MiB", 4 << 20}, {"8MiB", 8 << 20}, {"16MiB", 16 << 20}} {
		data := make([]byte, c.step+33)
		rand.Read(data)
		dir := benchDir(b)
		s := open(b, dir)
		id := blobtest.NewID()
		for _, kind := range []struct {
			name string
			open func(at int64) (vault.Part, error)
		}{
			{"store", func(at int64) (vault.Part, error) { return s.OpenPart(b.Context(), id, at) }},
			{"plain", func(at int64) (vault.Part, error) {
				f, err := os.OpenFile(filepath.Join(dir, "plain"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
				return plainPart{f}, err
			}},
		} {
			b.Run(c.name+"/"+kind.name, func(b *testing.B) {
				b.SetBytes(total)
				for b.Loop() {
					for at := int64(0); at < total; at += int64(len(data)) {
						p, err := kind.open(at)
						for off := 0; off < len(data) && err == nil; off += 1 << 20 {
							_, err = p.Write(data[off:min(off+1<<20, len(data))])
						}
						if err == nil {
							err = p.Sync()
						}
						if err == nil {
							err = p.Close()
						}
						if err != nil {
							b.Fatal(err)
						}
					}
					b.StopTimer()
					s.DeletePart(b.Context(), id)
					os.Remove(filepath.Join(dir, "plain"))
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkSmallPart makes objects of 4 KiB by way of parts, one after the other.
func BenchmarkSmallPart(b *testing.B) {
	s := open(b, benchDir(b))
	data := blobtest.Bytes(4096, 1)
	b.ReportAllocs()
	for b.Loop() {
		id := blobtest.NewID()
		p, err := s.OpenPart(b.Context(), id, 0)
		if err == nil {
			_, err = p.Write(data)
		}
		if err == nil {
			err = p.Sync()
		}
		if err == nil {
			err = p.Close()
		}
		if err == nil {
			err = s.FinishPart(b.Context(), id, id.String()+".body")
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
