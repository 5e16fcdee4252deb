// Package blobtest is the conformance suite of vault.Objects (Run) and of vault.Parts (RunParts): every
// implementation runs it against a real store. It tests what vault relies on and nothing that only one
// kind of store can promise; what survives a killed process or a failed disk is tested beside each
// implementation.
package blobtest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"stonevault/internal/vault"
)

// Run tests the stores that open makes. Each call of open returns a store with no objects in it.
func Run(t *testing.T, open func(t *testing.T) vault.Objects) {
	for _, c := range []struct {
		name string
		test func(*testing.T, vault.Objects)
	}{
		{"Lengths", testLengths},
		{"ReadAt", testReadAt},
		{"Commit", testCommit},
		{"CommitTogether", testCommitTogether},
		{"Abort", testAbort},
		{"Exists", testExists},
		{"Race", testRace},
		{"Replace", testReplace},
		{"ReplaceWhileRead", testReplaceWhileRead},
		{"Delete", testDelete},
		{"Names", testNames},
		{"Walk", testWalk},
		{"Cancelled", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// NewName returns a fresh name of the given kind, "body" or "env".
func NewName(kind string) string {
	return hex.EncodeToString(Bytes(16, rand.Uint64())) + "." + kind
}

// Bytes returns n bytes that follow from seed.
func Bytes(n int, seed uint64) []byte {
	key := [32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24),
		byte(seed >> 32), byte(seed >> 40), byte(seed >> 48), byte(seed >> 56)}
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

// testLengths writes around every length at which a store is likely to change its ways.
func testLengths(t *testing.T, objects vault.Objects) {
	for _, length := range []int{0, 1, 511, 4095, 4096, 4097, mib - 1, mib, mib + 1,
		4*mib - 1, 4 * mib, 4*mib + 1, 5 * mib, 8*mib + 4095, 8*mib + 4096, 9*mib + 513} {
		data := Bytes(length, uint64(length))
		for _, c := range []struct {
			hint int64
			step int
		}{
			{-1, 1000}, {0, mib}, {64 * mib, mib + 7}, {int64(length), mib}, {int64(length), 16 * mib},
		} {
			t.Run(fmt.Sprintf("%d/hint=%d/step=%d", length, c.hint, c.step), func(t *testing.T) {
				name := NewName("body")
				create(t, objects, name, data, c.hint, c.step)
				want(t, objects, name, data)
			})
		}
	}
}

func testReadAt(t *testing.T, objects vault.Objects) {
	data := Bytes(100_000, 1)
	name := NewName("body")
	create(t, objects, name, data, -1, len(data))
	o := mustOpen(t, objects, name)
	for _, c := range []struct {
		off     int64
		n, want int
		err     error
	}{
		{0, 0, 0, nil},
		{0, 1, 1, nil},
		{99_999, 1, 1, nil},
		{4095, 50_000, 50_000, nil},
		{99_999, 2, 1, io.EOF},
		{100_000, 1, 0, io.EOF},
		{200_000, 10, 0, io.EOF},
	} {
		p := make([]byte, c.n)
		n, err := o.ReadAt(p, c.off)
		if n == len(p) && err == io.EOF {
			err = nil // io.ReaderAt allows it at the very end
		}
		if n != c.want || err != c.err {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v; want %d, %v", c.n, c.off, n, err, c.want, c.err)
			continue
		}
		if n > 0 && !bytes.Equal(p[:n], data[c.off:c.off+int64(n)]) {
			t.Errorf("ReadAt(%d bytes, %d) gave other bytes", c.n, c.off)
		}
	}
	if _, err := o.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt at a negative offset succeeded")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := make([]byte, 10_000)
			off := int64(i * 10_000)
			if n, err := o.ReadAt(p, off); n != len(p) || !bytes.Equal(p, data[off:off+10_000]) {
				t.Errorf("concurrent ReadAt at %d: %d, %v", off, n, err)
			}
		})
	}
	wg.Wait()
}

// testCommit: nothing is visible before, everything after, and a writer ends once.
func testCommit(t *testing.T, objects vault.Objects) {
	for _, length := range []int{10, 6 << 20} {
		data := Bytes(length, 2)
		name := NewName("body")
		w := begin(t, objects, name, int64(length))
		write(t, w, data, 1<<20)
		wantMissing(t, objects, name)
		wantNames(t, objects, nil)
		if err := w.Commit(); err != nil {
			t.Fatalf("Commit: %v", err)
		}
		w.Abort()
		want(t, objects, name, data)
		if _, err := w.Write([]byte("more")); err == nil {
			t.Error("Write after Commit succeeded")
		}
		if err := w.Commit(); err == nil {
			t.Error("a second Commit succeeded")
		}
		want(t, objects, name, data)
		if err := objects.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// testCommitTogether: all of them, or an error; and a name that is taken stays what it was.
func testCommitTogether(t *testing.T, objects vault.Objects) {
	data := map[string][]byte{}
	first := NewName("body")
	for _, name := range []string{first, first[:32] + ".env", NewName("env")} {
		data[name] = Bytes(100+len(data), uint64(len(data)))
	}
	var writers []vault.ObjectWriter
	for name, b := range data {
		w := begin(t, objects, name, int64(len(b)))
		write(t, w, b, 50)
		writers = append(writers, w)
	}
	wantNames(t, objects, nil)
	if err := objects.Commit(writers...); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	for name, b := range data {
		want(t, objects, name, b)
	}
	if err := objects.Commit(writers...); err == nil {
		t.Error("a second Commit succeeded")
	}
	// One whose name is taken, in either order.
	for _, taken := range []int{0, 1} {
		names := []string{NewName("env"), NewName("env")}
		names[taken] = first
		writers = nil
		var err error
		for _, name := range names {
			w, refused := objects.Create(t.Context(), name, -1)
			if refused != nil {
				err = refused
				continue
			}
			write(t, w, []byte("other"), 5)
			writers = append(writers, w)
		}
		if err == nil {
			err = objects.Commit(writers...)
		}
		for _, w := range writers {
			w.Abort()
		}
		if !errors.Is(err, vault.ErrExists) {
			t.Errorf("a name that is taken: %v, want ErrExists", err)
		}
		want(t, objects, first, data[first])
	}
}

func testAbort(t *testing.T, objects vault.Objects) {
	for _, length := range []int{0, 10, 6 << 20} {
		name := NewName("env")
		w := begin(t, objects, name, int64(length))
		write(t, w, Bytes(length, 3), 1<<20)
		w.Abort()
		w.Abort()
		if err := w.Commit(); err == nil {
			t.Error("Commit after Abort succeeded")
		}
		if _, err := w.Write([]byte("more")); err == nil {
			t.Error("Write after Abort succeeded")
		}
		wantMissing(t, objects, name)
		create(t, objects, name, []byte("again"), -1, 5)
		want(t, objects, name, []byte("again"))
		if err := objects.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func testExists(t *testing.T, objects vault.Objects) {
	name := NewName("body")
	create(t, objects, name, []byte("first"), -1, 5)
	w, err := objects.Create(t.Context(), name, -1)
	if err == nil {
		write(t, w, []byte("second"), 6)
		err = w.Commit()
		w.Abort()
	}
	if !errors.Is(err, vault.ErrExists) {
		t.Errorf("creating an object twice: %v, want ErrExists", err)
	}
	want(t, objects, name, []byte("first"))
	// The same id in the other kind is another object.
	other := name[:32] + ".env"
	create(t, objects, other, []byte("other"), -1, 5)
	want(t, objects, other, []byte("other"))
	want(t, objects, name, []byte("first"))
}

// testRace commits one name from many writers: one wins, and the object is its bytes.
func testRace(t *testing.T, objects vault.Objects) {
	const writers = 16
	for range 8 {
		name := NewName("body")
		data := make([][]byte, writers)
		won := make([]bool, writers)
		var wg sync.WaitGroup
		for i := range writers {
			data[i] = Bytes(5000, uint64(i))
			w := begin(t, objects, name, -1)
			write(t, w, data[i], 5000)
			wg.Go(func() {
				err := w.Commit()
				won[i] = err == nil
				if err != nil && !errors.Is(err, vault.ErrExists) {
					t.Errorf("losing Commit: %v, want ErrExists", err)
				}
			})
		}
		wg.Wait()
		winners := 0
		for i := range writers {
			if won[i] {
				winners++
				want(t, objects, name, data[i])
			}
		}
		if winners != 1 {
			t.Fatalf("%d writers were told that they made the object, want 1", winners)
		}
	}
}

func testReplace(t *testing.T, objects vault.Objects) {
	name := NewName("env")
	for _, length := range []int{3000, 0, 1, 70_000, 5 << 20, 10} {
		data := Bytes(length, uint64(length))
		if err := objects.Replace(t.Context(), name, data); err != nil {
			t.Fatalf("Replace with %d bytes: %v", length, err)
		}
		want(t, objects, name, data)
		wantNames(t, objects, map[string]int64{name: int64(length)})
	}
}

// testReplaceWhileRead: who opens the object gets one of the contents, whole.
func testReplaceWhileRead(t *testing.T, objects vault.Objects) {
	name := NewName("env")
	a, b := Bytes(8000, 1), Bytes(9000, 2)
	if err := objects.Replace(t.Context(), name, a); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				o, err := objects.Open(t.Context(), name)
				if err != nil {
					t.Errorf("Open during Replace: %v", err)
					return
				}
				got := make([]byte, o.Size())
				n, err := o.ReadAt(got, 0)
				o.Close()
				if n != len(got) || !bytes.Equal(got, a) && !bytes.Equal(got, b) {
					t.Errorf("a mix of two contents was read (%d of %d bytes, %v)", n, len(got), err)
					return
				}
			}
		})
	}
	for i := range 50 {
		if err := objects.Replace(t.Context(), name, [][]byte{b, a}[i%2]); err != nil {
			t.Errorf("Replace: %v", err)
		}
	}
	close(done)
	wg.Wait()
}

func testDelete(t *testing.T, objects vault.Objects) {
	name := NewName("body")
	other := name[:32] + ".env"
	create(t, objects, name, []byte("body"), -1, 4)
	create(t, objects, other, []byte("envelope"), -1, 8)
	for range 2 { // missing is no error
		if err := objects.Delete(t.Context(), name); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantMissing(t, objects, name)
	}
	want(t, objects, other, []byte("envelope"))
	create(t, objects, name, []byte("again"), -1, 5)
	want(t, objects, name, []byte("again"))
	if err := objects.Delete(t.Context(), NewName("env")); err != nil {
		t.Errorf("Delete of what never was: %v", err)
	}
}

func testNames(t *testing.T, objects vault.Objects) {
	id := "00112233445566778899aabbccddeeff"
	for _, name := range []string{
		"", ".", "..", "/", id, id + ".", ".body", id + ".stone", id + ".Body", id + ".body ",
		id + ".body.env", id + ".body/", id + ".body\x00", " " + id + ".body", id[1:] + ".body", "0" + id + ".env",
		"00112233445566778899AABBCCDDEEFF.body", "g0112233445566778899aabbccddeeff.body",
		"../" + id + ".body", "00/" + id + ".body", "/" + id + ".body", `..\` + id + ".body", ".tmp-" + id + ".body",
		id[:2] + "/../" + id[5:] + ".body", "../../../../../../../../etc/passwd",
	} {
		ctx := t.Context()
		if w, err := objects.Create(ctx, name, -1); err == nil {
			w.Abort()
			t.Errorf("Create(%q) was not refused", name)
		}
		if err := objects.Replace(ctx, name, []byte("x")); err == nil {
			t.Errorf("Replace(%q) was not refused", name)
		}
		if o, err := objects.Open(ctx, name); err == nil {
			o.Close()
			t.Errorf("Open(%q) was not refused", name)
		} else if errors.Is(err, vault.ErrNotFound) {
			t.Errorf("Open(%q) looked for it: %v", name, err)
		}
		if err := objects.Delete(ctx, name); err == nil {
			t.Errorf("Delete(%q) was not refused", name)
		}
	}
	wantNames(t, objects, nil)
}

func testWalk(t *testing.T, objects vault.Objects) {
	wantNames(t, objects, nil)
	all := map[string]int64{}
	for i := range 300 {
		name := NewName([]string{"body", "env"}[i%2])
		create(t, objects, name, make([]byte, i), -1, 1000)
		all[name] = int64(i)
	}
	unfinished := begin(t, objects, NewName("body"), -1)
	write(t, unfinished, []byte("not yet"), 7)
	wantNames(t, objects, all)
	unfinished.Abort()

	stop := errors.New("enough")
	calls := 0
	err := objects.Walk(t.Context(), func(string, int64) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Walk went on after an error: %d calls, %v", calls, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	err = objects.Walk(ctx, func(string, int64) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Walk with a cancelled context: %v", err)
	}

	// The collector deletes what it is shown.
	err = objects.Walk(t.Context(), func(name string, _ int64) error {
		if all[name]%3 != 0 {
			return nil
		}
		delete(all, name)
		return objects.Delete(t.Context(), name)
	})
	if err != nil {
		t.Errorf("Walk with deletes: %v", err)
	}
	wantNames(t, objects, all)
}

func testCancelled(t *testing.T, objects vault.Objects) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	name := NewName("body")
	if w, err := objects.Create(cancelled, name, -1); err == nil {
		w.Abort()
		t.Error("Create with a cancelled context succeeded")
	}
	if err := objects.Replace(cancelled, name, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Replace with a cancelled context: %v", err)
	}
	create(t, objects, name, []byte("kept"), -1, 4)
	if _, err := objects.Open(cancelled, name); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a cancelled context: %v", err)
	}
	if err := objects.Delete(cancelled, name); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete with a cancelled context: %v", err)
	}
	want(t, objects, name, []byte("kept"))

	for _, length := range []int{10, 6 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		name := NewName("body")
		w, err := objects.Create(ctx, name, int64(length))
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, Bytes(length, 4), 1<<20)
		cancel()
		if _, err := w.Write([]byte("more")); !errors.Is(err, context.Canceled) {
			t.Errorf("Write with a cancelled context: %v", err)
		}
		if err := w.Commit(); !errors.Is(err, context.Canceled) {
			t.Errorf("Commit with a cancelled context: %v", err)
		}
		w.Abort()
		wantMissing(t, objects, name)
	}
}

func begin(t *testing.T, objects vault.Objects, name string, hint int64) vault.ObjectWriter {
	t.Helper()
	w, err := objects.Create(t.Context(), name, hint)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return w
}

// write hands over data in pieces of step bytes, and spoils each piece afterwards: a writer must not
// keep what it was given.
func write(t *testing.T, w io.Writer, data []byte, step int) {
	t.Helper()
	piece := make([]byte, 0, min(step, len(data)))
	for len(data) > 0 {
		piece = append(piece[:0], data[:min(step, len(data))]...)
		data = data[len(piece):]
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("Write of %d bytes: %d, %v", len(piece), n, err)
		}
		clear(piece)
	}
}

func create(t *testing.T, objects vault.Objects, name string, data []byte, hint int64, step int) {
	t.Helper()
	w := begin(t, objects, name, hint)
	defer w.Abort()
	write(t, w, data, step)
	if err := w.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func mustOpen(t *testing.T, objects vault.Objects, name string) vault.Object {
	t.Helper()
	o, err := objects.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func want(t *testing.T, objects vault.Objects, name string, data []byte) {
	t.Helper()
	o, err := objects.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer o.Close()
	if o.Size() != int64(len(data)) {
		t.Fatalf("Size = %d, want %d", o.Size(), len(data))
	}
	wantBytes(t, o, data)
}

// wantBytes reads all of r, and finds data and its end.
func wantBytes(t *testing.T, r io.ReaderAt, data []byte) {
	t.Helper()
	got := make([]byte, len(data)+1)
	n, err := r.ReadAt(got, 0)
	if err != io.EOF || !bytes.Equal(got[:n], data) {
		t.Fatalf("read %d bytes (%v), which are not the %d written", n, err, len(data))
	}
}

func wantMissing(t *testing.T, objects vault.Objects, name string) {
	t.Helper()
	o, err := objects.Open(t.Context(), name)
	if err == nil {
		o.Close()
	}
	if !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("Open of a missing object: %v, want ErrNotFound", err)
	}
}

func wantNames(t *testing.T, objects vault.Objects, all map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	err := objects.Walk(t.Context(), func(name string, size int64) error {
		if _, twice := got[name]; twice {
			t.Errorf("Walk gave %s twice", name)
		}
		got[name] = size
		return nil
	})
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	if !maps.Equal(got, all) {
		t.Fatalf("Walk gave %d objects, not the %d that are there, or other sizes", len(got), len(all))
	}
}
