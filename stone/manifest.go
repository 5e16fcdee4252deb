package stone

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"stonevault/identity"
	"stonevault/stone/canonical"
	"stonevault/stone/cobblestone"
)

const (
	manifestFormat = "stonevault.v1"
	// sealedUnit is what the sealed metadata is padded to a multiple of, in bytes, to hide name lengths.
	sealedUnit = 512
	// maxMetadata bounds the metadata's JSON in bytes.
	maxMetadata = 64 * 1024
	maxInteger  = 1<<53 - 1 // what every JSON reader holds exactly
)

// Class says how much a stone hides.
type Class string

const (
	ClassNormal Class = "normal"
	// ClassRestricted is neither compressed nor shows its size: it is padded by Padmé.
	ClassRestricted Class = "restricted"
)

func (c Class) valid() bool { return c == ClassNormal || c == ClassRestricted }

// Metadata is what a manifest says about the content, sealed under the file key. Times are kept in
// milliseconds. Ids and path are empty in a stone that was sealed without a vault.
type Metadata struct {
	Name       string // base name
	Path       string // where it lay when the envelope was written
	Folder     string // the folder's id
	Document   string // the document's id
	Version    int64  // of the document; 1 and up, 0 without a vault
	Owner      string // the person's id
	MediaType  string
	Size       int64 // bytes
	Class      Class
	Scan       string // what a scanner said, or empty
	Mode       uint32 // permission bits
	ModifiedAt time.Time
	CreatedAt  time.Time
	SealedAt   time.Time
}

// metadataJSON is Metadata's canonical form.
type metadataJSON struct {
	Name       string `json:"name"`
	Path       string `json:"path"`
	Folder     string `json:"folder"`
	Document   string `json:"document"`
	Version    int64  `json:"version"`
	Owner      string `json:"owner"`
	MediaType  string `json:"media_type"`
	Size       int64  `json:"size"`
	Class      Class  `json:"class"`
	Scan       string `json:"scan"`
	Mode       uint32 `json:"mode"`
	ModifiedAt int64  `json:"modified_at"`
	CreatedAt  int64  `json:"created_at"`
	SealedAt   int64  `json:"sealed_at"`
}

func (m *Metadata) check() error {
	switch {
	case m.Size < 0 || m.Size > MaxSegments*SegmentSize, m.Version < 0 || m.Version > maxInteger, m.Mode > 0o777:
		return fmt.Errorf("the metadata has a number out of range")
	case !m.Class.valid():
		return fmt.Errorf("class %q is unknown", m.Class)
	case len(m.Name) > 255 || strings.ContainsAny(m.Name, "/\x00") || m.Name == "." || m.Name == "..":
		return fmt.Errorf("the name is not one that a file can have")
	}
	for _, s := range []string{m.Name, m.Path, m.Folder, m.Document, m.Owner, m.MediaType, m.Scan} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("the metadata has text that is not UTF-8")
		}
	}
	for _, t := range []time.Time{m.ModifiedAt, m.CreatedAt, m.SealedAt} {
		if ms := t.UnixMilli(); ms < -maxInteger || ms > maxInteger {
			return fmt.Errorf("the metadata has a time out of range")
		}
	}
	return nil
}

// manifest is the signed statement about a stone, in canonical JSON.
type manifest struct {
	Format     string         `json:"format"`
	Suite      identity.Suite `json:"suite"`
	FileID     string         `json:"file_id"`
	Revision   int64          `json:"revision"`
	Previous   string         `json:"previous"` // digest of the manifest before, empty in revision 1
	Time       int64          `json:"time"`
	Signer     string         `json:"signer"`
	Preamble   string         `json:"preamble"`
	Index      string         `json:"index"`
	Segments   int64          `json:"segments"`
	Commitment string         `json:"commitment"`
	Grants     grantList      `json:"grants"`
	Sealed     string         `json:"sealed"`
}

// grantList stops at MaxGrants before it takes memory: a megabyte of "{}," would take hundreds.
type grantList []manifestGrant

// UnmarshalJSON counts commas: a canonical list of n grants has 3n-1 of them.
func (l *grantList) UnmarshalJSON(b []byte) error {
	if b[0] != '[' {
		return errors.New("the grants are not a list")
	}
	if bytes.Count(b, []byte{','}) >= 3*MaxGrants {
		return fmt.Errorf("an envelope has 1 to %d grants", MaxGrants)
	}
	return json.Unmarshal(b, (*[]manifestGrant)(l))
}

type manifestGrant struct {
	Kind      string `json:"kind"`
	Recipient string `json:"recipient"`
	Digest    string `json:"digest"`
}

func listGrants(suite identity.Suite, grants []*identity.Grant) grantList {
	list := make(grantList, 0, len(grants))
	for _, g := range grants {
		list = append(list, manifestGrant{g.Kind.String(), g.Recipient.Hex(), hex.EncodeToString(suite.Digest(g.Bytes()))})
	}
	return list
}

// sealedContext binds sealed metadata to one revision by one signer.
func sealedContext(suite identity.Suite, id FileID, signer identity.Fingerprint, revision int64) []byte {
	b := append([]byte("stonevault.v1/manifest"), byte(suite))
	b = append(b, id[:]...)
	b = append(b, signer...)
	return binary.BigEndian.AppendUint64(b, uint64(revision))
}

// sealMetadata returns a Cobblestone-256 message of
//
//	length u32 ‖ canonical JSON ‖ zeros up to a multiple of 512 bytes
func sealMetadata(rand io.Reader, m *Metadata, key *FileKey, context []byte) (string, error) {
	if err := m.check(); err != nil {
		return "", fmt.Errorf("stone: %w", err)
	}
	text, err := canonical.Marshal(metadataJSON{
		m.Name, m.Path, m.Folder, m.Document, m.Version, m.Owner, m.MediaType, m.Size, m.Class, m.Scan, m.Mode,
		m.ModifiedAt.UnixMilli(), m.CreatedAt.UnixMilli(), m.SealedAt.UnixMilli(),
	})
	if err != nil {
		return "", fmt.Errorf("stone: %w", err)
	}
	if len(text) > maxMetadata {
		return "", fmt.Errorf("stone: the metadata is longer than %d bytes", maxMetadata)
	}
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	plain = append(plain, make([]byte, -len(plain)&(sealedUnit-1))...)
	salt := make([]byte, cobblestone.SaltSize)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return "", fmt.Errorf("stone: randomness: %w", err)
	}
	message, err := cobblestone.Seal(nil, plain, key[:], salt, context)
	if err != nil {
		return "", fmt.Errorf("stone: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(message), nil
}

func openMetadata(sealed string, key *FileKey, context []byte) (*Metadata, error) {
	message, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || strings.ContainsAny(sealed, "\r\n") {
		return nil, refuse("the sealed metadata is not base64url")
	}
	plain, err := cobblestone.Open(nil, message, key[:], context)
	if err != nil {
		return nil, refuse("the sealed metadata: %w", err)
	}
	if len(plain) < 4 || len(plain)%sealedUnit != 0 {
		return nil, refuse("the sealed metadata has a wrong length")
	}
	n := int64(binary.BigEndian.Uint32(plain))
	rest := plain[4:]
	if n > maxMetadata || n > int64(len(rest)) || int64(len(rest))-n >= sealedUnit || !allZero(rest[n:]) {
		return nil, refuse("the sealed metadata has a wrong length")
	}
	var j metadataJSON
	if err := canonical.Unmarshal(rest[:n], &j); err != nil {
		return nil, refuse("the sealed metadata: %w", err)
	}
	m := &Metadata{
		j.Name, j.Path, j.Folder, j.Document, j.Version, j.Owner, j.MediaType, j.Size, j.Class, j.Scan, j.Mode,
		time.UnixMilli(j.ModifiedAt).UTC(), time.UnixMilli(j.CreatedAt).UTC(), time.UnixMilli(j.SealedAt).UTC(),
	}
	if err := m.check(); err != nil {
		return nil, refuse("%w", err)
	}
	return m, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
