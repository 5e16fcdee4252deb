package stone

import (
	"encoding/hex"
	"errors"
)

// FileID names a stone: 16 random bytes, chosen when it is sealed.
type FileID [16]byte

// String returns 32 lower-case hex digits.
func (id FileID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is unset.
func (id FileID) IsZero() bool { return id == FileID{} }

// ParseFileID reads what String writes and nothing else.
func ParseFileID(s string) (FileID, error) {
	var id FileID
	if len(s) != 2*len(id) {
		return FileID{}, errors.New("stone: a file id has 32 hex digits")
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil || id.String() != s {
		return FileID{}, errors.New("stone: a file id has 32 lower-case hex digits")
	}
	return id, nil
}
