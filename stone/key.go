package stone

import (
	"crypto/hkdf"
	"crypto/sha512"
	"fmt"
	"io"
)

// FileKey is the secret of one stone: 32 uniformly random bytes.
type FileKey [32]byte

// NewFileKey draws a key from rand.
func NewFileKey(rand io.Reader) (*FileKey, error) {
	key := new(FileKey)
	if _, err := io.ReadFull(rand, key[:]); err != nil {
		return nil, fmt.Errorf("stone: randomness: %w", err)
	}
	return key, nil
}

// NewFileID draws an id from rand.
func NewFileID(rand io.Reader) (FileID, error) {
	var id FileID
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return FileID{}, fmt.Errorf("stone: randomness: %w", err)
	}
	return id, nil
}

// String never shows the key.
func (k *FileKey) String() string { return "[redacted]" }

// GoString never shows the key.
func (k *FileKey) GoString() string { return "[redacted]" }

// commitment binds a manifest to one file key.
func (k *FileKey) commitment(id FileID) ([]byte, error) {
	return hkdf.Expand(sha512.New, k[:], "stonevault.v1/commit"+string(id[:]), 32)
}
