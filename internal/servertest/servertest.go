// Package servertest runs servers for tests that are programs of their own. Each listens on a free port of the loopback
// address and ends with its test. Only processes that were started here are ended.
package servertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	// patience is for a machine that does much else.
	patience = time.Minute
	// tries is for ports that others take between being found free and being used.
	tries = 5
)

// FreePort is one that nobody listens at.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Anywhere starts a server by start on a free port, and fails the test where that cannot be done.
func Anywhere(t testing.TB, start func(port int) error) {
	t.Helper()
	var err error
	for range tries {
		if err = start(FreePort(t)); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// Process is a server that runs.
type Process struct {
	cmd   *exec.Cmd
	by    os.Signal
	ended chan struct{} // closed when it has ended
}

// Start starts a server that ends with the test, at once by a signal, and waits until ready returns nil, which is given
// what the server has said so far. One that ends instead is an error with that.
func Start(t testing.TB, cmd *exec.Cmd, by os.Signal, ready func(said string) error) (*Process, error) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log")) // children that outlive the server do not hold it up
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: cmd, by: by, ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.Kill)
	for deadline := time.Now().Add(patience); ; {
		said, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		err = ready(string(said))
		if err == nil {
			return p, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("%s ended:\n%s", cmd.Path, said)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready after %v: %v\n%s", cmd.Path, patience, err, said)
		}
	}
}

// Kill ends the server at once.
func (p *Process) Kill() {
	p.cmd.Process.Signal(p.by)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// Signal sends the server a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }
