package httpapi

import (
	"archive/zip"
	"compress/flate"
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"stonevault/internal/vault"
	"stonevault/stone"
)

// maxArchivePaths bounds how many files and folders one archive is asked for by name.
const maxArchivePaths = 1000

// archive streams files and folders as one zip. Nothing is sent before all of them have been found; a file
// that is refused ends the connection, so that the zip has no end.
func (a *API) archive(c *call) error {
	paths, err := archivePaths(c.r)
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	name := "files"
	for i, p := range paths {
		if p == "/" {
			continue
		}
		e, err := a.Vault.Stat(ctx, c.actor(), vault.Ref{Path: p})
		if err != nil {
			return err
		}
		paths[i] = e.Path // in normal form, as Walk's are
		if len(paths) == 1 {
			name = e.Node.Name
		}
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", disposition(name+".zip"))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private, no-store")
	if c.r.Method == http.MethodHead {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	z := &zipping{api: a, c: c, zip: zip.NewWriter(c.w), names: newZipNames()}
	z.zip.RegisterCompressor(zip.Deflate, newDeflater)
	for _, p := range paths {
		z.names.begin(p)
		if err := a.Vault.Walk(ctx, c.actor(), p, z.add); err != nil {
			return err
		}
	}
	return z.zip.Close()
}

// archivePaths reads the one parameter that may be there more than once.
func archivePaths(r *http.Request) ([]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail("bad-request", "The query is not a list of name=value, joined by & and percent-encoded.")
	}
	paths := values["path"]
	for name := range values {
		if name != "path" {
			return nil, invalid(name, "is not known")
		}
	}
	if len(paths) == 0 {
		return nil, invalid("path", "is missing")
	}
	if len(paths) > maxArchivePaths {
		return nil, invalid("path", "is there more than 1,000 times; name the folder that they are in")
	}
	for _, p := range paths {
		if !utf8.ValidString(p) {
			return nil, invalid("path", "is not valid UTF-8")
		}
	}
	return paths, nil
}

// zipping is an archive on its way.
type zipping struct {
	api   *API
	c     *call
	zip   *zip.Writer
	names *zipNames
}

func (z *zipping) add(e vault.Entry) error {
	if e.Node.Kind == vault.NodeFolder {
		h := &zip.FileHeader{Name: z.names.folder(e.Path), Modified: zipTime(e.Node.UpdatedAt)}
		h.SetMode(fs.ModeDir | 0o755)
		_, err := z.zip.CreateHeader(h)
		return err
	}
	content, err := z.api.Vault.Content(z.c.r.Context(), z.c.actor(), vault.Ref{Node: e.Node.ID})
	if err != nil {
		return err
	}
	defer content.Close()
	content.Archived = true
	return z.file(z.c.r.Context(), e.Path, content)
}

func (z *zipping) file(ctx context.Context, path string, content *vault.Content) error {
	v := content.Entry.Version // which may be newer than the one that Walk saw
	h := &zip.FileHeader{Name: z.names.file(path), Modified: zipTime(v.ModifiedAt), Method: zip.Store}
	h.SetMode(fs.FileMode(v.Mode))
	if compressible(v) {
		h.Method = zip.Deflate
	}
	w, err := z.zip.CreateHeader(h)
	if err != nil {
		return err
	}
	return content.Stream(ctx, w, 0, content.Size())
}

// zipTime is t if a zip can hold it, from 1980 on and in 32 bits of seconds.
func zipTime(t time.Time) time.Time {
	if year := t.UTC().Year(); year < 1980 || year > 2105 {
		return time.Time{}
	}
	return t.UTC()
}

// compressible tells whether compressing a file is worth its time. A restricted one keeps its length to
// itself.
func compressible(v vault.Version) bool {
	if v.Class == string(stone.ClassRestricted) {
		return false
	}
	mediaType, _, _ := strings.Cut(v.MediaType, ";")
	switch mediaType = strings.TrimSpace(strings.ToLower(mediaType)); mediaType {
	case "application/json", "application/xml", "application/javascript", "application/x-ndjson", "application/sql",
		"application/yaml", "application/toml", "application/rtf", "application/x-tar", "application/wasm", "image/bmp", "image/tiff":
		return true
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml")
}

// deflaters are kept, because each takes some hundred KiB and folders have many small files.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

type deflater struct{ *flate.Writer }

func newDeflater(w io.Writer) (io.WriteCloser, error) {
	d := deflater{deflaters.Get().(*flate.Writer)}
	d.Reset(w)
	return d, nil
}

// Close ends the stream, after which nothing may be written.
func (d deflater) Close() error {
	err := d.Writer.Close()
	deflaters.Put(d.Writer)
	return err
}

// zipNames names what goes into a zip so that no system unpacks it elsewhere, or over something else of it.
type zipNames struct {
	folders map[string]string // of the tree that is being added, by path in the vault; with "/" at the end
	taken   map[string]int    // by folded name: the last number that was tried for it, from 1
}

func newZipNames() *zipNames { return &zipNames{taken: map[string]int{}} }

// begin starts a tree: what lies at p goes to the top of the zip, and for the root all that is in it.
func (n *zipNames) begin(p string) { n.folders = map[string]string{path.Dir(p): ""} }

func (n *zipNames) folder(p string) string {
	name := n.file(p) + "/"
	n.folders[p] = name
	return name
}

func (n *zipNames) file(p string) string {
	dir, name := n.folders[path.Dir(p)], safeName(path.Base(p))
	wanted, free := foldName(dir+name), name
	for n.taken[foldName(dir+free)] > 0 {
		n.taken[wanted]++
		free = numbered(name, n.taken[wanted])
	}
	n.taken[foldName(dir+free)] = 1
	return dir + free
}
