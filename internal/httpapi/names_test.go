package httpapi

import (
	"bytes"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"stonevault/api"
	"stonevault/internal/vault"
	"stonevault/internal/vectors"
)

// hostileNames are about 2,000 published strings that programs have stumbled over, of every kind; every
// fourth of them where there is no time for all.
func hostileNames(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	var names []string
	for _, source := range []struct {
		file string
		most int
	}{{"directory_traversal.txt", 200}, {"naughty-strings.txt", 800}, {"dotdotpwn.txt", 1200}} {
		var lines []string
		for line := range bytes.Lines(vectors.Shared(t, "names/"+source.file)) {
			if name := strings.TrimSuffix(string(line), "\n"); name != "" && !seen[name] {
				seen[name] = true
				lines = append(lines, name)
			}
		}
		step := max(1, (len(lines)+source.most-1)/source.most)
		for i := 0; i < len(lines); i += step {
			names = append(names, lines[i])
		}
	}
	if len(names) < 1900 {
		t.Fatalf("only %d names were found", len(names))
	}
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		return names
	}
	var some []string
	for i := 0; i < len(names); i += 4 {
		some = append(some, names[i])
	}
	return some
}

// Published hostile names come back in normal form or are refused: in paths, headers, JSON and zips.
func TestHostileNameVectors(t *testing.T) {
	w := newWorld(t)
	w.token("owner")
	names := hostileNames(t)
	kept := make([]bool, len(names))
	next := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range next {
				kept[i] = w.tryName(t, fmt.Sprintf("/n/%d/%s", i, names[i]), []byte(names[i]))
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	all.Wait()
	count := 0
	for _, k := range kept {
		if k {
			count++
		}
	}
	t.Logf("%d of %d names are kept", count, len(names))
	if count < len(names)/4 || count == len(names) {
		t.Errorf("%d of %d names are kept", count, len(names))
	}

	// A zip of all of them unpacks inside the folder that it is unpacked to, and nothing over anything else.
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files := 0
	for _, f := range unzip(t, w.do("owner", "GET", archiveOf("/n"), nil)) {
		if !filepath.IsLocal(f.name) || strings.ContainsAny(f.name, "\\:\x00") {
			t.Errorf("a zip has the name %q", f.name)
		}
		if strings.HasSuffix(f.name, "/") {
			if err := root.Mkdir(strings.TrimSuffix(f.name, "/"), 0o700); err != nil {
				t.Error(err)
			}
			continue
		}
		files++
		out, err := root.OpenFile(f.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		// The number of the name is the second part of the path.
		i, err := strconv.Atoi(strings.Split(f.name, "/")[1])
		if err != nil || string(f.content) != names[i] {
			t.Errorf("%q holds %q", f.name, f.content)
		}
	}
	if files != count {
		t.Errorf("the zip has %d files of %d", files, count)
	}
}

// tryName puts a file at a path, and tells whether it was taken.
func (w *world) tryName(t *testing.T, path string, body []byte) bool {
	parts, err := vault.ParsePath(path)
	a := w.do("owner", "POST", uploadsPath, body, tusHeader, "Content-Type: "+tusMediaType, fmt.Sprintf("Upload-Length: %d", len(body)), tusMeta("path", path, "filetype", "text/plain"))
	if err != nil {
		wantProblem(t, a, "invalid")
		if b := w.do("owner", "PUT", "/api/v1/content"+escaped(path), body); b.StatusCode != 422 && b.StatusCode != 404 {
			t.Errorf("%q: PUT gives %d", path, b.StatusCode)
		}
		return false
	}
	if a.StatusCode != 201 {
		t.Errorf("%q: %d %s", path, a.StatusCode, a.body)
		return false
	}
	normal := "/" + strings.Join(parts, "/")
	f := decode[api.File](t, w.do("owner", "GET", "/api/v1/files/"+a.Header.Get("Stonevault-Id"), nil))
	if f.Path != normal || f.Name != parts[len(parts)-1] {
		t.Errorf("%q is kept as %q", path, f.Path)
	}
	for _, target := range []string{"/api/v1/content" + escaped(path), "/api/v1/content" + escaped(normal), "/api/v1/files/" + f.ID + "/content"} {
		got := w.do("owner", "GET", target, nil)
		_, params, err := mime.ParseMediaType(got.Header.Get("Content-Disposition"))
		if got.StatusCode != 200 || !bytes.Equal(got.body, body) || err != nil || params["filename"] != f.Name {
			t.Errorf("%q by %s: %d, offered as %q, %v", path, target, got.StatusCode, params["filename"], err)
		}
	}
	return true
}
