package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"stonevault/stone/cobblestone"
)

const (
	publicPrefix = "svpub1"
	secretPrefix = "SVSEC1"

	checksumSize = 4

	pemType     = "STONEVAULT ENCRYPTED IDENTITY"
	fileContext = "stonevault.v1/identity-file"
)

// ErrNeedsPassphrase is what ParseIdentityFile returns for an encrypted file without a passphrase.
var ErrNeedsPassphrase = errors.New("identity: the identity file is encrypted under a passphrase")

var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// checksum guards a text form against slips of copying, not against people.
func checksum(prefix string, payload []byte) []byte {
	h := sha256.New()
	h.Write([]byte(prefix))
	h.Write(payload)
	return h.Sum(nil)[:checksumSize]
}

// checked splits payload and checksum, and then suite and body.
func checked(prefix string, b []byte) (Suite, []byte, error) {
	if len(b) < 1+checksumSize {
		return 0, nil, errors.New("identity: the key is too short; copy the whole line")
	}
	payload, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if !bytes.Equal(sum, checksum(prefix, payload)) {
		return 0, nil, errors.New("identity: the key has a wrong checksum; copy it again, whole")
	}
	return Suite(payload[0]), payload[1:], nil
}

// Text returns the key as one word: "svpub1" and base64url of suite, keys and a checksum.
func (p *Public) Text() string {
	payload := append([]byte{byte(p.Suite())}, p.bytes...)
	return publicPrefix + base64.RawURLEncoding.EncodeToString(append(payload, checksum(publicPrefix, payload)...))
}

// ParsePublic reads what Text returns.
func ParsePublic(text string) (*Public, error) {
	body, ok := strings.CutPrefix(text, publicPrefix)
	if !ok {
		return nil, fmt.Errorf("identity: a public key begins with %q", publicPrefix)
	}
	if strings.ContainsAny(body, "\r\n") {
		return nil, errors.New("identity: a public key is one line")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, errors.New("identity: the public key has characters that do not belong there")
	}
	suite, raw, err := checked(publicPrefix, b)
	if err != nil {
		return nil, err
	}
	return PublicFromBytes(suite, raw)
}

// SecretText returns the seeds as one word: "SVSEC1" and base32 of suite, seeds and a checksum.
func (id *Identity) SecretText() string {
	payload := append([]byte{byte(id.Suite())}, id.Seeds()...)
	return secretPrefix + secretEncoding.EncodeToString(append(payload, checksum(secretPrefix, payload)...))
}

// SecretSheet returns SecretText in groups of five that a person can copy from paper.
func (id *Identity) SecretSheet() string {
	text := id.SecretText()
	groups := []string{secretPrefix}
	for rest := text[len(secretPrefix):]; rest != ""; {
		n := min(5, len(rest))
		groups = append(groups, rest[:n])
		rest = rest[n:]
	}
	return strings.Join(groups, "-")
}

// ParseSecret reads SecretText and SecretSheet; spaces, line breaks, hyphens and letter case do not
// matter.
func ParseSecret(text string) (*Identity, error) {
	plain := strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(" \t\r\n-", r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, text)
	body, ok := strings.CutPrefix(plain, secretPrefix)
	if !ok {
		return nil, fmt.Errorf("identity: a secret key begins with %q", secretPrefix)
	}
	b, err := secretEncoding.DecodeString(body)
	if err != nil || secretEncoding.EncodeToString(b) != body {
		return nil, errors.New("identity: the secret key has characters that do not belong there")
	}
	suite, seeds, err := checked(secretPrefix, b)
	if err != nil {
		return nil, err
	}
	return FromSeeds(suite, seeds)
}

// FormatIdentityFile returns the text of an identity file. With a passphrase it is one PEM block: the
// argon2id salt and a Cobblestone-256 message of the plain text. Without one, pass nil.
func FormatIdentityFile(rand io.Reader, id *Identity, passphrase []byte) ([]byte, error) {
	plain := fmt.Appendf(nil, "# Stonevault identity, %v. Keep it secret.\n# fingerprint: %s\n# public key: %s\n%s\n",
		id.Suite(), id.public.print.Spoken(), id.public.Text(), id.SecretText())
	if passphrase == nil {
		return plain, nil
	}
	salts := make([]byte, PassphraseSaltSize+cobblestone.SaltSize)
	if _, err := io.ReadFull(rand, salts); err != nil {
		return nil, fmt.Errorf("identity: randomness: %w", err)
	}
	outer, inner := salts[:PassphraseSaltSize:PassphraseSaltSize], salts[PassphraseSaltSize:]
	sealed, err := cobblestone.Seal(outer, plain, passphraseKey(passphrase, outer), inner, []byte(fileContext))
	if err != nil {
		return nil, fmt.Errorf("identity: seal file: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: sealed}), nil
}

// ParseIdentityFile reads what FormatIdentityFile writes. It takes a passphrase only where the file is
// encrypted; ErrNeedsPassphrase asks for one and ErrPassphrase refuses one.
func ParseIdentityFile(text, passphrase []byte) (*Identity, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		if bytes.Contains(text, []byte(pemType)) {
			return nil, errors.New("identity: the identity file is damaged; take it from a copy")
		}
		return parsePlainFile(text)
	}
	alone := bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN ")) && len(bytes.TrimSpace(rest)) == 0
	if block.Type != pemType || len(block.Headers) != 0 || !alone || len(block.Bytes) < PassphraseSaltSize {
		return nil, errors.New("identity: this is not an identity file")
	}
	if passphrase == nil {
		return nil, ErrNeedsPassphrase
	}
	salt, sealed := block.Bytes[:PassphraseSaltSize], block.Bytes[PassphraseSaltSize:]
	plain, err := cobblestone.Open(nil, sealed, passphraseKey(passphrase, salt), []byte(fileContext))
	if err != nil {
		return nil, ErrPassphrase
	}
	return parsePlainFile(plain)
}

func parsePlainFile(text []byte) (*Identity, error) {
	var found *Identity
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if found != nil {
			return nil, errors.New("identity: the identity file holds more than one key")
		}
		id, err := ParseSecret(line)
		if err != nil {
			return nil, err
		}
		found = id
	}
	if found == nil {
		return nil, errors.New("identity: the identity file holds no key")
	}
	return found, nil
}
