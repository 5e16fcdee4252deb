package web

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

var sample = fstest.MapFS{
	"index.html":          {Data: []byte("<!doctype html><title>page</title>")},
	".gitkeep":            {Data: nil},
	"theme.js":            {Data: []byte("1")},
	"assets/app-1a2b.js":  {Data: []byte("app")},
	"assets/app-1a2b.css": {Data: []byte("style")},
	"assets/a.woff2":      {Data: []byte("font")},
	"assets/a.bin":        {Data: []byte("?")},
}

func TestHandler(t *testing.T) {
	h, err := newHandler(sample)
	if err != nil {
		t.Fatal(err)
	}
	const (
		forever = "public, max-age=31536000, immutable"
		html    = "text/html; charset=utf-8"
		index   = "<!doctype html><title>page</title>"
	)
	for _, c := range []struct {
		method, path              string
		status                    int
		mediaType, caching, reply string
	}{
		{"GET", "/", 200, html, "no-cache", index},
		{"GET", "/index.html", 200, html, "no-cache", index},
		{"GET", "/files/letters/2026", 200, html, "no-cache", index},
		{"GET", "/files/what.js", 200, html, "no-cache", index},
		{"HEAD", "/files", 200, html, "no-cache", ""},
		{"GET", "/theme.js", 200, "text/javascript; charset=utf-8", "no-cache", "1"},
		{"GET", "/assets/app-1a2b.js", 200, "text/javascript; charset=utf-8", forever, "app"},
		{"GET", "/assets/app-1a2b.css", 200, "text/css; charset=utf-8", forever, "style"},
		{"GET", "/assets/a.woff2", 200, "font/woff2", forever, "font"},
		{"GET", "/assets/a.bin", 200, "application/octet-stream", forever, "?"},
		{"GET", "/assets/app-old.js", 404, "text/plain; charset=utf-8", "", "There is no such file.\n"},
		{"GET", "/api/v1/nothing", 404, "text/plain; charset=utf-8", "", "There is no such file.\n"},
		{"GET", "/.gitkeep", 200, html, "no-cache", index},
		{"GET", "/../embed.go", 200, html, "no-cache", index},
		{"POST", "/", 405, "text/plain; charset=utf-8", "", "This path can only be read.\n"},
		{"OPTIONS", "/assets/app-1a2b.js", 405, "text/plain; charset=utf-8", "", "This path can only be read.\n"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(c.method, "/", nil)
			r.URL.Path = c.path
			h.ServeHTTP(w, r)
			if w.Code != c.status || w.Body.String() != c.reply {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body.String(), c.status, c.reply)
			}
			for name, want := range map[string]string{
				"Content-Type":            c.mediaType,
				"Content-Security-Policy": ContentSecurityPolicy,
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if c.status == http.StatusOK && w.Header().Get("Cache-Control") != c.caching {
				t.Errorf("Cache-Control is %q, want %q", w.Header().Get("Cache-Control"), c.caching)
			}
		})
	}
}

func TestHandlerAnswersNotModified(t *testing.T) {
	h, err := newHandler(sample)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, match string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", match)
		h.ServeHTTP(w, r)
		return w
	}
	etag := ask("/", "").Header().Get("ETag")
	if w := ask("/files", etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("the same page again: %d, %d bytes", w.Code, w.Body.Len())
	}
	if w := ask("/theme.js", etag); w.Code != http.StatusOK {
		t.Errorf("another file under the page's tag: %d", w.Code)
	}
}

func TestHandlerCompressesText(t *testing.T) {
	script := strings.Repeat("export const a = 1;\n", 500)
	h, err := newHandler(fstest.MapFS{
		"index.html": {Data: []byte("x")}, "assets/a.js": {Data: []byte(script)}, "assets/a.woff2": {Data: []byte(script)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, accept, encoding string }{
		{"/assets/a.js", "gzip, br", "gzip"},
		{"/assets/a.js", "", ""},
		{"/assets/a.woff2", "gzip", ""}, // is compressed already, as far as its type tells
		{"/", "gzip", ""},               // would grow
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("Accept-Encoding", c.accept)
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Encoding"); got != c.encoding {
			t.Errorf("%s for %q: Content-Encoding %q, want %q", c.path, c.accept, got, c.encoding)
		}
		if w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%s: Content-Length %s of %d bytes", c.path, w.Header().Get("Content-Length"), w.Body.Len())
		}
		if c.encoding != "gzip" {
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(z); err != nil || string(b) != script {
			t.Errorf("%s comes back as %d bytes, %v", c.path, len(b), err)
		}
	}
}

func TestFilesFallBackToThePlaceholder(t *testing.T) {
	empty := fstest.MapFS{"dist/.gitkeep": {}}
	full := fstest.MapFS{"dist/index.html": {Data: []byte("the page")}}
	if built(empty) || !built(full) {
		t.Fatal("only a dist with an index.html is a built page")
	}
	if b, err := fs.ReadFile(files(full, placeholder), "index.html"); err != nil || string(b) != "the page" {
		t.Errorf("a built page: %q, %v", b, err)
	}
	b, err := fs.ReadFile(files(empty, placeholder), "index.html")
	if err != nil || !strings.Contains(string(b), "make web") {
		t.Errorf("the placeholder does not say what to do: %q, %v", b, err)
	}
	if _, err := newHandler(fstest.MapFS{}); err == nil {
		t.Error("a handler was made of nothing")
	}
}

// Whichever page is in this program, its policy must let it work: nothing inline, nothing from elsewhere.
func TestPageKeepsItsPolicy(t *testing.T) {
	if _, err := Handler(); err != nil {
		t.Fatal(err)
	}
	inlineScript := regexp.MustCompile(`<script(?:\s[^>]*)?>[^<]`)
	elsewhere := regexp.MustCompile(`(?:src|href)="(?:[a-z]+:|//)`)
	for _, page := range []fs.FS{Files(), files(fstest.MapFS{}, placeholder)} {
		b, err := fs.ReadFile(page, "index.html")
		if err != nil {
			t.Fatal(err)
		}
		html := string(b)
		if inlineScript.MatchString(html) || strings.Contains(html, "<style") || strings.Contains(html, "style=") ||
			regexp.MustCompile(`\son[a-z]+=`).MatchString(html) {
			t.Error("index.html has inline script or style")
		}
		if found := elsewhere.FindString(html); found != "" {
			t.Errorf("index.html points elsewhere: %s", found)
		}
		err = fs.WalkDir(page, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".css") {
				return err
			}
			css, err := fs.ReadFile(page, name)
			if strings.Contains(string(css), "data:") || strings.Contains(string(css), "://") {
				t.Errorf("%s needs a data: address or another host", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
