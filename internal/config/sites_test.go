package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const aSite = `[[site]]
name = "vienna"
url = "https://kme.vienna.example:8014"
sae = "vault-vienna"
certificate = "vienna.pem"
key = "/run/keys/vienna.key"
ca = "ca.pem"
`

func TestSites(t *testing.T) {
	path := write(t, aSite+`server_name = "kme-1"
allow_tls12 = true
timeout = "10s"
`+strings.ReplaceAll(aSite, "vienna", "graz"))
	dir := filepath.Dir(path)
	got, err := ReadSites(path)
	want := []Site{
		{"vienna", "https://kme.vienna.example:8014", "vault-vienna", filepath.Join(dir, "vienna.pem"), "/run/keys/vienna.key", filepath.Join(dir, "ca.pem"), "kme-1", true, 10 * time.Second},
		{"graz", "https://kme.graz.example:8014", "vault-graz", filepath.Join(dir, "graz.pem"), "/run/keys/graz.key", filepath.Join(dir, "ca.pem"), "", false, 0},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for what, text := range map[string]string{
		"nothing":             "",
		"no TOML":             "[[site",
		"no array":            strings.Replace(aSite, "[[site]]", "[site]", 1),
		"another table":       aSite + "[other]\n",
		"a name twice":        aSite + aSite,
		"a key that is none":  aSite + "sea = \"x\"\n",
		"a key that is empty": strings.Replace(aSite, `"vienna.pem"`, `""`, 1),
		"no URL":              strings.Replace(aSite, "url", "sae2", 1),
		"a number":            strings.Replace(aSite, `"ca.pem"`, "1", 1),
		"a table":             strings.Replace(aSite, `"ca.pem"`, "{}", 1),
		"a short time":        aSite + "timeout = \"1ms\"\n",
		"no time":             aSite + "timeout = 10\n",
		"no yes or no":        aSite + "allow_tls12 = \"maybe\"\n",
		"too many sites":      strings.Repeat(aSite, 65),
	} {
		if _, err := ReadSites(write(t, text)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := ReadSites(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there")
	}
}

func FuzzSites(f *testing.F) {
	for _, text := range []string{aSite, aSite + "timeout = \"10s\"\n", "[[site]]\n", "site = [1]", "[site]\n", "site = [{name = 1}]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sites, err := parseSites(text)
		if err != nil {
			return
		}
		for _, s := range sites {
			if s.Name == "" || s.URL == "" || s.SAE == "" || s.CertFile == "" || s.KeyFile == "" || s.CAFile == "" || s.Timeout < 0 {
				t.Errorf("%q: %+v", text, s)
			}
		}
	})
}
