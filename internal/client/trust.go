package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Trust says by what a server's certificate is known. The zero value leaves it to the system's authorities.
type Trust struct {
	// CAFile holds certificates in PEM: authorities, or the server's own. With one, nobody else's word counts.
	CAFile string
	// Fingerprint is the SHA-256 of the server's certificate, as ParseFingerprint returns it. With one, that
	// certificate is accepted and no other, whatever names and times are in it.
	Fingerprint string
}

var (
	// ErrUntrusted is a server that does not prove who it is; nothing was sent to it.
	ErrUntrusted = fmt.Errorf("%w: it does not prove who it is", ErrUnreachable)
	// ErrOtherCertificate is another certificate than the one that was pinned.
	ErrOtherCertificate = errors.New("its certificate is another one")
)

// ParseFingerprint reads the SHA-256 of a certificate in hex, with or without colons, and returns it without.
func ParseFingerprint(text string) (string, error) {
	plain := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(text))
	if b, err := hex.DecodeString(plain); err != nil || len(b) != sha256.Size {
		return "", fmt.Errorf("%q is no fingerprint of a certificate, which is a SHA-256 of 64 hex digits; the server's log shows it at each start", text)
	}
	return plain, nil
}

// config is what a connection to a server is made with: TLS 1.3, and a post-quantum key exchange unless
// allowClassical.
func (t Trust) config(allowClassical bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: hybridGroups}
	if allowClassical {
		c.CurvePreferences = nil // the library's own choice, hybrid first
	}
	switch {
	case t.CAFile != "" && t.Fingerprint != "":
		return nil, errors.New("a server is known by certificates in a file or by a fingerprint; give one of them")
	case t.CAFile != "":
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the certificates by which the server is known cannot be read: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("there is no certificate in %s; it takes PEM, which begins with -----BEGIN CERTIFICATE-----", t.CAFile)
		}
	case t.Fingerprint != "":
		c.InsecureSkipVerify = true // instead:
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if got := fingerprintOf(s.PeerCertificates[0]); got != t.Fingerprint {
				return &pinError{t.Fingerprint, got}
			}
			return nil
		}
	}
	return c, nil
}

func fingerprintOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// pinError is another certificate than the one that was pinned.
type pinError struct{ want, got string }

func (e *pinError) Error() string {
	return fmt.Sprintf("its certificate has the fingerprint %s and not %s; if the server's log shows the former, sign in again with --tls-fingerprint, and otherwise somebody stands between", e.got, e.want)
}

func (e *pinError) Is(target error) bool { return target == ErrOtherCertificate }

// untrusted says what is wrong with a certificate, or returns nil where that is not what is wrong.
func untrusted(err error) error {
	var pin *pinError
	if errors.As(err, &pin) {
		return fmt.Errorf("%w: %w", ErrUntrusted, pin)
	}
	var failed *tls.CertificateVerificationError
	if !errors.As(err, &failed) {
		return nil
	}
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	reason := failed.Err.Error()
	switch {
	case errors.As(failed.Err, &name):
		reason = fmt.Sprintf("its certificate is not for %s; ask for it by a name that is in it, or give its fingerprint with --tls-fingerprint", name.Host)
	case errors.As(failed.Err, &invalid) && invalid.Reason == x509.Expired:
		reason = "its certificate does not hold at this machine's time; check the clock, or have the server given a new one"
	case errors.As(failed.Err, new(x509.UnknownAuthorityError)):
		reason = "nobody whom this machine knows vouches for its certificate; where the server has made it itself, give it with --ca-file FILE"
		if len(failed.UnverifiedCertificates) > 0 {
			reason += ", or with --tls-fingerprint " + fingerprintOf(failed.UnverifiedCertificates[0]) + " once that is what the server's log shows"
		}
	}
	return fmt.Errorf("%w: %s", ErrUntrusted, reason)
}
