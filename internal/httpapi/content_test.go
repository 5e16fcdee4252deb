package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"stonevault/api"
)

const segment = 1 << 20

// noise is n bytes that no compressor shrinks, the same ones every time.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func TestContentSizes(t *testing.T) {
	w := newWorld(t)
	for _, size := range []int{0, 1, 65535, segment - 1, segment, segment + 1, 3*segment + 17} {
		body := noise(size)
		path := fmt.Sprintf("/sizes/%d", size)
		if f := w.put("owner", path, body); f.Size != int64(size) {
			t.Errorf("%d: kept as %d", size, f.Size)
		}
		a := w.do("owner", "GET", "/api/v1/content"+path, nil)
		if a.StatusCode != 200 || a.err != nil || !bytes.Equal(a.body, body) || a.ContentLength != int64(size) {
			t.Errorf("%d: status %d, %d bytes, announced %d, %v", size, a.StatusCode, len(a.body), a.ContentLength, a.err)
		}
		if a := w.do("owner", "HEAD", "/api/v1/content"+path, nil, "Range: bytes=0-0"); a.StatusCode != 200 || a.ContentLength != int64(size) {
			t.Errorf("%d: HEAD gives %d and announces %d", size, a.StatusCode, a.ContentLength)
		}
		// Of unknown length, as from a pipe.
		a = w.do("owner", "PUT", "/api/v1/content"+path, io.MultiReader(bytes.NewReader(body)))
		if f := decode[api.File](t, a); a.StatusCode != 200 || f.Size != int64(size) || f.Version != 2 {
			t.Errorf("%d, chunked: %d %s", size, a.StatusCode, a.body)
		}
		if a := w.do("owner", "GET", "/api/v1/content"+path, nil); !bytes.Equal(a.body, body) {
			t.Errorf("%d, chunked: other bytes came back", size)
		}
	}
}

func TestContentRanges(t *testing.T) {
	w := newWorld(t)
	body := noise(2*segment + 1000)
	f := w.put("owner", "/big", body)
	w.put("owner", "/empty", nil)
	size := len(body)
	for _, row := range []struct {
		ranges     string
		start, end int // exclusive
	}{
		{"bytes=0-0", 0, 1},
		{"bytes=0-", 0, size},
		{"bytes=-1", size - 1, size},
		{fmt.Sprintf("bytes=%d-%d", segment-1, segment), segment - 1, segment + 1},
		{fmt.Sprintf("bytes=%d-%d", segment-5, 2*segment+5), segment - 5, 2*segment + 6},
		{fmt.Sprintf("bytes=%d-", 2*segment), 2 * segment, size},
	} {
		for _, target := range []string{"/api/v1/content/big", "/api/v1/files/" + f.ID + "/content"} {
			a := w.do("owner", "GET", target, nil, "Range: "+row.ranges, "If-Range: "+f.Etag)
			want := fmt.Sprintf("bytes %d-%d/%d", row.start, row.end-1, size)
			if a.StatusCode != 206 || a.err != nil || !bytes.Equal(a.body, body[row.start:row.end]) || a.Header.Get("Content-Range") != want {
				t.Errorf("%s: %d, %d bytes, Content-Range %q", row.ranges, a.StatusCode, len(a.body), a.Header.Get("Content-Range"))
			}
		}
	}
	a := w.do("owner", "GET", "/api/v1/content/big", nil, "Range: bytes=0-9", `If-Range: "another"`)
	if a.StatusCode != 200 || len(a.body) != size {
		t.Errorf("If-Range of another version: %d, %d bytes", a.StatusCode, len(a.body))
	}
	for _, row := range []struct{ path, ranges, want string }{
		{"/big", fmt.Sprintf("bytes=%d-", size), fmt.Sprintf("bytes */%d", size)},
		{"/big", "bytes=x", fmt.Sprintf("bytes */%d", size)},
		{"/big", "bytes=0-,0-", fmt.Sprintf("bytes */%d", size)},
		{"/empty", "bytes=0-", "bytes */0"},
		{"/empty", "bytes=-1", "bytes */0"},
	} {
		a := w.do("owner", "GET", "/api/v1/content"+row.path, nil, "Range: "+row.ranges)
		wantProblem(t, a, "range-not-satisfiable")
		if got := a.Header.Get("Content-Range"); got != row.want {
			t.Errorf("%s: Content-Range %q, want %q", row.ranges, got, row.want)
		}
	}

	a = w.do("owner", "GET", "/api/v1/content/big", nil, fmt.Sprintf("Range: bytes=5-9, %d-%d, -3, %d-", segment-2, segment+1, size+5))
	mediaType, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/byteranges" || a.StatusCode != 206 || a.Header.Get("Content-Range") != "" || a.ContentLength != int64(len(a.body)) {
		t.Fatalf("%d %s, announced %d, got %d", a.StatusCode, a.Header.Get("Content-Type"), a.ContentLength, len(a.body))
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, want := range [][2]int{{5, 10}, {segment - 2, segment + 2}, {size - 3, size}} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(part)
		header := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size)
		if err != nil || !bytes.Equal(got, body[want[0]:want[1]]) || part.Header.Get("Content-Range") != header || part.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("part %v: %d bytes, %v, %v", want, len(got), part.Header, err)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

func TestContentConditions(t *testing.T) {
	w := newWorld(t)
	first := w.put("owner", "/f", []byte("first"))
	second := w.put("owner", "/f", []byte("second"))
	if first.Etag == second.Etag {
		t.Fatal("two versions with one ETag")
	}
	for _, row := range []struct {
		target string
		header []string
		status int
		body   string
	}{
		{"", []string{"If-None-Match: " + second.Etag}, 304, ""},
		{"", []string{"If-None-Match: W/" + second.Etag}, 304, ""},
		{"", []string{"If-None-Match: " + first.Etag + ", " + second.Etag}, 304, ""},
		{"", []string{"If-None-Match: *"}, 304, ""},
		{"", []string{"If-None-Match: " + first.Etag}, 200, "second"},
		{"?version=1", []string{"If-None-Match: " + first.Etag}, 304, ""},
		{"?version=1", nil, 200, "first"},
		{"?version=2", nil, 200, "second"},
		{"", []string{"If-Match: " + second.Etag}, 200, "second"},
		{"", []string{"If-Match: *"}, 200, "second"},
		{"", []string{"If-Match: " + first.Etag}, 412, ""},
		{"", []string{"If-Match: W/" + second.Etag}, 412, ""},
		{"", []string{"If-Match: " + first.Etag, "If-None-Match: " + second.Etag}, 412, ""},
		{"", []string{"If-Match: " + second.Etag, "If-None-Match: " + second.Etag}, 304, ""},
		{"", []string{"If-None-Match: " + second.Etag, "Range: bytes=0-1"}, 304, ""},
		{"", []string{"If-None-Match: " + first.Etag, "Range: bytes=0-1"}, 206, "se"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := w.do("owner", method, "/api/v1/content/f"+row.target, nil, row.header...)
			status := row.status
			if method == "HEAD" && status == 206 {
				status = 200
			}
			if a.StatusCode != status {
				t.Errorf("%s %v: %d, want %d", method, row.header, a.StatusCode, status)
				continue
			}
			switch {
			case status == 412:
				wantProblem(t, a, "precondition-failed")
			case method == "GET" && string(a.body) != row.body:
				t.Errorf("%v: %q, want %q", row.header, a.body, row.body)
			case a.Header.Get("ETag") == "":
				t.Errorf("%s %v: no ETag", method, row.header)
			}
		}
	}
}

// Names of every kind go in and come back, in paths and in headers.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{
		strings.Repeat("n", 255), strings.Repeat("名", 85), "with space", "100%", "a?b#c", "..hidden", "...", "-rf", "con",
		"line\nbreak", "tab\t", "\"quotes'", "back\\slash", "<script>alert(1)", "\u202etxt.exe", "😀", "a;b=c&d", "semi:colon", "~",
	} {
		path := "/names/" + name
		f := w.put("owner", escaped(path), []byte(name))
		if f.Path != path || f.Name != name {
			t.Errorf("%q is kept as %q", path, f.Path)
		}
		a := w.do("owner", "GET", "/api/v1/content"+escaped(path), nil)
		if string(a.body) != name {
			t.Errorf("%q: %d %s", name, a.StatusCode, a.body)
		}
		if _, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition")); err != nil || params["filename"] != name {
			t.Errorf("%q is offered as %q, %v", name, params["filename"], err)
		}
		if got := decode[api.File](t, w.do("owner", "GET", "/api/v1/files/lookup?path="+url.QueryEscape(path), nil)); got != f {
			t.Errorf("%q: looked up as %+v", name, got)
		}
	}
	// One name in two forms is one file.
	f := w.put("owner", "/names/e%CC%81", []byte("x"))
	if a := w.do("owner", "GET", "/api/v1/content/names/%C3%A9", nil); string(a.body) != "x" || f.Name != "é" {
		t.Errorf("%q: %d", f.Name, a.StatusCode)
	}
	for _, row := range []struct{ target, problem string }{
		{"/api/v1/content/" + strings.Repeat("n", 256), "invalid"},
		{"/api/v1/content/" + strings.Repeat("%E5%90%8D", 86), "invalid"},
		{"/api/v1/content/a/%2E/b", "invalid"},
		{"/api/v1/content/a/%2E%2E/b", "invalid"},
		{"/api/v1/content/a%00", "invalid"},
		{"/api/v1/content/%C3%28", "invalid"},
		{"/api/v1/content/" + strings.Repeat("n/", 200) + "n", "invalid"},
		{"/api/v1/content/" + strings.Repeat(strings.Repeat("n", 200)+"/", 30) + "n", "invalid"},
		{"/api/v1/content/a%2F", "invalid"},
	} {
		wantProblem(t, w.do("owner", "PUT", row.target, "x"), row.problem)
	}
}

// A page of a list leads to the next, by cursor and by Link, through the whole folder.
func TestListPages(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.put("owner", fmt.Sprintf("/l/f%d", i), make([]byte, i))
	}
	w.put("owner", "/l/sub/x", nil)
	var names []string
	target := "/api/v1/files?folder=/l&sort=-size,name&limit=3&kind=file"
	for pages := 0; target != ""; pages++ {
		a := w.do("owner", "GET", target, nil)
		l := decode[api.FileList](t, a)
		for _, f := range l.Items {
			names = append(names, f.Name)
		}
		link := a.Header.Get("Link")
		if (link == "") != (l.NextCursor == "") || pages > 3 {
			t.Fatalf("page %d: Link %q, cursor %q", pages, link, l.NextCursor)
		}
		target = ""
		if link != "" {
			if !strings.HasSuffix(link, `>; rel="next"`) || !strings.Contains(link, url.QueryEscape(l.NextCursor)) {
				t.Fatalf("Link %q", link)
			}
			target = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
	}
	if got := strings.Join(names, " "); got != "f6 f5 f4 f3 f2 f1 f0" {
		t.Errorf("the pages hold %s", got)
	}
	for query, want := range map[string]int{
		"": 8, "&kind=folder": 1, "&name_contains=F3": 1, "&media_type=text/": 7, "&media_type=image/png": 0,
	} {
		if l := decode[api.FileList](t, w.do("owner", "GET", "/api/v1/files?folder=/l"+query, nil)); len(l.Items) != want || l.Items == nil {
			t.Errorf("%s: %d entries, want %d", query, len(l.Items), want)
		}
	}
}

// HTTP/1.0, and a client that asks for nothing special, is served like any other.
func TestContentOverOldHTTP(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/f", []byte("content"))
	res := raw(t, w, "GET /api/v1/content/f HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer "+w.token("owner")+"\r\n\r\n")
	if res.StatusCode != http.StatusOK || string(res.body) != "content" {
		t.Errorf("%d %s", res.StatusCode, res.body)
	}
}
