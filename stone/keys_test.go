package stone_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"stonevault/identity"
)

// seedFor expands a name into the seeds of a test identity, so that golden vectors always have the same
// people.
func seedFor(name string, n int) []byte {
	var b []byte
	for i := byte(0); len(b) < n; i++ {
		block := sha256.Sum256(append([]byte("stonevault test identity "+name), i))
		b = append(b, block[:]...)
	}
	return b[:n]
}

func person(t testing.TB, name string, suite identity.Suite) *identity.Identity {
	t.Helper()
	id, err := identity.FromSeeds(suite, seedFor(name, suite.SeedsSize()))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func rootKey(t testing.TB, suite identity.Suite) *identity.SigningKey {
	t.Helper()
	root, err := identity.SigningKeyFromSeed(suite, seedFor("root", 32))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

var certifiedAt = time.UnixMilli(1_700_000_000_000)

func certificateFor(t testing.TB, pub *identity.Public) []byte {
	t.Helper()
	c, err := identity.NewCertificate(rootKey(t, pub.Suite()), identity.Subject{ID: "person-1", Kind: "person", Version: 1}, pub, certifiedAt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
