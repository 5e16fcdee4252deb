package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"stonevault/internal/blob/local"
	"stonevault/internal/blob/transfer"
	"stonevault/internal/vault"
	"stonevault/stone"
)

func newStore(t *testing.T) *local.Store {
	t.Helper()
	s, err := local.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func id(n int) stone.FileID {
	var id stone.FileID
	copy(id[:], fmt.Sprintf("%016d", n))
	return id
}

func put(t *testing.T, s vault.Objects, name, text string) {
	t.Helper()
	if err := s.Replace(t.Context(), name, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, s vault.Objects, name string) string {
	t.Helper()
	o, err := s.Open(t.Context(), name)
	if errors.Is(err, vault.ErrNotFound) {
		return "(none)"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	b := make([]byte, o.Size())
	if _, err := o.ReadAt(b, 0); len(b) > 0 && err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func body(n int) string { return id(n).String() + ".body" }

func noRows(context.Context, string) (transfer.Known, error) { return transfer.Known{}, nil }

// TestGoesOn copies what is missing, mends what differs, removes what is gone, and leaves the rest.
func TestGoesOn(t *testing.T) {
	from, to := newStore(t), newStore(t)
	for n := range 100 {
		put(t, from, body(n), strings.Repeat("x", n))
	}
	put(t, to, body(1), "x")         // there already
	put(t, to, body(2), "something") // replaced since
	put(t, to, body(1000), "gone")
	r, err := transfer.Objects(t.Context(), transfer.Config{From: from, To: to, Known: noRows})
	if err != nil || r.Objects != 100 || r.Copied != 99 || r.Removed != 1 || r.Bytes != 99*100/2 || r.Differing != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	for n := range 100 {
		if got := content(t, to, body(n)); got != strings.Repeat("x", n) {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := content(t, to, body(1000)); got != "(none)" {
		t.Errorf("what the source does not have: %q", got)
	}
}

// forgetful gives back something else than it was given.
type forgetful struct {
	*local.Store
	name string
}

func (f forgetful) Open(ctx context.Context, name string) (vault.Object, error) {
	o, err := f.Store.Open(ctx, name)
	if err == nil && name == f.name {
		o = wrong{o}
	}
	return o, err
}

type wrong struct{ vault.Object }

func (w wrong) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.Object.ReadAt(p, off)
	if n > 0 {
		p[0] ^= 1
	}
	return n, err
}

func TestDiffers(t *testing.T) {
	from, to := newStore(t), newStore(t)
	for n := range 3 {
		put(t, from, body(n), "content")
	}
	r, err := transfer.Objects(t.Context(), transfer.Config{From: from, To: forgetful{to, body(1)}, Fresh: true, Known: noRows})
	if err != nil || len(r.Differing) != 1 || r.Differing[0] != body(1) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFaults(t *testing.T) {
	from, to := newStore(t), newStore(t)
	put(t, from, body(1), "content")
	put(t, from, body(2), "conten")
	put(t, from, id(2).String()+".env", "no envelope")
	r, err := transfer.Objects(t.Context(), transfer.Config{From: from, To: to, Fresh: true, Known: func(context.Context, string) (transfer.Known, error) {
		return transfer.Known{Row: true, BodySize: 7}, nil
	}})
	if err != nil || len(r.Faults) != 2 || r.Rows != 3 || r.Copied != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestStops shows that the first error ends everything, and is told.
func TestStops(t *testing.T) {
	from, to := newStore(t), newStore(t)
	for n := range 200 {
		put(t, from, body(n), "content")
	}
	boom := errors.New("boom")
	var asked atomic.Int64
	_, err := transfer.Objects(t.Context(), transfer.Config{From: from, To: to, Fresh: true, Known: func(context.Context, string) (transfer.Known, error) {
		if asked.Add(1) > 20 {
			return transfer.Known{}, boom
		}
		return transfer.Known{}, nil
	}})
	if !errors.Is(err, boom) || asked.Load() > 60 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

// sent is a store that gives back nothing behind the first bytes of a part.
type sent struct{ *local.Store }

func (s sent) OpenPart(ctx context.Context, id stone.FileID, at int64) (vault.Part, error) {
	p, err := s.Store.OpenPart(ctx, id, at)
	return sentPart{p}, err
}

type sentPart struct{ vault.Part }

func (p sentPart) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > vault.PartHead {
		return 0, vault.ErrPartSent
	}
	return p.Part.ReadAt(b, off)
}

func TestParts(t *testing.T) {
	ctx := t.Context()
	from, to := newStore(t), newStore(t)
	part := func(s *local.Store, n, size int) vault.Upload {
		p, err := s.OpenPart(ctx, id(n), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Write(bytes.Repeat([]byte{byte(n)}, size))
		if err := errors.Join(err, p.Sync(), p.Close()); err != nil {
			t.Fatal(err)
		}
		return vault.Upload{ID: id(n), Part: int64(size)}
	}
	uploads := []vault.Upload{part(from, 1, 1000), part(from, 2, 5<<20), {ID: id(3)}, {ID: id(4), Part: 10}, {ID: id(5), Part: 10}}
	put(t, from, body(5), "its last byte has come")
	part(to, 2, 10) // of a run that was stopped
	part(to, 9, 10) // of an upload that has ended since
	r, err := transfer.Parts(ctx, from, to, uploads)
	if err != nil || r.Copied != 2 || r.Dropped != nil || len(r.Missing) != 1 || r.Missing[0] != id(4) {
		t.Fatalf("%+v, %v", r, err)
	}
	sizes := make(map[stone.FileID]int64)
	if err := to.WalkParts(ctx, func(id stone.FileID, size int64) error { sizes[id] = size; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 2 || sizes[id(1)] != 1000 || sizes[id(2)] != 5<<20 {
		t.Errorf("%v", sizes)
	}
	// From a store that does not give back all of it, and into one.
	r, err = transfer.Parts(ctx, sent{from}, newStore(t), uploads)
	if err != nil || r.Copied != 1 || len(r.Dropped) != 1 || r.Dropped[0] != id(2) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = transfer.Parts(ctx, from, sent{newStore(t)}, uploads)
	if err != nil || r.Copied != 2 || len(r.Dropped) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
