package config

import "time"

// Quantum says where other programs get quantum keys, by ETSI GS QKD 014. Without an address they get none.
type Quantum struct {
	Listen            string
	CertFile, KeyFile string        // of the key-management entity
	ClientCAFile      string        // authorities of the programs' certificates
	Field             string        // of a certificate that is the id of its SAE
	AllowTLS12        bool          // else TLS 1.3 alone
	Keep              time.Duration // how long a key waits for who shall fetch it; 0 is for ever
	SitesFile         string        // of real KMEs; see ReadSites
}

// On tells whether other programs get keys.
func (q Quantum) On() bool { return q.Listen != "" }

var quantumSettings = []Setting{
	{
		Key: "qkd_listen", Flag: "qkd-listen", Value: "ADDR", Kind: Text, check: optional(checkListen),
		Doc: "Address and port to hand out quantum keys on to other programs, by ETSI GS QKD 014 and mutual TLS. Without one no keys are handed out.",
		set: func(c *Config, v string) { c.Quantum.Listen = v },
	},
	{
		Key: "qkd_tls_cert", Flag: "qkd-tls-cert", Value: "FILE", Kind: Text,
		Doc: "A PEM file with the certificate to prove who this server is there, and the ones above it. It is read again when it changes.",
		set: func(c *Config, v string) { c.Quantum.CertFile = v },
	},
	{
		Key: "qkd_tls_key", Flag: "qkd-tls-key", Value: "FILE", Kind: Text,
		Doc: "The PEM file with the private key of qkd_tls_cert, which other people of the machine must not be able to read.",
		set: func(c *Config, v string) { c.Quantum.KeyFile = v },
	},
	{
		Key: "qkd_client_ca", Flag: "qkd-client-ca", Value: "FILE", Kind: Text,
		Doc: "A PEM file with the authorities whose certificates let a program in there. It should have no other use: whoever it vouches for can be whatever person the certificate names.",
		set: func(c *Config, v string) { c.Quantum.ClientCAFile = v },
	},
	{
		Key: "qkd_sae_field", Flag: "qkd-sae-field", Value: "FIELD", Default: "cn", Kind: Text, check: oneOf("cn", "uri", "dns"),
		Doc: "The field of a program's certificate that says for which person it gets keys, by the person's id: cn, the common name; uri or dns, the one such alternative name.",
		set: func(c *Config, v string) { c.Quantum.Field = v },
	},
	{
		Key: "qkd_allow_tls12", Flag: "qkd-allow-tls12", Default: "false", Kind: Yes,
		Doc: "Let programs in that speak TLS 1.2, as the standard allows. It has no post-quantum key exchange.",
		set: func(c *Config, v string) { c.Quantum.AllowTLS12 = v == "true" },
	},
	{
		Key: "qkd_keep", Flag: "qkd-keep", Value: "TIME", Default: "0s", Kind: Text, check: duration(0),
		Doc: "How long a quantum key that one end has got waits for the other, such as 720h; then it is destroyed. 0s is for ever.",
		set: func(c *Config, v string) { c.Quantum.Keep = toDuration(v) },
	},
	{
		Key: "qkd_sites", Flag: "qkd-sites", Value: "FILE", Kind: Text,
		Doc: "A TOML file with the sites of real QKD hardware, each a table [[site]] with name, url (https://host:port of the key-management entity), sae (what this server is called there), and the PEM files certificate, key and ca (the authorities of the entity); and perhaps server_name, allow_tls12 and timeout. Try it with: stonevaultd qkd sites.",
		set: func(c *Config, v string) { c.Quantum.SitesFile = v },
	},
}

const needsQuantum = "is for handing out quantum keys, which is off; say where with --qkd-listen, or leave this out"

// quantumContradictions are those of contradictions that are about quantum keys.
var quantumContradictions = []contradiction{
	{"qkd_listen", func(c *Config) bool { return c.Quantum.On() && (c.Quantum.CertFile == "" || c.Quantum.KeyFile == "") },
		"hands out keys, which needs a certificate; name its file and its key's with --qkd-tls-cert and --qkd-tls-key"},
	{"qkd_listen", func(c *Config) bool { return c.Quantum.On() && c.Quantum.ClientCAFile == "" },
		"hands out keys, and does not say to whom; name a file with the authorities of their certificates with --qkd-client-ca"},
	{"qkd_listen", func(c *Config) bool {
		return c.Quantum.On() && (c.Quantum.Listen == c.Listen || c.Quantum.Listen == c.MetricsListen) && !hasPort0(c.Quantum.Listen)
	}, "is an address that something else is served on; choose another port"},
	{"qkd_tls_cert", func(c *Config) bool { return !c.Quantum.On() && c.Quantum.CertFile != "" }, needsQuantum},
	{"qkd_tls_key", func(c *Config) bool { return !c.Quantum.On() && c.Quantum.KeyFile != "" }, needsQuantum},
	{"qkd_client_ca", func(c *Config) bool { return !c.Quantum.On() && c.Quantum.ClientCAFile != "" }, needsQuantum},
	{"qkd_sae_field", func(c *Config) bool { return !c.Quantum.On() && c.Quantum.Field != "cn" }, needsQuantum},
	{"qkd_allow_tls12", func(c *Config) bool { return !c.Quantum.On() && c.Quantum.AllowTLS12 }, needsQuantum},
}
