package layering

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stonevault/internal/vectors"
)

func goCommand(t *testing.T, goos, goarch string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = vectors.Root(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s for %s/%s: %v\n%s", strings.Join(args, " "), goos, goarch, err, &stderr)
	}
	return out
}

// packages lists the module's own packages; files for other systems have imports of their own.
func packages(t *testing.T, goos string) (own []pkg) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(goCommand(t, goos, "amd64", "list", "-deps", "-json=ImportPath,Name,Imports,Deps", "./...")))
	for {
		var p struct {
			ImportPath, Name string
			Imports, Deps    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return own
		} else if err != nil {
			t.Fatal(err)
		}
		if path, ok := strings.CutPrefix(p.ImportPath, module+"/"); ok {
			own = append(own, pkg{path: path, name: p.Name, imports: p.Imports, deps: p.Deps})
		}
	}
}

func TestImports(t *testing.T) {
	var said []string
	for _, goos := range []string{"linux", "darwin", "windows"} {
		own := packages(t, goos)
		if len(own) == 0 {
			t.Fatalf("%s: go list found no package of this module", goos)
		}
		for _, p := range own {
			for _, wrong := range violations(p) {
				if !slices.Contains(said, wrong) {
					said = append(said, wrong)
					t.Error(wrong)
				}
			}
		}
	}
}

// TestRules shows that each kind of violation is found, and that what is right passes.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		path, imports, want string // want is part of the complaint; "" is none
	}{
		{"stone", "stonevault/stone/cobblestone", ""},
		{"stone", "stonevault/identity", ""},
		{"stone", "crypto/sha256", ""},
		{"stone", "stonevault/internal/vault", "the library layer may not import the core layer"},
		{"stone/cobblestone", "os", "the library layer never does"},
		{"identity", "net/http", "the library layer never does"},
		{"identity", "github.com/cloudflare/circl/sign/mldsa/mldsa65", ""},
		{"identity", "filippo.io/mldsa", "is kept to"},
		{"stone", "crypto/hpke", "is kept to"},
		{"internal/vault", "crypto/mlkem", "is kept to"},
		{"internal/vault", "stonevault/stone", ""},
		{"internal/vault", "stonevault/internal/metadb", "may not import the adapter layer"},
		{"internal/vault", "database/sql", "the core layer never does"},
		{"internal/vault", "stonevault/internal/auditlog", ""},
		{"internal/vault", "stonevault/qkd/kme", ""},
		{"internal/vault", "stonevault/qkd/etsi014", "may not import the protocol layer"},
		{"qkd/etsi014", "net/http", ""},
		{"qkd/etsi014", "os", "the protocol layer never does"},
		{"qkd/kme", "net/http", "the library layer never does"},
		{"qkd/kme", "stonevault/qkd/etsi014", "may not import the protocol layer"},
		{"internal/auditlog", "stonevault/internal/metadb", "may not import the adapter layer"},
		{"internal/metadb", "stonevault/internal/vault", ""},
		{"internal/metadb/sqlite", "stonevault/internal/metadb", ""},
		{"internal/metadb", "database/sql", ""},
		{"internal/metadb", "stonevault/internal/anchor/journal", ""},
		{"internal/metadb", "stonevault/internal/anchor", "may not import the adapter layer"},
		{"internal/anchor/journal", "stonevault/internal/anchor", "may not import the adapter layer"},
		{"internal/anchor", "stonevault/internal/anchor/journal", ""},
		{"internal/anchor", "stonevault/internal/anchor/journaltest", "may not import the test kit layer"},
		{"internal/auth", "stonevault/internal/cache", ""},
		{"internal/auth", "stonevault/internal/cache/memory", "may not import the adapter layer"},
		{"internal/cache", "github.com/redis/go-redis/v9", "is kept to"},
		{"internal/cache/redis", "stonevault/internal/cache", ""},
		{"internal/cache/redis", "stonevault/internal/cache/memory", "may not import the adapter layer"},
		{"internal/webhook", "stonevault/internal/webhook/sender", "may not import the adapter layer"},
		{"internal/webhook", "net/http", "the core layer never does"},
		{"internal/webhook/sender", "net/http", ""},
		{"internal/metadb", "stonevault/internal/webhook", ""},
		{"internal/httpapi", "stonevault/internal/metadb", "may not import the adapter layer"},
		{"internal/httpapi", "database/sql", "is kept to"},
		{"internal/httpapi", "stonevault/api", ""},
		{"internal/blob/s3", "stonevault/internal/blob/local", "may not import the adapter layer"},
		{"internal/blob/s3", "github.com/gorilla/mux", "no row in libraries"},
		{"internal/anchor", "github.com/ethereum/go-ethereum/ethclient", ""},
		{"cmd/stonevaultd", "github.com/ethereum/go-ethereum", "is kept to"},
		{"cmd/stonevaultd", "stonevault/internal/httpapi", ""},
		{"cmd/stonevaultd", "stonevault/internal/vectors", "may not import the test kit layer"},
		{"internal/httpapi", "stonevault/cmd/stonevaultd", "may not import the command layer"},
		{"cmd/stonevault", "testing", "depends on testing"},
		{"internal/surprise", "fmt", "is in no layer"},
		{"internal/metadb/utils", "fmt", "a name that says nothing"},
	} {
		got := strings.Join(violations(pkg{path: c.path, imports: []string{c.imports}, deps: []string{c.imports}}), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s imports %s: %q, want %q", c.path, c.imports, got, c.want)
		}
	}
}

const longestFile = 700 // lines

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFileLengths(t *testing.T) {
	seen := 0
	root := vectors.Root(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if n := bytes.Count(content, []byte("\n")); n > longestFile && !generated.Match(content) {
			rel, _ := filepath.Rel(root, path)
			t.Errorf("%s has %d lines; divide what is over %d", rel, n, longestFile)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no Go file was looked at")
	}
}
