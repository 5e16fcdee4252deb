// Package redistest starts Redis for tests: Debian's redis-server, or what STONEVAULT_TEST_REDIS names, such as
// valkey-server. A missing program fails the test.
//
// A server keeps nothing, and its directory is the test's own.
package redistest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stonevault/internal/servertest"
)

// commandTimeout is for a machine that does much else.
const commandTimeout = 30 * time.Second

// Server is a Redis.
type Server struct {
	program  string
	dir      string
	port     int
	args     []string
	password string // which Command needs
	process  *servertest.Process
}

// Start starts a server; args are further ones of redis-server.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	name := "redis-server"
	if own := os.Getenv("STONEVAULT_TEST_REDIS"); own != "" {
		name = own
	}
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("There is no %s, which this test starts. Run scripts/install-test-packages, or apt-get install redis-server. (%v)", name, err)
	}
	s := &Server{program: program, dir: t.TempDir(), args: args}
	servertest.Anywhere(t, func(port int) error {
		s.port = port
		return s.start(t)
	})
	return s
}

// StartTLS starts a server that speaks TLS at TLSAddress, and plainly at Address. Its certificate is its own authority.
func StartTLS(t testing.TB, args ...string) (*Server, *x509.CertPool) {
	t.Helper()
	certificate, authority := newCertificate(t)
	all := []string{"--tls-port", strconv.Itoa(servertest.FreePort(t))}
	for _, setting := range certificate {
		all = append(all, "--"+setting[0], setting[1])
	}
	return Start(t, append(all, args...)...), authority
}

// newCertificate makes a certificate for 127.0.0.1. It returns the settings of a server that has it, and itself as what
// clients trust.
func newCertificate(t testing.TB) (settings [][2]string, authority *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: certificate}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	authority = x509.NewCertPool()
	authority.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	return [][2]string{
		{"tls-cert-file", filepath.Join(dir, "cert.pem")}, {"tls-key-file", filepath.Join(dir, "key.pem")},
		{"tls-ca-cert-file", filepath.Join(dir, "cert.pem")}, {"tls-auth-clients", "no"},
	}, authority
}

func (s *Server) start(t testing.TB) (err error) {
	t.Helper()
	cmd := exec.Command(s.program, append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no",
	}, s.args...)...)
	s.process, err = servertest.Start(t, cmd, os.Kill, func(said string) error {
		if !strings.Contains(said, "Ready to accept connections") {
			return errors.New("it does not say so")
		}
		return nil
	})
	return err
}

// Address is what clients are told.
func (s *Server) Address() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.port) }

// TLSAddress is that of a server from StartTLS.
func (s *Server) TLSAddress() string { return "rediss://127.0.0.1:" + s.args[1] + "/0" }

// Kill ends the server at once, with all that it has.
func (s *Server) Kill() { s.process.Kill() }

// Again starts a killed server on the same port, empty.
func (s *Server) Again(t testing.TB) {
	t.Helper()
	if err := s.start(t); err != nil {
		t.Fatal(err)
	}
}

// Suspend makes the server answer nothing, as one whose machine is gone, until Kill or the end of the test.
func (s *Server) Suspend(t testing.TB) {
	t.Helper()
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// Command runs a command on a connection of its own, and returns the reply. What is in a list is parted by spaces.
func (s *Server) Command(t testing.TB, words ...string) string {
	t.Helper()
	reply, err := s.ask(words...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func (s *Server) ask(words ...string) (reply string, err error) {
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(commandTimeout))
	replies := bufio.NewReader(c)
	commands := [][]string{words}
	if s.password != "" {
		commands = [][]string{{"AUTH", s.password}, words}
	}
	for _, words := range commands {
		fmt.Fprintf(c, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(c, "$%d\r\n%s\r\n", len(w), w)
		}
		if reply, err = read(replies); err != nil {
			return "", fmt.Errorf("%v: %w", words, err)
		}
	}
	return reply, nil
}

func read(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, line := line[0], strings.TrimSpace(line[1:])
	n, _ := strconv.Atoi(line) // where it is one
	switch kind {
	case '-':
		return "", errors.New(line)
	case '$':
		if n < 0 {
			return "", nil
		}
		text := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	case '*':
		var all []string
		for range n {
			one, err := read(r)
			if err != nil {
				return "", err
			}
			all = append(all, one)
		}
		return strings.Join(all, " "), nil
	}
	return line, nil
}
