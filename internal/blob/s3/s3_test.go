package s3

import (
	"testing"

	"stonevault/internal/blob/blobtest"
	"stonevault/internal/blob/s3test"
	"stonevault/internal/vault"
)

var keys = Credentials{AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey}

func open(t testing.TB, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Address: address, Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := s.pool.lent.Load(); n != 0 {
			t.Errorf("%d blocks of memory were not given back", n)
		}
		s.Close()
	})
	return s
}

func TestConformance(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) vault.Objects { return open(t, server.Address(t.Name())) })
}

func TestPartsConformance(t *testing.T) {
	server := s3test.Start(t)
	blobtest.RunParts(t, func(t *testing.T) blobtest.PartStore { return open(t, server.Address(t.Name())) })
}
