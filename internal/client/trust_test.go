package client

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/api"
)

// TestTrust asks a server whose certificate it has from itself, for example.com and 127.0.0.1.
func TestTrust(t *testing.T) {
	asked := new(atomic.Int64)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		json.NewEncoder(w).Encode(api.Vault{VaultID: "v"})
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	pin := fingerprintOf(server.Certificate())
	other := strings.Repeat("0", len(pin))
	otherName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for _, c := range []struct {
		name   string
		server string
		trust  Trust
		want   []string // of the error's text; none for success
		is     error
	}{
		{"the system's authorities", server.URL, Trust{}, []string{"nobody whom this machine knows vouches", "--ca-file FILE", "--tls-fingerprint " + pin}, ErrUntrusted},
		{"its own certificate", server.URL, Trust{CAFile: own}, nil, nil},
		{"its own certificate, by another name", otherName, Trust{CAFile: own}, []string{"its certificate is not for localhost", "--tls-fingerprint"}, ErrUntrusted},
		{"its fingerprint", server.URL, Trust{Fingerprint: pin}, nil, nil},
		{"its fingerprint, by another name", otherName, Trust{Fingerprint: pin}, nil, nil},
		{"another fingerprint", server.URL, Trust{Fingerprint: other}, []string{"has the fingerprint " + pin + " and not " + other, "somebody stands between"}, ErrOtherCertificate},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := asked.Load()
			client, err := New(Options{Server: c.server, Trust: c.trust, Secrets: new(memorySecrets), Now: time.Now, Patience: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Vault(t.Context())
			if len(c.want) == 0 {
				if err != nil || asked.Load() != before+1 {
					t.Errorf("%v", err)
				}
				return
			}
			if !errors.Is(err, c.is) || !errors.Is(err, ErrUntrusted) || !errors.Is(err, ErrUnreachable) || asked.Load() != before {
				t.Fatalf("%v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	for name, trust := range map[string]Trust{
		"both": {CAFile: own, Fingerprint: pin}, "no file": {CAFile: filepath.Join(dir, "nowhere")}, "no certificate": {CAFile: write("rubbish", []byte("rubbish"))},
	} {
		if _, err := New(Options{Server: server.URL, Trust: trust, Secrets: new(memorySecrets), Now: time.Now}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestExpired says that a certificate is over, or the clock wrong.
func TestExpired(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	secure, err := Trust{}.config(false)
	if err != nil {
		t.Fatal(err)
	}
	secure.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	secure.Time = func() time.Time { return server.Certificate().NotAfter.Add(time.Hour) }
	c := newClient(t, server.URL, new(memorySecrets))
	c.api.Client = &http.Client{Transport: transport(secure)}
	if _, err := c.Vault(t.Context()); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "does not hold at this machine's time") {
		t.Errorf("%v", err)
	}
	if secure.MinVersion != tls.VersionTLS13 {
		t.Error("TLS before 1.3 is spoken")
	}
}

func TestParseFingerprint(t *testing.T) {
	plain := strings.Repeat("0a", 32)
	for text, ok := range map[string]bool{
		plain: true, strings.ToUpper(plain): true, strings.TrimSuffix(strings.Repeat("0A:", 32), ":"): true, strings.Repeat("0a0a ", 16): true,
		"": false, plain[2:]: false, plain + "0a": false, strings.Repeat("0g", 32): false, "sha256:" + plain: false,
	} {
		if got, err := ParseFingerprint(text); (err == nil) != ok || ok && got != plain {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
