package identity

import (
	"sync"
	"testing"
)

// TestCache: what comes out is what parsing gives, a refusal is never remembered as anything else, and a
// key of one suite is none of the other.
func TestCache(t *testing.T) {
	for name, cache := range map[string]*Cache{"none": nil, "empty": {}} {
		for _, suite := range bothSuites {
			certificate, _, id := testCertificate(t, suite)
			b := id.Public().Bytes()
			bad := append([]byte{}, certificate...)
			bad[len(bad)-1] ^= 1
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 3 {
						if pub, err := cache.Public(suite, b); err != nil || pub.Fingerprint() != id.Public().Fingerprint() {
							t.Errorf("%s, suite %d: %v", name, suite, err)
						}
						if c, err := cache.Certificate(suite, certificate); err != nil || c.Keys != id.Public().Fingerprint() {
							t.Errorf("%s, suite %d: %v", name, suite, err)
						}
						if _, err := cache.Public(suite^3, b); err == nil {
							t.Errorf("%s: a key of suite %d is one of the other", name, suite)
						}
						if _, err := cache.Certificate(suite, bad); err == nil {
							t.Errorf("%s, suite %d: a broken certificate holds", name, suite)
						}
						if _, err := cache.Public(suite, b[1:]); err == nil {
							t.Errorf("%s, suite %d: a key cut short", name, suite)
						}
					}
				})
			}
			all.Wait()
		}
	}
	full := new(Cache)
	id := generated(t, SuiteHybrid)
	full.publics = make(map[cacheKey]*Public)
	for i := range maxCached {
		full.publics[cacheKey{byte(i), byte(i >> 8), 1}] = id.Public()
	}
	if _, err := full.Public(SuiteHybrid, id.Public().Bytes()); err != nil || len(full.publics) != 1 {
		t.Errorf("a full cache has %d keys, %v", len(full.publics), err)
	}
}

// TestCacheVerify: what was verified once holds for the same key, statement, payload and signature alone.
func TestCacheVerify(t *testing.T) {
	for name, cache := range map[string]*Cache{"none": nil, "empty": {}} {
		for _, suite := range bothSuites {
			id, other := generated(t, suite), generated(t, suite)
			payload := []byte("payload")
			sig, err := id.Sign(StatementManifest, payload)
			if err != nil {
				t.Fatal(err)
			}
			flipped := append([]byte{}, sig...)
			flipped[0] ^= 1
			shifted := Statement{StatementManifest.Context[:1], StatementManifest.Context[1:] + StatementManifest.PayloadType}
			for range 2 {
				if err := cache.Verify(id.Public(), StatementManifest, payload, sig); err != nil {
					t.Errorf("%s, suite %d: %v", name, suite, err)
				}
				for what, err := range map[string]error{
					"another key":       cache.Verify(other.Public(), StatementManifest, payload, sig),
					"another statement": cache.Verify(id.Public(), StatementCertificate, payload, sig),
					"a shifted one":     cache.Verify(id.Public(), shifted, payload, sig),
					"another payload":   cache.Verify(id.Public(), StatementManifest, []byte("payloae"), sig),
					"a longer payload":  cache.Verify(id.Public(), StatementManifest, append(payload[:7:7], sig[0]), sig[1:]),
					"another signature": cache.Verify(id.Public(), StatementManifest, payload, flipped),
				} {
					if err == nil {
						t.Errorf("%s, suite %d: %s is accepted", name, suite, what)
					}
				}
			}
		}
	}
}
