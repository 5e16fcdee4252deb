// Package front is what stands between the network and the handlers: TLS and its certificate, who is let
// in, and which address a request comes from.
//
// Invariants: TLS 1.3 and nothing older, with a post-quantum key exchange wherever the client knows one; a
// certificate that cannot be used never takes the place of one that can; an address that a request says it
// comes from counts only where a listed proxy says so, and no handler sees the headers in which others say it.
//
// It knows no vault, no account and no route, and writes no file.
package front

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Hybrid key exchanges (draft-ietf-tls-ecdhe-mlkem) combine ML-KEM with an elliptic curve: who keeps the
// traffic must break both. Classical ones fall to a quantum computer.
var (
	hybrid    = []tls.CurveID{tls.X25519MLKEM768, tls.SecP384r1MLKEM1024, tls.SecP256r1MLKEM768}
	classical = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
)

// PostQuantum tells whether a key exchange withstands a quantum computer.
func PostQuantum(group tls.CurveID) bool { return slices.Contains(hybrid, group) }

// Refusal is why a client was not let in.
type Refusal string

const (
	RefusedVersion   Refusal = "version"   // it knows no TLS 1.3
	RefusedClassical Refusal = "classical" // it knows no post-quantum key exchange, and one is required
	RefusedPeer      Refusal = "peer"      // it is no trusted proxy, and the connection is in clear
)

// About says of a refusal what the log does.
func (r Refusal) About() string {
	switch r {
	case RefusedVersion:
		return "it knows no TLS 1.3"
	case RefusedClassical:
		return "it knows no post-quantum key exchange"
	}
	return "it is no trusted proxy, and speaks in clear"
}

// Watch is told of connections. Both functions are called from many goroutines.
type Watch struct {
	Agreed  func(group tls.CurveID)         // a handshake has come to its key exchange
	Refused func(who net.Addr, why Refusal) // a client was not let in
}

// Config is for a server with the certificate that certificates holds at the time of each handshake.
func Config(certificates *Certificates, requirePostQuantum bool, w Watch) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: slices.Concat(hybrid, classical),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificates.current.Load(), nil
		},
		// The handshake refuses by itself, with the alert that belongs to it; here it is only noted.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			switch {
			case !slices.Contains(hello.SupportedVersions, tls.VersionTLS13):
				w.Refused(hello.Conn.RemoteAddr(), RefusedVersion)
			case requirePostQuantum && !slices.ContainsFunc(hello.SupportedCurves, PostQuantum):
				w.Refused(hello.Conn.RemoteAddr(), RefusedClassical)
			}
			return nil, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			if requirePostQuantum && !PostQuantum(s.CurveID) {
				return fmt.Errorf("front: %v was agreed on", s.CurveID)
			}
			w.Agreed(s.CurveID)
			return nil
		},
	}
	if requirePostQuantum {
		c.CurvePreferences = slices.Clone(hybrid)
	}
	return c, prove(c)
}

// prove makes a handshake with itself. The library can be told, by GODEBUG, to leave out post-quantum key
// exchanges, and this shows it before anybody relies on them.
func prove(c *tls.Config) error {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	near.SetDeadline(time.Now().Add(time.Minute)) // a pipe has deadlines
	server := c.Clone()
	server.GetConfigForClient, server.VerifyConnection = nil, nil
	go tls.Server(far, server).Handshake()
	// Who this server is has been settled by whoever gave it the certificate.
	client := tls.Client(near, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		return fmt.Errorf("a TLS connection to itself fails: %w", err)
	}
	if group := client.ConnectionState().CurveID; !PostQuantum(group) {
		return fmt.Errorf("TLS agrees on %v with itself, and not on a post-quantum key exchange; unset GODEBUG", group)
	}
	return nil
}

// strictFor is how long browsers are told to insist on TLS.
const strictFor = "max-age=31536000" // a year, in seconds

// Strict tells browsers to come back by TLS alone (RFC 6797). Names of the machine itself are left out, since
// programs of all kinds share them, and so are addresses, for which the RFC has no such rule.
func Strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && isName(r.Host) {
			w.Header().Set("Strict-Transport-Security", strictFor)
		}
		next.ServeHTTP(w, r)
	})
}

func isName(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.Trim(hostPort, "[]")
	}
	host = strings.ToLower(host)
	_, err = netip.ParseAddr(host)
	return err != nil && host != "" && host != "localhost" && !strings.HasSuffix(host, ".localhost")
}
