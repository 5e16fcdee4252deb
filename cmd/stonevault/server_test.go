package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// binaries is the folder of what tests build.
var binaries string

// testMain gives the tests that folder.
type testMain struct{ *testing.M }

func (m testMain) Run() int {
	var err error
	if binaries, err = os.MkdirTemp("", "stonevault.test"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(binaries)
	return m.M.Run()
}

// daemonPath builds the real server once, as releases are built, so that the build cache serves both.
var daemonPath = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binaries+string(filepath.Separator), "stonevault/cmd/stonevaultd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return filepath.Join(binaries, "stonevaultd"), cmd.Run()
})

const testPassword = "correct horse battery staple 42\n"

// vaultServer is a server with its data in a folder and the account ann, whose password is in the file "password"
// there. It keeps its address when it is started again.
type vaultServer struct {
	dir   string
	addr  string
	flags []string // more of them, for serve
	cmd   *exec.Cmd
}

func newVaultServer(dir string, flags ...string) (*vaultServer, error) {
	path, err := daemonPath()
	if err != nil {
		return nil, err
	}
	s := &vaultServer{dir: dir, addr: "127.0.0.1:0", flags: flags}
	if err := os.WriteFile(s.at("password"), []byte(testPassword), 0o600); err != nil {
		return nil, err
	}
	create := exec.Command(path, "admin", "create", "Ann", "--password-stdin", "--data", s.at("data"))
	create.Stdin = strings.NewReader(testPassword)
	if out, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("admin create: %w\n%s", err, out)
	}
	return s, s.start()
}

func (s *vaultServer) at(name string) string { return filepath.Join(s.dir, name) }

// start returns when the server takes requests.
func (s *vaultServer) start() error {
	path, err := daemonPath()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.at("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	os.Remove(s.at("addr"))
	s.cmd = exec.Command(path, "serve", "--data", s.at("data"), "--listen", s.addr, "--addr-file", s.at("addr"))
	s.cmd.Args = append(s.cmd.Args, s.flags...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(s.at("addr")); err == nil && len(b) > 0 {
			s.addr = strings.TrimSpace(string(b))
			return nil
		}
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(s.at("server.log"))
			return fmt.Errorf("the server does not start:\n%s", b)
		}
	}
}

// end sends a signal and waits for the server to end.
func (s *vaultServer) end(signal os.Signal) {
	if s.cmd != nil {
		s.cmd.Process.Signal(signal)
		s.cmd.Wait()
		s.cmd = nil
	}
}

// newServerCommand returns the command "server": it starts a server in $WORK, with the flags that it is given, and
// puts its address into $SERVER. "server stop" ends it, and "server start" starts it again, with other flags if there
// are any.
func newServerCommand() func(*testscript.TestScript, bool, []string) {
	var mu sync.Mutex
	running := map[string]*vaultServer{}
	return func(ts *testscript.TestScript, neg bool, args []string) {
		work := ts.Getenv("WORK")
		mu.Lock()
		s := running[work]
		mu.Unlock()
		switch {
		case neg || s != nil && (len(args) == 0 || args[0] != "start" && len(args) > 1):
			ts.Fatalf("usage: server [FLAG…], and then server stop or server start [FLAG…]")
		case s == nil:
			var err error
			s, err = newVaultServer(work, args...)
			if s != nil {
				ts.Defer(func() { s.end(syscall.SIGTERM) })
			}
			ts.Check(err)
			mu.Lock()
			running[work] = s
			mu.Unlock()
			ts.Setenv("SERVER", "http://"+s.addr)
			if slices.Contains(args, "--tls-generate") {
				ts.Setenv("SERVER", "https://"+s.addr)
			}
		case args[0] == "stop":
			s.end(syscall.SIGTERM)
		default:
			if len(args) > 1 {
				s.flags = args[1:]
			}
			ts.Check(s.start())
		}
	}
}
