package qkd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestKeyID(t *testing.T) {
	id, err := NewKeyID(bytes.NewReader(bytes.Repeat([]byte{0xff}, 16)))
	if err != nil || id.String() != "ffffffff-ffff-4fff-bfff-ffffffffffff" {
		t.Errorf("%s, %v", id, err)
	}
	if _, err := NewKeyID(bytes.NewReader(make([]byte, 15))); err == nil {
		t.Error("15 bytes made an id")
	}
	for text, want := range map[string]string{
		"bc490419-7d60-487f-adc1-4ddcc177c139":   "bc490419-7d60-487f-adc1-4ddcc177c139",
		"BC490419-7D60-487F-ADC1-4DDCC177C139":   "bc490419-7d60-487f-adc1-4ddcc177c139",
		"00000000-0000-0000-0000-000000000000":   "00000000-0000-0000-0000-000000000000",
		"":                                       "",
		"bc4904197d60487fadc14ddcc177c139":       "",
		"{bc490419-7d60-487f-adc1-4ddcc177c139}": "",
		"bc490419-7d60-487f-adc1-4ddcc177c13":    "",
		"bc490419-7d60-487f-adc1-4ddcc177c13g":   "",
		"bc490419-7d60-487f-adc1--4ddcc177c13":   "",
		"bc490419-7d60-487fa-dc1-4ddcc177c139":   "",
		"bc490419-7d60-487f-adc1-4ddcc177c1é":    "",
	} {
		id, err := ParseKeyID(text)
		if want == "" && !errors.Is(err, ErrKeyID) || want != "" && (err != nil || id.String() != want) {
			t.Errorf("%q: %s, %v", text, id, err)
		}
	}
}

func FuzzParseKeyID(f *testing.F) {
	f.Add("bc490419-7d60-487f-adc1-4ddcc177c139")
	f.Add("BC490419-7d60-487f-adc1-4ddcc177c13-")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseKeyID(text)
		if err == nil && id.String() != strings.ToLower(text) || err != nil && id != (KeyID{}) {
			t.Errorf("%q: %s, %v", text, id, err)
		}
	})
}

// TestKeyNeverShows prints a key in every way that a program might by mistake.
func TestKeyNeverShows(t *testing.T) {
	secret := []byte("it is a secret, and 32 bytes are")
	key := Key{Secret: secret}
	var all strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t"} {
		for _, v := range []any{key, &key, []Key{key}, struct{ K Key }{key}, map[string]Key{"k": key}} {
			fmt.Fprintf(&all, verb+"\n", v)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&all, nil), slog.NewJSONHandler(&all, nil)} {
		slog.New(handler).Info("delivered", "key", key, "keys", []Key{key}, "at", &key)
	}
	if _, err := json.Marshal(struct{ K Key }{key}); err == nil {
		t.Error("a key is written as JSON")
	}
	for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint(secret), fmt.Sprintf("%o", secret), "aXQgaXM"} {
		if strings.Contains(all.String(), form) {
			t.Errorf("the secret shows as %q", form)
		}
	}
	if !strings.Contains(all.String(), redacted) {
		t.Error("nothing was printed")
	}
}

func TestValidSAE(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "SAE_B": true, "urn:example:sae/7": true, "Zoë 2": true, strings.Repeat("x", MaxSAE): true, "...": true,
		"": false, ".": false, "..": false, " a": false, "a ": false, "a\nb": false, "a\x00": false, "\xff": false, "a\u202eb": false,
		strings.Repeat("x", MaxSAE+1): false, "a\tb": false, "a\u00a0b": false,
	} {
		if got := ValidSAE(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
