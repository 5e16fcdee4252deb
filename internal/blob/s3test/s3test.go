// Package s3test starts an S3 server for tests: versitygw, which keeps objects in a directory. It is the program that
// STONEVAULT_TEST_VERSITYGW names or else the one that make has put into .cache/tools. A missing program fails the
// test.
//
// Its directory is the test's own, below STONEVAULT_TEST_S3_DIR where that is set.
package s3test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stonevault/internal/servertest"
	"stonevault/internal/vectors"
)

const (
	// Version is that of versitygw.
	Version = "v1.8.0"
	// Bucket is there from the start, and AccessKey and SecretKey open it.
	Bucket    = "stones"
	AccessKey = "test-access"
	SecretKey = "test-secret-that-nobody-sees"
)

// Server is an S3 server.
type Server struct {
	program string
	dir     string
	port    int
	process *servertest.Process
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
	servertest.Anywhere(t, func(port int) error {
		s.port = port
		return s.start(t)
	})
	return s
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

func (s *Server) start(t testing.TB) (err error) {
	t.Helper()
	cmd := exec.Command(s.program, "--port", s.Host(), "--health", "/health", "--keep-alive", "--quiet", "posix", s.dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+AccessKey, "ROOT_SECRET_ACCESS_KEY="+SecretKey)
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	s.process, err = servertest.Start(t, cmd, os.Kill, func(string) error {
		reply, err := client.Get("http://" + s.Host() + "/health")
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode != http.StatusOK {
				err = errors.New(reply.Status)
			}
		}
		return err
	})
	return err
}

// Host is where the server listens.
func (s *Server) Host() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Address is what clients are told: the bucket, and a prefix in it or "".
func (s *Server) Address(prefix string) string { return address(prefix, s.Host()) }

func address(prefix, host string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=http://%s&path_style=true", Bucket, prefix, host)
}

// Folder is where the server keeps the bucket's objects, as files.
func (s *Server) Folder() string { return filepath.Join(s.dir, Bucket) }

// Kill ends the server at once. What it has stays.
func (s *Server) Kill() { s.process.Kill() }

// Again starts a killed server on the same port, with what it had.
func (s *Server) Again(t testing.TB) {
	t.Helper()
	if err := s.start(t); err != nil {
		t.Fatal(err)
	}
}
