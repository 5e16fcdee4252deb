package httpapi

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/api"
)

const tusHeader = "Tus-Resumable: 1.0.0"

// tusMeta writes Upload-Metadata: keys and values by turns.
func tusMeta(pairs ...string) string {
	var b strings.Builder
	b.WriteString("Upload-Metadata: ")
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i] + " " + base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return b.String()
}

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return "Upload-Checksum: sha-256 " + base64.StdEncoding.EncodeToString(sum[:])
}

// begin announces a file; size -1 defers its length.
func (w *world) begin(path string, size int64, metadata ...string) (location string) {
	w.t.Helper()
	length := "Upload-Length: " + strconv.FormatInt(size, 10)
	if size < 0 {
		length = "Upload-Defer-Length: 1"
	}
	a := w.do("owner", "POST", uploadsPath, nil, tusHeader, length, tusMeta(append([]string{"path", path}, metadata...)...))
	if a.StatusCode != http.StatusCreated || a.Header.Get("Upload-Offset") != "0" {
		w.t.Fatalf("begin %s: %d %v %s", path, a.StatusCode, a.Header, a.body)
	}
	return a.Header.Get("Location")
}

func (w *world) patch(location string, offset int, body any, header ...string) *answer {
	w.t.Helper()
	return w.do("owner", "PATCH", location, body, append([]string{tusHeader, "Content-Type: " + tusMediaType, "Upload-Offset: " + strconv.Itoa(offset)}, header...)...)
}

// offset asks where an upload stands.
func (w *world) offset(location string) int {
	w.t.Helper()
	a := w.do("owner", "HEAD", location, nil, tusHeader)
	n, err := strconv.Atoi(a.Header.Get("Upload-Offset"))
	if err != nil || a.StatusCode != http.StatusOK {
		w.t.Fatalf("HEAD %s: %d %v", location, a.StatusCode, a.Header)
	}
	return n
}

// wantComplete checks the reply to a last byte, and the file.
func (w *world) wantComplete(a *answer, path string, body []byte) api.File {
	w.t.Helper()
	if a.StatusCode/100 != 2 || a.Header.Get("Upload-Offset") != strconv.Itoa(len(body)) || a.Header.Get("Upload-Expires") != "" {
		w.t.Fatalf("%s: the last byte is answered with %d %v %s", path, a.StatusCode, a.Header, a.body)
	}
	f := decode[api.File](w.t, w.do("owner", "GET", "/api/v1/files/"+a.Header.Get("Stonevault-Id"), nil))
	if f.Path != path || f.Size != int64(len(body)) || a.Header.Get("ETag") != f.Etag {
		w.t.Errorf("%s: it became %+v, ETag %s", path, f, a.Header.Get("ETag"))
	}
	if got := w.do("owner", "GET", "/api/v1/content"+escaped(path), nil); !bytes.Equal(got.body, body) {
		w.t.Errorf("%s: other bytes came back: %d of %d, status %d", path, len(got.body), len(body), got.StatusCode)
	}
	return f
}

var uploadScenarios = []scenario{
	{"OPTIONS /api/v1/uploads", "", func(*scene) (string, any, []string) { return uploadsPath, nil, nil },
		ok(204), ok(204), ok(204), ok(204), ok(204), func(t *testing.T, _ *scene, a *answer) {
			for name, value := range map[string]string{
				"Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0", "Tus-Max-Size": "1099511627776", "Tus-Checksum-Algorithm": "sha-256",
				"Tus-Extension": "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination",
			} {
				if got := a.Header.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		}},
	{"POST /api/v1/uploads", "announce", func(s *scene) (string, any, []string) {
		return uploadsPath, nil, []string{tusHeader, "Upload-Length: 10", tusMeta("path", s.folder.Path+"/new")}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
		expires, err := http.ParseTime(a.Header.Get("Upload-Expires"))
		if err != nil || time.Until(expires) < 6*24*time.Hour || !strings.HasPrefix(a.Header.Get("Location"), uploadsPath+"/") ||
			a.Header.Get("Upload-Offset") != "0" || len(a.body) != 0 {
			t.Errorf("%v %s", a.Header, a.body)
		}
		wantProblem(t, s.do("owner", "GET", "/api/v1/files/lookup?path="+s.folder.Path+"/new", nil), "not-found")
	}},
	{"POST /api/v1/uploads", "all of it", func(s *scene) (string, any, []string) {
		return uploadsPath, sceneBytes, []string{tusHeader, "Upload-Length: 24", "Content-Type: " + tusMediaType, sha256Of(sceneBytes), tusMeta("path", s.folder.Path+"/new")}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
		s.wantComplete(a, s.folder.Path+"/new", sceneBytes)
	}},
	{"POST /api/v1/uploads", "at the owner's path", func(s *scene) (string, any, []string) {
		return uploadsPath, nil, []string{tusHeader, "Upload-Length: 10", tusMeta("path", s.file.Path)}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), no("exists"), nil},
	{"POST /api/v1/uploads", "to replace", func(s *scene) (string, any, []string) {
		return uploadsPath, "changed", []string{tusHeader, "Upload-Length: 7", "Content-Type: " + tusMediaType, tusMeta("path", s.file.Path, "replace", "true", "mode", "0600", "filetype", "application/x-thing")}
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
		f := s.wantComplete(a, s.file.Path, []byte("changed"))
		if f.ID != s.file.ID || f.Version != 2 || f.Mode != "0600" || f.MediaType != "application/x-thing" {
			t.Errorf("%+v", f)
		}
	}},
	{"GET /api/v1/uploads", "", func(s *scene) (string, any, []string) {
		s.begin(s.folder.Path+"/known", 10)
		s.begin(s.folder.Path+"/unknown", -1)
		return uploadsPath, nil, nil
	}, no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
		l := decode[api.UploadList](t, a).Items
		l = slices.DeleteFunc(l, func(u api.Upload) bool { return !strings.HasPrefix(u.Path, s.folder.Path+"/") })
		slices.SortFunc(l, func(a, b api.Upload) int { return strings.Compare(a.Path, b.Path) }) // they were begun at one time
		if len(l) != 2 || l[0].Path != s.folder.Path+"/known" || l[0].Size == nil || *l[0].Size != 10 || l[0].Offset != 0 || l[1].Size != nil ||
			len(l[0].ID) != 32 || time.Until(l[1].ExpiresAt) < 6*24*time.Hour {
			t.Errorf("%s", a.body)
		}
	}},
	{"HEAD /api/v1/uploads/{id}", "", func(s *scene) (string, any, []string) {
		return s.begin(s.folder.Path+"/new", 10, "modified_at", "2001-02-03T04:05:06.789+01:00", "class", "restricted"), nil, []string{tusHeader}
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		want := strings.TrimPrefix(tusMeta("path", s.folder.Path+"/new", "modified_at", "2001-02-03T03:05:06.789Z", "mode", "0644", "class", "restricted", "replace", "false"), "Upload-Metadata: ")
		for name, value := range map[string]string{
			"Upload-Offset": "0", "Upload-Length": "10", "Upload-Defer-Length": "", "Cache-Control": "no-store", "Upload-Metadata": want,
		} {
			if got := a.Header.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
		if _, err := http.ParseTime(a.Header.Get("Upload-Expires")); err != nil {
			t.Error(err)
		}
	}},
	{"PATCH /api/v1/uploads/{id}", "a piece", func(s *scene) (string, any, []string) {
		return s.begin(s.folder.Path+"/new", 100), sceneBytes, []string{tusHeader, "Content-Type: " + tusMediaType, "Upload-Offset: 0"}
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(204), func(t *testing.T, s *scene, a *answer) {
		if a.Header.Get("Upload-Offset") != "24" || a.Header.Get("Stonevault-Id") != "" || a.Header.Get("Upload-Expires") == "" {
			t.Errorf("%v", a.Header)
		}
	}},
	{"PATCH /api/v1/uploads/{id}", "the last byte", func(s *scene) (string, any, []string) {
		return s.begin(s.folder.Path+"/new", 24), sceneBytes, []string{tusHeader, "Content-Type: " + tusMediaType, "Upload-Offset: 0"}
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(204), func(t *testing.T, s *scene, a *answer) {
		s.wantComplete(a, s.folder.Path+"/new", sceneBytes)
	}},
	{"DELETE /api/v1/uploads/{id}", "", func(s *scene) (string, any, []string) {
		return s.begin(s.folder.Path+"/new", 24), nil, []string{tusHeader}
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(204), func(t *testing.T, s *scene, a *answer) {
		location := a.Request.URL.Path
		wantProblem(t, s.do("owner", "HEAD", location, nil, tusHeader), "not-found")
		wantProblem(t, s.patch(location, 0, sceneBytes), "not-found")
		wantProblem(t, s.do("owner", "DELETE", location, nil, tusHeader), "not-found")
	}},
}

// Pieces of every size become the file, whether its length is known at first or at last.
func TestUploadPieces(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct{ size, piece int }{
		{0, 1}, {1, 1}, {33, 1}, {10_500, 1000}, {segment - 1, segment}, {segment, segment}, {segment + 1, segment},
		{3*segment + 17, segment - 1}, {3*segment + 17, segment}, {3*segment + 17, segment + 1}, {3*segment + 17, 64 << 20},
	} {
		body := noise(row.size)
		for _, deferred := range []bool{false, true} {
			path := fmt.Sprintf("/pieces/%d-%d-%v", row.size, row.piece, deferred)
			var location string
			var a *answer
			switch {
			case deferred:
				location = w.begin(path, -1)
			case row.size > 0:
				location = w.begin(path, int64(row.size))
			default:
				a = w.do("owner", "POST", uploadsPath, nil, tusHeader, "Upload-Length: 0", tusMeta("path", path))
			}
			for at := 0; at < row.size || a == nil; {
				end := min(at+row.piece, row.size)
				var header []string
				if deferred && end == row.size {
					header = []string{fmt.Sprintf("Upload-Length: %d", row.size)}
				}
				a = w.patch(location, at, body[at:end], header...)
				if a.StatusCode != http.StatusNoContent || a.Header.Get("Upload-Offset") != strconv.Itoa(end) {
					t.Fatalf("%s at %d: %d %v %s", path, at, a.StatusCode, a.Header, a.body)
				}
				if at = end; at < row.size && row.piece >= 1000 && w.offset(location) != at {
					t.Errorf("%s: HEAD does not say %d", path, at)
				}
			}
			w.wantComplete(a, path, body)
		}
	}
	if l := decode[api.UploadList](t, w.do("owner", "GET", uploadsPath, nil)); len(l.Items) != 0 || l.Items == nil {
		t.Errorf("left over: %+v", l)
	}
}

// What the protocol refuses, with the status that it names; an upload stands afterwards where it stood.
func TestUploadRefusals(t *testing.T) {
	w := newWorld(t)
	meta := tusMeta("path", "/f")
	length := "Upload-Length: 10"
	octets := "Content-Type: " + tusMediaType
	half := w.begin("/half", 10)
	w.patch(half, 0, "12345")
	deferred := w.begin("/deferred", -1)
	w.patch(deferred, 0, "12345")
	bad := func(metadata string) []string { return []string{tusHeader, length, "Upload-Metadata: " + metadata} }
	for _, row := range []struct {
		name, method, target string
		body                 any
		header               []string
		problem              string
	}{
		{"no version", "POST", uploadsPath, nil, []string{length, meta}, "tus-version"},
		{"another version", "POST", uploadsPath, nil, []string{"Tus-Resumable: 0.2.2", length, meta}, "tus-version"},
		{"two versions", "POST", uploadsPath, nil, []string{tusHeader, tusHeader, length, meta}, "tus-version"},
		{"HEAD without a version", "HEAD", half, nil, nil, "tus-version"},
		{"PATCH without a version", "PATCH", half, "6", []string{octets, "Upload-Offset: 5"}, "tus-version"},
		{"DELETE without a version", "DELETE", half, nil, nil, "tus-version"},
		{"no length", "POST", uploadsPath, nil, []string{tusHeader, meta}, "bad-request"},
		{"both lengths", "POST", uploadsPath, nil, []string{tusHeader, meta, length, "Upload-Defer-Length: 1"}, "bad-request"},
		{"two lengths", "POST", uploadsPath, nil, []string{tusHeader, meta, length, length}, "invalid"},
		{"negative length", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Length: -1"}, "bad-request"},
		{"empty length", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Length: "}, "bad-request"},
		{"signed length", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Length: +1"}, "bad-request"},
		{"hexadecimal length", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Length: 0x10"}, "bad-request"},
		{"1 TiB and a byte", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Length: 1099511627777"}, "too-large"},
		{"no 64-bit number", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Length: 99999999999999999999"}, "too-large"},
		{"deferred twice", "POST", uploadsPath, nil, []string{tusHeader, meta, "Upload-Defer-Length: 2"}, "bad-request"},
		{"a part to be joined", "POST", uploadsPath, nil, []string{tusHeader, meta, length, "Upload-Concat: partial"}, "bad-request"},
		{"a query", "POST", uploadsPath + "?path=/f", nil, []string{tusHeader, meta, length}, "invalid"},
		{"a body of another type", "POST", uploadsPath, "1", []string{tusHeader, meta, length, "Content-Type: text/plain"}, "unsupported-media-type"},
		{"longer than announced at once", "POST", uploadsPath, "12345678901", []string{tusHeader, meta, length, octets}, "upload-too-long"},
		{"another checksum at once", "POST", uploadsPath, "1", []string{tusHeader, meta, length, octets, sha256Of([]byte("2"))}, "checksum-mismatch"},
		{"no metadata", "POST", uploadsPath, nil, []string{tusHeader, length}, "invalid"},
		{"metadata twice", "POST", uploadsPath, nil, []string{tusHeader, length, meta, meta}, "invalid"},
		{"no path", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("filetype", "text/plain")}, "invalid"},
		{"an empty path", "POST", uploadsPath, nil, bad("path"), "invalid"},
		{"a relative path", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "f")}, "invalid"},
		{"the root", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/")}, "invalid"},
		{"a way out", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/a/../../b")}, "invalid"},
		{"NUL", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/a\x00")}, "invalid"},
		{"no UTF-8", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/\xff")}, "invalid"},
		{"an unknown key", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "owner", "admin")}, "invalid"},
		{"a key twice", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "path", "/g")}, "invalid"},
		{"another case", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("Path", "/f")}, "invalid"},
		{"an empty key", "POST", uploadsPath, nil, bad("path L2Y=, L2Y="), "invalid"},
		{"a trailing comma", "POST", uploadsPath, nil, bad("path L2Y=,"), "invalid"},
		{"two spaces", "POST", uploadsPath, nil, bad("path  L2Y="), "invalid"},
		{"no padding", "POST", uploadsPath, nil, bad("path L2Y"), "invalid"},
		{"bits in the padding", "POST", uploadsPath, nil, bad("path L2Z="), "invalid"},
		{"base64url", "POST", uploadsPath, nil, bad("path L_-_"), "invalid"},
		{"more after the value", "POST", uploadsPath, nil, bad("path L2Y= L2Y="), "invalid"},
		{"a mode", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "mode", "4755")}, "invalid"},
		{"a time", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "modified_at", "yesterday")}, "invalid"},
		{"a class", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "class", "secret")}, "invalid"},
		{"a media type", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "filetype", "no type")}, "invalid"},
		{"perhaps", "POST", uploadsPath, nil, []string{tusHeader, length, tusMeta("path", "/f", "replace", "1")}, "invalid"},

		{"no offset", "PATCH", half, "6", []string{tusHeader, octets}, "bad-request"},
		{"a negative offset", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: -5"}, "bad-request"},
		{"an offset that is no number", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: five"}, "bad-request"},
		{"an offset before", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 4"}, "wrong-offset"},
		{"an offset behind", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 6"}, "wrong-offset"},
		{"an offset far behind", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 99999999999999999999"}, "wrong-offset"},
		{"another media type", "PATCH", half, "6", []string{tusHeader, "Upload-Offset: 5", "Content-Type: application/octet-stream"}, "unsupported-media-type"},
		{"no media type", "PATCH", half, "6", []string{tusHeader, "Upload-Offset: 5"}, "unsupported-media-type"},
		{"a media type with parameters", "PATCH", half, "6", []string{tusHeader, octets + "; a=b", "Upload-Offset: 5"}, "unsupported-media-type"},
		{"more than announced", "PATCH", half, "678901", []string{tusHeader, octets, "Upload-Offset: 5"}, "upload-too-long"},
		{"more than announced, chunked", "PATCH", half, io.MultiReader(strings.NewReader("678901")), []string{tusHeader, octets, "Upload-Offset: 5"}, "upload-too-long"},
		{"another length", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Length: 11"}, "invalid"},
		{"less than has come", "PATCH", deferred, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Length: 4"}, "invalid"},
		{"more than has just been announced", "PATCH", deferred, "678", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Length: 7"}, "upload-too-long"},
		{"a length beyond all", "PATCH", deferred, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Length: 1099511627777"}, "too-large"},
		{"another checksum", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", sha256Of([]byte("7"))}, "checksum-mismatch"},
		{"another checksum of the last byte", "PATCH", half, "67890", []string{tusHeader, octets, "Upload-Offset: 5", sha256Of([]byte("6789"))}, "checksum-mismatch"},
		{"an unknown algorithm", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="}, "bad-request"},
		{"an algorithm in another case", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Checksum: SHA-256 " + strings.Repeat("A", 43) + "="}, "bad-request"},
		{"a short checksum", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Checksum: sha-256 AAAA"}, "bad-request"},
		{"an empty checksum", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Upload-Checksum: "}, "bad-request"},
		{"two checksums", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", sha256Of([]byte("6")), sha256Of([]byte("6"))}, "invalid"},
		{"an id that is none", "PATCH", uploadsPath + "/x", "6", []string{tusHeader, octets, "Upload-Offset: 5"}, "not-found"},
		{"an id in capitals", "HEAD", uploadsPath + "/" + strings.Repeat("A", 32), nil, []string{tusHeader}, "not-found"},
		{"an id that nobody has", "HEAD", uploadsPath + "/" + strings.Repeat("0", 32), nil, []string{tusHeader}, "not-found"},
		{"GET", "GET", half, nil, []string{tusHeader}, "method-not-allowed"},
		{"PUT", "PUT", half, "6", []string{tusHeader}, "method-not-allowed"},
		{"an override of PATCH", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "X-HTTP-Method-Override: DELETE"}, "bad-request"},
		{"an override to GET", "POST", half, "6", []string{tusHeader, "X-HTTP-Method-Override: GET"}, "bad-request"},
		{"two overrides", "POST", half, "6", []string{tusHeader, "X-HTTP-Method-Override: PATCH", "X-HTTP-Method-Override: DELETE"}, "bad-request"},
		{"another site", "PATCH", half, "6", []string{tusHeader, octets, "Upload-Offset: 5", "Origin: https://evil.example"}, "cross-origin"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := w.do("owner", row.method, row.target, row.body, row.header...)
			wantProblem(t, a, row.problem)
			if a.Header.Get("Tus-Resumable") != "1.0.0" || (row.problem == "tus-version") != (a.Header.Get("Tus-Version") == "1.0.0") {
				t.Errorf("%v", a.Header)
			}
		})
	}
	if h, d := w.offset(half), w.offset(deferred); h != 5 || d != 5 {
		t.Errorf("they stand at %d and %d", h, d)
	}
	if l := decode[api.UploadList](t, w.do("owner", "GET", uploadsPath, nil)); len(l.Items) != 2 {
		t.Errorf("refused announcements are kept: %+v", l)
	}
	if a := w.do("anonymous", "PATCH", half, "6", tusHeader); a.StatusCode != 401 || a.Header.Get("Tus-Resumable") != "1.0.0" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
	w.wantComplete(w.patch(half, 5, "67890", sha256Of([]byte("67890"))), "/half", []byte("1234567890"))
	w.wantComplete(w.patch(deferred, 5, "6", "Upload-Length: 6"), "/deferred", []byte("123456"))
}

func TestUploadMethodOverride(t *testing.T) {
	w := newWorld(t)
	location := w.begin("/f", 5)
	a := w.do("owner", "POST", location, "12345", tusHeader, "Content-Type: "+tusMediaType, "Upload-Offset: 0", "X-HTTP-Method-Override: PATCH")
	w.wantComplete(a, "/f", []byte("12345"))
	location = w.begin("/g", 5)
	if a := w.do("owner", "POST", location, nil, tusHeader, "X-HTTP-Method-Override: DELETE"); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, w.do("owner", "HEAD", location, nil, tusHeader), "not-found")
	// Elsewhere the header means nothing.
	wantProblem(t, w.do("owner", "POST", "/api/v1/content/f", nil, "X-HTTP-Method-Override: DELETE"), "method-not-allowed")
}

// rawPatch sends the head of a PATCH of length bytes, and leaves the rest to the test.
func (w *world) rawPatch(location string, offset, length int, header ...string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	conn := dial(w.t, w)
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\nContent-Type: %s\r\nUpload-Offset: %d\r\nContent-Length: %d\r\n",
		location, w.token("owner"), tusHeader, tusMediaType, offset, length)
	for _, line := range header {
		fmt.Fprintf(conn, "%s\r\n", line)
	}
	io.WriteString(conn, "\r\n")
	return conn, bufio.NewReader(conn)
}

// settled waits until an upload stands at an offset: a broken request ends a little after its connection.
func (w *world) settled(location string, offset int) {
	w.t.Helper()
	for until := time.Now().Add(time.Minute); w.offset(location) != offset; {
		if time.Now().After(until) {
			w.t.Fatalf("the upload stands at %d, want %d", w.offset(location), offset)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// What came before a body broke off or stood still is kept, but where a checksum was to say of it that it
// is right.
func TestUploadInterrupted(t *testing.T) {
	w := newWorld(t)
	w.api.times.patience = 300 * time.Millisecond
	body := noise(2*segment + 100)
	location := w.begin("/f", int64(len(body)))

	conn, r := w.rawPatch(location, 0, len(body))
	conn.Write(body[:segment+10])
	wantProblem(t, readReply(t, r), "stalled")
	w.settled(location, segment+10)

	conn, _ = w.rawPatch(location, segment+10, len(body)-segment-10)
	conn.Write(body[segment+10 : segment+500])
	conn.Close()
	w.settled(location, segment+500)

	conn, r = w.rawPatch(location, segment+500, 1000, sha256Of(body[segment+500:segment+1500]))
	conn.Write(body[segment+500 : segment+700])
	wantProblem(t, readReply(t, r), "stalled")
	w.settled(location, segment+500)

	a := w.patch(location, segment+500, body[segment+500:segment+1500], sha256Of(body[segment+500:segment+1500]))
	if a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	w.wantComplete(w.patch(location, segment+1500, body[segment+1500:]), "/f", body)

	// An announcement that brings bytes tells where to go on.
	conn = dial(t, w)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\nUpload-Length: 10\r\nContent-Type: %s\r\n%s\r\nContent-Length: 10\r\n\r\n12345",
		uploadsPath, w.token("owner"), tusHeader, tusMediaType, tusMeta("path", "/g"))
	a = readReply(t, bufio.NewReader(conn))
	if a.StatusCode != http.StatusCreated || a.Header.Get("Upload-Offset") != "5" {
		t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	w.wantComplete(w.patch(a.Header.Get("Location"), 5, "67890"), "/g", []byte("1234567890"))
}

// Beside a living request a second one is turned away; a silent one is ended.
func TestUploadTakeover(t *testing.T) {
	const sent = 8 << 20 // as much as a long request keeps at once
	w := newWorld(t)
	body := bytes.Repeat([]byte("0123456789abcdef"), sent/16+1)
	location := w.begin("/f", int64(len(body)))
	conn, r := w.rawPatch(location, 0, len(body))
	conn.Write(body[:sent])
	w.settled(location, sent) // so that it is at work, and everything that it was sent has been read

	w.ahead.Store(-int64(time.Hour)) // however long the test is kept from running, the request was heard just now
	a := w.patch(location, 5, "x")
	wantProblem(t, a, "locked")
	if a.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	wantProblem(t, w.do("owner", "DELETE", location, nil, tusHeader), "locked")

	w.ahead.Store(int64(time.Hour))
	w.wantComplete(w.patch(location, sent, body[sent:]), "/f", body)
	if a := readReply(t, r); a.StatusCode < 400 {
		t.Errorf("the one that was ended is told %d", a.StatusCode)
	}
}

func TestUploadExpires(t *testing.T) {
	w := newWorld(t)
	location := w.begin("/f", 10)
	w.ahead.Store(int64(8 * 24 * time.Hour))
	wantProblem(t, w.do("owner", "HEAD", location, nil, tusHeader), "not-found")
	wantProblem(t, w.patch(location, 0, "1"), "not-found")
}

func FuzzUploadMetadata(f *testing.F) {
	f.Add("path L2Y=,replace dHJ1ZQ==")
	f.Add("path L2Y=, filetype,mode MDY0NA==")
	f.Add(",")
	f.Fuzz(func(t *testing.T, header string) {
		m, err := parseMetadata(header)
		if err != nil {
			if classify(err).kind.code != "invalid" {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := parseMetadata(m.String())
		if err != nil || again.String() != m.String() || len(again.keys) != len(m.keys) {
			t.Errorf("%q is read as %v, and that as %v, %v", header, m, again, err)
		}
	})
}
