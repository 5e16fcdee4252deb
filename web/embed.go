// Package web holds the page that people use in a browser, and serves it.
//
// Vite builds the page into dist, which is not committed. A clone in which nobody has run `make web`
// embeds the placeholder instead, a page that says so; the program builds and works either way.
//
// The page talks to the server by the public API alone. Nothing here is secret and nothing here decides
// who may do what: this package serves the same files to everybody.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// ContentSecurityPolicy is what every document of the page is served with. Scripts, styles, fonts and
// pictures come from files of this server; nothing is inline, no data: address is used, and nothing is
// loaded from or sent to anywhere else. Vue alone may make HTML from text, from templates that were
// compiled at build time.
const ContentSecurityPolicy = "default-src 'none'; " +
	"script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types vue"

//go:embed all:dist
var dist embed.FS

//go:embed placeholder
var placeholder embed.FS

// Built tells whether the page is in this program, and not only the placeholder.
func Built() bool { return built(dist) }

func built(dist fs.FS) bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

// Files returns the page's files, index.html at the top, or the placeholder's.
func Files() fs.FS { return files(dist, placeholder) }

func files(dist, placeholder fs.FS) fs.FS {
	root, dir := dist, "dist"
	if !built(dist) {
		root, dir = placeholder, "placeholder"
	}
	sub, err := fs.Sub(root, dir)
	if err != nil {
		panic(err) // a constant, valid path
	}
	return sub
}

// asset is a file as it is sent.
type asset struct {
	body      []byte
	zipped    []byte // body in gzip, where that is smaller
	mediaType string
	etag      string
	caching   string
}

// mediaTypes are those of the page's files; what the system says of them differs from host to host.
var mediaTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

type handler struct {
	assets map[string]asset // by URL path
	index  asset
}

// Handler serves the page. Files below /assets/ have a digest of their content in their names and may be
// kept for ever; everything else is asked for again each time, which costs a 304. A path that is no file
// gets index.html, because the page has paths of its own, except below /assets/ and /api/, where it is 404.
// Mount it at "/", behind every other route.
func Handler() (http.Handler, error) { return newHandler(Files()) }

func newHandler(files fs.FS) (http.Handler, error) {
	h := &handler{assets: map[string]asset{}}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		h.assets["/"+name] = newAsset(name, body)
		return nil
	})
	if err != nil {
		return nil, err
	}
	index, ok := h.assets["/index.html"]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: "index.html", Err: fs.ErrNotExist}
	}
	h.index = index
	return h, nil
}

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	a := asset{
		body: body, mediaType: mediaTypes[path.Ext(name)],
		etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`, caching: "no-cache",
	}
	if a.mediaType == "" {
		a.mediaType = mime.TypeByExtension(path.Ext(name))
	}
	if a.mediaType == "" {
		a.mediaType = "application/octet-stream"
	}
	if strings.HasPrefix(a.mediaType, "text/") {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a valid one
		z.Write(body)
		if z.Close(); b.Len() < len(body) {
			a.zipped = b.Bytes()
		}
	}
	if strings.HasPrefix(name, "assets/") {
		a.caching = "public, max-age=31536000, immutable"
	}
	return a
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", ContentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "This path can only be read.", http.StatusMethodNotAllowed)
		return
	}
	a, ok := h.assets[r.URL.Path]
	if !ok {
		if strings.HasPrefix(r.URL.Path, "/assets/") || strings.HasPrefix(r.URL.Path, "/api/") {
			header.Set("Cache-Control", "no-store")
			http.Error(w, "There is no such file.", http.StatusNotFound)
			return
		}
		a = h.index
	}
	header.Set("Cache-Control", a.caching)
	header.Set("ETag", `W/`+a.etag) // weak: the same content, in gzip or not
	if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.body
	if a.zipped != nil {
		header.Set("Vary", "Accept-Encoding")
		// Nothing here is secret, so that compressing it gives nothing away.
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			header.Set("Content-Encoding", "gzip")
			body = a.zipped
		}
	}
	header.Set("Content-Type", a.mediaType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		w.Write(body) // who has gone away cannot be told
	}
}
