package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

const (
	// fileSuffix makes of a secret's key the one that names a file with it.
	fileSuffix = "_file"
	// delimiter separates the parts of a key in tables of the file; no setting lies in a table.
	delimiter = "."

	maxFile       = 1 << 20 // bytes
	maxSecretFile = 4096    // bytes
)

// Sources are where settings come from.
type Sources struct {
	Flags   map[string]string // those given, by the flag's name
	Environ []string          // as os.Environ
	File    string            // path, or empty to look into the environment for one
}

// Value is a setting as it came out.
type Value struct {
	Setting *Setting
	Text    string // [redacted] for a secret
	Origin  string // "default", "--listen", "STONEVAULT_LISTEN" or a file's path
}

// Error is a value that cannot be accepted, and where it was given.
type Error struct {
	Origin string
	Reason string // the sentence after the origin
}

func (e *Error) Error() string { return e.Origin + " " + e.Reason }

// layer is one source's values by key, and what people call each of them.
type layer struct {
	values map[string]any
	name   func(key string) string
}

// Load reads every source and checks every value.
func Load(s Sources) (Config, []Value, error) {
	layers, err := s.layers()
	if err != nil {
		return Config{}, nil, err
	}
	merged := koanf.New(delimiter)
	origin := make(map[string]string)
	for _, l := range layers {
		if err := l.check(); err != nil {
			return Config{}, nil, err
		}
		for key := range l.values {
			origin[key] = l.name(key)
		}
		// A secret and the file that it is in are one setting: the later source wins as a whole.
		for key := range l.values {
			if bare, ok := strings.CutSuffix(key, fileSuffix); ok && isSecret(bare) {
				merged.Delete(bare)
			} else if isSecret(key) {
				merged.Delete(key + fileSuffix)
			}
		}
		if err := merged.Load(confmap.Provider(l.values, ""), nil); err != nil {
			return Config{}, nil, err
		}
	}
	return resolve(merged, origin)
}

// resolve turns what the sources say into the settings.
func resolve(merged *koanf.Koanf, origin map[string]string) (Config, []Value, error) {
	var c Config
	var values []Value
	for i := range Settings {
		s := &Settings[i]
		if s.Kind != Secret {
			v := merged.String(s.Key)
			s.set(&c, v)
			values = append(values, Value{s, v, origin[s.Key]})
			continue
		}
		switch path := merged.String(s.Key + fileSuffix); {
		case path != "":
			secret, err := readSecret(path)
			if err != nil {
				return Config{}, nil, &Error{origin[s.Key+fileSuffix], err.Error()}
			}
			if s.check != nil {
				if err := s.check(secret); err != nil {
					return Config{}, nil, &Error{origin[s.Key+fileSuffix], "names a file whose first line " + err.Error()}
				}
			}
			s.set(&c, secret)
			if s.file != nil {
				s.file(&c, path)
			}
			values = append(values, Value{s, "[redacted]", origin[s.Key+fileSuffix]})
		case merged.String(s.Key) != "":
			if !merged.Bool("development") {
				return Config{}, nil, &Error{origin[s.Key], "shows a secret to other programs of the same user, which is allowed with --development alone; put it into a file and name that in " + s.Env() + strings.ToUpper(fileSuffix)}
			}
			if s.check != nil {
				if err := s.check(merged.String(s.Key)); err != nil {
					return Config{}, nil, &Error{origin[s.Key], err.Error()}
				}
			}
			s.set(&c, merged.String(s.Key))
			values = append(values, Value{s, "[redacted]", origin[s.Key]})
		default:
			values = append(values, Value{s, "", "default"})
		}
	}
	if c.MasterKey.Kind == KeyFromEnvironment && !c.Development {
		return Config{}, nil, &Error{origin["master_key_source"], "takes the master key from the environment, which is allowed with --development alone; use file or passphrase"}
	}
	for _, x := range slices.Concat(contradictions, quantumContradictions) {
		if x.holds(&c) {
			return Config{}, nil, &Error{origin[x.key], x.reason}
		}
	}
	return c, values, nil
}

type contradiction struct {
	key    string
	holds  func(c *Config) bool
	reason string
}

// contradictions are settings that are good by themselves and not together. The key is that of a setting
// that was given, since its default contradicts nothing.
var contradictions = []contradiction{
	{"tls_cert", func(c *Config) bool { return c.TLS.CertFile != "" && c.TLS.KeyFile == "" },
		"names a certificate without its private key; name the key's file with --tls-key"},
	{"tls_key", func(c *Config) bool { return c.TLS.KeyFile != "" && c.TLS.CertFile == "" },
		"names a private key without its certificate; name the certificate's file with --tls-cert"},
	{"tls_generate", func(c *Config) bool { return c.TLS.Generate && c.TLS.CertFile != "" },
		"makes a certificate, and there is one already; leave it out, or leave out --tls-cert and --tls-key"},
	{"tls_name", func(c *Config) bool { return len(c.TLS.Names) > 0 && !c.TLS.Generate },
		"is for a certificate that the server makes; leave it out, or add --tls-generate"},
	{"require_pq", func(c *Config) bool { return c.TLS.RequirePostQuantum && !c.TLS.On() },
		"asks something of TLS connections, and there are none; add --tls-cert and --tls-key, or leave it to the proxy in front"},
	{"behind_proxy", func(c *Config) bool { return c.Proxy.HasTLS && len(c.Proxy.Trusted) == 0 },
		"says that a proxy has TLS, and not which one; add its address with --trusted-proxy"},
	{"behind_proxy", func(c *Config) bool { return c.Proxy.HasTLS && c.TLS.On() },
		"is for a server that speaks in clear, and this one has a certificate; leave one of them out"},
	{"proxy_header", func(c *Config) bool { return c.Proxy.Header != "X-Forwarded-For" && len(c.Proxy.Trusted) == 0 },
		"is a header that only a trusted proxy is believed in; add its address with --trusted-proxy"},
	{"listen", func(c *Config) bool { return !OwnMachine(c.Listen) && !c.TLS.On() && !c.Proxy.HasTLS },
		"reaches other machines, which needs TLS; add --tls-cert FILE --tls-key FILE, or --tls-generate to try it out, or, " +
			"where a proxy in front has TLS, --trusted-proxy ADDRESS --behind-proxy; 127.0.0.1 needs none of them"},
	{"metrics_listen", func(c *Config) bool { return c.MetricsListen == c.Listen && !hasPort0(c.Listen) },
		"is the address that files are served on; choose another port"},
	{"anchor_chain", without(func(a Anchor) bool { return a.Contract == "" }),
		"says where the audit log is anchored, and not in which contract; make one with stonevaultd anchor deploy, and name it with --anchor-contract"},
	{"anchor_chain", without(func(a Anchor) bool { return a.Creator == "" }),
		"says where the audit log is anchored, and not who created the log there; add --anchor-creator, which stonevaultd anchor deploy prints"},
	{"anchor_chain", without(func(a Anchor) bool { return len(a.RPC) == 0 }),
		"says where the audit log is anchored, and not by which servers; add --anchor-rpc with two or more of different operators"},
	{"anchor_chain", without(func(a Anchor) bool { return a.Key == "" }),
		"says where the audit log is anchored, and not with which key; make one with stonevaultd anchor newkey, and name its file with --anchor-key"},
	{"anchor_key", without(func(a Anchor) bool { return a.KeyPassphrase == "" }),
		"names an encrypted key without its passphrase; name a file that holds it with --anchor-key-passphrase-file"},
	{"master_key_source", func(c *Config) bool { return c.byTransit() && (c.Transit.Address == "" || c.Transit.Key == "") },
		"is transit without saying which; name its address with --transit-address, and its key with --transit-key"},
	{"master_key_source", func(c *Config) bool { return c.byTransit() && c.Transit.RoleID == "" && c.Transit.TokenText == "" },
		"is transit without saying who asks; name a file with a token with --transit-token-file, or a role with --transit-role-id"},
	{"transit_role_id", func(c *Config) bool { return c.Transit.RoleID != "" && c.Transit.SecretIDText == "" },
		"names a role without its secret id; name a file that holds it with --transit-secret-id-file"},
	{"transit_role_id", func(c *Config) bool { return c.Transit.RoleID != "" && c.Transit.TokenText != "" },
		"names a role, and there is a token already; leave one of them out"},
	{"transit_address", func(c *Config) bool { return c.Transit.Address != "" && !c.byTransit() },
		"is for a master key that transit wraps; add --master-key transit, or leave this out"},
	{"transit_key", func(c *Config) bool { return c.Transit.Key != "" && !c.byTransit() },
		"is for a master key that transit wraps; add --master-key transit, or leave this out"},
	{"cache_fallback", func(c *Config) bool { return c.Limits.FallBack && c.Limits.Cache == "" },
		"is for a Redis, and requests are counted in memory anyway; leave it out, or name a file with the address with --cache-file"},
	{"anchor_contract", unused(func(a Anchor) bool { return a.Contract != "" }), needsChain},
	{"anchor_creator", unused(func(a Anchor) bool { return a.Creator != "" }), needsChain},
	{"anchor_rpc", unused(func(a Anchor) bool { return len(a.RPC) > 0 }), needsChain},
	{"anchor_key", unused(func(a Anchor) bool { return a.Key != "" }), needsChain},
}

// hasPort0 tells whether a free port will be taken.
func hasPort0(addr string) bool { return strings.HasSuffix(addr, ":0") }

func isSecret(key string) bool {
	s := setting(key)
	return s != nil && s.Kind == Secret
}

// layers returns the sources, the weakest first.
func (s Sources) layers() ([]layer, error) {
	defaults := layer{make(map[string]any), func(string) string { return "default" }}
	for _, s := range Settings {
		if s.Kind != Secret {
			defaults.values[s.Key] = s.Default
		}
	}
	environment, path, err := s.environment()
	if err != nil {
		return nil, err
	}
	layers := []layer{defaults}
	if s.File != "" {
		path = s.File
	}
	if path != "" {
		file, err := readTOML(path)
		if err != nil {
			return nil, err
		}
		layers = append(layers, file)
	}
	flags := layer{make(map[string]any), func(key string) string { return "--" + flagOf(key) }}
	for name, value := range s.Flags {
		i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Flag != "" && s.flagName() == name })
		if i < 0 {
			return nil, fmt.Errorf("--%s is no flag of a setting", name)
		}
		flags.values[Settings[i].valueKey()] = value
	}
	return append(layers, environment, flags), nil
}

// flagName is the flag as it is typed: a secret's names a file.
func (s *Setting) flagName() string {
	if s.Kind == Secret {
		return s.Flag + strings.ReplaceAll(fileSuffix, "_", "-")
	}
	return s.Flag
}

// valueKey is the key under which flag and file give the value.
func (s *Setting) valueKey() string {
	if s.Kind == Secret {
		return s.Key + fileSuffix
	}
	return s.Key
}

func flagOf(key string) string {
	for i := range Settings {
		if Settings[i].valueKey() == key {
			return Settings[i].flagName()
		}
	}
	return key
}

// environment reads the variables that the table knows; others with the prefix belong to the client. An
// empty one is as good as none.
func (s Sources) environment() (l layer, configFile string, err error) {
	known := make(map[string]string) // key by name
	for _, s := range Settings {
		known[s.Env()] = s.Key
		if s.Kind == Secret {
			known[s.Env()+strings.ToUpper(fileSuffix)] = s.Key + fileSuffix
		}
	}
	read := koanf.New(delimiter)
	provider := env.Provider(delimiter, env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return s.Environ },
		TransformFunc: func(name, value string) (string, any) {
			if name == EnvPrefix+"CONFIG" {
				configFile = value
			}
			if value == "" {
				return "", nil
			}
			return known[name], value
		},
	})
	if err := read.Load(provider, nil); err != nil {
		return layer{}, "", err
	}
	values := read.All()
	for _, s := range Settings {
		if s.Kind == Secret && values[s.Key] != nil && values[s.Key+fileSuffix] != nil {
			return layer{}, "", &Error{s.Env(), "and " + s.Env() + strings.ToUpper(fileSuffix) + " are both set; unset one of them"}
		}
	}
	return layer{values, func(key string) string { return EnvPrefix + strings.ToUpper(key) }}, configFile, nil
}

// readTOML reads the file, whose keys are those of the table and nothing else.
func readTOML(path string) (layer, error) {
	text, err := readBounded(path, maxFile)
	if err != nil {
		return layer{}, &Error{path, "cannot be read: " + err.Error()}
	}
	read := koanf.New(delimiter)
	if err := read.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
		return layer{}, &Error{path, "is not TOML: " + err.Error()}
	}
	l := layer{make(map[string]any), func(key string) string { return key + " in " + path }}
	for key, value := range read.All() {
		s := setting(key)
		if bare, ok := strings.CutSuffix(key, fileSuffix); ok && isSecret(bare) {
			s = setting(bare)
		} else if s != nil && s.Kind == Secret {
			return layer{}, &Error{l.name(key), "is a secret; put it into a file of its own and name that in " + key + fileSuffix}
		}
		if s == nil {
			return layer{}, &Error{l.name(key), "is not known; did you mean " + nearest(key) + "?"}
		}
		switch v := value.(type) {
		case string:
			l.values[key] = v
		case bool:
			l.values[key] = strconv.FormatBool(v)
		case int64:
			l.values[key] = strconv.FormatInt(v, 10)
		default:
			text, ok := texts(value)
			if !ok || s.Kind != List {
				return layer{}, &Error{l.name(key), "must be one text, number, true or false"}
			}
			l.values[key] = text
		}
	}
	return l, nil
}

// texts joins an array of texts.
func texts(value any) (string, bool) {
	items, ok := value.([]any)
	var all []string
	for _, item := range items {
		text, is := item.(string)
		ok = ok && is && !strings.Contains(text, ",")
		all = append(all, text)
	}
	return strings.Join(all, ","), ok
}

// check checks every value of a source, so that a complaint can name it.
func (l layer) check() error {
	for i := range Settings {
		s := &Settings[i]
		v, ok := l.values[s.Key].(string)
		if !ok || s.Kind == Secret {
			continue
		}
		if s.Kind == Yes && v != "true" && v != "false" {
			return &Error{l.name(s.Key), "must be true or false"}
		}
		if s.check == nil || l.name(s.Key) == "default" {
			continue
		}
		if err := s.check(v); err != nil {
			return &Error{l.name(s.Key), err.Error()}
		}
	}
	return nil
}

// readSecret reads the first line of a file, which must not be open to everybody on the machine. Windows keeps
// who may read a file elsewhere.
func readSecret(path string) (string, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return "", fmt.Errorf("names a file that everybody on this machine may use; run: chmod o= %s", path)
	}
	text, err := readBounded(path, maxSecretFile)
	if err != nil {
		return "", fmt.Errorf("names a file that cannot be read: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", errors.New("names a file whose first line is empty")
	}
	return line, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(bufio.NewReader(io.LimitReader(f, limit+1)))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return text, err
}

// nearest is the known key that takes the fewest changes of a letter.
func nearest(key string) string {
	best, least := "", -1
	for i := range Settings {
		known := Settings[i].valueKey()
		if d := distance(key, known); least < 0 || d < least {
			best, least = known, d
		}
	}
	return best
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
