package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stonevault/internal/config"
	"stonevault/internal/vault"
)

const (
	testPassword = "correct horse battery staple"
	// builtVersion is the version of the binary; what Server makes in tests has another, so that a
	// start which changes no more than the version shows.
	builtVersion = "1.1.0-built"
	olderVersion = "1.0.0-made"
)

// binary is the real program, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "stonevaultd-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "stonevaultd")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version="+builtVersion, "-o", path, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	// What a person has set must not reach the tests.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, config.EnvPrefix) && name != "STONEVAULT_TORTURE" {
			os.Unsetenv(name)
		}
	}
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func torture() bool { return os.Getenv("STONEVAULT_TORTURE") == "1" }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command is the real program with arguments.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	check(t, err)
	return exec.Command(path, args...)
}

// result is how a run of the program ended.
type result struct {
	code           int
	stdout, stderr string
}

func run(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return finish(t, stdin, command(t, args...))
}

func finish(t testing.TB, stdin string, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// process is a running server of the real program.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	addr   string
	stdout *output
	stderr *output
	ended  chan struct{} // closed once Wait has returned
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }
func (o *output) String() string              { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

// start runs "serve" on a free port and waits until it answers.
func start(t testing.TB, data string, args ...string) *process {
	t.Helper()
	p, addrFile := launch(t, data, args...)
	p.await(addrFile)
	return p
}

// launch runs "serve" and does not wait for it. It returns where the address will be.
func launch(t testing.TB, data string, args ...string) (p *process, addrFile string) {
	t.Helper()
	addrFile = filepath.Join(t.TempDir(), "addr")
	p = &process{t: t, stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	p.cmd = command(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--addr-file", addrFile}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	check(t, p.cmd.Start())
	go func() { defer close(p.ended); p.cmd.Wait() }()
	t.Cleanup(p.kill)
	return p, addrFile
}

func (p *process) await(addrFile string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		if text, err := os.ReadFile(addrFile); err == nil {
			p.addr = strings.TrimSpace(string(text))
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("the server ended: %s", p.stderr)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the server did not start: %s", p.stderr)
		}
	}
}

// kill ends the process as a loss of power would, and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// stop asks the process to stop and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	check(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Fatalf("the server does not stop: %s", p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// settings are what "serve" reads from a command line.
func settings(t testing.TB, flags map[string]string) config.Config {
	t.Helper()
	c, _, err := config.Load(config.Sources{Flags: flags})
	check(t, err)
	return c
}

// newServer is the program in this process, not yet running.
func newServer(t testing.TB, data string) *Server {
	t.Helper()
	return &Server{
		Config: settings(t, map[string]string{"data": data, "listen": "127.0.0.1:0"}), Version: olderVersion,
		Ask: noTerminal, Stdout: io.Discard, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
}

func noTerminal(string) (string, error) { return "", fmt.Errorf("there is no terminal") }

// serveHere runs the program in this process until the test ends.
func serveHere(t testing.TB, data string) *Server {
	t.Helper()
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	t.Cleanup(func() { closeServer(t, s) })
	return s
}

func closeServer(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	check(t, s.Close(ctx))
}

// testHash is of testPassword, made once.
var testHash = sync.OnceValues(func() (string, error) { return hashPassword("ann", testPassword) })

// makePerson makes an account with testPassword.
func makePerson(t testing.TB, s *Server, name string) {
	t.Helper()
	hash, err := testHash()
	check(t, err)
	_, _, err = s.store.vault.CreatePerson(t.Context(), atMachine, name, vault.RoleUser, hash)
	check(t, err)
}

// makeVault sets up a data directory with the accounts "ann" and "bob", and stops.
func makeVault(t testing.TB, data string) {
	t.Helper()
	s := newServer(t, data)
	check(t, s.Run(t.Context()))
	makePerson(t, s, "ann")
	makePerson(t, s, "bob")
	closeServer(t, s)
}

// client calls the HTTP interface as one person.
type client struct {
	t      testing.TB
	addr   string
	scheme string // http where empty
	token  string
	http   *http.Client
}

// newHTTP has connections of its own.
func newHTTP(t testing.TB) *http.Client {
	h := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(h.CloseIdleConnections)
	return h
}

func signIn(t testing.TB, addr, name string) *client {
	t.Helper()
	c := &client{t: t, addr: addr, http: newHTTP(t)}
	c.signIn(name)
	return c
}

func (c *client) signIn(name string) {
	t := c.t
	t.Helper()
	body, err := json.Marshal(map[string]string{"name": name, "password": testPassword, "client": "test"})
	check(t, err)
	r, err := c.do("POST", "/api/v1/sessions", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}})
	check(t, err)
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	r.want(t, http.StatusCreated, http.StatusOK)
	check(t, json.Unmarshal(r.body, &grant))
	c.token = grant.AccessToken
}

// reply is a whole reply.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) want(t testing.TB, statuses ...int) {
	t.Helper()
	for _, s := range statuses {
		if r.status == s {
			return
		}
	}
	t.Fatalf("status %d, want %v: %.300s", r.status, statuses, r.body)
}

// problem is the kind of problem that a reply tells of, or empty.
func (r reply) problem() string {
	var p struct{ Type string }
	if json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, "/problems/")
}

// do makes a request and reads the whole reply. The error is that of the connection.
func (c *client) do(method, path string, body io.Reader, header http.Header) (reply, error) {
	res, err := c.send(method, path, body, header)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, content}, err
}

// send makes a request, whose reply the caller reads.
func (c *client) send(method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	r, err := http.NewRequest(method, cmp.Or(c.scheme, "http")+"://"+c.addr+path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(r)
}

// content is the path in the interface of a path in the vault.
func contentPath(path string) string { return "/api/v1/content" + (&url.URL{Path: path}).EscapedPath() }

func (c *client) put(path string, content []byte) (reply, error) {
	return c.do("PUT", contentPath(path), bytes.NewReader(content), nil)
}

func (c *client) get(path string) (reply, error) { return c.do("GET", contentPath(path), nil, nil) }

func (c *client) must(r reply, err error) reply {
	c.t.Helper()
	check(c.t, err)
	return r
}

// file is what the interface says of a file.
type file struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Path   string `json:"path"`
	FileID string `json:"file_id"`
}

func (c *client) lookup(path string) (file, reply, error) {
	var f file
	r, err := c.do("GET", "/api/v1/files/lookup?path="+url.QueryEscape(path), nil, nil)
	if err == nil && r.status == http.StatusOK {
		err = json.Unmarshal(r.body, &f)
	}
	return f, r, err
}

// list returns everything in a folder.
func (c *client) list(folder string) []file {
	c.t.Helper()
	return c.pages("/api/v1/files", url.Values{"folder": {folder}})
}

// pages returns every item of a list of files; of a folder that is not there, none.
func (c *client) pages(path string, q url.Values) []file {
	c.t.Helper()
	var all []file
	for q.Set("limit", "100"); ; {
		r := c.must(c.do("GET", path+"?"+q.Encode(), nil, nil))
		if r.status == http.StatusNotFound {
			return nil
		}
		r.want(c.t, http.StatusOK)
		var page struct {
			Items      []file `json:"items"`
			NextCursor string `json:"next_cursor"`
		}
		check(c.t, json.Unmarshal(r.body, &page))
		all = append(all, page.Items...)
		if page.NextCursor == "" {
			return all
		}
		q.Set("cursor", page.NextCursor)
	}
}

// fingerprint covers the names, rights and contents of everything below the paths.
func fingerprint(t testing.TB, paths ...string) string {
	t.Helper()
	h := sha256.New()
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if os.IsNotExist(err) && path == root {
				fmt.Fprintf(h, "%q is not there\n", path)
				return nil
			}
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			var content []byte
			if e.Type().IsRegular() {
				if content, err = os.ReadFile(path); err != nil {
					return err
				}
			}
			fmt.Fprintf(h, "%q %v %x\n", path, info.Mode(), sha256.Sum256(content))
			return nil
		})
		check(t, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
