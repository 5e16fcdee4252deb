package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/blob/s3test"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// What requests are, in the proxy's eyes.
func method(m, query string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == m && (query == "" && r.URL.RawQuery == "" || query != "" && strings.Contains(r.URL.RawQuery, query)) &&
			!strings.Contains(r.URL.Path, "/probe/")
	}
}

var (
	isGet      = method("GET", "")
	isHead     = method("HEAD", "")
	isPut      = method("PUT", "")
	isDelete   = method("DELETE", "")
	isList     = method("GET", "list-type=2")
	isBlock    = method("PUT", "partNumber=")
	isBegin    = method("POST", "uploads")
	isComplete = method("POST", "uploadId=")
)

// impatient makes what can be tried again be tried soon given up.
func impatient(s *Store) *Store {
	s.tries.few = policy{tries: 2, timeout: 2 * time.Second, pause: time.Millisecond}
	s.tries.many = policy{tries: 3, timeout: 2 * time.Second, pause: time.Millisecond}
	return s
}

// small makes blocks as small as S3 lets them be.
func small(s *Store) *Store {
	s.block = 5 << 20
	s.pool.size = s.block
	return s
}

func behindProxy(t *testing.T) (*Store, *s3test.Proxy, *s3test.Server) {
	t.Helper()
	server := s3test.Start(t)
	proxy := s3test.Before(t, server)
	s := small(open(t, proxy.Address("vault")))
	s.tries.few.pause, s.tries.many.pause = time.Millisecond, time.Millisecond
	return s, proxy, server
}

func content(t *testing.T, s *Store, name string) []byte {
	t.Helper()
	o, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	data := make([]byte, o.Size())
	if n, err := o.ReadAt(data, 0); n < len(data) {
		t.Fatalf("read: %d of %d bytes, %v", n, len(data), err)
	}
	return data
}

func create(ctx context.Context, s *Store, name string, data []byte) error {
	w, err := s.Create(ctx, name, int64(len(data)))
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

var faults = map[string]s3test.Fault{
	"cut":         s3test.Cut,
	"lost reply":  s3test.LoseReply,
	"503":         s3test.Answer(503, "SlowDown"),
	"500":         s3test.Answer(500, "InternalError"),
	"short reply": s3test.CutReply(3),
}

// TestPassingFaults: whatever happens to a request twice, everything succeeds once it ends, and is what it should be.
func TestPassingFaults(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	large := blobtest.Bytes(6<<20, 1)
	for fault, happens := range faults {
		for _, c := range []struct {
			what  string
			match func(*http.Request) bool
			data  []byte
		}{
			{"put", isPut, large[:5000]},
			{"begin", isBegin, large},
			{"block", isBlock, large},
			{"complete", isComplete, large},
			{"get", isGet, large},
			{"get small", isGet, large[:5000]},
		} {
			t.Run(fault+"/"+c.what, func(t *testing.T) {
				name := blobtest.NewName("body")
				proxy.Next(2, c.match, happens)
				if err := create(t.Context(), s, name, c.data); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(content(t, s, name), c.data) {
					t.Error("the object is another one")
				}
				if left := proxy.Clear(); left > 0 && (c.what != "put" && c.what != "complete" || !strings.HasSuffix(fault, "reply")) {
					t.Errorf("%d requests of the kind never came", left) // the object itself tells what a reply would have
				}
				if err := create(t.Context(), s, name, c.data); !errors.Is(err, vault.ErrExists) {
					t.Errorf("a second object of the name: %v", err)
				}
				if !bytes.Equal(content(t, s, name), c.data) {
					t.Error("the object was replaced")
				}
				proxy.Next(2, isDelete, happens)
				if err := s.Delete(t.Context(), name); err != nil {
					t.Errorf("delete: %v", err)
				}
				proxy.Clear()
			})
		}
	}
	// Nothing is left of it but uploads whose beginning nobody was told of.
	if err := s.Walk(t.Context(), func(name string, _ int64) error { t.Errorf("%s is left", name); return nil }); err != nil {
		t.Error(err)
	}
}

// TestLostReplyToOther: the reply that is lost says that somebody else's object is there.
func TestLostReplyToOther(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	for what, data := range map[string][]byte{"put": []byte("mine"), "complete": blobtest.Bytes(6<<20, 1)} {
		name := blobtest.NewName("body")
		if err := create(t.Context(), s, name, []byte("other")); err != nil {
			t.Fatal(err)
		}
		for _, lost := range []int{1, 1000} {
			proxy.Next(lost, map[string]func(*http.Request) bool{"put": isPut, "complete": isComplete}[what], s3test.LoseReply)
			if err := create(t.Context(), s, name, data); !errors.Is(err, vault.ErrExists) {
				t.Errorf("%s: %v, want ErrExists", what, err)
			}
			if left := proxy.Clear(); left >= lost || string(content(t, s, name)) != "other" {
				t.Errorf("%s: the other object was replaced, or no reply was lost", what)
			}
		}
	}
}

// TestUnheardEnd: that an upload is gone is found out where the store closes the connection instead of being heard.
func TestUnheardEnd(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	key, block := s.prefix+blobtest.NewName("body"), blobtest.Bytes(s.block, 1)
	upload, err := s.begin(t.Context(), key, "mark")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Next(2, isBlock, s3test.LoseReply)
	if _, err := s.sendBlock(t.Context(), key, upload, 1, block); err != nil {
		t.Errorf("while it is there: %v", err)
	}
	if err := s.core.AbortMultipartUpload(t.Context(), s.bucket, key, upload); err != nil {
		t.Fatal(err)
	}
	proxy.Next(1000, isBlock, s3test.Cut)
	if _, err := s.sendBlock(t.Context(), key, upload, 2, block); !errors.Is(err, errNoUpload) {
		t.Errorf("after it ended: %v", err)
	}
}

// TestLastingFaults: what goes on failing is ErrUnavailable, and nobody is told that something was done.
func TestLastingFaults(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	impatient(s)
	ctx := t.Context()
	name, large := blobtest.NewName("body"), blobtest.Bytes(6<<20, 1)
	if err := create(ctx, s, name, large); err != nil {
		t.Fatal(err)
	}
	for fault, happens := range faults {
		if fault == "short reply" {
			continue // a reply's beginning is enough for most
		}
		for what, c := range map[string]struct {
			match func(*http.Request) bool
			do    func(name string) error
		}{
			"put":      {isPut, func(n string) error { return create(ctx, s, n, []byte("x")) }},
			"replace":  {isPut, func(n string) error { return s.Replace(ctx, n, []byte("x")) }},
			"begin":    {isBegin, func(n string) error { return create(ctx, s, n, large) }},
			"block":    {isBlock, func(n string) error { return create(ctx, s, n, large) }},
			"complete": {isComplete, func(n string) error { return create(ctx, s, n, large) }},
			"open":     {isGet, func(string) error { _, err := s.Open(ctx, name); return err }},
			"delete":   {isDelete, func(n string) error { return s.Delete(ctx, n) }},
			"walk":     {isList, func(string) error { return s.Walk(ctx, func(string, int64) error { return nil }) }},
		} {
			fresh := blobtest.NewName("body")
			proxy.Next(1000, c.match, happens)
			began := time.Now()
			err := c.do(fresh)
			done := fault == "lost reply" && (what == "put" || what == "complete") // the object itself tells
			if done {
				if err != nil {
					t.Errorf("%s/%s: %v, but the object is there", fault, what, err)
				}
			} else if !errors.Is(err, vault.ErrUnavailable) || errors.Is(err, vault.ErrExists) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s/%s: %v, want ErrUnavailable alone", fault, what, err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s/%s took %v", fault, what, took)
			}
			proxy.Clear()
			if what != "replace" && what != "delete" && !done {
				if _, err := s.Open(ctx, fresh); !errors.Is(err, vault.ErrNotFound) {
					t.Errorf("%s/%s: what was refused is there: %v", fault, what, err)
				}
			}
		}
	}
	if !bytes.Equal(content(t, s, name), large) {
		t.Error("the object that was there is another one")
	}
}

// TestSaid: what the store says is told apart.
func TestSaid(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	impatient(s)
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{507, "XMinioStorageFull", vault.ErrNoSpace}, {403, "QuotaExceeded", vault.ErrNoSpace}, {507, "Unheard", vault.ErrNoSpace},
		{403, "AccessDenied", vault.ErrUnavailable}, {404, "NoSuchBucket", vault.ErrUnavailable}, {429, "Unheard", vault.ErrUnavailable},
		{502, "Unheard", vault.ErrUnavailable}, {409, "ConditionalRequestConflict", vault.ErrUnavailable},
	} {
		proxy.Next(1000, isPut, s3test.Answer(c.status, c.code))
		err := create(t.Context(), s, blobtest.NewName("body"), []byte("x"))
		if !errors.Is(err, c.want) {
			t.Errorf("%d %s: %v, want %v", c.status, c.code, err, c.want)
		}
		proxy.Clear()
	}
	proxy.Next(1000, isPut, s3test.Answer(400, "Unheard"))
	if err := create(t.Context(), s, blobtest.NewName("body"), []byte("x")); err == nil || errors.Is(err, vault.ErrUnavailable) {
		t.Errorf("a refusal of another kind: %v", err)
	}
}

// TestAway: an upload outlives a store that is away for some seconds; what asks meanwhile gets a clear error.
func TestAway(t *testing.T) {
	server := s3test.Start(t)
	s := small(open(t, server.Address("vault")))
	data, name := blobtest.Bytes(16<<20, 1), blobtest.NewName("body")
	w, err := s.Create(t.Context(), name, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(data[:8<<20]); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	began := time.Now()
	if _, err := s.Open(t.Context(), name); !errors.Is(err, vault.ErrUnavailable) || time.Since(began) > 15*time.Second {
		t.Errorf("open without a store: %v after %v", err, time.Since(began))
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		time.Sleep(3 * time.Second)
		server.Again(t)
	}()
	_, err = w.Write(data[8<<20:])
	<-back
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, s, name), data) {
		t.Error("the object is another one")
	}
}

// TestHangs: the caller's own deadline ends what hangs, and is the caller's.
func TestHangs(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	for what, c := range map[string]struct {
		match func(*http.Request) bool
		do    func(context.Context) error
	}{
		"put":  {isPut, func(ctx context.Context) error { return create(ctx, s, blobtest.NewName("body"), []byte("x")) }},
		"open": {isGet, func(ctx context.Context) error { _, err := s.Open(ctx, blobtest.NewName("body")); return err }},
		"walk": {isList, func(ctx context.Context) error { return s.Walk(ctx, func(string, int64) error { return nil }) }},
	} {
		proxy.Next(1, c.match, s3test.Delay(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		err := c.do(ctx)
		cancel()
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, vault.ErrUnavailable) || took > 10*time.Second {
			t.Errorf("%s: %v after %v", what, err, took)
		}
		proxy.Clear()
	}
	// The package's own timeout is followed by another try.
	s.tries.few.timeout = 500 * time.Millisecond
	proxy.Next(2, isGet, s3test.Delay(time.Hour))
	if _, err := s.Open(t.Context(), blobtest.NewName("body")); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("after two tries that hung: %v", err)
	}
}

// TestPartFaults: a part goes through the same, with a sync and a new opening between.
func TestPartFaults(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	data := blobtest.Bytes(7<<20, 1)
	for fault, happens := range faults {
		for what, match := range map[string]func(*http.Request) bool{
			"put": isPut, "begin": isBegin, "block": isBlock, "complete": isComplete, "get": isGet, "head": isHead, "list": isList, "delete": isDelete,
		} {
			id := blobtest.NewID()
			proxy.Next(2, match, happens)
			if err := grow(t.Context(), s, id, data, 3<<20, 6<<20); err != nil {
				t.Errorf("%s/%s: %v", fault, what, err)
			} else if !bytes.Equal(content(t, s, id.String()+".body"), data) {
				t.Errorf("%s/%s: the object is another one", fault, what)
			}
			proxy.Clear()
			if err := s.WalkParts(t.Context(), func(left stone.FileID, size int64) error {
				if left == id && what != "delete" {
					t.Errorf("%s/%s: the part is left", fault, what)
				}
				return s.DeletePart(t.Context(), left)
			}); err != nil {
				t.Error(err)
			}
		}
	}
}

// grow makes an object by way of a part, which is synced and opened again at some lengths.
func grow(ctx context.Context, s *Store, id stone.FileID, data []byte, at ...int) error {
	from := 0
	for _, to := range append(at, len(data)) {
		p, err := s.OpenPart(ctx, id, int64(from))
		if err != nil {
			return err
		}
		_, err = p.Write(data[from:to])
		if err == nil {
			err = p.Sync()
		}
		if err := errors.Join(err, p.Close()); err != nil {
			return err
		}
		from = to
	}
	return s.FinishPart(ctx, id, id.String()+".body")
}

// TestPartStops: whatever request is the last one that gets through, a part goes on from where it was known to be, in
// another store, and becomes what was written; with stages and without.
func TestPartStops(t *testing.T) {
	server := s3test.Start(t)
	proxy := s3test.Before(t, server)
	data := blobtest.Bytes(13<<20, 1)
	every := func(*http.Request) bool { return true }
	first, step := rand.IntN(7), 7
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		first, step = 0, 1
	}
	for what, shape := range map[string]func(*Store) *Store{
		"blocks": small,
		"stages": func(s *Store) *Store { s.direct, s.staged = 1, 1; return small(s) },
	} {
		other := shape(open(t, server.Address("vault")))
		done := false
		for n := first; !done; n += step {
			for _, last := range []s3test.Fault{s3test.Cut, s3test.LoseReply} {
				s := shape(open(t, proxy.Address("vault")))
				s.tries.few.tries, s.tries.many.tries = 1, 1
				id := blobtest.NewID()
				proxy.Next(n, every, s3test.Pass)
				proxy.Next(1, every, last)
				proxy.Next(1000, every, s3test.Cut)
				known := 0 // what a database would have
				for _, to := range []int{3 << 20, 9 << 20, len(data)} {
					p, err := s.OpenPart(t.Context(), id, int64(known))
					if err == nil {
						_, err = p.Write(data[known:to])
						if err == nil {
							err = p.Sync()
						}
						p.Close()
					}
					if err != nil {
						break
					}
					known = to
				}
				finished := known == len(data) && s.FinishPart(t.Context(), id, id.String()+".body") == nil
				done = proxy.Clear() >= 1001
				var err error
				if !finished {
					err = resumeAndFinish(t.Context(), other, id, known, data)
				}
				if err != nil || !bytes.Equal(content(t, other, id.String()+".body"), data) {
					t.Fatalf("%s, after %d requests, at %d, finished %v: the object is another one (%v)", what, n, known, finished, err)
				}
			}
			if n > 200 {
				t.Fatal("there is no end of requests")
			}
		}
		// All that is left of it, the collectors find.
		err := other.WalkParts(t.Context(), func(id stone.FileID, _ int64) error { return other.DeletePart(t.Context(), id) })
		if _, err2 := other.RemoveAbandoned(t.Context(), -time.Hour); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		wantUploads(t, other, 0)
		for _, prefix := range []string{"parts/", "stages/", "probe/"} {
			wantKeys(t, other, prefix, 0)
		}
	}
}

func resumeAndFinish(ctx context.Context, s *Store, id stone.FileID, known int, data []byte) error {
	p, err := s.OpenPart(ctx, id, int64(known))
	if errors.Is(err, vault.ErrNotFound) && known == len(data) {
		return s.FinishPart(ctx, id, id.String()+".body") // it has been done
	}
	if err != nil {
		return err
	}
	if known > 0 {
		head := make([]byte, min(known, headLength))
		if n, err := p.ReadAt(head, 0); n < len(head) || !bytes.Equal(head, data[:len(head)]) {
			return errors.Join(errors.New("its head is another one"), err, p.Close())
		}
	}
	_, err = p.Write(data[known:])
	if err == nil {
		err = p.Sync()
	}
	if err := errors.Join(err, p.Close()); err != nil {
		return err
	}
	return s.FinishPart(ctx, id, id.String()+".body")
}

// TestTwoOpenings: of two servers that open one part, the one that syncs later is refused.
func TestTwoOpenings(t *testing.T) {
	server := s3test.Start(t)
	a, b := small(open(t, server.Address("vault"))), small(open(t, server.Address("vault")))
	id := blobtest.NewID()
	if err := func() error {
		p, err := a.OpenPart(t.Context(), id, 0)
		if err != nil {
			return err
		}
		_, err = p.Write(make([]byte, 100))
		return errors.Join(err, p.Sync(), p.Close())
	}(); err != nil {
		t.Fatal(err)
	}
	open := func(s *Store) vault.Part {
		p, err := s.OpenPart(t.Context(), id, 100)
		if err == nil {
			_, err = io.WriteString(p, "more")
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pa, pb := open(a), open(b)
	defer pa.Close()
	defer pb.Close()
	if err := pb.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := pa.Sync(); !errors.Is(err, vault.ErrBusy) {
		t.Errorf("the later one: %v, want ErrBusy", err)
	}
	if _, err := pa.Write([]byte("x")); err == nil {
		t.Error("it goes on writing")
	}
}
