package front

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxPEM = 1 << 20 // bytes of a file

	generatedFor = 397 * 24 * time.Hour // what browsers accept at most, nearly
	renewBefore  = 30 * 24 * time.Hour
)

// ErrExpired is a certificate that is over.
var ErrExpired = errors.New("the certificate has expired")

// Certificates is a certificate with its key, from two files or one, that may change while it is in use.
type Certificates struct {
	certFile, keyFile string
	now               func() time.Time
	current           atomic.Pointer[tls.Certificate]

	mu   sync.Mutex // guards read
	read string     // what was found in the files the last time, or why nothing was
}

// LoadCertificates reads the files for the first time.
func LoadCertificates(certFile, keyFile string, now func() time.Time) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, now: now}
	if _, err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload looks at the files and tells whether there is another certificate now. When there is one that
// cannot be used the old one stays, and the error is returned once for each state of the files.
func (c *Certificates) Reload() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chain, err := readPEM(c.certFile)
	var key []byte
	if err == nil {
		key, err = readKey(c.keyFile)
	}
	var read string
	if err != nil {
		read = err.Error()
	} else {
		sum := sha256.Sum256(slices.Concat(chain, []byte{0}, key))
		read = string(sum[:])
	}
	if read == c.read {
		return false, nil
	}
	c.read = read
	if err != nil {
		return false, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return false, fmt.Errorf("%s and %s are no certificate and its key in PEM: %w", c.certFile, c.keyFile, err)
	}
	if before := c.current.Load(); before != nil {
		if c.now().After(pair.Leaf.NotAfter) {
			return false, fmt.Errorf("%s: %w", c.certFile, ErrExpired)
		}
		if slices.EqualFunc(before.Certificate, pair.Certificate, bytes.Equal) {
			return false, nil
		}
	}
	c.current.Store(&pair)
	return true, nil
}

// Current is the certificate in use, with its key and the ones above it.
func (c *Certificates) Current() *tls.Certificate { return c.current.Load() }

// Leaf is the certificate in use.
func (c *Certificates) Leaf() *x509.Certificate { return c.current.Load().Leaf }

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case len(text) > maxPEM:
		return nil, fmt.Errorf("%s is longer than %d bytes, and no certificate", path, maxPEM)
	}
	return text, nil
}

func unreadable(path string, err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("%s cannot be read: %w", path, err)
}

// readKey refuses a key that everybody on the machine can read. A group may: that is how many systems give
// a key to the programs that serve with it.
func readKey(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && readByAll(info) {
		return nil, fmt.Errorf("everybody on this machine can read the private key %s; type: chmod o= %s", path, path)
	}
	return readPEM(path)
}

// Fingerprint is the SHA-256 of a certificate, in hex, as browsers and openssl show it but for the colons.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// NamesOf lists what a certificate is for.
func NamesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// Generate makes a certificate for names and addresses that vouches for itself alone. The private key comes
// first in the text, and certificate is the part that may be given away.
func Generate(names []string, now time.Time) (withKey, certificate []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Stonevault, made by itself"},
		// Clocks of clients may be a little behind.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(generatedFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // and no authority: who has its key can be this server and no other
	}
	for _, name := range names {
		if ip, err := netip.ParseAddr(name); err == nil {
			t.IPAddresses = append(t.IPAddresses, net.IP(ip.Unmap().AsSlice()))
		} else {
			t.DNSNames = append(t.DNSNames, strings.ToLower(name))
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), certificate...), certificate, nil
}

// Serves tells whether a certificate that Generate has made is for all names, and for long enough. What is
// none is an error.
func Serves(withKey []byte, names []string, now time.Time) (bool, error) {
	pair, err := tls.X509KeyPair(withKey, withKey)
	if err != nil {
		return false, err
	}
	if now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter.Add(-renewBefore)) {
		return false, nil
	}
	return !slices.ContainsFunc(names, func(name string) bool { return pair.Leaf.VerifyHostname(name) != nil }), nil
}
