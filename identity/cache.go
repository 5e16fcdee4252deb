package identity

import (
	"crypto"
	"crypto/sha512"
	"encoding/binary"
	"sync"
)

// Each part of a Cache is bounded, and begins anew when it is full.
const (
	maxCached   = 1024    // keys and certificates each, some 40 MiB
	maxVerified = 1 << 15 // statements, some 2 MiB
)

// Cache remembers public keys that were expanded, certificates and statements that were verified, by all
// of their bytes, for programs that meet the same ones again and again. A nil Cache remembers nothing. It
// may be used by many goroutines.
type Cache struct {
	mu           sync.Mutex
	publics      map[cacheKey]*Public
	certificates map[cacheKey]*Certificate
	verified     map[cacheKey]struct{}
}

// Public is PublicFromBytes.
func (c *Cache) Public(suite Suite, b []byte) (*Public, error) {
	if c == nil {
		return PublicFromBytes(suite, b)
	}
	return cached(c, &c.publics, maxCached, keyOf(suite, b), func() (*Public, error) { return PublicFromBytes(suite, b) })
}

// Certificate is ParseCertificate.
func (c *Cache) Certificate(suite Suite, b []byte) (*Certificate, error) {
	if c == nil {
		return ParseCertificate(suite, b)
	}
	return cached(c, &c.certificates, maxCached, keyOf(suite, b), func() (*Certificate, error) { return ParseCertificate(suite, b) })
}

// Verify is p.Verify.
func (c *Cache) Verify(p *Public, s Statement, payload, sig []byte) error {
	if c == nil {
		return p.Verify(s, payload, sig)
	}
	at := keyOf(p.Suite(), []byte(p.Fingerprint()), []byte(s.Context), []byte(s.PayloadType), payload, sig)
	_, err := cached(c, &c.verified, maxVerified, at, func() (struct{}, error) { return struct{}{}, p.Verify(s, payload, sig) })
	return err
}

// cacheKey is a digest of the suite's own strength.
type cacheKey [sha512.Size384]byte

func keyOf(suite Suite, parts ...[]byte) (key cacheKey) {
	digest := crypto.SHA384
	if row, ok := suites[suite]; ok {
		digest = row.digest
	}
	h := digest.New()
	h.Write([]byte{byte(suite)})
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	h.Sum(key[:0])
	return key
}

// cached looks a value up, or makes and remembers it.
func cached[T any](c *Cache, values *map[cacheKey]T, limit int, at cacheKey, find func() (T, error)) (T, error) {
	c.mu.Lock()
	value, ok := (*values)[at]
	c.mu.Unlock()
	if ok {
		return value, nil
	}
	value, err := find()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *values == nil || len(*values) >= limit {
		*values = make(map[cacheKey]T)
	}
	(*values)[at] = value
	return value, nil
}
