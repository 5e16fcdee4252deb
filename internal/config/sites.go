package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/toml/v2"
)

// maxSites bounds how many sites a file may have.
const maxSites = 64

// Site is one end of a QKD link of real hardware: its key-management entity, and what this server is there.
type Site struct {
	Name       string // that people belong to
	URL        string
	SAE        string
	CertFile   string
	KeyFile    string
	CAFile     string
	ServerName string
	AllowTLS12 bool
	Timeout    time.Duration // 0 is the client's own
}

// siteKey is a key of a site in the file.
type siteKey struct {
	name     string
	optional bool
	set      func(s *Site, text string) error
}

func plainText(to func(*Site) *string) func(*Site, string) error {
	return func(s *Site, text string) error { *to(s) = text; return nil }
}

var siteKeys = []siteKey{
	{"name", false, plainText(func(s *Site) *string { return &s.Name })},
	{"url", false, plainText(func(s *Site) *string { return &s.URL })},
	{"sae", false, plainText(func(s *Site) *string { return &s.SAE })},
	{"certificate", false, plainText(func(s *Site) *string { return &s.CertFile })},
	{"key", false, plainText(func(s *Site) *string { return &s.KeyFile })},
	{"ca", false, plainText(func(s *Site) *string { return &s.CAFile })},
	{"server_name", true, plainText(func(s *Site) *string { return &s.ServerName })},
	{"allow_tls12", true, func(s *Site, text string) error {
		if text != "true" && text != "false" {
			return fmt.Errorf("must be true or false")
		}
		s.AllowTLS12 = text == "true"
		return nil
	}},
	{"timeout", true, func(s *Site, text string) error {
		s.Timeout = toDuration(text)
		return duration(time.Second)(text)
	}},
}

// ReadSites reads a TOML file with a table [[site]] for each site. Names of files in it are relative to its directory.
// Keys that it does not know it refuses.
func ReadSites(path string) ([]Site, error) {
	text, err := readBounded(path, maxFile)
	if err != nil {
		return nil, &Error{path, "cannot be read: " + err.Error()}
	}
	sites, err := parseSites(text)
	if err != nil {
		return nil, &Error{path, err.Error()}
	}
	for i := range sites {
		for _, file := range []*string{&sites[i].CertFile, &sites[i].KeyFile, &sites[i].CAFile} {
			if !filepath.IsAbs(*file) {
				*file = filepath.Join(filepath.Dir(path), *file)
			}
		}
	}
	return sites, nil
}

func parseSites(text []byte) (sites []Site, err error) {
	read, err := toml.Parser().Unmarshal(text)
	if err != nil {
		return nil, fmt.Errorf("is not TOML: %w", err)
	}
	for key := range read {
		if key != "site" {
			return nil, fmt.Errorf("has %q, which is no key there; each site is a table [[site]]", key)
		}
	}
	tables, ok := read["site"].([]any)
	if !ok || len(tables) == 0 || len(tables) > maxSites {
		return nil, fmt.Errorf("must have 1 to %d tables [[site]]", maxSites)
	}
	for i, table := range tables {
		s, err := readSite(table)
		if err == nil && slices.ContainsFunc(sites, func(other Site) bool { return other.Name == s.Name }) {
			err = fmt.Errorf("has the name %q, like one before it", s.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("has a site, the %d., that %w", i+1, err)
		}
		sites = append(sites, s)
	}
	return sites, nil
}

func readSite(table any) (s Site, err error) {
	values, ok := table.(map[string]any)
	if !ok {
		return s, fmt.Errorf("is no table")
	}
	for _, key := range siteKeys {
		value, there := values[key.name]
		text := ""
		switch v := value.(type) {
		case string:
			text = v
		case bool:
			text = fmt.Sprint(v)
		}
		switch {
		case !there && key.optional:
			continue
		case text == "":
			return s, fmt.Errorf("needs a text for %q", key.name)
		}
		if err := key.set(&s, text); err != nil {
			return s, fmt.Errorf("has %q, which %w", key.name, err)
		}
		delete(values, key.name)
	}
	if len(values) > 0 {
		unknown := slices.Sorted(maps.Keys(values))
		return s, fmt.Errorf("has %s, which is no key of a site", strings.Join(unknown, ", "))
	}
	return s, nil
}
