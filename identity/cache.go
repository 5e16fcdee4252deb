package identity

import (
	"crypto/sha256"
	"sync"
)

// maxCached bounds each half of a Cache, which begins anew when it is full: some 40 MiB of keys.
const maxCached = 1024

// Cache remembers public keys that were expanded and certificates that were verified, by all of their
// bytes, for programs that meet the same ones again and again. A nil Cache remembers nothing. It may be
// used by many goroutines.
type Cache struct {
	mu           sync.Mutex
	publics      map[[sha256.Size]byte]*Public
	certificates map[[sha256.Size]byte]*Certificate
}

// Public is PublicFromBytes.
func (c *Cache) Public(suite Suite, b []byte) (*Public, error) {
	if c == nil {
		return PublicFromBytes(suite, b)
	}
	return cached(c, &c.publics, suite, b, PublicFromBytes)
}

// Certificate is ParseCertificate.
func (c *Cache) Certificate(suite Suite, b []byte) (*Certificate, error) {
	if c == nil {
		return ParseCertificate(suite, b)
	}
	return cached(c, &c.certificates, suite, b, ParseCertificate)
}

func cached[T any](c *Cache, values *map[[sha256.Size]byte]*T, suite Suite, b []byte, parse func(Suite, []byte) (*T, error)) (*T, error) {
	at := sha256.Sum256(append([]byte{byte(suite)}, b...))
	c.mu.Lock()
	value, ok := (*values)[at]
	c.mu.Unlock()
	if ok {
		return value, nil
	}
	value, err := parse(suite, b)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *values == nil || len(*values) >= maxCached {
		*values = make(map[[sha256.Size]byte]*T)
	}
	(*values)[at] = value
	return value, nil
}
