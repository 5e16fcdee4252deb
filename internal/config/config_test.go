package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"stonevault/identity"
	"stonevault/stone"
)

func write(t testing.TB, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	c, values, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Listen: "127.0.0.1:8080", Suite: identity.SuiteHybrid, MasterKey: KeySource{Kind: KeyFromFile}, LogFormat: "text", LogLevel: "info", Proxy: Proxy{Header: "X-Forwarded-For"},
		Transit: Transit{Mount: "transit", Cache: 24 * time.Hour},
		Anchor:  Anchor{Interval: time.Hour, MaxFee: 500}, Limits: Limits{SignIn: 60, Read: 30000, Write: 30000, Transfer: 30000, Quantum: 60, QKD: 6000}, Quantum: Quantum{Field: "cn"}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v", c)
	}
	if len(values) != len(Settings) {
		t.Errorf("%d values for %d settings", len(values), len(Settings))
	}
	for _, v := range values {
		if v.Origin != "default" || v.Text != v.Setting.Default {
			t.Errorf("%s = %q from %s", v.Setting.Key, v.Text, v.Origin)
		}
		if s := v.Setting; s.check != nil && s.Default != "" && s.check(s.Default) != nil {
			t.Errorf("the default of %s is refused by its own check", s.Key)
		}
	}
}

// TestOrder gives the same setting in every source: the strongest that has it wins.
func TestOrder(t *testing.T) {
	file := write(t, "listen = \"127.0.0.1:1\"\ndata = \"/file\"\nsuite = 2\ndevelopment = true\n")
	env := []string{"STONEVAULT_LISTEN=127.0.0.1:2", "STONEVAULT_DATA=/env", "STONEVAULT_HOME=/home", "STONEVAULT_LOG_LEVEL=", "OTHER=1"}
	c, values, err := Load(Sources{File: file, Environ: env, Flags: map[string]string{"listen": "127.0.0.1:3"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:3" || c.Data != "/env" || c.Suite != identity.SuiteCNSA || !c.Development || c.LogLevel != "info" {
		t.Errorf("%+v", c)
	}
	origins := map[string]string{
		"listen": "--listen", "data": "STONEVAULT_DATA", "suite": "suite in " + file, "development": "development in " + file, "log_level": "default",
	}
	for _, v := range values {
		if want, ok := origins[v.Setting.Key]; ok && v.Origin != want {
			t.Errorf("%s comes from %s", v.Setting.Key, v.Origin)
		}
	}
	c, _, err = Load(Sources{Environ: append(env, "STONEVAULT_CONFIG="+file)})
	if err != nil || c.Suite != identity.SuiteCNSA || c.Listen != "127.0.0.1:2" {
		t.Errorf("the file that the environment names: %+v, %v", c, err)
	}
}

func TestRefusals(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name  string
		file  string
		env   []string
		flags map[string]string
		want  []string
	}{
		{name: "a key that is not known", file: "lisen = \"x\"\n", want: []string{"lisen in ", "is not known; did you mean listen?"}},
		{name: "a table", file: "[log]\nformat = \"json\"\n", want: []string{"log.format in ", "did you mean log_format?"}},
		{name: "a flag's name in the file", file: "addr-file = \"x\"\n", want: []string{"did you mean addr_file?"}},
		{name: "a list", file: "listen = [\"a\", \"b\"]\n", want: []string{"listen in ", "must be one text, number, true or false"}},
		{name: "a date", file: "listen = 2026-01-01\n", want: []string{"must be one text"}},
		{name: "a fraction", file: "suite = 1.5\n", want: []string{"must be one text"}},
		{name: "no TOML", file: "listen\n", want: []string{"is not TOML"}},
		{name: "a key twice", file: "suite = 1\nsuite = 2\n", want: []string{"is not TOML"}},
		{name: "a secret in the file", file: "master_key = \"svmk1\"\n", want: []string{"is a secret", "master_key_file"}},
		{name: "a passphrase in the file", file: "master_passphrase = \"x\"\n", want: []string{"is a secret", "master_passphrase_file"}},
		{name: "a wrong value in the file", file: "suite = 3\n", want: []string{"suite in ", "must be 1 or 2"}},
		{name: "a wrong value that a flag hides", file: "suite = 3\n", flags: map[string]string{"suite": "1"}, want: []string{"suite in "}},
		{name: "a wrong value in the environment", env: []string{"STONEVAULT_SUITE=x"}, want: []string{"STONEVAULT_SUITE must be 1 or 2"}},
		{name: "a wrong yes", env: []string{"STONEVAULT_DEVELOPMENT=yes"}, want: []string{"STONEVAULT_DEVELOPMENT must be true or false"}},
		{name: "a secret in the environment", env: []string{"STONEVAULT_MASTER_KEY=svmk1AAAA"}, want: []string{"STONEVAULT_MASTER_KEY shows a secret", "--development", "STONEVAULT_MASTER_KEY_FILE"}},
		{name: "a secret twice", env: []string{"STONEVAULT_MASTER_KEY=a", "STONEVAULT_MASTER_KEY_FILE=b"}, want: []string{"are both set"}},
		{name: "a secret's file that is missing", flags: map[string]string{"master-passphrase-file": missing}, want: []string{"--master-passphrase-file names a file that cannot be read"}},
		{name: "a source for development", flags: map[string]string{"master-key": "env"}, want: []string{"--master-key takes the master key from the environment", "--development"}},
		{name: "an array with a comma in it", file: "tls_generate = true\ntls_name = [\"a,b\"]\n", want: []string{"tls_name in ", "must be one text"}},
		{name: "an array of numbers", file: "tls_name = [1]\n", want: []string{"must be one text"}},
		{name: "a certificate alone", flags: map[string]string{"tls-cert": "c"}, want: []string{"--tls-cert names a certificate without its private key", "--tls-key"}},
		{name: "a key alone", file: "tls_key = \"k\"\n", want: []string{"tls_key in ", "without its certificate", "--tls-cert"}},
		{name: "two certificates", flags: map[string]string{"tls-cert": "c", "tls-key": "k", "tls-generate": "true"}, want: []string{"--tls-generate makes a certificate, and there is one already"}},
		{name: "names for a certificate from a file", flags: map[string]string{"tls-cert": "c", "tls-key": "k", "tls-name": "a"}, want: []string{"--tls-name is for a certificate that the server makes"}},
		{name: "a demand on TLS without TLS", env: []string{"STONEVAULT_REQUIRE_PQ=true"}, want: []string{"STONEVAULT_REQUIRE_PQ asks something of TLS connections, and there are none"}},
		{name: "a proxy without an address", flags: map[string]string{"behind-proxy": "true", "listen": ":80"}, want: []string{"--behind-proxy says that a proxy has TLS, and not which one", "--trusted-proxy"}},
		{name: "a proxy in clear and a certificate", flags: map[string]string{"behind-proxy": "true", "trusted-proxy": "::1", "tls-generate": "true"}, want: []string{"--behind-proxy is for a server that speaks in clear"}},
		{name: "a header of nobody", flags: map[string]string{"proxy-header": "Forwarded"}, want: []string{"--proxy-header is a header that only a trusted proxy is believed in"}},
		{name: "other machines in clear", flags: map[string]string{"listen": "0.0.0.0:80"}, want: []string{"--listen reaches other machines, which needs TLS", "--tls-cert FILE --tls-key FILE", "--tls-generate", "--trusted-proxy ADDRESS --behind-proxy", "127.0.0.1"}},
		{name: "a name in clear", flags: map[string]string{"listen": "example.com:80"}, want: []string{"needs TLS"}},
		{name: "other machines and a proxy that was not vouched for", flags: map[string]string{"listen": ":80", "trusted-proxy": "10.0.0.0/8"}, want: []string{"needs TLS"}},
		{name: "metrics for other machines", flags: map[string]string{"metrics-listen": ":9090", "tls-generate": "true"}, want: []string{"--metrics-listen reaches other machines", "127.0.0.1:9090"}},
		{name: "metrics among files", flags: map[string]string{"metrics-listen": "127.0.0.1:8080"}, want: []string{"--metrics-listen is the address that files are served on"}},
		{name: "anchoring without a contract", file: "anchor_chain = \"polygon\"\n", want: []string{"anchor_chain in ", "not in which contract", "stonevaultd anchor deploy"}},
		{name: "anchoring without a creator", flags: anchoring("creator"), want: []string{"--anchor-chain says", "not who created the log", "--anchor-creator"}},
		{name: "anchoring without servers", flags: anchoring("rpc"), want: []string{"--anchor-chain says", "--anchor-rpc with two or more"}},
		{name: "anchoring without a key", flags: anchoring("key"), want: []string{"--anchor-chain says", "not with which key", "stonevaultd anchor newkey"}},
		{name: "a key without its passphrase", flags: anchoring(), want: []string{"--anchor-key names an encrypted key without its passphrase", "--anchor-key-passphrase-file"}},
		{name: "a contract of no chain", flags: map[string]string{"anchor-contract": anAddress}, want: []string{"--anchor-contract is for anchoring, which is off"}},
		{name: "a creator of no chain", env: []string{"STONEVAULT_ANCHOR_CREATOR=" + anAddress}, want: []string{"STONEVAULT_ANCHOR_CREATOR is for anchoring"}},
		{name: "servers of no chain", flags: map[string]string{"anchor-rpc": "https://a.example"}, want: []string{"--anchor-rpc is for anchoring"}},
		{name: "a key for no chain", flags: map[string]string{"anchor-key": "k"}, want: []string{"--anchor-key is for anchoring"}},
		{name: "the key's passphrase in the file", file: "anchor_key_passphrase = \"x\"\n", want: []string{"is a secret", "anchor_key_passphrase_file"}},
		{name: "transit without an address", flags: map[string]string{"master-key": "transit", "transit-key": "k"}, want: []string{"--master-key is transit without saying which", "--transit-address"}},
		{name: "transit without a key", flags: map[string]string{"master-key": "transit", "transit-address": "https://a.example"}, want: []string{"without saying which", "--transit-key"}},
		{name: "transit without a token", flags: map[string]string{"master-key": "transit", "transit-address": "https://a.example", "transit-key": "k"}, want: []string{"without saying who asks", "--transit-token-file", "--transit-role-id"}},
		{name: "a role without a secret id", flags: map[string]string{"master-key": "transit", "transit-address": "https://a.example", "transit-key": "k", "transit-role-id": "r"}, want: []string{"--transit-role-id names a role without its secret id", "--transit-secret-id-file"}},
		{name: "transit for another source", flags: map[string]string{"transit-address": "https://a.example"}, want: []string{"--transit-address is for a master key that transit wraps", "--master-key transit"}},
		{name: "transit's key for another source", file: "transit_key = \"k\"\n", want: []string{"transit_key in ", "--master-key transit"}},
		{name: "a token in the file", file: "transit_token = \"x\"\n", want: []string{"transit_token in ", "is a secret", "transit_token_file"}},
		{name: "a fallback from memory to memory", flags: map[string]string{"cache-fallback": "memory"}, want: []string{"--cache-fallback is for a Redis", "--cache-file"}},
		{name: "the address of Redis in the file", file: "cache = \"redis://u:p@h\"\n", want: []string{"cache in ", "is a secret", "cache_file"}},
		{name: "no address of Redis", env: []string{"STONEVAULT_DEVELOPMENT=true", "STONEVAULT_CACHE=yes"}, want: []string{"STONEVAULT_CACHE must be memory, or an address"}},
		{name: "a flag that is not known", flags: map[string]string{"no-such": "1"}, want: []string{"--no-such is no flag"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Sources{Environ: c.env, Flags: c.flags}
			if c.file != "" {
				s.File = write(t, c.file)
			}
			_, _, err := Load(s)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	var wrong *Error
	if _, _, err := Load(Sources{File: missing}); !errors.As(err, &wrong) || wrong.Origin != missing {
		t.Errorf("a file that is missing: %v", err)
	}
}

// TestValues goes through what each check accepts and refuses.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		key  string
		good []string
		bad  []string
	}{
		{"listen", []string{"127.0.0.1:0", "127.0.0.1:65535", "localhost:80", "[::1]:80", ":80", "0.0.0.0:80", "[::]:80", "192.168.1.1:80", "example.com:80"},
			[]string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http", "127.0.0.1:080", "a b:80", "-a:80", "a..b:80", "a_b:80", strings.Repeat("a", 64) + ":80"}},
		{"metrics_listen", []string{"", "127.0.0.1:0", "127.9.9.9:80", "localhost:80", "[::1]:80", "[::ffff:127.0.0.1]:80"},
			[]string{"0.0.0.0:80", ":80", "[::]:80", "192.168.1.1:80", "example.com:80", "localhost.example.com:80", "[::ffff:8.8.8.8]:80", "127.0.0.1"}},
		{"tls_name", []string{"", "vault.example.org", "10.0.0.1, ::1", "a,b,"}, []string{"a b", "vault.example.org.", "*.example.org", "10.0.0.0/8"}},
		{"trusted_proxy", []string{"", "10.0.0.0/8", "192.168.1.1", "::1,fd00::/8", "::ffff:10.0.0.1"},
			[]string{"0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example.org", "10.0.0.0/33", "fe80::1%eth0", "10.0.0.0/8;::1"}},
		{"proxy_header", []string{"X-Forwarded-For", "Forwarded"}, []string{"", "x-forwarded-for", "X-Real-IP"}},
		{"suite", []string{"1", "2"}, []string{"", "0", "3", "01", "+1", "1.0", "257", "one"}},
		{"compress", []string{"auto", "never", "1", "22"}, []string{"", "0", "23", "01", "always"}},
		{"master_key_source", []string{"file", "file:/k", "file:k", "passphrase", "env", "transit", "transit:/k"}, []string{"", "file:", "passphrase:x", "env:X", "vault", "/k", "transit:"}},
		{"transit_address", []string{"", "https://vault.example:8200", "http://127.0.0.1:8200"}, []string{"vault.example:8200", "https://", "/run/vault.sock", "ftp://a"}},
		{"transit_mount", []string{"transit", "team/transit", "a.b-c_1"}, []string{"", "a//b", "../sys", "a b", "a%2fb", "a?b"}},
		{"transit_key", []string{"", "stonevault"}, []string{"a b", ".."}},
		{"transit_namespace", []string{"", "ns1/ns2/", "root"}, []string{"a\nb", "é"}},
		{"master_key_cache", []string{"1s", "24h"}, []string{"", "0", "1d", "999ms"}},
		{"anchor_chain", []string{"", "polygon", "amoy", "1", "80002", "9007199254740991"}, []string{"0", "01", "-1", "Polygon", "mumbai", "0x89", "9007199254740992"}},
		{"anchor_contract", []string{"", anAddress, strings.ToLower(anAddress)}, []string{"0x", anAddress[2:], anAddress[:41], anAddress + "0", "0x" + strings.Repeat("g", 40)}},
		{"anchor_creator", []string{"", anAddress}, []string{"ann"}},
		{"anchor_rpc", []string{"", "https://a.example", "http://127.0.0.1:8545,https://a.example/v2/KEY", "file:/run/keys/rpc", "file:rpc"},
			[]string{"a.example", "https://", "ftp://a.example", "file:", "https://a.example,b", "/run/geth.ipc"}},
		{"anchor_quorum", []string{"0", "1", "3"}, []string{"", "-1", "01", "two", "101"}},
		{"anchor_interval", []string{"1s", "15m", "24h", "1h30m"}, []string{"", "0", "60", "1h 30m", "999ms", "-1h", "1d"}},
		{"anchor_events", []string{"0", "2", "1000"}, []string{"", "1", "-2", "1e3"}},
		{"anchor_max_fee", []string{"1", "500", "1000000"}, []string{"", "0", "-1", "1.5", "1000001"}},
		{"limit_sign_in", []string{"0", "1", "60000000"}, []string{"", "-1", "01", "many", "60000001"}},
		{"limit_read", []string{"0", "30000"}, []string{"-1"}},
		{"limit_write", []string{"0", "30000"}, []string{"-1"}},
		{"limit_transfer", []string{"0", "30000"}, []string{"-1"}},
		{"limit_quantum", []string{"0", "60"}, []string{"-1"}},
		{"limit_qkd", []string{"0", "6000"}, []string{"-1"}},
		{"cache", []string{"memory", "redis://127.0.0.1:6379/0", "rediss://u:p@redis.example", "redis+sentinel://u:p@a:26379,b/vault/0?sentinel_password=s", "rediss+sentinel://a/vault", "redis+cluster://a:1,[::1]:2", "rediss+cluster://u:p@a"}, []string{"redis+sentinel:///vault", "redis+cluster://u@", "redis+other://a", "redis+sentinel://u:p@,b/vault", "Memory", "127.0.0.1:6379", "http://redis.example", "redis://", "redis:///0", "valkey://a"}},
		{"cache_fallback", []string{"refuse", "memory"}, []string{"", "redis", "yes"}},
		{"qkd_listen", []string{"", "127.0.0.1:0", "0.0.0.0:8014"}, []string{"8014", "127.0.0.1"}},
		{"qkd_sae_field", []string{"cn", "uri", "dns"}, []string{"", "CN", "email"}},
		{"qkd_keep", []string{"0s", "0", "720h"}, []string{"", "-1h", "30d"}},
		{"log_format", []string{"text", "json"}, []string{"", "JSON"}},
		{"log_level", []string{"debug", "info", "warn", "error"}, []string{"", "INFO", "trace"}},
	} {
		s := setting(c.key)
		for _, v := range c.good {
			if err := s.check(v); err != nil {
				t.Errorf("%s %q: %v", c.key, v, err)
			}
		}
		for _, v := range c.bad {
			if err := s.check(v); err == nil {
				t.Errorf("%s %q is accepted", c.key, v)
			}
		}
	}
	var c Config
	for _, v := range []struct{ key, text string }{{"compress", "22"}, {"master_key_source", "file:a/../b"}} {
		setting(v.key).set(&c, v.text)
	}
	if c.Compression != (stone.Compression{Level: 22}) || c.MasterKey != (KeySource{Kind: KeyFromFile, Path: "b"}) {
		t.Errorf("%+v", c)
	}
}

// TestTogether goes through settings that need each other.
func TestTogether(t *testing.T) {
	for _, c := range []struct {
		name  string
		file  string
		flags map[string]string
		tls   bool
		want  Proxy
	}{
		{name: "a certificate", flags: map[string]string{"tls-cert": "c", "tls-key": "k", "listen": ":443", "require-pq": "true"}, tls: true, want: Proxy{Header: "X-Forwarded-For"}},
		{name: "a made one", file: "tls_generate = true\ntls_name = [\"a.example\", \"::1\"]\nlisten = \"0.0.0.0:443\"\n", tls: true, want: Proxy{Header: "X-Forwarded-For"}},
		{name: "a proxy with TLS", file: "trusted_proxy = [\"10.0.0.0/8\", \"::1\"]\nbehind_proxy = true\nlisten = \":80\"\nproxy_header = \"Forwarded\"\n",
			want: Proxy{[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}, "Forwarded", true}},
		{name: "a proxy on this machine", flags: map[string]string{"trusted-proxy": "127.0.0.1"},
			want: Proxy{[]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, "X-Forwarded-For", false}},
		{name: "a proxy and a certificate", flags: map[string]string{"trusted-proxy": "127.0.0.1", "tls-cert": "c", "tls-key": "k"}, tls: true,
			want: Proxy{[]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, "X-Forwarded-For", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Sources{Flags: c.flags}
			if c.file != "" {
				s.File = write(t, c.file)
			}
			got, _, err := Load(s)
			if err != nil {
				t.Fatal(err)
			}
			if got.TLS.On() != c.tls || !reflect.DeepEqual(got.Proxy, c.want) {
				t.Errorf("%+v", got)
			}
			if strings.Contains(c.file, "tls_name") && !slices.Equal(got.TLS.Names, []string{"a.example", "::1"}) {
				t.Errorf("%v", got.TLS.Names)
			}
		})
	}
	for _, x := range slices.Concat(contradictions, quantumContradictions) {
		if setting(x.key) == nil {
			t.Errorf("%s is no setting", x.key)
		}
	}
}

// TestQuantum goes through what handing out quantum keys needs, and what needs it.
func TestQuantum(t *testing.T) {
	all := map[string]string{"qkd-listen": "0.0.0.0:8014", "qkd-tls-cert": "c", "qkd-tls-key": "k", "qkd-client-ca": "a", "qkd-sae-field": "uri",
		"qkd-allow-tls12": "true", "qkd-keep": "720h", "qkd-sites": "s.toml"}
	c, _, err := Load(Sources{Flags: all})
	want := Quantum{Listen: "0.0.0.0:8014", CertFile: "c", KeyFile: "k", ClientCAFile: "a", Field: "uri", AllowTLS12: true, Keep: 720 * time.Hour, SitesFile: "s.toml"}
	if err != nil || c.Quantum != want || !c.Quantum.On() {
		t.Errorf("%+v, %v", c.Quantum, err)
	}
	if c, _, err := Load(Sources{}); err != nil || c.Quantum != (Quantum{Field: "cn"}) || c.Quantum.On() {
		t.Errorf("%+v, %v", c.Quantum, err)
	}
	for _, leftOut := range []string{"qkd-listen", "qkd-tls-cert", "qkd-tls-key", "qkd-client-ca"} {
		flags := maps.Clone(all)
		delete(flags, leftOut)
		if _, _, err := Load(Sources{Flags: flags}); err == nil {
			t.Errorf("without --%s", leftOut)
		}
	}
	for _, alone := range []string{"qkd-tls-cert", "qkd-tls-key", "qkd-client-ca", "qkd-sae-field", "qkd-allow-tls12"} {
		if _, _, err := Load(Sources{Flags: map[string]string{alone: all[alone]}}); err == nil || !strings.Contains(err.Error(), "--qkd-listen") {
			t.Errorf("--%s alone: %v", alone, err)
		}
	}
	all["qkd-listen"] = "127.0.0.1:8080"
	if _, _, err := Load(Sources{Flags: all}); err == nil || !strings.Contains(err.Error(), "another port") {
		t.Errorf("the address of the interface: %v", err)
	}
}

const anAddress = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

// anchoring are flags of everything that anchoring needs but a passphrase, and but what is left out.
func anchoring(leftOut ...string) map[string]string {
	flags := map[string]string{
		"anchor-chain": "amoy", "anchor-contract": anAddress, "anchor-creator": anAddress, "anchor-rpc": "https://a.example,file:more", "anchor-key": "k.json",
	}
	for _, name := range leftOut {
		delete(flags, "anchor-"+name)
	}
	return flags
}

func TestAnchoring(t *testing.T) {
	const word = "six random words are a passphrase"
	flags := anchoring()
	flags["anchor-key-passphrase-file"] = write(t, word+"\n")
	flags["anchor-interval"], flags["anchor-events"], flags["anchor-max-fee"], flags["anchor-quorum"] = "90m", "100", "30", "2"
	c, _, err := Load(Sources{Flags: flags})
	want := Anchor{Chain: "amoy", Contract: anAddress, Creator: anAddress, RPC: []string{"https://a.example", "file:more"}, Quorum: 2,
		Key: "k.json", KeyPassphrase: word, Interval: 90 * time.Minute, Events: 100, MaxFee: 30}
	if err != nil || !reflect.DeepEqual(c.Anchor, want) || !c.Anchor.On() {
		t.Errorf("%+v, %v", c.Anchor, err)
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, word) {
		t.Errorf("the passphrase shows: %s", text)
	}
	// What is wrong with an address of a server is said without it.
	flags["anchor-rpc"] = "https://a.example/KEY,ftp://b.example/KEY"
	if _, _, err := Load(Sources{Flags: flags}); err == nil || strings.Contains(err.Error(), "KEY") {
		t.Error(err)
	}
}

func TestSecrets(t *testing.T) {
	const word = "six random words are a passphrase"
	one, two := write(t, word+"\r\nsecond line\n"), write(t, "another passphrase altogether")
	c, values, err := Load(Sources{
		File: write(t, fmt.Sprintf("master_passphrase_file = %q\n", two)), Environ: []string{"STONEVAULT_MASTER_PASSPHRASE_FILE=" + one},
	})
	if err != nil || string(c.Passphrase) != word {
		t.Fatalf("%q, %v", string(c.Passphrase), err)
	}
	// A secret itself in a stronger source hides a file in a weaker one, and the other way round.
	c, _, err = Load(Sources{
		File:    write(t, fmt.Sprintf("master_key_file = %q\ndevelopment = true\n", two)),
		Environ: []string{"STONEVAULT_MASTER_KEY=from the environment", "STONEVAULT_MASTER_PASSPHRASE=too"},
		Flags:   map[string]string{"master-passphrase-file": one},
	})
	if err != nil || c.MasterKeyText != "from the environment" || string(c.Passphrase) != word {
		t.Fatalf("%q, %q, %v", string(c.MasterKeyText), string(c.Passphrase), err)
	}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%v", values)} {
		if strings.Contains(text, word) || strings.Contains(text, "from the environment") {
			t.Errorf("a secret shows: %s", text)
		}
	}
	if runtime.GOOS != "windows" {
		for mode, ok := range map[os.FileMode]bool{0o600: true, 0o440: true, 0o644: false, 0o602: false, 0o601: false} {
			if err := os.Chmod(two, mode); err != nil {
				t.Fatal(err)
			}
			_, _, err := Load(Sources{Flags: map[string]string{"master-passphrase-file": two}})
			if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "chmod o= "+two) {
				t.Errorf("a file of mode %o: %v", mode, err)
			}
		}
	}
	for _, text := range []string{"", "\nsecond line", strings.Repeat("x", maxSecretFile+1)} {
		if _, _, err := Load(Sources{Flags: map[string]string{"master-passphrase-file": write(t, text)}}); err == nil {
			t.Errorf("a file of %d bytes is accepted", len(text))
		}
	}
}

// TestCache: the address of a Redis is a secret, and what is wrong with it is said without it.
func TestCache(t *testing.T) {
	const address = "rediss://vault:hidden@redis.example:6380/1"
	c, values, err := Load(Sources{Flags: map[string]string{"cache-file": write(t, address+"\n"), "cache-fallback": "memory"}})
	if err != nil || string(c.Limits.Cache) != address || !c.Limits.FallBack {
		t.Fatalf("%+v, %v", c.Limits, err)
	}
	if text := fmt.Sprintf("%+v %#v %v", c, c, values); strings.Contains(text, "hidden") {
		t.Errorf("the password shows: %s", text)
	}
	if c, _, err := Load(Sources{Flags: map[string]string{"cache-file": write(t, "memory\n")}}); err != nil || c.Limits.Cache != "" {
		t.Errorf("%+v, %v", c.Limits, err)
	}
	wrong := write(t, "https://vault:hidden@redis.example\n")
	_, _, err = Load(Sources{Flags: map[string]string{"cache-file": wrong}})
	if err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "--cache-file names a file whose first line must be memory, or an address") {
		t.Errorf("a wrong address: %v", err)
	}
}

// TestTable demands what the rest of the package takes for granted of every row.
func TestTable(t *testing.T) {
	var keys, flags []string
	for i := range Settings {
		s := &Settings[i]
		keys = append(keys, s.Key)
		if s.Flag != "" {
			flags = append(flags, s.flagName())
		}
		if strings.Trim(s.Key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || s.set == nil || s.Doc == "" || !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("the row of %s is not whole", s.Key)
		}
		if (s.Kind == Text || s.Kind == List) && s.Flag != "" && s.Value == "" {
			t.Errorf("--%s does not name its value", s.Flag)
		}
	}
	for _, list := range [][]string{keys, flags} {
		slices.Sort(list)
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("something is there twice: %v", list)
		}
	}
}

func TestFlags(t *testing.T) {
	all := pflag.NewFlagSet("all", pflag.ContinueOnError)
	AddFlags(all)
	for i := range Settings {
		s := &Settings[i]
		if s.Flag != "" && all.Lookup(s.flagName()) == nil {
			t.Errorf("--%s is missing", s.flagName())
		}
	}
	if err := all.Parse([]string{"--data", "/d", "--development", "--config", "f", "--master-key=passphrase", "--tls-name", "a,b", "--tls-name=c"}); err != nil {
		t.Fatal(err)
	}
	s := FromFlags(all, []string{"A=b"})
	if s.File != "f" || len(s.Flags) != 4 || s.Flags["tls-name"] != "a,b,c" || s.Flags["data"] != "/d" || s.Flags["development"] != "true" || s.Flags["master-key"] != "passphrase" || len(s.Environ) != 1 {
		t.Errorf("%+v", s)
	}
	some := pflag.NewFlagSet("some", pflag.ContinueOnError)
	AddFlags(some, "data")
	if some.Lookup("data") == nil || some.Lookup("config") == nil || some.Lookup("listen") != nil {
		t.Error("other flags than those asked for")
	}
}

// TestReferencePage fails when the table has changed and the page has not.
func TestReferencePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Reference() {
		t.Error("docs/reference/configuration.md is not what the table says; run: go generate ./internal/config")
	}
	for i := range Settings {
		if s := &Settings[i]; !strings.Contains(string(page), "\n## "+s.valueKey()+"\n\n"+s.Doc+"\n") {
			t.Errorf("%s is not on the page", s.Key)
		}
	}
}

func TestNearest(t *testing.T) {
	for key, want := range map[string]string{"liste": "listen", "adr_file": "addr_file", "logformat": "log_format", "master_passphrase_fil": "master_passphrase_file", "dtaa": "data"} {
		if got := nearest(key); got != want {
			t.Errorf("%s: %s", key, got)
		}
	}
}

func FuzzTOML(f *testing.F) {
	f.Add("listen = \"127.0.0.1:1\"\n")
	f.Add("[a]\nb = [1, {c = 1}]\n")
	f.Add("master_key_file = \"/nowhere\"\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "settings")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := readTOML(path)
		if err != nil {
			return
		}
		for key, v := range l.values {
			if _, ok := v.(string); !ok || setting(strings.TrimSuffix(key, fileSuffix)) == nil && setting(key) == nil {
				t.Errorf("%q = %v", key, v)
			}
		}
	})
}

// TestTransitSecrets: the token and the secret id are read anew each time, and never shown.
func TestTransitSecrets(t *testing.T) {
	flags := map[string]string{"master-key": "transit", "transit-address": "https://a.example", "transit-key": "k", "transit-token-file": write(t, "first\n")}
	c, _, err := Load(Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(shown, "first") {
		t.Errorf("the token is shown: %s", shown)
	}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(c.Transit.TokenFile, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Transit.Token(); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.Remove(c.Transit.TokenFile); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transit.Token(); err == nil || !strings.Contains(err.Error(), c.Transit.TokenFile+" is a file that cannot be read") {
		t.Errorf("a token that is gone: %v", err)
	}
	delete(flags, "transit-token-file")
	flags["transit-role-id"], flags["transit-secret-id-file"] = "r", write(t, "secret\n")
	if c, _, err = Load(Sources{Flags: flags}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Transit.SecretID(); err != nil || got != "secret" || c.Transit.RoleID != "r" {
		t.Errorf("%q, %v", got, err)
	}
	flags["transit-token-file"] = write(t, "also\n")
	if _, _, err := Load(Sources{Flags: flags}); err == nil || !strings.Contains(err.Error(), "there is a token already") {
		t.Errorf("a role and a token: %v", err)
	}
	development := []string{"STONEVAULT_DEVELOPMENT=true", "STONEVAULT_TRANSIT_TOKEN=inline"}
	delete(flags, "transit-token-file")
	delete(flags, "transit-role-id")
	if c, _, err = Load(Sources{Flags: flags, Environ: development}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Transit.Token(); err != nil || got != "inline" {
		t.Errorf("%q, %v", got, err)
	}
}
