package s3

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/blob/s3test"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// TestOpenRefuses: a store that cannot keep the promises is not used, and whoever reads why is told no secret.
func TestOpenRefuses(t *testing.T) {
	server := s3test.Start(t)
	proxy := s3test.Before(t, server)
	probe := func(m, query string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Method == m && strings.Contains(r.URL.RawQuery, query) }
	}
	never := func(*http.Request) bool { return false }
	good := Options{Address: server.Address("vault"), Credentials: keys}
	for _, c := range []struct {
		what   string
		change func(*Options)
		match  func(*http.Request) bool
		skip   int
		fault  s3test.Fault
		says   string
	}{
		{"unconditional put", nil, probe("PUT", ""), 1, s3test.Unconditional, "lets an object replace"},
		{"unconditional multipart", nil, probe("POST", "uploadId="), 0, s3test.Unconditional, "lets a multipart upload replace"},
		{"no right to list", nil, probe("HEAD", ""), 0, s3test.Answer(403, "AccessDenied"), "right to list"},
		{"no right to delete", nil, func(r *http.Request) bool { return r.Method == "DELETE" && r.URL.RawQuery == "" }, 0, s3test.Answer(403, "AccessDenied"), "delete"},
		{"no right to list uploads", nil, probe("GET", "uploads"), 0, s3test.Answer(403, "AccessDenied"), "list multipart uploads"},
		{"another bucket", func(o *Options) { o.Address = strings.Replace(o.Address, s3test.Bucket, "missing", 1) }, never, 0, nil, "missing"},
		{"a wrong secret", func(o *Options) { o.Credentials.SecretKey = "wrong-secret" }, never, 0, nil, ""},
		{"a wrong key", func(o *Options) { o.Credentials.AccessKey = "wrong-secret" }, never, 0, nil, ""},
		{"no credentials", func(o *Options) { o.Credentials = Credentials{} }, never, 0, nil, "AWS_ACCESS_KEY_ID"},
		{"no address", func(o *Options) { o.Address = "" }, never, 0, nil, "the address"},
	} {
		o := good
		if c.fault != nil {
			o.Address = proxy.Address("vault")
			proxy.Next(c.skip, c.match, s3test.Pass)
			proxy.Next(1000, c.match, c.fault)
		}
		if c.change != nil {
			c.change(&o)
		}
		s, err := Open(t.Context(), o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want something with %q", c.what, err, c.says)
		}
		proxy.Clear()
	}
	s := open(t, server.Address(""))
	if err := s.list(t.Context(), "vault/probe/", func(o minio.ObjectInfo) error { return s.remove(t.Context(), o.Key) }); err != nil {
		t.Error(err)
	}
	server.Kill()
	s, err := connect(good)
	if err != nil {
		t.Fatal(err)
	}
	impatient(s)
	if err := s.probe(t.Context()); !errors.Is(err, vault.ErrUnavailable) {
		t.Errorf("a store that is away: %v", err)
	}
	if c, err := connect(Options{Address: "s3://stones", Credentials: keys, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}); err != nil || c.transport.TLSClientConfig.MinVersion != tls.VersionTLS13 {
		t.Errorf("an older TLS is spoken: %v", err)
	}
}

// TestMemory: a transfer takes two blocks, a part three while it is synced and goes on, and a small one none.
func TestMemory(t *testing.T) {
	s := open(t, s3test.Start(t).Address("vault"))
	piece := blobtest.Bytes(1<<20, 1)
	w, err := s.Create(t.Context(), blobtest.NewName("body"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), s, blobtest.NewName("env"), piece[:4096]); err != nil || s.pool.most.Load() != 0 {
		t.Errorf("4 KiB took %d blocks of memory (%v)", s.pool.most.Load(), err)
	}
	var most atomic.Uint64
	stop := make(chan struct{})
	var watch sync.WaitGroup
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.GC() // so that what counts is what is held
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
			}
		}
	})
	for range 100 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	close(stop)
	watch.Wait()
	if blocks := s.pool.most.Load(); blocks != 2 {
		t.Errorf("a transfer took %d blocks of memory, want 2", blocks)
	}
	if held := int64(most.Load()) - int64(before.HeapAlloc); held > 24<<20 {
		t.Errorf("a transfer held %d bytes", held)
	}

	p, err := s.OpenPart(t.Context(), blobtest.NewID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var syncs sync.WaitGroup
	for i := range 64 {
		if _, err := p.Write(piece); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			syncs.Go(func() {
				if err := p.Sync(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	syncs.Wait()
	if blocks := s.pool.most.Load(); blocks > 3 {
		t.Errorf("a part took %d blocks of memory, want 3 at most", blocks)
	}
	if err := p.Close(); err != nil || s.pool.lent.Load() != 0 {
		t.Fatalf("%d blocks were not given back (%v)", s.pool.lent.Load(), err)
	}
	// No Sync copies what it covers: with a block at most between one and the next, as the vault has it, two will do.
	s.pool.most.Store(0)
	if p, err = s.OpenPart(t.Context(), blobtest.NewID(), 0); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	wait := func() error { return nil }
	for i := range 64 {
		if _, err := p.Write(piece); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			if err := wait(); err != nil {
				t.Fatal(err)
			}
			wait = p.BeginSync()
		}
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if blocks := s.pool.most.Load(); blocks > 2 {
		t.Errorf("a part took %d blocks of memory, want 2", blocks)
	}
}

// TestStages: what is too large for 10,000 parts of one block is gathered in stages; with parts as with writers, and
// where a sync is not known to have happened.
func TestStages(t *testing.T) {
	s := small(open(t, s3test.Start(t).Address("vault")))
	s.direct, s.staged = 2, 2
	data := blobtest.Bytes(8*s.block+12345, 1)
	name := blobtest.NewName("body")
	if err := create(t.Context(), s, name, data); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, s, name), data) {
		t.Error("the object is another one")
	}
	id := blobtest.NewID()
	if err := grow(t.Context(), s, id, data, s.block, 3*s.block+1, 4*s.block+2, 5*s.block, 7*s.block+3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, s, id.String()+".body"), data) {
		t.Error("the part's object is another one")
	}
	// Each step is done twice, the first time by somebody who does not get to say so.
	for _, step := range []int{s.block/2 + 1, s.block + 7, 2*s.block + 9} {
		id, from := blobtest.NewID(), 0
		for from < len(data) {
			to := min(from+step, len(data))
			for _, piece := range [][]byte{blobtest.Bytes(step+3*s.block, 2), data[from:to]} {
				p, err := s.OpenPart(t.Context(), id, int64(from))
				if err != nil {
					t.Fatalf("step %d, at %d: %v", step, from, err)
				}
				_, err = p.Write(piece)
				if err := errors.Join(err, p.Sync(), p.Close()); err != nil {
					t.Fatalf("step %d, at %d: %v", step, from, err)
				}
			}
			from = to
		}
		if err := s.FinishPart(t.Context(), id, id.String()+".body"); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if !bytes.Equal(content(t, s, id.String()+".body"), data) {
			t.Errorf("step %d: the object is another one", step)
		}
	}
	wantKeys(t, s, "stages/", 0)
	wantKeys(t, s, "parts/", 0)
}

func wantKeys(t *testing.T, s *Store, prefix string, want int) {
	t.Helper()
	n := 0
	if err := s.list(t.Context(), s.prefix+prefix, func(o minio.ObjectInfo) error { n++; return nil }); err != nil || n != want {
		t.Errorf("%d objects below %s (%v), want %d", n, prefix, err, want)
	}
}

// TestRemoveAbandoned: what nobody will end goes when it is old, and what a part needs stays.
func TestRemoveAbandoned(t *testing.T) {
	server := s3test.Start(t)
	s, beside := small(open(t, server.Address("vault"))), small(open(t, server.Address("beside")))
	s.direct = 1
	ctx := t.Context()
	data := blobtest.Bytes(3*s.block+7, 1)
	id := blobtest.NewID()
	p, err := s.OpenPart(ctx, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Write(data)
	if err := errors.Join(err, p.Sync(), p.Close()); err != nil {
		t.Fatal(err)
	}
	for _, store := range []*Store{s, beside} {
		for _, key := range []string{store.objectKey(blobtest.NewName("body")), store.stageKey(blobtest.NewID().String())} {
			if _, err := store.begin(ctx, key, "mark"); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.put(ctx, store.stageKey(blobtest.NewID().String()), put{mark: "mark"}, []byte("left")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, 0}, {-time.Hour, 3}, {-time.Hour, 0}} {
		if n, err := s.RemoveAbandoned(ctx, c.age); err != nil || n != c.want {
			t.Errorf("of what is older than %v, %d were removed (%v), want %d", c.age, n, err, c.want)
		}
	}
	uploads := 0
	if err := s.eachUpload(ctx, "", func(minio.ObjectMultipartInfo) error { uploads++; return nil }); err != nil || uploads != 4 {
		t.Errorf("%d uploads are left (%v), want the part's two and the two of the other prefix", uploads, err)
	}
	if err := s.FinishPart(ctx, id, id.String()+".body"); err != nil || !bytes.Equal(content(t, s, id.String()+".body"), data) {
		t.Errorf("the part's object is another one (%v)", err)
	}
	// A part that is deleted leaves no upload.
	if err := grow(ctx, beside, id, data[:2*s.block], s.block); err != nil {
		t.Fatal(err)
	}
	p, err = s.OpenPart(ctx, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Write(data)
	if err := errors.Join(err, p.Sync(), p.Close(), s.DeletePart(ctx, id)); err != nil {
		t.Fatal(err)
	}
	if err := s.eachUpload(ctx, s.prefix, func(u minio.ObjectMultipartInfo) error { t.Errorf("an upload of %s is left", u.Key); return nil }); err != nil {
		t.Error(err)
	}
	wantKeys(t, s, "parts/", 0)
}

// TestReplaced: an envelope that is open stays what it was, and a body that was deleted is missing.
func TestReplaced(t *testing.T) {
	s := open(t, s3test.Start(t).Address("vault"))
	ctx := t.Context()
	env, body := blobtest.NewName("env"), blobtest.NewName("body")
	old := blobtest.Bytes(stone.MaxEnvelopeSize, 1)
	if err := errors.Join(s.Replace(ctx, env, old), create(ctx, s, body, old)); err != nil {
		t.Fatal(err)
	}
	oe, err := s.Open(ctx, env)
	if err != nil {
		t.Fatal(err)
	}
	defer oe.Close()
	ob, err := s.Open(ctx, body)
	if err != nil {
		t.Fatal(err)
	}
	defer ob.Close()
	if err := errors.Join(s.Replace(ctx, env, []byte("new")), s.Replace(ctx, body, []byte("new"))); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(old))
	if n, err := oe.ReadAt(got, 0); n != len(old) || !bytes.Equal(got, old) {
		t.Errorf("an open envelope: %d bytes, %v", n, err)
	}
	if n, err := ob.ReadAt(got, 0); !errors.Is(err, vault.ErrConflict) {
		t.Errorf("an open body that was replaced: %d bytes, %v", n, err)
	}
	if err := s.Delete(ctx, body); err != nil {
		t.Fatal(err)
	}
	if _, err := ob.ReadAt(got, 0); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("an open body that was deleted: %v", err)
	}
}
