package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"stonevault/internal/vault"
)

// maxOwner bounds an owner's text, in bytes.
const maxOwner = 256

// ErrOwned is a bucket, or a prefix in one, that belongs to another vault. Two in one place would remove each other's
// unfinished uploads.
var ErrOwned = errors.New("this place in the object store belongs to another vault")

func (s *Store) ownerKey() string { return s.prefix + "owner" }

// Owner is who has claimed the place, or "".
func (s *Store) Owner(ctx context.Context) (string, error) {
	info, err := s.stat(ctx, s.ownerKey())
	if errors.Is(err, vault.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fail("look at object", "owner", err)
	}
	if info.Size < 1 || info.Size > maxOwner {
		return "", fail("look at object", "owner", fmt.Errorf("it has %d bytes, and names nobody", info.Size))
	}
	text := make([]byte, info.Size)
	if _, err := s.read(ctx, s.ownerKey(), info.ETag, text, 0); err != nil {
		return "", fail("read object", "owner", err)
	}
	return string(text), nil
}

// Claim makes the place that of an owner, or is ErrOwned where it has another.
func (s *Store) Claim(ctx context.Context, owner string) error {
	err := s.put(ctx, s.ownerKey(), put{mark: rand.Text()}, []byte(owner))
	if err != nil && !errors.Is(err, vault.ErrExists) {
		return fail("put object", "owner", err)
	}
	is, err := s.Owner(ctx)
	if err == nil && is != owner {
		return ErrOwned
	}
	return err
}
