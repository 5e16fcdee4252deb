package httpapi

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"stonevault/api"
)

var folderScenarios = []scenario{
	{"POST /api/v1/folders", "new, with those above", func(s *scene) (string, any, []string) {
		return "/api/v1/folders", `{"path":` + quote(s.folder.Path+"/a/b") + `}`, jsonBody
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(201), func(t *testing.T, s *scene, a *answer) {
		f := decode[api.File](t, a)
		if f.Kind != api.KindFolder || f.Path != s.folder.Path+"/a/b" || f.Name != "b" || a.Header.Get("ETag") != f.Etag || a.Header.Get("Location") != "/api/v1/files/"+f.ID {
			t.Errorf("%s %v", a.body, a.Header)
		}
		if got := decode[api.File](t, s.do("owner", "GET", "/api/v1/files/"+f.ID, nil)); got != f {
			t.Errorf("%+v, and then %+v", f, got)
		}
	}},
	{"POST /api/v1/folders", "the owner's", func(s *scene) (string, any, []string) {
		return "/api/v1/folders", `{"path":` + quote(s.folder.Path) + `}`, jsonBody
	}, no("unauthenticated"), ok(201), ok(201), ok(201), ok(200), func(t *testing.T, s *scene, a *answer) {
		if f := decode[api.File](t, a); f != s.folder || a.Header.Get("Location") != "" {
			t.Errorf("%s", a.body)
		}
	}},
	{"POST /api/v1/folders", "at the owner's file", func(s *scene) (string, any, []string) {
		return "/api/v1/folders", `{"path":` + quote(s.file.Path) + `}`, jsonBody
	}, no("unauthenticated"), ok(201), ok(201), ok(201), no("exists"), nil},
	{"POST /api/v1/folders", "through the owner's file", func(s *scene) (string, any, []string) {
		return "/api/v1/folders", `{"path":` + quote(s.file.Path+"/a") + `}`, jsonBody
	}, no("unauthenticated"), ok(201), ok(201), ok(201), no("invalid"), nil},
	{"POST /api/v1/folders", "the root", func(s *scene) (string, any, []string) { return "/api/v1/folders", `{"path":"/"}`, jsonBody },
		no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"DELETE /api/v1/files/{id}", "a folder with all that is in it", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID + "?recursive=true", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(204), func(t *testing.T, s *scene, a *answer) {
		for _, f := range []api.File{s.folder, s.file, s.other} {
			wantProblem(t, s.do("owner", "GET", "/api/v1/files/"+f.ID, nil), "not-found")
		}
	}},
	{"DELETE /api/v1/files/{id}", "a folder with something in it, not all of it", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID + "?recursive=false", nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("not-empty"), nil},
	{"DELETE /api/v1/files/{id}", "all, with an old ETag", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID + "?recursive=true", nil, []string{"If-Match: " + s.file.Etag}
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("precondition-failed"), nil},
	{"DELETE /api/v1/files/{id}", "perhaps all", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID + "?recursive=1", nil, nil
	}, no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/find", "in the owner's folder", func(s *scene) (string, any, []string) {
		s.put("owner", escaped(s.folder.Path)+"/deep/er/file.TXT", []byte("x"))
		return "/api/v1/find?name_contains=FILE&kind=file&folder=" + url.QueryEscape(s.folder.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		l := decode[api.FileList](t, a)
		if len(l.Items) != 2 || l.Items[0].Path != s.folder.Path+"/deep/er/file.TXT" || l.Items[1] != s.file || l.NextCursor != "" {
			t.Errorf("%s", a.body)
		}
	}},
	{"GET /api/v1/find", "everywhere", func(s *scene) (string, any, []string) { return "/api/v1/find?limit=1000", nil, nil },
		no("unauthenticated"), ok(200), ok(200), ok(200), ok(200), func(t *testing.T, s *scene, a *answer) {
			if !bytes.Contains(a.body, []byte(s.file.ID)) {
				t.Errorf("%s", a.body)
			}
		}},
	{"GET /api/v1/find", "sorted", func(s *scene) (string, any, []string) { return "/api/v1/find?sort=name", nil, nil },
		no("unauthenticated"), no("invalid"), no("invalid"), no("invalid"), no("invalid"), nil},
	{"GET /api/v1/archive", "the owner's folder", func(s *scene) (string, any, []string) {
		return archiveOf(s.folder.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, s *scene, a *answer) {
		got := unzip(t, a)
		if len(got) != 3 || got[0].name != s.folder.Name+"/" || got[1].name != s.folder.Name+"/file.txt" || string(got[1].content) != string(sceneBytes) {
			t.Errorf("%+v", got)
		}
		_, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
		if err != nil || params["filename"] != s.folder.Name+".zip" || a.Header.Get("Content-Type") != "application/zip" || a.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%v", a.Header)
		}
	}},
	{"GET /api/v1/archive", "something of the owner's among one's own", func(s *scene) (string, any, []string) {
		for who := range people {
			s.put(who, "/mine", []byte("mine"))
		}
		return archiveOf("/mine", s.file.Path), nil, nil
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), nil},
}

func archiveOf(paths ...string) string {
	return "/api/v1/archive?" + url.Values{"path": paths}.Encode()
}

type zipped struct {
	name    string
	content []byte
	header  zip.FileHeader
}

func unzip(t *testing.T, a *answer) (files []zipped) {
	t.Helper()
	if a.StatusCode != http.StatusOK || a.err != nil {
		t.Fatalf("%d %v %.200s", a.StatusCode, a.err, a.body)
	}
	z, err := zip.NewReader(bytes.NewReader(a.body), int64(len(a.body)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r) // the digest is checked at the end
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		files = append(files, zipped{f.Name, b, f.FileHeader})
	}
	return files
}

// What comes out of a zip is what lies in the vault, compressed where that helps and is allowed.
func TestArchive(t *testing.T) {
	w := newWorld(t)
	text := []byte(strings.Repeat("a line of text\n", 100_000))
	for _, f := range []struct {
		path   string
		body   []byte
		header []string
	}{
		{"/a/text.txt", text, []string{"Content-Type: text/plain; charset=utf-8", "Stonevault-Mode: 0640", "Stonevault-Modified-At: 2001-02-03T04:05:06Z"}},
		{"/a/secret.txt", text, []string{"Content-Type: text/plain", "Stonevault-Class: restricted"}},
		{"/a/b/noise", noise(3*segment + 17), []string{"Content-Type: image/jpeg", "Stonevault-Modified-At: 1805-02-03T04:05:06Z"}},
		{"/a/empty", nil, nil},
		{"/c/f.json", []byte(`{}`), []string{"Content-Type: application/json"}},
	} {
		if a := w.do("owner", "PUT", "/api/v1/content"+f.path, f.body, f.header...); a.StatusCode != 201 {
			t.Fatalf("%s: %d %s", f.path, a.StatusCode, a.body)
		}
	}
	w.do("owner", "POST", "/api/v1/folders", `{"path":"/a/hollow"}`, jsonBody...)
	for _, row := range []struct {
		paths []string
		names string
	}{
		{[]string{"/a"}, "a/ a/b/ a/b/noise a/empty a/hollow/ a/secret.txt a/text.txt"},
		{[]string{"/a/b", "/c/f.json"}, "b/ b/noise f.json"},
		{[]string{"/a/b/noise", "/a/b/noise", "/a/b"}, "noise noise (2) b/ b/noise"},
		{[]string{"/a/hollow"}, "hollow/"},
		{[]string{"/"}, "a/ a/b/ a/b/noise a/empty a/hollow/ a/secret.txt a/text.txt c/ c/f.json"},
	} {
		var names []string
		for _, f := range unzip(t, w.do("owner", "GET", archiveOf(row.paths...), nil)) {
			names = append(names, f.name)
			switch filepath.Base(f.name) {
			case "text.txt":
				if !bytes.Equal(f.content, text) || f.header.Method != zip.Deflate || f.header.CompressedSize64 > uint64(len(text)/10) ||
					f.header.Mode().Perm() != 0o640 || f.header.Modified.UTC().Format("2006-01-02 15:04:05") != "2001-02-03 04:05:06" {
					t.Errorf("%+v", f.header)
				}
			case "secret.txt":
				if !bytes.Equal(f.content, text) || f.header.Method != zip.Store {
					t.Errorf("%+v", f.header)
				}
			case "noise":
				if !bytes.Equal(f.content, noise(3*segment+17)) || f.header.Method != zip.Store {
					t.Errorf("%+v", f.header)
				}
			case "hollow", "a", "b", "c":
				if !f.header.Mode().IsDir() || f.header.Mode().Perm() != 0o755 {
					t.Errorf("%s: %v", f.name, f.header.Mode())
				}
			}
		}
		if got := strings.Join(names, " "); got != row.names {
			t.Errorf("%v holds\n%s, want\n%s", row.paths, got, row.names)
		}
	}
	// Another reader's opinion.
	dir := t.TempDir()
	file := filepath.Join(dir, "a.zip")
	if err := os.WriteFile(file, w.do("owner", "GET", archiveOf("/a"), nil).body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("python3", "-c", "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; z.extractall(sys.argv[2])", file, dir).CombinedOutput(); err != nil {
		t.Fatalf("python3's zipfile (Debian: python3): %v %s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a", "b", "noise")); err != nil || !bytes.Equal(b, noise(3*segment+17)) {
		t.Errorf("python unpacked %d bytes, %v", len(b), err)
	}
	if a := w.do("owner", "HEAD", archiveOf("/a"), nil); a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/zip" {
		t.Errorf("HEAD: %d %v", a.StatusCode, a.Header)
	}
}

// Where a file is refused before anything was sent the answer says so; after that the zip has no end.
func TestArchiveRefused(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/a/1", noise(2*segment))
	bad := w.put("owner", "/a/2", noise(2*segment))
	w.put("owner", "/a/3", noise(10))
	small := w.put("owner", "/b/1", []byte("small"))
	w.flip(bad.FileID+".body", segment+segment/2)
	w.flip(small.FileID+".body", 40)
	wantProblem(t, w.do("owner", "GET", archiveOf("/b"), nil), "refused")
	for _, paths := range [][]string{{"/a"}, {"/a/3", "/a/1", "/a/2"}, {"/"}} {
		a := w.do("owner", "GET", archiveOf(paths...), nil)
		if a.StatusCode != 200 || a.err == nil {
			t.Errorf("%v: %d, and the body ends cleanly after %d bytes", paths, a.StatusCode, len(a.body))
		}
		if _, err := zip.NewReader(bytes.NewReader(a.body), int64(len(a.body))); err == nil {
			t.Errorf("%v: what came is a whole zip", paths)
		}
	}
}

func TestHostileArchiveQueries(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/f", []byte("x"))
	for query, problem := range map[string]string{
		"": "invalid", "path=": "invalid", "path=f": "invalid", "path=/f&paths=/g": "invalid", "path=/f&path=/g": "not-found", "path=/%FF": "invalid",
		"path=/a%00": "invalid", "path=/../f": "invalid", "%zz": "bad-request", "path=/f;path=/g": "bad-request", "path=/f/": "invalid",
		strings.Repeat("path=/f&", 1001): "invalid",
	} {
		wantProblem(t, w.do("owner", "GET", "/api/v1/archive?"+query, nil), problem)
	}
	if got := unzip(t, w.do("owner", "GET", "/api/v1/archive?"+strings.Repeat("path=/f&", 1000), nil)); len(got) != 1000 || got[999].name != "f (1000)" {
		t.Errorf("%d files", len(got))
	}
}

// Names that a system takes for another place, a device or one another, and what a zip calls them.
func TestZipNames(t *testing.T) {
	n := newZipNames()
	n.begin("/top")
	n.folder("/top")
	for _, row := range [][2]string{
		{"/top/a", "top/a"},
		{"/top/A", "top/A (2)"},
		{"/top/ä.txt", "top/ä.txt"},
		{"/top/Ä.TXT", "top/Ä (2).TXT"},
		{"/top/a?.txt", "top/a_.txt"},
		{"/top/a*.txt", "top/a_ (2).txt"},
		{"/top/a_.txt", "top/a_ (3).txt"},
		{"/top/..\\..\\etc", "top/.._.._etc"},
		{"/top/C:", "top/C_"},
		{"/top/line\nbreak", "top/line_break"},
		{"/top/\x7f\u0085", "top/__"},
		{"/top/...", "top/___"},
		{"/top/dot. .", "top/dot___"},
		{"/top/CON", "top/_CON"},
		{"/top/nul.tar.gz", "top/_nul.tar.gz"},
		{"/top/com¹.txt", "top/_com¹.txt"},
		{"/top/Console", "top/Console"},
		{"/top/.hidden", "top/.hidden"},
		{"/top/.HIDDEN", "top/.HIDDEN (2)"},
		{"/top/\u202etxt.exe", "top/\u202etxt.exe"},
	} {
		if got := n.file(row[0]); got != row[1] {
			t.Errorf("%q is called %q, want %q", row[0], got, row[1])
		}
	}
	if got := n.folder("/top/a?"); got != "top/a_/" {
		t.Errorf("a folder is called %q", got)
	}
	if got := n.file("/top/a?/x"); got != "top/a_/x" {
		t.Errorf("a file in it is called %q", got)
	}
	if got := n.folder("/top/a|"); got != "top/a_ (2)/" {
		t.Errorf("a folder like it is called %q", got)
	}
	long := strings.Repeat("名", 85)
	n.file("/top/" + long)
	if got := n.file("/top/" + long); len(got) > 4+255 || !utf8.ValidString(got) || !strings.HasSuffix(got, "名 (2)") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	// Ten thousand of one name are named quickly.
	var all []string
	for range 10_000 {
		all = append(all, n.file("/top/same.txt"))
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 10_000 {
		t.Error("a name was given twice")
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("a/b")
	f.Add("CON .txt")
	f.Add("..")
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) {
			return
		}
		safe := safeName(name)
		if safe == "" || len(safe) > maxNameBytes || strings.ContainsAny(safe, "/\\:\x00\n") || strings.Trim(safe, ".") == "" ||
			!utf8.ValidString(safe) || strings.TrimRight(safe, ". ") != safe {
			t.Errorf("%q is made %q", name, safe)
		}
		if again := safeName(safe); again != safe {
			t.Errorf("%q is made %q, and that %q", name, safe, again)
		}
		if two := numbered(safe, 2); len(two) > maxNameBytes || !utf8.ValidString(two) {
			t.Errorf("%q is numbered as %q", safe, two)
		}
	})
}

// The page answers what is not the API's, to those who only read.
func TestPage(t *testing.T) {
	w := newWorld(t)
	w.api.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		fmt.Fprintf(w, "page of %s", r.URL.Path)
	})
	for _, row := range []struct{ method, target, want string }{
		{"GET", "/", "page of /"},
		{"GET", "/files/a/b%20c", "page of /files/a/b c"},
		{"GET", "/assets/app.js", "page of /assets/app.js"},
		{"GET", "/apiary", "page of /apiary"},
		{"HEAD", "/files", ""},
		{"GET", "/livez", "alive\n"},
		{"GET", "/api", "not-found"},
		{"GET", "/api/", "not-found"},
		{"GET", "/api/v2/files", "not-found"},
		{"GET", "/api/v1/nothing", "not-found"},
		{"GET", "/livez/x", "not-found"},
		{"GET", "/problems", "not-found"},
		{"GET", "/problems/x/y", "not-found"},
		{"GET", "/files//a", "not-found"},
		{"GET", "/files/../api/v1/me", "not-found"},
		{"POST", "/files", "not-found"},
		{"POST", "/", "method-not-allowed"},
		{"DELETE", "/assets/app.js", "not-found"},
		{"POST", "/livez", "method-not-allowed"},
	} {
		a := w.do("anonymous", row.method, row.target, nil)
		if kindOf(row.want) != nil {
			wantProblem(t, a, row.want)
			continue
		}
		page := strings.HasPrefix(row.want, "page") || row.method == "HEAD"
		if a.StatusCode != 200 || string(a.body) != row.want || (a.Header.Get("Content-Security-Policy") == "default-src 'self'") != page {
			t.Errorf("%s %s: %d %q %v", row.method, row.target, a.StatusCode, a.body, a.Header)
		}
	}
	if log := w.log.String(); !strings.Contains(log, "route=page ") || strings.Contains(log, "b c") || strings.Contains(log, "app.js") {
		t.Errorf("the log says\n%s", log)
	}
	rec := httptest.NewRecorder()
	w.api.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(rec.Body.String(), `route="page"`) {
		t.Error("the page is not counted")
	}
}
