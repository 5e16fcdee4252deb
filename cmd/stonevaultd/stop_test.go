package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowPut begins a put whose body goes on when rest is written and closed. It returns once the server has
// begun to read.
func slowPut(t testing.TB, c *client, path string) (rest *io.PipeWriter, done <-chan reply) {
	t.Helper()
	body, rest := io.Pipe()
	result := make(chan reply, 1)
	go func() {
		r, err := c.do("PUT", contentPath(path), body, nil)
		if err != nil {
			r.body = []byte(err.Error())
		}
		result <- r
	}()
	// More than the connection can hold, so that the last of it has been read at the other end.
	if _, err := rest.Write(make([]byte, 16<<20)); err != nil {
		t.Fatal(err)
	}
	return rest, result
}

// TestDrain stops a server while an upload is under way: it finishes, and nothing new begins.
func TestDrain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT RUN: there are no signals here")
	}
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	p := start(t, data)
	ann := signIn(t, p.addr, "ann")
	rest, done := slowPut(t, ann, "/slow.bin")
	check(t, p.cmd.Process.Signal(syscall.SIGINT))
	waitFor(t, "the port to be closed", func() bool {
		other := &client{t: t, addr: p.addr, http: newHTTP(t)}
		_, err := other.do("GET", "/livez", nil, nil)
		return err != nil
	})
	if _, err := rest.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	check(t, rest.Close())
	r := <-done
	r.want(t, http.StatusCreated)
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	p = start(t, data)
	ann = signIn(t, p.addr, "ann")
	if r := ann.must(ann.get("/slow.bin")); len(r.body) != 16<<20+7 {
		t.Errorf("%d bytes were kept", len(r.body))
	}
}

// TestSecondSignal stops a server that waits for an upload at once.
func TestSecondSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT RUN: there are no signals here")
	}
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	p := start(t, data)
	rest, _ := slowPut(t, signIn(t, p.addr, "ann"), "/slow.bin")
	defer rest.Close()
	check(t, p.cmd.Process.Signal(syscall.SIGTERM))
	waitFor(t, "the server to stop", func() bool { return strings.Contains(p.stderr.String(), "stopping") })
	time.Sleep(50 * time.Millisecond)
	check(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if p.cmd.ProcessState.Success() {
		t.Error("it says that all went well")
	}
	p = start(t, data)
	ann := signIn(t, p.addr, "ann")
	ann.must(ann.get("/slow.bin")).want(t, http.StatusNotFound)
	checkObjects(t, data)
}

// TestNotReady looks at readiness while the server stops.
func TestNotReady(t *testing.T) {
	s := serveHere(t, filepath.Join(t.TempDir(), "data"))
	c := &client{t: t, addr: s.Addr(), http: newHTTP(t)}
	if r := c.must(c.do("GET", "/readyz", nil, nil)); r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	s.stopping.Store(true)
	r := c.must(c.do("GET", "/readyz", nil, nil))
	if r.status != http.StatusServiceUnavailable || r.problem() != "not-ready" {
		t.Errorf("status %d: %s", r.status, r.body)
	}
	c.must(c.do("GET", "/livez", nil, nil)).want(t, http.StatusOK)
}

// TestBrokenOff shows that a stop does not wait for a request beyond its time.
func TestBrokenOff(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	rest, done := slowPut(t, signIn(t, s.Addr(), "ann"), "/slow.bin")
	defer rest.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	check(t, s.Close(ctx))
	rest.Close()
	if r := <-done; r.status != 0 {
		t.Errorf("status %d: %s", r.status, r.body)
	}
	s = serveHere(t, data)
	checkObjects(t, data)
	ann := signIn(t, s.Addr(), "ann")
	ann.must(ann.get("/slow.bin")).want(t, http.StatusNotFound)
}

// TestReaderOfLogGone closes the pipe that the log goes to, as `| head` does.
func TestReaderOfLogGone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT RUN: pipes have no signal here")
	}
	data := filepath.Join(t.TempDir(), "data")
	makeVault(t, data)
	addrFile := filepath.Join(t.TempDir(), "addr")
	cmd := command(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--addr-file", addrFile)
	reader, writer, err := os.Pipe()
	check(t, err)
	cmd.Stdout, cmd.Stderr = writer, writer
	check(t, cmd.Start())
	check(t, writer.Close())
	check(t, reader.Close())
	p := &process{t: t, cmd: cmd, stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	go func() { defer close(p.ended); cmd.Wait() }()
	t.Cleanup(p.kill)
	p.await(addrFile)
	ann := signIn(t, p.addr, "ann")
	ann.must(ann.put("/letter.txt", []byte("Dear Bob"))).want(t, http.StatusCreated)
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestMetrics serves them on a port of their own, and nowhere else.
func TestMetrics(t *testing.T) {
	s := newServer(t, filepath.Join(t.TempDir(), "data"))
	s.Config.MetricsListen = "127.0.0.1:0"
	s.Config.AddrFile = filepath.Join(t.TempDir(), "addr")
	check(t, s.Run(t.Context()))
	defer func() {
		closeServer(t, s)
		if _, err := os.Stat(s.Config.AddrFile); !os.IsNotExist(err) {
			t.Errorf("the file with the address is left: %v", err)
		}
	}()
	c := &client{t: t, addr: s.Addr(), http: newHTTP(t)}
	if r := c.must(c.do("GET", "/metrics", nil, nil)); bytes.Contains(r.body, []byte("stonevault_http")) {
		t.Errorf("they are served among files: %.300s", r.body)
	}
	c.addr = s.listeners[1].Addr().String()
	r := c.must(c.do("GET", "/", nil, nil))
	r.want(t, http.StatusOK)
	if !bytes.Contains(r.body, []byte("stonevault_http_requests_total")) {
		t.Errorf("%.300s", r.body)
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
