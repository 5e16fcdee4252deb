package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/front"
)

const (
	certificateEvery = 10 * time.Second
	// expiresSoon is when the log and the doctor begin to speak of a certificate's end.
	expiresSoon = 14 * 24 * time.Hour
)

// entrance is what stands between the network and the interface.
type entrance struct {
	proxies      *front.Proxies
	certificates *front.Certificates // nil where the server speaks in clear
	tls          *tls.Config         // nil likewise
	made         bool                // a certificate of the server's own is there already

	handshakes *prometheus.CounterVec
	turnedAway *prometheus.CounterVec
	expiry     prometheus.GaugeFunc
}

// proxiesOf are the proxies of a configuration.
func proxiesOf(c config.Config) *front.Proxies {
	return &front.Proxies{Trusted: c.Proxy.Trusted, Header: c.Proxy.Header, HaveTLS: c.Proxy.HasTLS}
}

// approach looks at everything that could refuse the start, and changes nothing.
func (s *Server) approach() error {
	e := &entrance{
		proxies: proxiesOf(s.Config),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stonevault_tls_handshakes_total", Help: "TLS handshakes, by the key exchange that was agreed on.",
		}, []string{"exchange"}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stonevault_turned_away_total", Help: "Connections that were not let in, by reason.",
		}, []string{"reason"}),
	}
	for _, r := range []front.Refusal{front.RefusedVersion, front.RefusedClassical, front.RefusedPeer} {
		e.turnedAway.WithLabelValues(string(r))
	}
	s.entrance = e
	c := s.Config.TLS
	if c.Generate {
		dir, err := datadir.At(s.Config.Data)
		if err != nil {
			return err
		}
		e.made, err = madeServes(dir, s.Config, s.Now())
		return err
	}
	if !c.On() {
		return nil
	}
	var err error
	if e.certificates, err = front.LoadCertificates(c.CertFile, c.KeyFile, s.Now); err != nil {
		return fmt.Errorf("%w; mend it, or name other files with --tls-cert and --tls-key", err)
	}
	return nil
}

// secure makes TLS ready, and the certificate for it where the server makes its own.
func (s *Server) secure() (err error) {
	e := s.entrance
	if !s.Config.TLS.On() {
		return nil
	}
	if s.Config.TLS.Generate {
		if !e.made {
			if err := s.makeCertificate(); err != nil {
				return fmt.Errorf("a certificate cannot be made: %w", err)
			}
		}
		path, _ := s.store.dir.MadeCertificate()
		if e.certificates, err = front.LoadCertificates(path, path, s.Now); err != nil {
			return err
		}
	}
	e.tls, err = front.Config(e.certificates, s.Config.TLS.RequirePostQuantum, front.Watch{
		Agreed: func(group tls.CurveID) { e.handshakes.WithLabelValues(group.String()).Inc() }, Refused: s.turnAway,
	})
	if err != nil {
		return err
	}
	e.expiry = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "stonevault_tls_certificate_expires_seconds", Help: "When the certificate in use expires, in seconds since 1970.",
	}, func() float64 { return float64(e.certificates.Leaf().NotAfter.Unix()) })
	s.Log.Info("TLS is on", append(describe(e.certificates.Leaf()), "post_quantum_required", s.Config.TLS.RequirePostQuantum)...)
	switch left := e.certificates.Leaf().NotAfter.Sub(s.Now()); {
	case left < 0:
		s.Log.Warn("the certificate has expired, and clients refuse it; put another one in its place, which needs no restart")
	case left < expiresSoon:
		s.Log.Warn("the certificate expires soon; put another one in its place, which needs no restart")
	}
	return nil
}

// describe is what the log says of a certificate.
func describe(leaf *x509.Certificate) []any {
	return []any{"fingerprint", front.Fingerprint(leaf), "names", front.NamesOf(leaf), "expires", leaf.NotAfter.UTC().Format(time.RFC3339)}
}

// madeNames are what a certificate that the server makes must be for.
func madeNames(c config.Config) []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, c.TLS.Names...)
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// madeServes tells whether the certificate that was made before will still do.
func madeServes(dir datadir.Dir, c config.Config, now time.Time) (bool, error) {
	path, _ := dir.MadeCertificate()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	serves, err := front.Serves(text, madeNames(c), now)
	if err != nil {
		return false, fmt.Errorf("%s is damaged (%w); remove it, and another certificate is made, whose fingerprint clients must be told", path, err)
	}
	return serves, nil
}

// makeCertificate makes one beside the data.
func (s *Server) makeCertificate() error {
	names := madeNames(s.Config)
	// The machine's own name is good to have, and no reason to make another certificate when it changes.
	if host, err := os.Hostname(); err == nil && config.IsName(host) && !slices.Contains(names, host) {
		names = append(names, host)
	}
	withKey, certificate, err := front.Generate(names, s.Now())
	if err != nil {
		return err
	}
	path, public := s.store.dir.MadeCertificate()
	if err := datadir.WriteFile(public, certificate, 0o644); err != nil {
		return err
	}
	if err := datadir.WriteFile(path, withKey, 0o600); err != nil {
		return err
	}
	s.Log.Warn("a certificate was made, which nobody else vouches for; give it to clients with --ca-file, or its fingerprint with --tls-fingerprint", "file", public)
	return nil
}

// turnAway notes a client that was not let in.
func (s *Server) turnAway(who net.Addr, why front.Refusal) {
	s.entrance.turnedAway.WithLabelValues(string(why)).Inc()
	client, _, err := net.SplitHostPort(who.String())
	if err != nil {
		client = "unknown"
	}
	s.Log.Warn("a client was turned away: "+why.About(), "client", client, "reason", string(why))
}

// reloadCertificate takes another certificate where one has come.
func (s *Server) reloadCertificate(context.Context) {
	switch changed, err := s.entrance.certificates.Reload(); {
	case err != nil:
		s.Log.Error("the new certificate cannot be used, and the one before stays in use", "error", err)
	case changed:
		s.Log.Info("there is a new certificate", describe(s.entrance.certificates.Leaf())...)
	}
}

// collectors are what the entrance counts.
func (e *entrance) collectors() []prometheus.Collector {
	all := []prometheus.Collector{e.turnedAway}
	if e.tls != nil {
		all = append(all, e.handshakes, e.expiry)
	}
	return all
}

// around puts the entrance in front of the interface.
func (e *entrance) around(h http.Handler) http.Handler { return front.Strict(e.proxies.Restore(h)) }

// guard keeps others than proxies out where the server speaks in clear because of them.
func (e *entrance) guard(l net.Listener, refused func(net.Addr, front.Refusal)) net.Listener {
	if !e.proxies.HaveTLS {
		return l
	}
	return e.proxies.Guard(l, refused)
}
