package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"testing"
	"time"

	"stonevault/internal/vault"
	"stonevault/stone"
)

func (h *house) begin(a vault.Actor, path string, size int64, class stone.Class) vault.Upload {
	h.t.Helper()
	u, err := h.BeginUpload(ctx, a, vault.UploadRequest{
		Path: path, Size: size, Mode: 0o644, Class: string(class), ModifiedAt: time.UnixMilli(1_700_000_000_000), Replace: true,
	})
	if err != nil {
		h.t.Fatalf("BeginUpload: %v", err)
	}
	return u
}

// brokenReader gives what it has and then an error, as a lost connection does.
type brokenReader struct{ r io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// TestUploadInPieces uploads files in pieces of every awkward length, each of which may break off, with a
// restart of the vault now and then.
func TestUploadInPieces(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	sizes := map[int]int{1: 40, 1000: 150_000, 1<<20 - 1: 5 << 20, 1 << 20: 4 << 20, 1<<20 + 1: 5<<20 + 3, 30 << 20: 30<<20 + 11}
	for _, class := range []stone.Class{stone.ClassNormal, stone.ClassRestricted} {
		for piece, size := range sizes {
			t.Run(fmt.Sprintf("%s/%d of %d", class, piece, size), func(t *testing.T) {
				path := fmt.Sprintf("/%s/%d", class, piece)
				content := randomBytes(size)
				copy(content, "%PDF-1.7\n")
				u := h.begin(ada, path, int64(size), class)
				var entry *vault.Entry
				for entry == nil {
					at := int(u.Offset)
					end := min(at+piece, size)
					var body io.Reader = bytes.NewReader(content[at:end])
					breaks := mrand.IntN(3) == 0
					if breaks {
						body = brokenReader{bytes.NewReader(content[at : at+mrand.IntN(end-at+1)])}
					}
					var err error
					u, entry, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: u.Offset, Size: -1, Body: body})
					if breaks != errors.Is(err, io.ErrUnexpectedEOF) || !breaks && err != nil {
						t.Fatalf("at %d, breaking %v: %v", at, breaks, err)
					}
					if mrand.IntN(4) == 0 {
						h.reopen()
					}
					if entry != nil {
						break
					}
					again, err := h.Upload(ctx, ada, u.ID)
					if errors.Is(err, vault.ErrNotFound) || err == nil && again.Offset == again.Size {
						break // the last piece broke off behind its last byte
					}
					if err != nil || again.Offset != u.Offset {
						t.Fatalf("acknowledged %d, and then %d: %v", u.Offset, again.Offset, err)
					}
				}
				h.mustGet(ada, path, content)
				e, err := h.Stat(ctx, ada, vault.Ref{Path: path})
				if err != nil || e.Version.MediaType != "application/pdf" || e.Version.Class != string(class) {
					t.Fatalf("%+v, %v", e.Version, err)
				}
			})
		}
	}
	if left, err := h.Uploads(ctx, ada); err != nil || len(left) != 0 {
		t.Fatalf("%d uploads are left: %v", len(left), err)
	}
	if n, want := h.objectCount(), 2*2*len(sizes); n != want {
		t.Fatalf("%d objects, want %d", n, want)
	}
}

func TestUploadRefusals(t *testing.T) {
	h := newHouse(t)
	ada, bob := h.person("ada"), h.person("bob")
	u := h.begin(ada, "/f", 10, stone.ClassNormal)
	errChecksum := errors.New("checksum")
	appendPiece := func(a vault.Actor, r vault.Append) (vault.Upload, *vault.Entry, error) {
		r.Size = max(r.Size, -1)
		return h.AppendUpload(ctx, a, u.ID, r)
	}
	for _, tt := range []struct {
		name  string
		actor vault.Actor
		r     vault.Append
		want  error
	}{
		{"a stranger", bob, vault.Append{Size: -1, Body: bytes.NewReader([]byte("x"))}, vault.ErrNotFound},
		{"another offset", ada, vault.Append{Offset: 3, Size: -1, Body: bytes.NewReader([]byte("x"))}, vault.ErrOffset},
		{"a wrong checksum", ada, vault.Append{Size: -1, Body: bytes.NewReader([]byte("0123456789")), Check: func() error { return errChecksum }}, errChecksum},
		{"a checksum on a broken piece", ada, vault.Append{Size: -1, Body: brokenReader{bytes.NewReader([]byte("01"))}, Check: func() error { return nil }}, io.ErrUnexpectedEOF},
		{"too much", ada, vault.Append{Size: -1, Body: bytes.NewReader([]byte("0123456789a"))}, vault.ErrUploadTooLong},
	} {
		_, e, err := appendPiece(tt.actor, tt.r)
		if !errors.Is(err, tt.want) || e != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if now, err := h.Upload(ctx, ada, u.ID); err != nil || now.Offset != 0 {
			t.Fatalf("%s: the upload stands at %d: %v", tt.name, now.Offset, err)
		}
	}
	if _, err := h.Upload(ctx, bob, u.ID); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if err := h.CancelUpload(ctx, bob, u.ID); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, _, err := appendPiece(ada, vault.Append{Size: -1, Body: bytes.NewReader([]byte("01234"))}); err != nil {
		t.Fatal(err)
	}
	if err := h.CancelUpload(ctx, ada, u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Upload(ctx, ada, u.ID); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a cancelled upload: %v", err)
	}

	// An expired one is gone, and its part is collected.
	u = h.begin(ada, "/f", 10, stone.ClassNormal)
	if _, _, err := appendPiece(ada, vault.Append{Size: -1, Body: bytes.NewReader([]byte("01234"))}); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(8 * 24 * time.Hour)
	if _, err := h.Upload(ctx, ada, u.ID); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("an expired upload: %v", err)
	}
	if n, err := h.Collect(ctx); n != 1 || err != nil {
		t.Errorf("Collect: %d, %v", n, err)
	}
	parts := 0
	if err := h.objects.WalkParts(ctx, func(stone.FileID, int64) error { parts++; return nil }); err != nil || parts != 0 {
		t.Errorf("%d parts are left: %v", parts, err)
	}
}

func TestUploadDeferredAndEmpty(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	u := h.begin(ada, "/deferred", -1, stone.ClassNormal)
	u, e, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader([]byte("abc"))})
	if err != nil || e != nil || u.Offset != 3 {
		t.Fatalf("%+v, %v, %v", u, e, err)
	}
	var invalid *vault.InvalidError
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: 3, Size: 2, Body: bytes.NewReader(nil)}); !errors.As(err, &invalid) {
		t.Fatalf("a length below the offset: %v", err)
	}
	_, e, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: 3, Size: 5, Body: bytes.NewReader([]byte("de"))})
	if err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	h.mustGet(ada, "/deferred", []byte("abcde"))

	// The reply to the last byte may be lost: the upload is still told of, and a stranger told nothing.
	again, e2, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: 5, Size: -1, Body: bytes.NewReader(nil)})
	if err != nil || again.Offset != 5 || e2 == nil || e2.Node.ID != e.Node.ID {
		t.Fatalf("asked again: %+v, %v, %v", again, e2, err)
	}
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(nil)}); !errors.Is(err, vault.ErrOffset) {
		t.Fatalf("at another offset: %v, want ErrOffset", err)
	}
	if now, err := h.Upload(ctx, ada, u.ID); err != nil || now.Offset != 5 || now.Size != 5 {
		t.Fatalf("%+v, %v", now, err)
	}
	bob := h.person("bob")
	if _, err := h.Upload(ctx, bob, u.ID); !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("a stranger: %v, want ErrNotFound", err)
	}

	// The length may come with no bytes at all.
	u = h.begin(ada, "/deferred2", -1, stone.ClassNormal)
	if _, _, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader([]byte("abcde"))}); err != nil {
		t.Fatal(err)
	}
	if _, e, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: 5, Size: 5, Body: bytes.NewReader(nil)}); err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	h.mustGet(ada, "/deferred2", []byte("abcde"))

	u = h.begin(ada, "/empty", 0, stone.ClassNormal)
	if _, e, err = h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(nil)}); err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	h.mustGet(ada, "/empty", nil)
}

// TestUploadCompleteButHindered asks again, with a piece of nothing, for a restricted upload that has all its
// content, whose padding fills whole segments, and whose place was taken and is free again.
func TestUploadCompleteButHindered(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	content := randomBytes(70<<20 + 1)
	u, err := h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/f", Size: int64(len(content)), Class: string(stone.ClassRestricted)})
	if err != nil {
		t.Fatal(err)
	}
	taken := h.put(ada, "/f", []byte("in the way"))
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(content)}); !errors.Is(err, vault.ErrExists) {
		t.Fatalf("over another file: %v, want ErrExists", err)
	}
	end := int64(len(content))
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: end, Size: -1, Body: bytes.NewReader([]byte("x"))}); !errors.Is(err, vault.ErrUploadTooLong) {
		t.Fatalf("more than was announced: %v, want ErrUploadTooLong", err)
	}
	if err := h.Delete(ctx, ada, taken.Node.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, e, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: end, Size: -1, Body: bytes.NewReader(nil)}); err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	h.mustGet(ada, "/f", content)
}

// TestUploadLostPart takes a complete upload's part away: nobody is told that all is well.
func TestUploadLostPart(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	u, err := h.BeginUpload(ctx, ada, vault.UploadRequest{Path: "/f", Size: 5})
	if err != nil {
		t.Fatal(err)
	}
	taken := h.put(ada, "/f", nil)
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader([]byte("abcde"))}); !errors.Is(err, vault.ErrExists) {
		t.Fatal(err)
	}
	if err := errors.Join(h.Delete(ctx, ada, taken.Node.ID, ""), h.objects.DeletePart(ctx, u.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Upload(ctx, ada, u.ID); !errors.Is(err, vault.ErrRefused) {
		t.Fatalf("%v, want ErrRefused", err)
	}
}

// TestCollectsPartsWithoutRows removes what a power failure may bring back, and nothing that is in use.
func TestCollectsPartsWithoutRows(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	u := h.begin(ada, "/f", 10, stone.ClassNormal)
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader([]byte("01234"))}); err != nil {
		t.Fatal(err)
	}
	orphan, err := h.objects.OpenPart(ctx, stone.FileID{1, 2, 3}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orphan.Write([]byte("left")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(orphan.Sync(), orphan.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	var left []stone.FileID
	if err := h.objects.WalkParts(ctx, func(id stone.FileID, _ int64) error { left = append(left, id); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0] != u.ID {
		t.Fatalf("parts %v, want only %v", left, u.ID)
	}
	if _, e, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: 5, Size: -1, Body: bytes.NewReader([]byte("56789"))}); err != nil || e == nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/f", []byte("0123456789"))
}

// waitingReader blocks until it is interrupted.
type waitingReader struct {
	first   []byte
	started chan struct{}
	stop    chan struct{}
}

func (r *waitingReader) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	select {
	case <-r.started:
	default:
		close(r.started)
	}
	<-r.stop
	return 0, errors.New("interrupted")
}

func TestUploadTakeover(t *testing.T) {
	h := newHouse(t)
	ada := h.person("ada")
	u := h.begin(ada, "/f", 6, stone.ClassNormal)
	r := &waitingReader{first: []byte("abc"), started: make(chan struct{}), stop: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: r, Interrupt: func() { close(r.stop) }})
		done <- err
	}()
	<-r.started
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(nil)}); !errors.Is(err, vault.ErrBusy) {
		t.Fatalf("beside a living request: %v, want ErrBusy", err)
	}
	h.setNow(h.now.Add(time.Minute))
	if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(nil)}); !errors.Is(err, vault.ErrOffset) {
		t.Fatalf("after a dead one: %v, want ErrOffset, since what it sent is kept", err)
	}
	if err := <-done; err == nil {
		t.Fatal("the interrupted request does not say so")
	}
	if _, e, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: 3, Size: -1, Body: bytes.NewReader([]byte("def"))}); err != nil || e == nil {
		t.Fatal(err)
	}
	h.mustGet(ada, "/f", []byte("abcdef"))
}

// TestUploadFaults lets every writing step of an upload's last piece fail, both ways; then the client asks
// where it stands and goes on.
func TestUploadFaults(t *testing.T) {
	content := randomBytes(3<<20 + 17)
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			t.Run(fmt.Sprintf("step %d, persisted %v", at, after), func(t *testing.T) {
				h := newHouse(t)
				ada := h.person("ada")
				u := h.begin(ada, "/f", int64(len(content)), stone.ClassNormal)
				cut := 1<<20 + 5
				if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Size: -1, Body: bytes.NewReader(content[:cut])}); err != nil {
					t.Fatal(err)
				}
				sound := h.config
				h.config.Database, h.config.Objects, h.config.Parts = faultyDatabase{h.db, f}, faultyObjects{h.objects, f}, faultyParts{h.objects, f}
				reopenUncounted(h, f)
				_, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: int64(cut), Size: -1, Body: bytes.NewReader(content[cut:])})
				h.config = sound
				h.reopen()
				if _, collectErr := h.Collect(ctx); collectErr != nil {
					t.Fatal(collectErr)
				}
				now, stateErr := h.Upload(ctx, ada, u.ID)
				switch {
				case stateErr == nil && now.Offset < now.Size:
					if err == nil || now.Offset < int64(cut) {
						t.Fatalf("the upload stands at %d after %v", now.Offset, err)
					}
					if _, _, err := h.AppendUpload(ctx, ada, u.ID, vault.Append{Offset: now.Offset, Size: -1, Body: bytes.NewReader(content[now.Offset:])}); err != nil {
						t.Fatalf("going on: %v", err)
					}
				case stateErr != nil && !errors.Is(stateErr, vault.ErrNotFound):
					t.Fatal(stateErr)
				}
				h.mustGet(ada, "/f", content)
				if n := h.objectCount(); n != 2 {
					t.Errorf("%d objects, want 2", n)
				}
				if left, err := h.Uploads(ctx, ada); err != nil || len(left) != 0 {
					t.Errorf("%d uploads are left: %v", len(left), err)
				}
			})
			if f.count() < at {
				break
			}
		}
	}
}

type faultyParts struct {
	vault.Parts
	f *faults
}

func (p faultyParts) OpenPart(ctx context.Context, id stone.FileID, at int64) (vault.Part, error) {
	part, err := p.Parts.OpenPart(ctx, id, at)
	return faultyPart{part, p.f}, err
}

func (p faultyParts) FinishPart(ctx context.Context, id stone.FileID, name string) error {
	return p.f.do(func() error { return p.Parts.FinishPart(ctx, id, name) })
}

func (p faultyParts) DeletePart(ctx context.Context, id stone.FileID) error {
	return p.f.do(func() error { return p.Parts.DeletePart(ctx, id) })
}

type faultyPart struct {
	vault.Part
	f *faults
}

func (p faultyPart) Write(b []byte) (n int, err error) {
	err = p.f.do(func() error {
		n, err = p.Part.Write(b)
		return err
	})
	return n, err
}

func (p faultyPart) Sync() error { return p.f.do(p.Part.Sync) }

func (p faultyPart) BeginSync() func() error {
	wait := p.Part.BeginSync()
	return func() error { return p.f.do(wait) }
}
