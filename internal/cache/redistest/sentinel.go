package redistest

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stonevault/internal/servertest"
)

// PrimaryName is what the sentinels of tests call their primary.
const PrimaryName = "vault"

// DownAfter is how long a primary has to be silent until it is replaced.
const DownAfter = time.Second

// SentinelOptions are how a sentinel and its servers are set up.
type SentinelOptions struct {
	Password string // of the servers; "" is none
	Own      string // the password of the sentinel; "" is none
	TLS      bool   // for all of them, by a certificate of Authority
}

// Sentinel is a Redis in sentinel mode, alone, so that its own word is enough, and the servers that it watches.
type Sentinel struct {
	Server                          // commands are to the sentinel
	Primary, Replica *Server        // as they were at the start
	Authority        *x509.CertPool // with TLS
	options          SentinelOptions
	tls              int // its port for TLS
}

// StartSentinel starts a primary, its replica and a sentinel, and waits until the replica can take the primary's place.
// With TLS, it is not there for a failover.
func StartSentinel(t testing.TB, o SentinelOptions) *Sentinel {
	t.Helper()
	s := &Sentinel{options: o}
	args := []string{"--repl-diskless-sync-delay", "0"}
	if o.Password != "" {
		args = append(args, "--requirepass", o.Password, "--masterauth", o.Password)
	}
	var config string
	var port int // of the primary
	if o.TLS {
		certificate, authority := newCertificate(t)
		s.Authority, s.tls, port = authority, servertest.FreePort(t), servertest.FreePort(t)
		args = append(args, "--tls-replication", "yes", "--tls-port", strconv.Itoa(port))
		config = "tls-replication yes\ntls-port " + strconv.Itoa(s.tls) + "\n"
		for _, setting := range certificate {
			args = append(args, "--"+setting[0], setting[1])
			config += setting[0] + " " + setting[1] + "\n"
		}
	}
	s.Primary = Start(t, args...)
	if !o.TLS {
		port = s.Primary.port
	}
	if o.TLS {
		args[slices.Index(args, "--tls-port")+1] = strconv.Itoa(servertest.FreePort(t))
	}
	s.Replica = Start(t, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(port)}, args...)...)
	s.program, s.dir, s.password = s.Primary.program, t.TempDir(), o.Own
	s.Primary.password, s.Replica.password = o.Password, o.Password

	file := filepath.Join(s.dir, "sentinel.conf")
	servertest.Anywhere(t, func(at int) error {
		s.port = at
		config := config + fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 1\n", at, s.dir, PrimaryName, port) +
			fmt.Sprintf("sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %[1]s 3000\n", PrimaryName, DownAfter.Milliseconds())
		if o.Password != "" {
			config += fmt.Sprintf("sentinel auth-pass %s %s\n", PrimaryName, o.Password)
		}
		if o.Own != "" {
			config += fmt.Sprintf("requirepass %s\n", o.Own)
		}
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil { // the sentinel rewrites it
			t.Fatal(err)
		}
		return s.watch(t)
	})
	wait(t, "the sentinel to know the replica", func() bool {
		return strings.Contains(s.Command(t, "SENTINEL", "REPLICAS", PrimaryName), "master-link-status ok")
	})
	// Until it has acknowledged something, the primary keeps back what is written.
	wait(t, "the primary to send the replica what is written", func() bool {
		return strings.Contains(s.Primary.Command(t, "INFO", "replication"), "state=online")
	})
	return s
}

func (s *Sentinel) watch(t testing.TB) (err error) {
	t.Helper()
	cmd := exec.Command(s.program, filepath.Join(s.dir, "sentinel.conf"), "--sentinel")
	s.process, err = servertest.Start(t, cmd, os.Kill, func(said string) error {
		if !strings.Contains(said, "+monitor") {
			return errors.New("it does not say that it watches")
		}
		return nil
	})
	return err
}

// Again starts a killed sentinel on the same port; it knows what it knew.
func (s *Sentinel) Again(t testing.TB) {
	t.Helper()
	if err := s.watch(t); err != nil {
		t.Fatal(err)
	}
}

// Patient has the sentinel replace nobody any more who is silent for less than a minute, as servers are on a machine that does
// much else.
func (s *Sentinel) Patient(t testing.TB) {
	t.Helper()
	s.Command(t, "SENTINEL", "SET", PrimaryName, "down-after-milliseconds", strconv.FormatInt(time.Minute.Milliseconds(), 10))
}

// ReplicaOf waits until a server is the replica of another.
func (s *Sentinel) ReplicaOf(t testing.TB, replica, primary *Server) {
	t.Helper()
	wait(t, "a server to be the replica of another", func() bool {
		// A sentinel that makes a server a replica closes its connections.
		info, err := replica.ask("INFO", "replication")
		return err == nil && strings.Contains(info, fmt.Sprintf("master_port:%d\r\n", primary.port)) && strings.Contains(info, "master_link_status:up")
	})
}

// Promoted waits until the sentinel tells clients of the replica.
func (s *Sentinel) Promoted(t testing.TB) {
	t.Helper()
	wait(t, "the replica to take the primary's place", func() bool {
		return s.Command(t, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", PrimaryName) == fmt.Sprint("127.0.0.1 ", s.Replica.port)
	})
}

// Replicated waits until the replica has what was written before.
func (s *Sentinel) Replicated(t testing.TB) {
	t.Helper()
	written := offset(s.Primary.Command(t, "INFO", "replication"), "master_repl_offset")
	wait(t, "the replica to have what was written", func() bool {
		return offset(s.Replica.Command(t, "INFO", "replication"), "slave_repl_offset") >= written
	})
}

// offset is a number of what INFO says, or -1.
func offset(info, name string) int {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	text, _, _ := strings.Cut(rest, "\r\n")
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return -1
}

// Address is what clients are told.
func (s *Sentinel) Address() string {
	scheme, port, servers, own := "redis+sentinel", s.port, "", ""
	if s.options.TLS {
		scheme, port = "rediss+sentinel", s.tls
	}
	if s.options.Password != "" {
		servers = ":" + s.options.Password + "@"
	}
	if s.options.Own != "" {
		own = "?sentinel_password=" + s.options.Own
	}
	return fmt.Sprintf("%s://%s127.0.0.1:%d/%s/0%s", scheme, servers, port, PrimaryName, own)
}

// patience is for a sentinel, which looks twice for some ten seconds before it makes a server a replica, on a machine that does
// much else.
const patience = 2 * time.Minute

// wait waits until something is so.
func wait(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
