// Package masterkey is the key at the top of a vault: it seals what the database keeps of secrets, and
// comes from a file beside the data directory, a passphrase, or (for development) the environment. Package
// transit keeps it under a key of Vault's or OpenBao's.
//
// A sealed value begins with the tag of its key, so that a value says which key it needs and the values of a key can
// be counted. While one key takes the place of another, a Ring has both.
//
// Invariants: the key never lies in the data directory; a key is made only for a vault that has none, or to take the
// place of its key; what was sealed in one place does not open in another. It is not a key manager: it holds the
// keys of one vault, in memory.
package masterkey

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"stonevault/stone/cobblestone"
)

// TagSize is the length in bytes of what a sealed value begins with.
const TagSize = 8

const (
	keySize    = 32
	filePrefix = "svmk1"

	// argon2id (RFC 9106): memory in KiB, passes, lanes.
	argonMemory = 256 * 1024
	argonTime   = 3
	argonLanes  = 4
	// SaltSize is the length in bytes of a passphrase's salt.
	SaltSize = 32

	// maxText is the most bytes that the text of a key has, wrapped or not.
	maxText = 64 << 10
)

var (
	// ErrMissing is a key file that is not there.
	ErrMissing = errors.New("there is no master key")
	// ErrMalformed is a text that is no master key.
	ErrMalformed = errors.New("this is not a master key")
	// ErrOther is another key in the place of one.
	ErrOther = errors.New("this is another master key than the one in use")
	// ErrOpen is a sealed value that does not open.
	ErrOpen = errors.New("masterkey: the sealed value does not open")
)

// Key is a master key. It may be used by many goroutines.
type Key struct {
	check []byte

	mu      sync.RWMutex
	secret  [keySize]byte // under mu; zero while suspended, as the next
	sealing [keySize]byte // under mu
	away    error         // under mu; why the key cannot be used, where it cannot
}

// newKey derives what is used from what is kept.
func newKey(secret []byte) (*Key, error) {
	if len(secret) != keySize {
		return nil, ErrMalformed
	}
	sealing, err := hkdf.Expand(sha512.New, secret, "stonevault.v1/master/seal", keySize)
	if err != nil {
		return nil, fmt.Errorf("masterkey: %w", err)
	}
	check, err := hkdf.Expand(sha512.New, secret, "stonevault.v1/master/check", 16)
	if err != nil {
		return nil, fmt.Errorf("masterkey: %w", err)
	}
	return &Key{secret: [keySize]byte(secret), sealing: [keySize]byte(sealing), check: check}, nil
}

// String never shows the key.
func (k *Key) String() string { return "[redacted]" }

// GoString never shows the key.
func (k *Key) GoString() string { return "[redacted]" }

// Check is a public value that tells keys apart.
func (k *Key) Check() []byte { return bytes.Clone(k.check) }

// Suspend zeroes the memory of the key, once nobody uses it any more. Whoever does from now on gets why.
func (k *Key) Suspend(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.secret[:])
	clear(k.sealing[:])
	k.away = why
}

// Resume makes a suspended key usable again, by the same key read anew.
func (k *Key) Resume(same *Key) error {
	if !bytes.Equal(k.check, same.check) {
		return ErrOther
	}
	same.mu.RLock()
	secret, sealing, away := same.secret, same.sealing, same.away
	same.mu.RUnlock()
	if away != nil {
		return away
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secret, k.sealing, k.away = secret, sealing, nil
	clear(secret[:])
	clear(sealing[:])
	return nil
}

// reveal is what the key is kept as.
func (k *Key) reveal() (secret [keySize]byte, err error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.secret, k.away
}

// tag begins what the key seals. It shows no more than Check does.
func (k *Key) tag() []byte { return k.check[:TagSize] }

// Seal seals plaintext for one place: the key's tag and a Cobblestone-256 message.
func (k *Key) Seal(context string, plaintext []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.away != nil {
		return nil, k.away
	}
	salt := make([]byte, cobblestone.SaltSize)
	rand.Read(salt)
	return cobblestone.Seal(bytes.Clone(k.tag()), plaintext, k.sealing[:], salt, []byte(context))
}

// Open opens what Seal made for the same place. Values without a tag are from before there were any.
func (k *Key) Open(context string, sealed []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.away != nil {
		return nil, k.away
	}
	message, _ := bytes.CutPrefix(sealed, k.tag())
	plain, err := cobblestone.Open(nil, message, k.sealing[:], []byte(context))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	return plain, nil
}

// format writes a key as text: the prefix and base64url of the key and four bytes of its SHA-256.
func format(secret []byte) string {
	sum := sha256.Sum256(secret)
	return filePrefix + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(secret), sum[:4]...))
}

// Parse reads the text of a key.
func Parse(text string) (*Key, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), filePrefix)
	if !ok {
		return nil, ErrMalformed
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) != keySize+4 || format(b[:keySize]) != filePrefix+body {
		return nil, ErrMalformed
	}
	return newKey(b[:keySize])
}

// Generate makes a key, and returns it with the text that Parse reads.
func Generate() (text string, key *Key, err error) {
	secret := make([]byte, keySize)
	defer clear(secret)
	rand.Read(secret)
	key, err = newKey(secret)
	return format(secret), key, err
}

// ReadFile reads a key file.
func ReadFile(path string) (*Key, error) {
	text, err := ReadText(path)
	if err != nil {
		return nil, err
	}
	key, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	return key, nil
}

// ReadText reads the text of a key file, whatever it is.
func ReadText(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w at %s", ErrMissing, path)
	}
	if err != nil {
		return "", fmt.Errorf("masterkey: %w", err)
	}
	if tooOpen(info) {
		return "", fmt.Errorf("masterkey: other people of this machine may read %s; type: chmod 600 %s", path, path)
	}
	if info.Size() > maxText {
		return "", fmt.Errorf("%w, but something of %d bytes: %s", ErrMalformed, info.Size(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("masterkey: %w", err)
	}
	return string(text), nil
}

// CreateFile makes a key and writes it, durably, to a file that must not exist.
func CreateFile(path string) (*Key, error) {
	text, key, err := Generate()
	if err == nil {
		err = CreateText(path, text)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// CreateText writes the text of a key, durably, to a file that must not exist. The file has its name once it is whole:
// whoever is stopped on the way leaves another, with a key that nothing was sealed under.
func CreateText(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".making-*") // for its owner alone
	if err != nil {
		return fmt.Errorf("masterkey: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintln(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = nameNew(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("masterkey: write %s: %w", path, err)
	}
	return nil
}

// nameNew gives a file a name that must not exist. Some file systems have no links, and then only this program looks.
func nameNew(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, there := os.Lstat(to); there == nil {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}

// KeepFile is CreateFile for a key that there is already.
func KeepFile(path string, secret []byte) error { return CreateText(path, format(secret)) }

// MoveFile gives a key file another name, in the place of whatever has that, durably.
func MoveFile(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody else has done it
		return fmt.Errorf("masterkey: %w", err)
	}
	return syncDir(filepath.Dir(to))
}

// FromPassphrase derives a key. It takes 256 MiB of memory.
func FromPassphrase(passphrase, salt []byte) (*Key, error) {
	if len(passphrase) == 0 || len(salt) != SaltSize {
		return nil, errors.New("masterkey: a passphrase and a salt of 32 bytes are needed")
	}
	return newKey(argon2.IDKey(norm.NFC.Bytes(passphrase), salt, argonTime, argonMemory, argonLanes, keySize))
}
