package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNotify listens to what systemd would be told: when the server is ready, and when it stops.
func TestNotify(t *testing.T) {
	dir, err := os.MkdirTemp("", "n") // a socket's path is short
	check(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	check(t, err)
	defer l.Close()
	hear := func() string {
		t.Helper()
		check(t, l.SetReadDeadline(time.Now().Add(time.Minute)))
		b := make([]byte, 100)
		n, err := l.Read(b)
		check(t, err)
		return string(b[:n])
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	p, addrFile := launch(t, filepath.Join(t.TempDir(), "data"))
	if got := hear(); got != "READY=1" {
		t.Errorf("%q", got)
	}
	p.await(addrFile)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	if got := hear(); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}

	// A socket that is gone is said, and stops nothing.
	t.Setenv("NOTIFY_SOCKET", socket+"-gone")
	p = start(t, filepath.Join(t.TempDir(), "data"))
	waitFor(t, "the log", func() bool { return strings.Contains(p.stderr.String(), "systemd cannot be told READY=1") })
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// TestUnit has systemd check the unit, and the program the settings beside it.
func TestUnit(t *testing.T) {
	r := run(t, "", "config", "check", "--config", "../../packaging/stonevaultd.toml")
	if r.code != 0 {
		t.Errorf("%+v", r)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("NOT RUN: there is no systemd-analyze; install the package systemd")
	}
	path, err := binary()
	check(t, err)
	unit, err := os.ReadFile("../../packaging/stonevaultd.service")
	check(t, err)
	const installed = "/usr/local/bin/stonevaultd"
	if !strings.Contains(string(unit), "ExecStart="+installed+" serve ") {
		t.Fatal("the unit does not run the server")
	}
	copied := filepath.Join(t.TempDir(), "stonevaultd.service")
	write(t, copied, strings.ReplaceAll(string(unit), installed, path))
	if out, err := exec.Command(analyze, "verify", copied).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	// In tenths of ten; what is left is the network.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", "--no-pager", copied).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestKeyCreate makes a key that the server then uses, and never replaces one.
func TestKeyCreate(t *testing.T) {
	dir := t.TempDir()
	key, data := filepath.Join(dir, "key"), filepath.Join(dir, "data")
	if r := run(t, "", "key", "create", key); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "A master key is in "+key) {
		t.Fatalf("%+v", r)
	}
	before := fingerprint(t, key)
	if r := run(t, "", "key", "create", key); r.code != 1 || !strings.Contains(r.stderr, "choose another name") || fingerprint(t, key) != before {
		t.Errorf("%+v", r)
	}
	p := start(t, data, "--master-key", "file:"+key)
	if code := p.stop(); code != 0 || fingerprint(t, key) != before {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	for _, args := range [][]string{{"key"}, {"key", "remove"}, {"key", "create"}, {"key", "create", filepath.Join(dir, "no", "where")}} {
		if r := run(t, "", args...); r.code != 1 || r.stderr == "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
