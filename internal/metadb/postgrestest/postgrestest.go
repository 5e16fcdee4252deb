// Package postgrestest starts PostgreSQL for tests: that of Debian's packages, or the one whose programs are in the
// folder that STONEVAULT_TEST_POSTGRES names. A missing program fails the test.
//
// A server keeps what it has in a temporary folder, and is durable as a real one. PostgreSQL does not run as root: there
// it runs as the user "postgres", whom Debian's package makes.
package postgrestest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"stonevault/internal/servertest"
)

// Password is that of the user "stonevault".
const Password = "a password of the tests alone"

// Server is a PostgreSQL.
type Server struct {
	Port int

	dir        string
	args       []string
	credential *syscall.Credential
	process    *servertest.Process
	databases  atomic.Int64
}

// Start starts a server; args are further ones of postgres, such as "-c", "max_connections=20".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "stonevault-postgres-") // not below t.TempDir, where another user has no way
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{dir: dir, args: args}
	if os.Geteuid() == 0 {
		s.becomeUser(t)
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := s.command(t, "initdb", "-D", s.data(), "-U", "stonevault", "--auth=scram-sha-256", "--pwfile="+password,
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	servertest.Anywhere(t, func(port int) error {
		s.Port = port
		return s.start(t)
	})
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// becomeUser gives the folder to the user "postgres", and has the programs run as that one.
func (s *Server) becomeUser(t testing.TB) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root, and there is no user for it. Run scripts/install-test-packages. (%v)", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(s.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// command is one of PostgreSQL's programs, which Debian keeps in a folder for each version.
func (s *Server) command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if own := os.Getenv("STONEVAULT_TEST_POSTGRES"); own != "" {
		folders = []string{own}
	}
	for i := len(folders) - 1; i >= 0; i-- {
		program := filepath.Join(folders[i], name)
		if _, err := os.Stat(program); err != nil {
			continue
		}
		cmd := exec.Command(program, args...)
		cmd.Dir = s.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
		return cmd
	}
	t.Fatalf("There is no %s, which this test starts. Run scripts/install-test-packages, or apt-get install postgresql.", name)
	return nil
}

// start starts the server on its port and waits until it answers.
func (s *Server) start(t testing.TB) (err error) {
	t.Helper()
	cmd := s.command(t, "postgres", append([]string{"-D", s.data(), "-p", strconv.Itoa(s.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.dir, "-c", "recovery_init_sync_method=syncfs"}, s.args...)...)
	// SIGQUIT is its own way of stopping at once; children that a SIGKILL leaves would keep the port.
	s.process, err = servertest.Start(t, cmd, syscall.SIGQUIT, func(string) error {
		db, err := sql.Open("pgx", s.Address("postgres"))
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Ping()
	})
	return err
}

// Address is what clients are told.
func (s *Server) Address(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("stonevault", Password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), Path: "/" + database}
	return u.String()
}

// NewDatabase returns the address of an empty one. It is a schema, which is made in an instant; what is not in it, its
// clients do not see.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("vault%d", s.databases.Add(1))
	s.Exec(t, "postgres", "CREATE SCHEMA "+name)
	return s.Address("postgres") + "?search_path=" + name
}

// BySocket is an address of this server's by its Unix socket instead of TCP.
func (s *Server) BySocket(address string) string {
	return address + "&host=" + url.QueryEscape(s.dir)
}

// Exec runs a statement on a connection of its own.
func (s *Server) Exec(t testing.TB, database, text string) {
	t.Helper()
	db, err := sql.Open("pgx", s.Address(database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// Kill ends the server at once, as when its machine fails; what it has stays.
func (s *Server) Kill() { s.process.Kill() }

// Again starts a killed server on the same port.
func (s *Server) Again(t testing.TB) {
	t.Helper()
	if err := s.start(t); err != nil {
		t.Fatal(err)
	}
}
