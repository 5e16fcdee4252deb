package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// daemon is the real server, built once for all scripts.
type daemon struct {
	once sync.Once
	dir  string
	err  error
}

// path builds the server as releases are built, so that the build cache serves both.
func (d *daemon) path() (string, error) {
	d.once.Do(func() {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", d.dir+string(filepath.Separator), "stonevault/cmd/stonevaultd")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		d.err = cmd.Run()
	})
	return filepath.Join(d.dir, "stonevaultd"), d.err
}

// newServerCommand returns the command "server": it starts a server with its data in $WORK/data and the account ann,
// whose password is in $WORK/password, and puts its address into $SERVER. "server stop" ends it.
func newServerCommand(t *testing.T) func(*testscript.TestScript, bool, []string) {
	d := &daemon{dir: t.TempDir()}
	var mu sync.Mutex
	running := map[string]*exec.Cmd{}
	return func(ts *testscript.TestScript, neg bool, args []string) {
		work := ts.Getenv("WORK")
		if len(args) == 1 && args[0] == "stop" {
			mu.Lock()
			defer mu.Unlock()
			stop(running[work])
			delete(running, work)
			return
		}
		if neg || len(args) != 0 {
			ts.Fatalf("usage: server [stop]")
		}
		path, err := d.path()
		ts.Check(err)
		password := "correct horse battery staple 42\n"
		ts.Check(os.WriteFile(ts.MkAbs("password"), []byte(password), 0o600))
		create := exec.Command(path, "admin", "create", "Ann", "--password-stdin", "--data", ts.MkAbs("data"))
		create.Stdin = strings.NewReader(password)
		if out, err := create.CombinedOutput(); err != nil {
			ts.Fatalf("admin create: %v\n%s", err, out)
		}
		addr := ts.MkAbs("addr")
		log, err := os.Create(ts.MkAbs("server.log"))
		ts.Check(err)
		defer log.Close()
		serve := exec.Command(path, "serve", "--data", ts.MkAbs("data"), "--listen", "127.0.0.1:0", "--addr-file", addr)
		serve.Stdout, serve.Stderr = log, log
		ts.Check(serve.Start())
		mu.Lock()
		running[work] = serve
		mu.Unlock()
		ts.Defer(func() {
			mu.Lock()
			defer mu.Unlock()
			stop(running[work])
			delete(running, work)
		})
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if b, err := os.ReadFile(addr); err == nil && len(b) > 0 {
				ts.Setenv("SERVER", "http://"+strings.TrimSpace(string(b)))
				return
			}
			if time.Now().After(deadline) {
				b, _ := os.ReadFile(ts.MkAbs("server.log"))
				ts.Fatalf("the server does not start:\n%s", b)
			}
		}
	}
}

func stop(cmd *exec.Cmd) {
	if cmd != nil {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
}
