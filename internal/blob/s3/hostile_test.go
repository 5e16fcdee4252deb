package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/blob/s3test"
	"stonevault/internal/vault"
)

// says answers in the server's place, with headers "Name: value".
func says(status int, body string, headers ...string) s3test.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ func() (*http.Response, error)) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func keysReply(keys ...string) string {
	var b strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>1</Size></Contents>", key)
	}
	return "<ListBucketResult>" + b.String() + "</ListBucketResult>"
}

// TestNonsense: whatever a store answers, nothing is taken for done, nothing for missing, and nobody panics.
func TestNonsense(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	impatient(s)
	s.direct, s.staged = 1, 1
	ctx := t.Context()
	large := blobtest.Bytes(2*s.block+1, 1)
	there := blobtest.NewName("body")
	if err := create(ctx, s, there, large[:100<<10]); err != nil {
		t.Fatal(err)
	}
	first, second := s.objectKey("a"), s.objectKey("b")
	isCopy := func(r *http.Request) bool { return isBlock(r) && r.Header.Get("X-Amz-Copy-Source") != "" }
	put := func(name string) error { return create(ctx, s, name, large[:10]) }
	putLarge := func(name string) error { return create(ctx, s, name, large) }
	get := func(string) error {
		o, err := s.Open(ctx, there)
		if err == nil {
			_, err = o.ReadAt(make([]byte, 90<<10), 1)
			o.Close()
		}
		return err
	}
	walk := func(string) error { return s.Walk(ctx, func(string, int64) error { return nil }) }
	failed := "<Error><Code>Unheard</Code><Message>" + strings.Repeat("long ", 1000) + "</Message></Error>"
	for _, c := range []struct {
		what  string
		match func(*http.Request) bool
		fault s3test.Fault
		do    func(name string) error
	}{
		{"put, a gateway's 404", isPut, says(404, "<html>not here</html>"), put},
		{"replace, a gateway's 404", isPut, says(404, "<html>not here</html>"), func(name string) error { return s.Replace(ctx, name, large[:10]) }},
		{"begin, a gateway's 404", isBegin, says(404, "<html>not here</html>"), putLarge},
		{"begin, no id", isBegin, says(200, "<InitiateMultipartUploadResult></InitiateMultipartUploadResult>"), putLarge},
		{"begin, nothing", isBegin, says(200, ""), putLarge},
		{"block, no ETag", isBlock, says(200, ""), putLarge},
		{"block, a long ETag", isBlock, says(200, "", "ETag: "+strings.Repeat("0", 500)), putLarge},
		{"copy, an error in a reply of success", isCopy, says(200, failed), putLarge},
		{"copy, nothing", isCopy, says(200, ""), putLarge},
		{"complete, an error in a reply of success", isComplete, says(200, failed), putLarge},
		{"complete, nothing", isComplete, says(200, ""), putLarge},
		{"complete, something else", isComplete, says(200, "<html>welcome</html>"), putLarge},
		{"get, a gateway's 404", isGet, says(404, "<html>not here</html>"), get},
		{"delete, a gateway's 404", isDelete, says(404, "<html>not here</html>"), func(name string) error { return s.Delete(ctx, name) }},
		{"get, a length below zero", isGet, says(206, "", "Content-Range: bytes 0-1/-5"), get},
		{"get, a length that is none", isGet, says(206, "", "Content-Range: bytes 0-1/*"), get},
		{"get, another range", isGet, says(206, strings.Repeat("x", 1000), "Content-Range: bytes 5-1004/102400"), get},
		{"get, too little", isGet, says(206, "x", "Content-Range: bytes 0-0/102400"), get},
		{"get, huge", isGet, says(206, "x", "Content-Range: bytes 0-65535/9223372036854775807"), get},
		{"walk, out of order", isList, says(200, keysReply(second, first)), walk},
		{"walk, twice the same", isList, says(200, keysReply(first, first)), walk},
		{"walk, of something else", isList, says(200, keysReply("zzz")), walk},
		{"walk, a gateway's 404", isList, says(404, "<html>not here</html>"), walk},
		{"walk, something else", isList, says(200, "<html>welcome</html>"), walk},
		{"walk, nothing", isList, says(200, ""), walk},
	} {
		proxy.Next(1000, c.match, c.fault)
		name := blobtest.NewName("body")
		err := c.do(name)
		if !errors.Is(err, vault.ErrUnavailable) || errors.Is(err, vault.ErrNotFound) || len(err.Error()) > 1000 {
			t.Errorf("%s: %v, want ErrUnavailable", c.what, err)
		}
		proxy.Clear()
		if o, err := s.Open(ctx, name); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("%s: what failed is there: %v, %v", c.what, o, err)
		}
	}
	// What has no end is not read to the end.
	var sent atomic.Int64
	proxy.Next(1000, isList, func(w http.ResponseWriter, _ *http.Request, _ func() (*http.Response, error)) {
		io.WriteString(w, "<ListBucketResult>")
		for i := range 1 << 24 {
			n, err := fmt.Fprintf(w, "<Contents><Key>%s%032x.body</Key></Contents>", s.objectKey(""), i)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	if err := walk(""); !errors.Is(err, vault.ErrUnavailable) || sent.Load() > 64<<20 {
		t.Errorf("a list without end: %v after %d bytes", err, sent.Load())
	}
	proxy.Clear()
	if !bytes.Equal(content(t, s, there), large[:100<<10]) {
		t.Error("the object is another one")
	}
}

// TestPayload: what a request sends, nobody reads any more once the request has ended, though the store has answered
// before it had all of it. The race detector sees it.
func TestPayload(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "8")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error/>")
		http.NewResponseController(w).Flush()
		time.Sleep(150 * time.Millisecond) // longer than the transport waits for the rest
	}))
	defer server.Close()
	s, err := connect(Options{Address: "s3://stones?path_style=true&endpoint=" + server.URL, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	memory := make([]byte, 16<<20)
	for what, send := range map[string]func() error{
		"put":   func() error { return s.put(t.Context(), "a", put{mark: "m"}, memory[:5<<20], memory[5<<20:]) },
		"block": func() error { _, err := s.sendBlock(t.Context(), "a", "upload", 1, memory); return err },
	} {
		if err := send(); !errors.Is(err, vault.ErrUnavailable) {
			t.Fatalf("%s: %v, want ErrUnavailable", what, err)
		}
		for i := range memory {
			memory[i]++
		}
	}

	body := newPayload([]byte("ab"), nil, []byte("c"))
	if text, err := io.ReadAll(body); string(text) != "abc" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	body = newPayload([]byte("abc"))
	body.end()
	if n, err := body.Read(make([]byte, 8)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("%d bytes are read of a request that has ended (%v)", n, err)
	}
}

// TestWhatIsAskedFor: bodies are signed by their SHA-256, and nothing is sent that older stores do not understand.
func TestWhatIsAskedFor(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	s.direct, s.staged = 1, 1
	bodies := 0
	proxy.Next(1000, func(*http.Request) bool { return true }, func(w http.ResponseWriter, r *http.Request, forward func() (*http.Response, error)) {
		for name := range r.Header {
			if n := strings.ToLower(name); strings.Contains(n, "checksum") || strings.Contains(n, "trailer") || strings.Contains(n, "encoding") && n != "accept-encoding" {
				t.Errorf("%s %s has %s", r.Method, r.URL, name)
			}
		}
		if r.ContentLength < 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("%s %s has no length", r.Method, r.URL)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sum := sha256.Sum256(body)
		if got := r.Header.Get("X-Amz-Content-Sha256"); len(body) > 0 && got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s %s is signed by %s", r.Method, r.URL, got)
		}
		if len(body) > 0 {
			bodies++
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		s3test.Pass(w, r, forward)
	})
	data := blobtest.Bytes(2*s.block+1, 1)
	id, name := blobtest.NewID(), blobtest.NewName("body")
	if err := errors.Join(create(t.Context(), s, name, data), create(t.Context(), s, blobtest.NewName("env"), data[:100]),
		grow(t.Context(), s, id, data, s.block+1), s.Delete(t.Context(), name)); err != nil {
		t.Fatal(err)
	}
	if bodies < 10 {
		t.Errorf("%d requests had a body", bodies)
	}
}

// twoBlocks makes a part of two blocks and a tail, and tells its progress.
func twoBlocks(t *testing.T, s *Store, data []byte) (*part, progress) {
	t.Helper()
	p, err := s.openPart(t.Context(), blobtest.NewID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Write(data)
	if err := errors.Join(err, p.Sync(), p.Close()); err != nil {
		t.Fatal(err)
	}
	return p, p.assembly.progress
}

// TestLateBlock: a block that takes another one's place after a Sync never becomes part of an object.
func TestLateBlock(t *testing.T) {
	s := small(open(t, s3test.Start(t).Address("vault")))
	ctx := t.Context()
	p, was := twoBlocks(t, s, blobtest.Bytes(2*s.block+7, 1))
	name := p.id.String() + ".body"
	if _, err := s.sendBlock(ctx, s.objectKey(name), was.Upload, 2, blobtest.Bytes(s.block, 2)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.FinishPart(ctx, p.id, name); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("FinishPart: %v, want ErrNotFound", err)
		}
	}
	if _, err := s.Open(ctx, name); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("the object is there: %v", err)
	}
	if err := s.DeletePart(ctx, p.id); err != nil {
		t.Error(err)
	}
	wantUploads(t, s, 0)
}

func wantUploads(t *testing.T, s *Store, want int) {
	t.Helper()
	n := 0
	if err := s.eachUpload(t.Context(), s.prefix, func(minio.ObjectMultipartInfo) error { n++; return nil }); err != nil || n != want {
		t.Errorf("%d uploads are there (%v), want %d", n, err, want)
	}
}

// TestDamagedState: what is kept of a part and cannot be read is refused, keeps its upload, and can be deleted.
func TestDamagedState(t *testing.T) {
	s := small(open(t, s3test.Start(t).Address("vault")))
	ctx := t.Context()
	for i, damage := range [][]byte{nil, []byte("\x00"), []byte("\xff\xff\xff\xff{}"), []byte("\x00\x00\x00\x02[]"), []byte("\x00\x00\x00\x02{}"), bytes.Repeat([]byte{0}, s.block+100)} {
		data := blobtest.Bytes(2*s.block+7, 1)
		p, _ := twoBlocks(t, s, data)
		keys, err := s.partKeys(ctx, p.id)
		if err != nil || len(keys.states) != 1 {
			t.Fatal(keys, err)
		}
		if err := s.put(ctx, s.stateKey(p.id, keys.states[0]), put{mark: "m", length: fmt.Sprint(len(data)), replace: true}, damage); err != nil {
			t.Fatal(err)
		}
		if opened, err := s.OpenPart(ctx, p.id, int64(len(data))); err == nil {
			t.Errorf("%d: it was opened", i)
			opened.Close()
		}
		empty := string(damage) == "\x00\x00\x00\x02{}"
		if err := s.FinishPart(ctx, p.id, p.id.String()+".body"); err == nil && !empty {
			t.Errorf("%d: it was finished", i)
		}
		if n, err := s.RemoveAbandoned(ctx, -time.Hour); err != nil || n > 0 && !empty {
			t.Errorf("%d: %d things were removed while the part is there (%v)", i, n, err)
		}
		if i%2 == 0 {
			opened, err := s.OpenPart(ctx, p.id, 0)
			if err != nil {
				t.Fatalf("%d: a new beginning: %v", i, err)
			}
			opened.Close()
		} else if err := s.DeletePart(ctx, p.id); err != nil {
			t.Errorf("%d: DeletePart: %v", i, err)
		}
		wantKeys(t, s, "parts/", 0)
		if _, err := s.RemoveAbandoned(ctx, -time.Hour); err != nil {
			t.Error(err)
		}
		wantUploads(t, s, 0)
	}
}

// TestCancelled: a request that its caller has given up ends at once, and what it did is not there or can be done again.
func TestCancelled(t *testing.T) {
	s, proxy, _ := behindProxy(t)
	large := blobtest.Bytes(2*s.block+1, 1)
	for what, match := range map[string]func(*http.Request) bool{"begin": isBegin, "block": isBlock, "complete": isComplete} {
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Next(1, match, func(w http.ResponseWriter, r *http.Request, forward func() (*http.Response, error)) {
			cancel()
			s3test.LoseReply(w, r, forward)
		})
		name := blobtest.NewName("body")
		if err := create(ctx, s, name, large); !errors.Is(err, context.Canceled) || errors.Is(err, vault.ErrUnavailable) {
			t.Errorf("%s: %v, want context.Canceled", what, err)
		}
		cancel()
		if left := proxy.Clear(); left > 0 {
			t.Errorf("%s: no such request", what)
		}
		if err := create(t.Context(), s, name, large); err != nil && !errors.Is(err, vault.ErrExists) {
			t.Errorf("%s: again: %v", what, err)
		}
		if !bytes.Equal(content(t, s, name), large) {
			t.Errorf("%s: the object is another one", what)
		}
	}
}
