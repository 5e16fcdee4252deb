// Package s3test starts an S3 server for tests: versitygw, which keeps objects in a directory. It is the program that
// STONEVAULT_TEST_VERSITYGW names or else the one that make has put into .cache/tools. A missing program fails the
// test.
//
// A server ends with its test. It listens on a free port of the loopback address, and its directory is the test's own,
// below STONEVAULT_TEST_S3_DIR where that is set. Only processes that were started here are ended.
package s3test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stonevault/internal/vectors"
)

const (
	// Version is that of versitygw.
	Version = "v1.8.0"
	// Bucket is there from the start, and AccessKey and SecretKey open it.
	Bucket    = "stones"
	AccessKey = "test-access"
	SecretKey = "test-secret-that-nobody-sees"

	// startTimeout is for a machine that does much else.
	startTimeout = 30 * time.Second
	// startTries is for ports that others take between being found free and being used.
	startTries = 5
)

// Server is an S3 server.
type Server struct {
	program string
	dir     string
	port    int

	process *exec.Cmd
	said    *bytes.Buffer // read when ended is closed
	ended   chan struct{} // closed when the process has ended
}

// Start starts a server with an empty bucket.
func Start(t testing.TB) *Server {
	t.Helper()
	program := os.Getenv("STONEVAULT_TEST_VERSITYGW")
	if program == "" {
		program = filepath.Join(vectors.Root(t), ".cache", "tools", "versitygw-"+Version)
	}
	program, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("There is no versitygw, which this test starts. Run make .cache/tools/versitygw-%s, or set STONEVAULT_TEST_VERSITYGW. (%v)", Version, err)
	}
	s := &Server{program: program, dir: directory(t)}
	if err := os.Mkdir(filepath.Join(s.dir, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	for range startTries {
		s.port = freePort(t)
		if s.start(t) {
			return s
		}
	}
	t.Fatalf("%s ended:\n%s", program, s.said)
	return nil
}

func directory(t testing.TB) string {
	parent := os.Getenv("STONEVAULT_TEST_S3_DIR")
	if parent == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "stonevault-s3-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start tells whether the server is ready. One that ended instead has said why.
func (s *Server) start(t testing.TB) bool {
	t.Helper()
	process, ended := exec.Command(s.program, "--port", s.Host(), "--health", "/health", "--keep-alive", "--quiet", "posix", s.dir), make(chan struct{})
	process.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+AccessKey, "ROOT_SECRET_ACCESS_KEY="+SecretKey)
	s.said = new(bytes.Buffer)
	process.Stdout, process.Stderr = s.said, s.said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	s.process, s.ended = process, ended
	go func() {
		defer close(ended)
		process.Wait()
	}()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
		reply, err := client.Get("http://" + s.Host() + "/health")
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return true
			}
		}
	}
	t.Fatalf("%s is not ready after %v", s.program, startTimeout)
	return false
}

// Host is where the server listens.
func (s *Server) Host() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Address is what clients are told: the bucket, and a prefix in it or "".
func (s *Server) Address(prefix string) string { return address(prefix, s.Host()) }

func address(prefix, host string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=http://%s&path_style=true", Bucket, prefix, host)
}

// Kill ends the server at once. What it has stays.
func (s *Server) Kill() {
	if s.ended != nil {
		s.process.Process.Kill()
		<-s.ended
	}
}

// Again starts a killed server on the same port, with what it had.
func (s *Server) Again(t testing.TB) {
	t.Helper()
	if !s.start(t) {
		t.Fatalf("%s ended:\n%s", s.program, s.said)
	}
}
