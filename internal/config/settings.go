// Package config is the server's settings: one table, from which come the flags, the environment's
// names, the keys of the TOML file, the checks and the reference page.
//
// A flag wins over the environment, the environment over the file, the file over the default. Invariants:
// what no row knows is refused, with the nearest name; no secret is a flag or a value in the file, and a
// shown secret is [redacted].
//
// It reads nothing but the settings: no key, no data directory.
package config

//go:generate go run ./reference

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// EnvPrefix begins every environment variable of the server.
const EnvPrefix = "STONEVAULT_"

// Kind is the type of a setting's value.
type Kind string

const (
	Text   Kind = "text"
	List   Kind = "list"      // texts, joined by commas; a flag may be repeated, and the file may have an array
	Yes    Kind = "yes or no" // true and false
	Secret Kind = "secret"    // given by the environment, or by a file whose path is the setting "<key>_file"
)

// Setting is a row of the table.
type Setting struct {
	Key     string // in the file; the environment's name is EnvPrefix and this in capitals
	Flag    string // empty where there is none; a Secret's names the file
	Default string
	Value   string // what stands for the value in help
	Doc     string // a sentence

	Kind  Kind
	check func(value string) error // nil accepts everything
	set   func(c *Config, value string)
	file  func(c *Config, path string) // of a Secret that is read again, the file that it came from
}

// Env is the environment's name for the setting.
func (s *Setting) Env() string { return EnvPrefix + strings.ToUpper(s.Key) }

// Config is the settings with their types.
type Config struct {
	Data          string
	Database      Address // of PostgreSQL; empty is SQLite in Data
	Objects       Objects
	Listen        string
	AddrFile      string
	MetricsListen string
	TLS           TLS
	Proxy         Proxy
	Suite         identity.Suite
	Compression   stone.Compression
	MasterKey     KeySource
	// MasterKeyText is the key itself, for KeyFromEnvironment.
	MasterKeyText SecretText
	// Passphrase is for KeyFromPassphrase; empty to ask on the terminal.
	Passphrase SecretText
	// NextKeyText and NextPassphrase are those that take their place.
	NextKeyText    SecretText
	NextPassphrase SecretText
	Transit        Transit // for KeyFromTransit
	Anchor         Anchor
	Limits         Limits
	Quantum        Quantum
	// WebhookPrivate lets webhooks reach this machine and its networks.
	WebhookPrivate bool
	Development    bool
	LogFormat      string
	LogLevel       string
}

// TLS says how the server proves who it is, and to whom. Without files and without Generate it speaks in clear.
type TLS struct {
	CertFile, KeyFile  string
	Generate           bool     // a certificate of the server's own
	Names              []string // that it is made for, beside those of Listen
	RequirePostQuantum bool
}

// On tells whether the server speaks TLS.
func (t TLS) On() bool { return t.CertFile != "" || t.Generate }

// Proxy says what stands in front of the server.
type Proxy struct {
	Trusted []netip.Prefix // whose word on clients' addresses is taken
	Header  string         // that carries it, canonical
	HasTLS  bool           // what comes from a trusted one was protected as far as there
}

// Objects says where sealed files are. Without an address that is Data.
type Objects struct {
	Address     Address
	Credentials string // a file; empty is the environment
}

// SecretText never shows itself.
type SecretText string

func (SecretText) String() string   { return "[redacted]" }
func (SecretText) GoString() string { return "[redacted]" }

// KeySource says where the master key comes from.
type KeySource struct {
	Kind KeySourceKind
	Path string // of KeyFromFile and KeyFromTransit; empty is beside the data directory
}

// KeySourceKind is a way to keep a master key.
type KeySourceKind string

const (
	KeyFromFile        KeySourceKind = "file"
	KeyFromPassphrase  KeySourceKind = "passphrase"
	KeyFromEnvironment KeySourceKind = "env"
	KeyFromTransit     KeySourceKind = "transit"
)

// Settings is the table.
var Settings = slices.Concat(settings, quantumSettings)

var settings = []Setting{
	{
		Key: "data", Flag: "data", Value: "DIR", Kind: Text,
		Doc: "The data directory. An empty one, or one that does not exist, is set up.",
		set: func(c *Config, v string) { c.Data = v },
	},
	{
		Key: "database", Flag: "database", Value: "URL", Kind: Text, check: optional(checkDatabase),
		Doc: "The PostgreSQL database that metadata is in, postgres://user@host/name; or file:PATH, for a file whose first line is the address, as one with a password must be. Without one it is SQLite, in the data directory.",
		set: func(c *Config, v string) { c.Database = Address(v) },
	},
	{
		Key: "objects", Flag: "objects", Value: "URL", Kind: Text, check: optional(checkObjects),
		Doc: "The bucket of an S3-compatible store that sealed files are in, s3://bucket/prefix?endpoint=https://host&region=name. Without one they are in the data directory.",
		set: func(c *Config, v string) { c.Objects.Address = Address(v) },
	},
	{
		Key: "s3_credentials", Flag: "s3-credentials", Value: "FILE", Kind: Text,
		Doc: "A file with the lines AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…, the credentials of that store. Without one they are taken from the environment.",
		set: func(c *Config, v string) { c.Objects.Credentials = v },
	},
	{
		Key: "listen", Flag: "listen", Value: "ADDR", Default: "127.0.0.1:8080", Kind: Text, check: checkListen,
		Doc: "Address and port to serve on; port 0 takes a free one. What other machines can reach needs TLS, or a proxy that has it.",
		set: func(c *Config, v string) { c.Listen = v },
	},
	{
		Key: "addr_file", Flag: "addr-file", Value: "FILE", Kind: Text,
		Doc: "A file to write the address to, once the server is ready; it is removed at the end.",
		set: func(c *Config, v string) { c.AddrFile = v },
	},
	{
		Key: "metrics_listen", Flag: "metrics-listen", Value: "ADDR", Kind: Text, check: optional(checkOwnMachine),
		Doc: "Address and port of this machine to serve Prometheus metrics on, in clear; none are served without it.",
		set: func(c *Config, v string) { c.MetricsListen = v },
	},
	{
		Key: "tls_cert", Flag: "tls-cert", Value: "FILE", Kind: Text,
		Doc: "A PEM file with the server's certificate and the ones above it; with one, the server speaks TLS 1.3 and nothing else. It is read again when it changes.",
		set: func(c *Config, v string) { c.TLS.CertFile = v },
	},
	{
		Key: "tls_key", Flag: "tls-key", Value: "FILE", Kind: Text,
		Doc: "The PEM file with the private key of tls_cert, which other people of the machine must not be able to read.",
		set: func(c *Config, v string) { c.TLS.KeyFile = v },
	},
	{
		Key: "tls_generate", Flag: "tls-generate", Default: "false", Kind: Yes,
		Doc: "Make a certificate, for trying things out. It is kept in DIR.tls.pem, beside the data, and without its key in DIR.tls.crt, for clients.",
		set: func(c *Config, v string) { c.TLS.Generate = v == "true" },
	},
	{
		Key: "tls_name", Flag: "tls-name", Value: "NAME", Kind: List, check: each(checkName),
		Doc: "Names and addresses that the made certificate is for, beside that of listen and those of this machine.",
		set: func(c *Config, v string) { c.TLS.Names = list(v) },
	},
	{
		Key: "require_pq", Flag: "require-pq", Default: "false", Kind: Yes,
		Doc: "Refuse clients that know no post-quantum key exchange, whose traffic could be kept and read later. It is preferred in any case.",
		set: func(c *Config, v string) { c.TLS.RequirePostQuantum = v == "true" },
	},
	{
		Key: "trusted_proxy", Flag: "trusted-proxy", Value: "CIDR", Kind: List, check: each(checkPrefix),
		Doc: "Addresses, or ranges of them such as 10.0.0.0/8, of proxies that stand in front of this server. Their word on who calls is taken, and nobody else's.",
		set: func(c *Config, v string) {
			for _, text := range list(v) {
				p, _ := prefix(text)
				c.Proxy.Trusted = append(c.Proxy.Trusted, p)
			}
		},
	},
	{
		Key: "proxy_header", Flag: "proxy-header", Value: "NAME", Default: "X-Forwarded-For", Kind: Text, check: oneOf("X-Forwarded-For", "Forwarded"),
		Doc: "The header in which trusted proxies say who calls: X-Forwarded-For or Forwarded (RFC 7239). The other one is not looked at, since a proxy that does not know it passes on what a client has made up.",
		set: func(c *Config, v string) { c.Proxy.Header = v },
	},
	{
		Key: "behind_proxy", Flag: "behind-proxy", Default: "false", Kind: Yes,
		Doc: "Serve in clear also beyond this machine, because the trusted proxies have TLS and the network up to here is protected. Whoever is neither a trusted proxy nor this machine is not let in.",
		set: func(c *Config, v string) { c.Proxy.HasTLS = v == "true" },
	},
	{
		Key: "suite", Flag: "suite", Value: "N", Default: "1", Kind: Text, check: checkSuite,
		Doc: "The cryptographic suite of a new vault: 1 (ML-KEM-1024 with P-384, ML-DSA-65) or 2 (CNSA 2.0: ML-KEM-1024, ML-DSA-87). An existing vault keeps its own.",
		set: func(c *Config, v string) { n, _ := strconv.Atoi(v); c.Suite = identity.Suite(n) },
	},
	{
		Key: "compress", Flag: "compress", Value: "HOW", Default: "auto", Kind: Text, check: checkCompression,
		Doc: "How files are compressed before they are sealed: auto, never, or a Zstandard level from 1 to 22.",
		set: func(c *Config, v string) { c.Compression, _ = compression(v) },
	},
	{
		Key: "master_key_source", Flag: "master-key", Value: "SOURCE", Default: "file", Kind: Text, check: checkKeySource,
		Doc: "Where the master key comes from: file (DIR.master.key, beside the data directory), file:PATH, passphrase, transit or transit:PATH (the same file, wrapped by a key of Vault's or OpenBao's transit engine), or env (with development alone).",
		set: func(c *Config, v string) { c.MasterKey, _ = keySource(v) },
	},
	{
		Key: "master_key", Kind: Secret,
		Doc: "The master key itself, for the source env.",
		set: func(c *Config, v string) { c.MasterKeyText = SecretText(v) },
	},
	{
		Key: "master_passphrase", Flag: "master-passphrase", Kind: Secret,
		Doc: "The passphrase, for the source passphrase: the first line of the file. Without one it is asked for on the terminal.",
		set: func(c *Config, v string) { c.Passphrase = SecretText(v) },
	},
	{
		Key: "transit_address", Flag: "transit-address", Value: "URL", Kind: Text, check: optional(checkTransitAddress),
		Doc: "The address of the Vault or OpenBao whose transit engine wraps the master key, such as https://vault.example:8200. Only one on this machine may do without TLS.",
		set: func(c *Config, v string) { c.Transit.Address = v },
	},
	{
		Key: "transit_mount", Flag: "transit-mount", Value: "PATH", Default: "transit", Kind: Text, check: checkTransitPath,
		Doc: "Where the transit engine is mounted there.",
		set: func(c *Config, v string) { c.Transit.Mount = v },
	},
	{
		Key: "transit_key", Flag: "transit-key", Value: "NAME", Kind: Text, check: optional(checkTransitPath),
		Doc: "The name of the key that wraps the master key, of type aes256-gcm96, chacha20-poly1305 or xchacha20-poly1305.",
		set: func(c *Config, v string) { c.Transit.Key = v },
	},
	{
		Key: "transit_namespace", Flag: "transit-namespace", Value: "PATH", Kind: Text, check: optional(checkTransitPath),
		Doc: "The namespace that the engine is in, where there are any.",
		set: func(c *Config, v string) { c.Transit.Namespace = v },
	},
	{
		Key: "transit_ca", Flag: "transit-ca", Value: "FILE", Kind: Text,
		Doc: "A PEM file with the authorities that vouch for the certificate there; without one, those of the system do.",
		set: func(c *Config, v string) { c.Transit.CAFile = v },
	},
	{
		Key: "transit_token", Flag: "transit-token", Kind: Secret,
		Doc:  "The token to ask with: the first line of the file, which is read again each time, so that an agent may renew it.",
		set:  func(c *Config, v string) { c.Transit.TokenText = SecretText(v) },
		file: func(c *Config, path string) { c.Transit.TokenFile = path },
	},
	{
		Key: "transit_role_id", Flag: "transit-role-id", Value: "ID", Kind: Text,
		Doc: "The role id to log in with by AppRole, instead of a token.",
		set: func(c *Config, v string) { c.Transit.RoleID = v },
	},
	{
		Key: "transit_secret_id", Flag: "transit-secret-id", Kind: Secret,
		Doc:  "The secret id of transit_role_id: the first line of the file, which is read again at each login.",
		set:  func(c *Config, v string) { c.Transit.SecretIDText = SecretText(v) },
		file: func(c *Config, path string) { c.Transit.SecretIDFile = path },
	},
	{
		Key: "master_key_cache", Flag: "master-key-cache", Value: "TIME", Default: "24h", Kind: Text, check: duration(time.Second),
		Doc: "How long the master key stays in memory while transit cannot be asked; then requests are answered with 503 until it can be. A refusal ends it at once.",
		set: func(c *Config, v string) { c.Transit.Cache = toDuration(v) },
	},
	{
		Key: "master_key_next", Kind: Secret,
		Doc: "The master key that takes the place of the other, for the source env, while stonevaultd rotate master is under way.",
		set: func(c *Config, v string) { c.NextKeyText = SecretText(v) },
	},
	{
		Key: "master_passphrase_next", Flag: "master-passphrase-next", Kind: Secret,
		Doc: "The passphrase that takes the place of the other, for stonevaultd rotate master: the first line of the file. Without one it is asked for on the terminal.",
		set: func(c *Config, v string) { c.NextPassphrase = SecretText(v) },
	},
	{
		Key: "anchor_chain", Flag: "anchor-chain", Value: "CHAIN", Kind: Text, check: optional(checkChain),
		Doc: "The EVM chain that heads of the audit log are anchored on: polygon, amoy (Polygon's test network), or a chain's number. Without one nothing is anchored.",
		set: func(c *Config, v string) { c.Anchor.Chain = v },
	},
	{
		Key: "anchor_contract", Flag: "anchor-contract", Value: "ADDRESS", Kind: Text, check: optional(checkAddress),
		Doc: "The address of the anchoring contract there, as stonevaultd anchor deploy prints it.",
		set: func(c *Config, v string) { c.Anchor.Contract = v },
	},
	{
		Key: "anchor_creator", Flag: "anchor-creator", Value: "ADDRESS", Kind: Text, check: optional(checkAddress),
		Doc: "The address that created the log of this vault in the contract, as stonevaultd anchor deploy prints it.",
		set: func(c *Config, v string) { c.Anchor.Creator = v },
	},
	{
		Key: "anchor_rpc", Flag: "anchor-rpc", Value: "URL", Kind: List, check: each(checkRPC),
		Doc: "RPC servers of the chain, two or more of different operators, whose answers are compared. An address that holds a key belongs into a file with one address a line, which file:PATH names here.",
		set: func(c *Config, v string) { c.Anchor.RPC = list(v) },
	},
	{
		Key: "anchor_quorum", Flag: "anchor-quorum", Value: "N", Default: "0", Kind: Text, check: wholeNumber(true, 1, 100),
		Doc: "How many of the RPC servers must answer, all the same; 0 is two, or one where there is one only.",
		set: func(c *Config, v string) { c.Anchor.Quorum = int(toInt(v)) },
	},
	{
		Key: "anchor_key", Flag: "anchor-key", Value: "FILE", Kind: Text,
		Doc: "The anchorer's key, which pays for anchors: an encrypted keystore file, as stonevaultd anchor newkey makes one. Use it for nothing else, and let it hold little.",
		set: func(c *Config, v string) { c.Anchor.Key = v },
	},
	{
		Key: "anchor_key_passphrase", Flag: "anchor-key-passphrase", Kind: Secret,
		Doc: "The passphrase of anchor_key: the first line of the file.",
		set: func(c *Config, v string) { c.Anchor.KeyPassphrase = SecretText(v) },
	},
	{
		Key: "anchor_interval", Flag: "anchor-interval", Value: "TIME", Default: "1h", Kind: Text, check: duration(time.Second),
		Doc: "How long after an anchor the next one is made, if two events or more have come since; such as 15m or 24h.",
		set: func(c *Config, v string) { c.Anchor.Interval = toDuration(v) },
	},
	{
		Key: "anchor_events", Flag: "anchor-events", Value: "N", Default: "0", Kind: Text, check: wholeNumber(true, 2, 1<<40),
		Doc: "As many new events make an anchor before the interval is over; 0 is never.",
		set: func(c *Config, v string) { c.Anchor.Events = toInt(v) },
	},
	{
		Key: "anchor_max_fee", Flag: "anchor-max-fee", Value: "GWEI", Default: "500", Kind: Text, check: wholeNumber(false, 1, 1_000_000),
		Doc: "The most that is paid for each unit of gas, in gwei; an anchor takes 50,000 to 80,000 units. While the chain asks for more, nothing is anchored.",
		set: func(c *Config, v string) { c.Anchor.MaxFee = toInt(v) },
	},
	{
		Key: "limit_sign_in", Flag: "limit-sign-in", Value: "N", Default: "60", Kind: Text, check: wholeNumber(true, 1, maxLimit),
		Doc: "The most sign-ins, and other requests that try a secret, that one address, and one person, may make in a minute. 0 is no limit.",
		set: func(c *Config, v string) { c.Limits.SignIn = toInt(v) },
	},
	{
		Key: "limit_read", Flag: "limit-read", Value: "N", Default: "30000", Kind: Text, check: wholeNumber(true, 1, maxLimit),
		Doc: "The most requests that look at something, such as a folder, that one address, and one person, may make in a minute. 0 is no limit.",
		set: func(c *Config, v string) { c.Limits.Read = toInt(v) },
	},
	{
		Key: "limit_write", Flag: "limit-write", Value: "N", Default: "30000", Kind: Text, check: wholeNumber(true, 1, maxLimit),
		Doc: "The most requests that change something, and carry no content, that one address, and one person, may make in a minute. 0 is no limit.",
		set: func(c *Config, v string) { c.Limits.Write = toInt(v) },
	},
	{
		Key: "limit_transfer", Flag: "limit-transfer", Value: "N", Default: "30000", Kind: Text, check: wholeNumber(true, 1, maxLimit),
		Doc: "The most uploads, pieces of uploads and downloads that one address, and one person, may begin in a minute. 0 is no limit.",
		set: func(c *Config, v string) { c.Limits.Transfer = toInt(v) },
	},
	{
		Key: "limit_quantum", Flag: "limit-quantum", Value: "N", Default: "60", Kind: Text, check: wholeNumber(true, 1, maxLimit),
		Doc: "The most simulated sessions for quantum keys, and experiments, that one address, and one person, may ask for in a minute. 0 is no limit.",
		set: func(c *Config, v string) { c.Limits.Quantum = toInt(v) },
	},
	{
		Key: "limit_qkd", Flag: "limit-qkd", Value: "N", Default: "6000", Kind: Text, check: wholeNumber(true, 1, maxLimit),
		Doc: "The most requests at qkd_listen that the programs of one person, or an address where they are of nobody, may make in a minute. 0 is no limit.",
		set: func(c *Config, v string) { c.Limits.QKD = toInt(v) },
	},
	{
		Key: "cache", Flag: "cache", Kind: Secret, check: checkCache,
		Doc: "Where requests are counted, as the first line of the file: memory, which is right for one server and the default, or the address of a Redis 7 or a Valkey: of one server, redis://[user:password@]host[:port][/database]; of sentinels and the name they know the primary by, redis+sentinel://[user:password@]host[:port][,host[:port]…]/primary[/database][?sentinel_password=…], where user and password are those of the servers; or of nodes of a cluster, redis+cluster://[user:password@]host[:port][,host[:port]…]. With rediss instead of redis it is TLS.",
		set: func(c *Config, v string) {
			if v != InMemory {
				c.Limits.Cache = SecretText(v)
			}
		},
	},
	{
		Key: "cache_fallback", Flag: "cache-fallback", Value: "HOW", Default: "refuse", Kind: Text, check: oneOf("refuse", InMemory),
		Doc: "What happens while the Redis of cache cannot be reached: refuse answers requests with 503; memory counts them in this server, from zero, so that limits are weaker.",
		set: func(c *Config, v string) { c.Limits.FallBack = v == InMemory },
	},
	{
		Key: "webhook_private", Flag: "webhook-private", Default: "false", Kind: Yes,
		Doc: "Let webhooks send to this machine and to private networks, whoever of the admins names an address there. Without it they reach public addresses alone.",
		set: func(c *Config, v string) { c.WebhookPrivate = v == "true" },
	},
	{
		Key: "development", Flag: "development", Default: "false", Kind: Yes,
		Doc: "Allow the master key in the environment, where other programs of the same user may read it. Never for real data.",
		set: func(c *Config, v string) { c.Development = v == "true" },
	},
	{
		Key: "log_format", Flag: "log-format", Value: "FORMAT", Default: "text", Kind: Text, check: oneOf("text", "json"),
		Doc: "The format of the log: text or json.",
		set: func(c *Config, v string) { c.LogFormat = v },
	},
	{
		Key: "log_level", Flag: "log-level", Value: "LEVEL", Default: "info", Kind: Text, check: oneOf("debug", "info", "warn", "error"),
		Doc: "The least that is logged: debug, info, warn or error.",
		set: func(c *Config, v string) { c.LogLevel = v },
	},
}

// setting finds a row by its key.
func setting(key string) *Setting {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		return nil
	}
	return &Settings[i]
}

func optional(check func(string) error) func(string) error {
	return func(v string) error {
		if v == "" {
			return nil
		}
		return check(v)
	}
}

func oneOf(values ...string) func(string) error {
	return func(v string) error {
		if slices.Contains(values, v) {
			return nil
		}
		last := len(values) - 1
		return fmt.Errorf("must be %s or %s", strings.Join(values[:last], ", "), values[last])
	}
}

// each checks the texts of a list.
func each(check func(string) error) func(string) error {
	return func(v string) error {
		for _, text := range list(v) {
			if err := check(text); err != nil {
				return err
			}
		}
		return nil
	}
}

// list divides a value of the kind List.
func list(v string) (texts []string) {
	for text := range strings.SplitSeq(v, ",") {
		if text = strings.TrimSpace(text); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

func checkListen(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return errors.New("must be an address and a port, such as 127.0.0.1:8080")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return errors.New("must end in a port from 0 to 65535, such as 127.0.0.1:8080")
	}
	if host == "" {
		return nil // every address
	}
	return checkName(host)
}

// checkOwnMachine accepts addresses that lead to this machine alone.
func checkOwnMachine(v string) error {
	if err := checkListen(v); err != nil {
		return err
	}
	if !OwnMachine(v) {
		_, port, _ := net.SplitHostPort(v)
		return fmt.Errorf("reaches other machines, and there is no TLS for it; use 127.0.0.1:%s", port)
	}
	return nil
}

// OwnMachine tells whether an address and port are this machine's alone.
func OwnMachine(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, parsed := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || parsed == nil && ip.Unmap().IsLoopback())
}

var hostName = regexp.MustCompile(`^(?i:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(?i:\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// IsName tells whether a text is a DNS name, in ASCII.
func IsName(v string) bool { return len(v) <= 253 && hostName.MatchString(v) }

// checkName accepts IP addresses and DNS names, the latter in ASCII.
func checkName(v string) error {
	if _, err := netip.ParseAddr(v); err == nil || IsName(v) {
		return nil
	}
	return fmt.Errorf("has %q, which is neither an address nor a name of a machine", v)
}

func checkPrefix(v string) error { _, err := prefix(v); return err }

// prefix reads a range of addresses, or one address. A range of everything trusts nobody in particular.
func prefix(v string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(v); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	switch {
	case err != nil:
		return p, fmt.Errorf("has %q, which is no address and no range such as 10.0.0.0/8", v)
	case p.Bits() == 0:
		return p, fmt.Errorf("has %q, which trusts every address there is; name those of the proxies", v)
	case p.Masked() != p:
		return p, fmt.Errorf("has %q, whose range begins at %s; write that", v, p.Masked())
	}
	return p, nil
}

func checkSuite(v string) error {
	if n, err := strconv.ParseUint(v, 10, 8); err == nil && identity.Suite(n).Valid() && strconv.FormatUint(n, 10) == v {
		return nil
	}
	return errors.New("must be 1 or 2")
}

func checkCompression(v string) error { _, err := compression(v); return err }

func compression(v string) (stone.Compression, error) {
	switch v {
	case "auto":
		return stone.Compression{}, nil
	case "never":
		return stone.Compression{Never: true}, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > stone.MaxCompressionLevel || strconv.Itoa(n) != v {
		return stone.Compression{}, fmt.Errorf("must be auto, never or a level from 1 to %d", stone.MaxCompressionLevel)
	}
	return stone.Compression{Level: n}, nil
}

func checkKeySource(v string) error { _, err := keySource(v); return err }

func keySource(v string) (KeySource, error) {
	kind, path, named := strings.Cut(v, ":")
	switch k := KeySourceKind(kind); {
	case (k == KeyFromFile || k == KeyFromTransit) && (!named || path != ""):
		if path != "" {
			path = filepath.Clean(path)
		}
		return KeySource{Kind: k, Path: path}, nil
	case (k == KeyFromPassphrase || k == KeyFromEnvironment) && !named:
		return KeySource{Kind: k}, nil
	}
	return KeySource{}, errors.New("must be file, file:PATH, passphrase, transit, transit:PATH or env")
}
