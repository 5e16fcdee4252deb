package layering

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

const module = "stonevault"

// A layer is a set of packages, each named with everything below it. A package may import its own
// subtree, and what lies in the layers that its own names in may. Tests may import what they like: they
// run against real parts.
type layer struct {
	name     string
	packages []string
	may      []string
	never    []string // packages that its files don't import
	unlinked []string // packages that nothing it imports, near or far, imports either
}

var layers = []layer{
	{
		name:     "library", // what other programs may import
		packages: []string{"stone", "identity", "qkd", "audit", "internal/simdstate"},
		may:      []string{"library"},
		never:    []string{"database/sql", "net", "net/http", "os", "os/exec", "os/signal", "os/user", "syscall"},
		unlinked: []string{"database/sql", "net", "net/http", "os/exec", "testing"},
	},
	{
		// A library that is a protocol over HTTP: it opens no port and no file.
		name:     "protocol",
		packages: []string{"qkd/etsi014"},
		may:      []string{"library"},
		never:    []string{"database/sql", "net", "os", "os/exec", "os/signal", "os/user", "syscall"},
		unlinked: []string{"database/sql", "testing"},
	},
	{
		name:     "core",
		packages: []string{"internal/vault", "internal/access", "internal/anchor/journal", "internal/auditlog", "internal/auth", "internal/cache", "internal/once", "internal/peers", "internal/quantum", "internal/webhook"},
		may:      []string{"library", "core"},
		never:    []string{"database/sql", "net/http", "os/exec", "testing"},
	},
	{
		name:     "wire", // made from the API's description, and the web page
		packages: []string{"api", "web"},
	},
	{
		// Adapters never import each other.
		name: "adapter",
		packages: []string{
			"internal/anchor", "internal/blob", "internal/blob/local", "internal/blob/s3",
			"internal/cache/memory", "internal/cache/redis", "internal/client",
			"internal/config", "internal/datadir", "internal/front", "internal/httpapi", "internal/inspect", "internal/keyring",
			"internal/masterkey", "internal/metadb", "internal/webhook/sender",
		},
		may: []string{"library", "protocol", "core", "wire"},
	},
	{
		name:     "command",
		packages: []string{"cmd", "scripts"},
		may:      []string{"library", "protocol", "core", "wire", "adapter"},
		unlinked: []string{"testing"},
	},
	{
		name: "test kit", // imported by tests alone
		packages: []string{"internal/layering", "internal/servertest", "internal/vectors", "internal/anchor/anviltest", "internal/anchor/journaltest",
			"internal/blob/s3test", "internal/cache/cachetest", "internal/cache/redistest",
			"internal/masterkey/transittest", "internal/metadb/postgrestest"},
		may: []string{"core", "test kit"},
	},
}

// libraries says which packages may name a library; "" is all of them. One that has no row may not be
// used: a new dependency is a decision.
var libraries = []struct {
	library string
	by      []string
}{
	// Post-quantum keys are named in one place, so that they can be changed in one place.
	{"crypto/hpke", []string{"identity"}},
	{"crypto/mlkem", []string{"identity"}},
	{"github.com/cloudflare/circl", []string{"identity", "audit"}}, // audit signs with ML-DSA-44, which no suite has
	{"filippo.io/mldsa", nil},                                      // the oracle, for tests

	{"github.com/klauspost/compress", []string{"stone", "scripts/bench"}},
	{"github.com/gowebpki/jcs", []string{"stone", "identity", "audit"}},
	{"github.com/transparency-dev/formats", []string{"audit"}},
	{"golang.org/x/mod", []string{"audit"}},

	{"github.com/ccojocar/zxcvbn-go", []string{"internal/auth"}},
	{"github.com/go-webauthn/webauthn", []string{"internal/auth"}},
	{"github.com/golang-jwt/jwt/v5", []string{"internal/auth"}},
	{"github.com/pquerna/otp", []string{"internal/auth"}},

	{"database/sql", []string{"internal/metadb"}},
	{"github.com/jackc/pgx/v5", []string{"internal/metadb"}},
	{"github.com/pressly/goose/v3", []string{"internal/metadb"}},
	{"modernc.org/libc", []string{"internal/metadb"}},
	{"modernc.org/sqlite", []string{"internal/metadb"}},

	{"github.com/ethereum/go-ethereum", []string{"internal/anchor"}}, // LGPL-3.0
	{"github.com/gabriel-vasile/mimetype", []string{"internal/vault", "internal/inspect"}},
	{"github.com/landlock-lsm/go-landlock", []string{"internal/inspect"}},
	{"github.com/minio/minio-go/v7", []string{"internal/blob/s3"}},
	{"github.com/oapi-codegen/runtime", []string{"api"}},
	{"github.com/prometheus/client_golang", []string{"internal/httpapi", "cmd"}},
	{"github.com/redis/go-redis/v9", []string{"internal/cache/redis"}},
	{"github.com/zalando/go-keyring", []string{"internal/keyring"}},

	{"github.com/knadh/koanf", []string{"internal/config"}},
	{"github.com/spf13/cobra", []string{"cmd"}},
	{"github.com/bmatcuk/doublestar/v4", []string{"cmd"}},
	{"github.com/boombuler/barcode", []string{"cmd"}},
	{"github.com/spf13/pflag", []string{"internal/config", "cmd"}},
	{"github.com/vbauerster/mpb/v8", []string{"cmd"}},
	{"golang.org/x/term", []string{"cmd"}},

	{"golang.org/x/crypto", []string{""}},
	{"golang.org/x/sync", []string{""}},
	{"golang.org/x/sys", []string{""}},
	{"golang.org/x/text", []string{""}},
	{"go.yaml.in/yaml/v3", []string{"api/yamltojson"}}, // run by go generate, in no binary
}

// pkg is what the rules look at of a package.
type pkg struct {
	path    string // below the module, so "stone/cobblestone"
	name    string
	imports []string // of its own files without tests
	deps    []string // all that these lead to
}

// within tells whether p is tree or lies below it. Everything lies below "".
func within(p, tree string) bool {
	return tree == "" || p == tree || strings.HasPrefix(p, tree+"/")
}

// home returns the layer that p belongs to and the entry of it, the longest that fits.
func home(p string) (l *layer, tree string) {
	for i := range layers {
		for _, t := range layers[i].packages {
			if within(p, t) && len(t) > len(tree) {
				l, tree = &layers[i], t
			}
		}
	}
	return l, tree
}

// violations returns what is wrong with the imports and the name of p, as sentences.
func violations(p pkg) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, p.path+" "+fmt.Sprintf(format, args...)) }

	if vague := []string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}; slices.Contains(vague, p.name) ||
		slices.Contains(vague, path.Base(p.path)) {
		say("has a name that says nothing; call it after what it does")
	}
	l, tree := home(p.path)
	if l == nil {
		say("is in no layer; give it a place in layers")
		return wrong
	}
	for _, dep := range p.deps {
		if slices.Contains(l.unlinked, dep) {
			say("depends on %s, perhaps through a library; the %s layer never does", dep, l.name)
		}
	}
	for _, imported := range p.imports {
		if own, ok := strings.CutPrefix(imported, module+"/"); ok {
			theirs, theirTree := home(own)
			switch {
			case theirs == nil: // said of that package itself
			case tree == theirTree:
			case !slices.Contains(l.may, theirs.name):
				say("imports %s: the %s layer may not import the %s layer", own, l.name, theirs.name)
			}
			continue
		}
		if slices.Contains(l.never, imported) {
			say("imports %s, which the %s layer never does", imported, l.name)
		}
		by, listed := owners(imported)
		third := strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
		switch {
		case listed && !slices.ContainsFunc(by, func(tree string) bool { return within(p.path, tree) }):
			say("imports %s, which is kept to %q", imported, by)
		case !listed && third:
			say("imports %s, which has no row in libraries", imported)
		}
	}
	return wrong
}

func owners(imported string) (by []string, listed bool) {
	for _, row := range libraries {
		if within(imported, row.library) {
			return row.by, true
		}
	}
	return nil, false
}
