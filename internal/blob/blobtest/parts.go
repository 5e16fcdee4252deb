package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// PartStore is a store of objects and of the parts that become objects.
type PartStore = interface {
	vault.Objects
	vault.Parts
}

// RunParts tests the stores that open makes. Each call of open returns a store with no objects and no
// parts in it.
func RunParts(t *testing.T, open func(t *testing.T) PartStore) {
	for _, c := range []struct {
		name string
		test func(*testing.T, PartStore)
	}{
		{"Resume", testResume},
		{"Steps", testSteps},
		{"ReadAt", testPartReadAt},
		{"Open", testOpenPart},
		{"Cut", testCut},
		{"SyncWhileWritten", testSyncWhileWritten},
		{"Close", testClosePart},
		{"Finish", testFinish},
		{"FinishExists", testFinishExists},
		{"FinishNames", testFinishNames},
		{"Apart", testApart},
		{"Delete", testDeletePart},
		{"Walk", testWalkParts},
		{"Cancelled", testPartsCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// NewID returns a fresh id.
func NewID() stone.FileID { return stone.FileID(Bytes(16, rand.Uint64())) }

const mib = 1 << 20

// testResume stops at every length at which a store is likely to change its ways, and goes on from there
// in another opening, in pieces of all sizes.
func testResume(t *testing.T, store PartStore) {
	data := Bytes(7*mib+333, 1)
	for _, at := range []int{0, 1, 4095, 4096, 4097, mib - 1, mib, mib + 1, 2*mib - 1, 2 * mib, 2*mib + 1,
		4*mib - 1, 4 * mib, 4*mib + 1, 5*mib + 4097} {
		for _, more := range []int{0, 1, mib, mib + mib/2 + 1, len(data) - at} {
			end := min(at+more, len(data))
			seed := uint64(at)<<32 + uint64(end)
			t.Run(fmt.Sprintf("%d+%d", at, end-at), func(t *testing.T) {
				id := NewID()
				p := openPart(t, store, id, 0)
				writeRandom(t, p, data[:at], seed)
				syncAndClose(t, p)
				wantParts(t, store, map[stone.FileID]int64{id: int64(at)})

				p = openPart(t, store, id, int64(at))
				writeRandom(t, p, data[at:end], seed+1)
				wantPart(t, p, data[:end])
				syncAndClose(t, p)
				wantParts(t, store, map[stone.FileID]int64{id: int64(end)})

				name := id.String() + ".body"
				finish(t, store, id, name)
				want(t, store, name, data[:end])
				if err := store.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// testSteps syncs after every piece, in one opening and in many.
func testSteps(t *testing.T, store PartStore) {
	for _, c := range []struct{ step, total int }{
		{1, 20}, {511, 10_000}, {4096, 80_000}, {200_003, 5 * mib}, {mib, 6 * mib}, {mib + 60, 9 * mib}, {8*mib + 1, 17 * mib},
	} {
		for _, reopen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/reopen=%t", c.step, reopen), func(t *testing.T) {
				data := Bytes(c.total, uint64(c.step))
				id := NewID()
				p := openPart(t, store, id, 0)
				at := 0
				for piece := range slices.Chunk(data, c.step) {
					write(t, p, piece, mib)
					at += len(piece)
					if err := p.Sync(); err != nil {
						t.Fatalf("Sync at %d: %v", at, err)
					}
					wantParts(t, store, map[stone.FileID]int64{id: int64(at)})
					if reopen {
						closePart(t, p)
						p = openPart(t, store, id, int64(at))
					}
				}
				wantPart(t, p, data)
				closePart(t, p)
				finish(t, store, id, id.String()+".body")
				want(t, store, id.String()+".body", data)
			})
		}
	}
}

func testPartReadAt(t *testing.T, store PartStore) {
	data := Bytes(5*mib+100, 2)
	p := openPart(t, store, NewID(), 0)
	random := rand.New(rand.NewPCG(1, 2))
	for at := 0; at < len(data); {
		end := min(at+1+random.IntN(300_000), len(data))
		write(t, p, data[at:end], mib)
		if random.IntN(4) == 0 {
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		off := random.IntN(end)
		want := data[off : off+random.IntN(end-off+1)]
		got := make([]byte, len(want))
		if n, err := p.ReadAt(got, int64(off)); n != len(got) || err != nil && err != io.EOF {
			t.Fatalf("ReadAt(%d bytes, %d) of %d: %d, %v", len(got), off, end, n, err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("ReadAt(%d bytes, %d) of %d gave other bytes", len(got), off, end)
		}
		n, err := p.ReadAt(make([]byte, end-off+1), int64(off))
		if n != end-off || err != io.EOF {
			t.Fatalf("ReadAt beyond the end: %d of %d, %v; want io.EOF", n, end-off, err)
		}
		if n, err := p.ReadAt(make([]byte, 1), int64(end+5000)); n != 0 || err != io.EOF {
			t.Fatalf("ReadAt behind the end: %d, %v; want io.EOF", n, err)
		}
		at = end
	}
	if _, err := p.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("ReadAt at a negative offset: %v", err)
	}
}

func testOpenPart(t *testing.T, store PartStore) {
	id := NewID()
	for _, at := range []int64{1, 4096, 5 * mib} {
		wantNoPart(t, store, id, at)
	}
	wantParts(t, store, map[stone.FileID]int64{})
	p := openPart(t, store, id, 0)
	write(t, p, make([]byte, 100), 100)
	syncAndClose(t, p)
	wantNoPart(t, store, id, 101)
	wantParts(t, store, map[stone.FileID]int64{id: 100})
	if _, err := store.OpenPart(t.Context(), id, -1); err == nil || errors.Is(err, vault.ErrNotFound) {
		t.Errorf("OpenPart at a negative offset: %v", err)
	}
	// An empty part is one as well.
	empty := NewID()
	syncAndClose(t, openPart(t, store, empty, 0))
	syncAndClose(t, openPart(t, store, empty, 0))
	wantParts(t, store, map[stone.FileID]int64{id: 100, empty: 0})
	finish(t, store, empty, empty.String()+".body")
	want(t, store, empty.String()+".body", nil)
}

// testCut: what lies behind the offset of an opening never comes back, whether it was synced or not. The offset is
// that of the last Sync or of the one before, as often as that is opened.
func testCut(t *testing.T, store PartStore) {
	for _, c := range []struct{ length, more int }{
		{3*mib + 77, 0}, {3*mib + 77, 5000}, {3*mib + 77, mib + 4097}, {17*mib + 5, 0}, {17*mib + 5, 18 * mib},
		{3*mib + 77, -1}, {17*mib + 5, -1}, // as much again as was cut
	} {
		data := Bytes(c.length, 3)
		for _, at := range []int{0, 1, 4095, 4096, mib, 2*mib + 1, 8 * mib, 9 * mib, c.length - 1, c.length} {
			if at > c.length || c.length > 8*mib && at%mib != 0 {
				continue
			}
			more := c.more
			if more < 0 {
				more = c.length - at
			}
			id := NewID()
			p := openPart(t, store, id, 0)
			write(t, p, data[:at], mib+1)
			if err := p.Sync(); err != nil {
				t.Fatal(err)
			}
			write(t, p, data[at:], mib+1)
			syncAndClose(t, p)
			for i := range 2 { // what the first one makes is given up again
				p = openPart(t, store, id, int64(at))
				if n, err := p.ReadAt(make([]byte, 1), int64(at)); n != 0 || err != io.EOF {
					t.Errorf("%d: ReadAt behind the cut: %d, %v", at, n, err)
				}
				tail := Bytes(more, uint64(i))
				write(t, p, tail, mib)
				wantPart(t, p, slices.Concat(data[:at], tail))
				syncAndClose(t, p)
				wantParts(t, store, map[stone.FileID]int64{id: int64(at + more)})
			}
			name := id.String() + ".body"
			finish(t, store, id, name)
			want(t, store, name, slices.Concat(data[:at], Bytes(more, 1)))
			if err := store.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// testSyncWhileWritten: Sync covers what was written before it was called, and Write may go on.
func testSyncWhileWritten(t *testing.T, store PartStore) {
	data := Bytes(24*mib+777, 5)
	id := NewID()
	p := openPart(t, store, id, 0)
	var syncs sync.WaitGroup
	random := rand.New(rand.NewPCG(3, 4))
	for at := 0; at < len(data); {
		end := min(at+1+random.IntN(mib), len(data))
		write(t, p, data[at:end], mib)
		at = end
		syncs.Go(func() {
			if err := p.Sync(); err != nil {
				t.Errorf("Sync: %v", err)
			}
		})
	}
	syncs.Wait()
	wantPart(t, p, data)
	// What BeginSync covers is opened to the byte, however much was written before anybody waited.
	wait, more := p.BeginSync(), Bytes(18*mib, 6)
	write(t, p, more, mib)
	if err := wait(); err != nil {
		t.Fatalf("BeginSync: %v", err)
	}
	closePart(t, p)
	p = openPart(t, store, id, int64(len(data)))
	write(t, p, more[:9*mib], mib)
	syncAndClose(t, p)
	p = openPart(t, store, id, int64(len(data)))
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	wantParts(t, store, map[stone.FileID]int64{id: int64(len(data))})
	closePart(t, p)
	finish(t, store, id, id.String()+".body")
	want(t, store, id.String()+".body", data)
}

// testClosePart: what was synced is there whatever else was written, and a closed part is refused.
func testClosePart(t *testing.T, store PartStore) {
	data := Bytes(5*mib+5, 6)
	for _, synced := range []int{0, 10, 3*mib + 1} {
		id := NewID()
		p := openPart(t, store, id, 0)
		write(t, p, data[:synced], mib)
		if err := p.Sync(); err != nil {
			t.Fatal(err)
		}
		write(t, p, data[synced:], mib)
		wait := p.BeginSync()
		closePart(t, p)
		if err := p.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
		if _, err := p.Write([]byte("more")); err == nil {
			t.Error("Write after Close succeeded")
		}
		if err := p.Sync(); err == nil {
			t.Error("Sync after Close succeeded")
		}
		if err := wait(); err == nil {
			t.Error("a Sync that was begun before Close succeeded after it")
		}
		if _, err := p.ReadAt(make([]byte, 1), 0); err == nil || err == io.EOF {
			t.Errorf("ReadAt after Close: %v", err)
		}
		p = openPart(t, store, id, int64(synced))
		wantPart(t, p, data[:synced])
	}
}

// testFinish may be repeated, and afterwards there is an object like any other.
func testFinish(t *testing.T, store PartStore) {
	ctx := t.Context()
	data := Bytes(3*mib, 7)
	id := NewID()
	name := id.String() + ".body"
	if err := store.FinishPart(ctx, id, name); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("FinishPart of what never was: %v, want ErrNotFound", err)
	}
	p := openPart(t, store, id, 0)
	write(t, p, data, mib)
	syncAndClose(t, p)
	wantMissing(t, store, name)
	for range 3 {
		if err := store.FinishPart(ctx, id, name); err != nil {
			t.Fatalf("FinishPart: %v", err)
		}
		want(t, store, name, data)
		wantNames(t, store, map[string]int64{name: int64(len(data))})
		wantParts(t, store, map[stone.FileID]int64{})
	}
	wantNoPart(t, store, id, int64(len(data)))
	if err := store.DeletePart(ctx, id); err != nil {
		t.Errorf("DeletePart of a finished part: %v", err)
	}
	want(t, store, name, data)
	if err := store.Delete(ctx, name); err != nil {
		t.Fatal(err)
	}
	if err := store.FinishPart(ctx, id, name); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("FinishPart after the object was deleted: %v, want ErrNotFound", err)
	}
}

// testFinishExists: an object is never replaced, and the part stays.
func testFinishExists(t *testing.T, store PartStore) {
	id := NewID()
	name := id.String() + ".body"
	create(t, store, name, []byte("object"), -1, 6)
	p := openPart(t, store, id, 0)
	write(t, p, []byte("part"), 4)
	syncAndClose(t, p)
	for range 2 {
		if err := store.FinishPart(t.Context(), id, name); !errors.Is(err, vault.ErrExists) {
			t.Errorf("FinishPart onto an object: %v, want ErrExists", err)
		}
		want(t, store, name, []byte("object"))
		wantParts(t, store, map[stone.FileID]int64{id: 4})
	}
	if err := store.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	finish(t, store, id, name)
	want(t, store, name, []byte("part"))
}

func testFinishNames(t *testing.T, store PartStore) {
	id := NewID()
	p := openPart(t, store, id, 0)
	write(t, p, []byte("part"), 4)
	syncAndClose(t, p)
	for _, name := range []string{
		"", id.String(), id.String() + ".part", id.String() + ".stone", "../" + id.String() + ".body", NewName("body"),
	} {
		err := store.FinishPart(t.Context(), id, name)
		if err == nil || errors.Is(err, vault.ErrNotFound) {
			t.Errorf("FinishPart as %q: %v, want a refusal", name, err)
		}
	}
	wantParts(t, store, map[stone.FileID]int64{id: 4})
	wantNames(t, store, nil)
}

// testApart: objects do not show parts, nor parts objects.
func testApart(t *testing.T, store PartStore) {
	id := NewID()
	p := openPart(t, store, id, 0)
	write(t, p, []byte("part"), 4)
	syncAndClose(t, p)
	wantNames(t, store, nil)
	wantMissing(t, store, id.String()+".body")
	for _, kind := range []string{"body", "env"} {
		if err := store.Delete(t.Context(), id.String()+"."+kind); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := store.Open(t.Context(), id.String()+".part"); err == nil {
		o.Close()
		t.Error("a part was opened as an object")
	}
	create(t, store, id.String()+".env", []byte("envelope"), -1, 8)
	wantParts(t, store, map[stone.FileID]int64{id: 4})
	wantNames(t, store, map[string]int64{id.String() + ".env": 8})
	finish(t, store, id, id.String()+".body")
	want(t, store, id.String()+".env", []byte("envelope"))
}

func testDeletePart(t *testing.T, store PartStore) {
	id, other := NewID(), NewID()
	for _, id := range []stone.FileID{id, other} {
		p := openPart(t, store, id, 0)
		write(t, p, make([]byte, 10), 10)
		syncAndClose(t, p)
	}
	for range 2 { // missing is no error
		if err := store.DeletePart(t.Context(), id); err != nil {
			t.Fatalf("DeletePart: %v", err)
		}
		wantNoPart(t, store, id, 10)
	}
	if err := store.DeletePart(t.Context(), NewID()); err != nil {
		t.Errorf("DeletePart of what never was: %v", err)
	}
	wantParts(t, store, map[stone.FileID]int64{other: 10})
	if err := store.FinishPart(t.Context(), id, id.String()+".body"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("FinishPart after DeletePart: %v, want ErrNotFound", err)
	}
	p := openPart(t, store, id, 0)
	write(t, p, []byte("again"), 5)
	wantPart(t, p, []byte("again"))
}

func testWalkParts(t *testing.T, store PartStore) {
	all := map[stone.FileID]int64{}
	for i := range 40 {
		id := NewID()
		p := openPart(t, store, id, 0)
		write(t, p, make([]byte, i), 1000)
		syncAndClose(t, p)
		all[id] = int64(i)
		create(t, store, NewName("body"), nil, -1, 1)
	}
	wantParts(t, store, all)

	stop := errors.New("enough")
	calls := 0
	err := store.WalkParts(t.Context(), func(stone.FileID, int64) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("WalkParts went on after an error: %d calls, %v", calls, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = store.WalkParts(ctx, func(stone.FileID, int64) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("WalkParts with a cancelled context: %v", err)
	}
	err = store.WalkParts(t.Context(), func(id stone.FileID, size int64) error {
		if size%3 != 0 {
			return nil
		}
		delete(all, id)
		return store.DeletePart(t.Context(), id)
	})
	if err != nil {
		t.Errorf("WalkParts with deletes: %v", err)
	}
	wantParts(t, store, all)
}

// testPartsCancelled: a context ends what has not begun; a part that is open can still be synced.
func testPartsCancelled(t *testing.T, store PartStore) {
	ctx, cancel := context.WithCancel(t.Context())
	id := NewID()
	p, err := store.OpenPart(ctx, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	data := Bytes(3*mib, 8)
	write(t, p, data, mib)
	syncAndClose(t, p)

	if p, err := store.OpenPart(ctx, id, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenPart with a cancelled context: %v", err)
		if err == nil {
			p.Close()
		}
	}
	if err := store.FinishPart(ctx, id, id.String()+".body"); !errors.Is(err, context.Canceled) {
		t.Errorf("FinishPart with a cancelled context: %v", err)
	}
	if err := store.DeletePart(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("DeletePart with a cancelled context: %v", err)
	}
	p = openPart(t, store, id, int64(len(data)))
	wantPart(t, p, data)
}

func openPart(t *testing.T, store PartStore, id stone.FileID, at int64) vault.Part {
	t.Helper()
	p, err := store.OpenPart(t.Context(), id, at)
	if err != nil {
		t.Fatalf("OpenPart at %d: %v", at, err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func closePart(t *testing.T, p vault.Part) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func syncAndClose(t *testing.T, p vault.Part) {
	t.Helper()
	if err := p.Sync(); err != nil {
		t.Fatalf("Sync: %v", err)
	}
	closePart(t, p)
}

// writeRandom writes data in pieces of 1 byte to 3 MiB, small ones as likely as large ones.
func writeRandom(t *testing.T, w io.Writer, data []byte, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	for len(data) > 0 {
		n := min(1+random.IntN(1<<random.IntN(22)+mib/2*random.IntN(2)), 3*mib, len(data))
		write(t, w, data[:n], 3*mib)
		data = data[n:]
	}
}

func finish(t *testing.T, store PartStore, id stone.FileID, name string) {
	t.Helper()
	if err := store.FinishPart(t.Context(), id, name); err != nil {
		t.Fatalf("FinishPart: %v", err)
	}
}

func wantNoPart(t *testing.T, store PartStore, id stone.FileID, at int64) {
	t.Helper()
	p, err := store.OpenPart(t.Context(), id, at)
	if err == nil {
		p.Close()
	}
	if !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("OpenPart at %d: %v, want ErrNotFound", at, err)
	}
}

// wantPart reads all of a part. What lies behind its head may be refused.
func wantPart(t *testing.T, p vault.Part, data []byte) {
	t.Helper()
	for at := 0; at <= len(data); at += vault.PartHead {
		got := make([]byte, vault.PartHead)
		want := data[at:min(at+len(got), len(data))]
		n, err := p.ReadAt(got, int64(at))
		switch {
		case at > 0 && n == 0 && err != nil && err != io.EOF:
			continue
		case n != len(want), n == len(got) && err != nil && err != io.EOF, n < len(got) && err != io.EOF:
			t.Fatalf("ReadAt(%d bytes, %d) of %d: %d, %v", len(got), at, len(data), n, err)
		case !bytes.Equal(got[:n], want):
			t.Fatalf("ReadAt(%d bytes, %d) of %d gave other bytes", len(got), at, len(data))
		}
	}
}

func wantParts(t *testing.T, store PartStore, all map[stone.FileID]int64) {
	t.Helper()
	got := map[stone.FileID]int64{}
	err := store.WalkParts(t.Context(), func(id stone.FileID, size int64) error {
		if _, twice := got[id]; twice {
			t.Errorf("WalkParts gave %s twice", id)
		}
		got[id] = size
		return nil
	})
	if err != nil {
		t.Fatalf("WalkParts: %v", err)
	}
	if !maps.Equal(got, all) {
		t.Fatalf("WalkParts gave %v, want %v", got, all)
	}
}
