package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

const (
	// MaxPasswordBytes is what is hashed at most.
	MaxPasswordBytes = 1024

	maxWaiting = 32 // sign-ins that wait for a turn; the next one is told to come back
)

// hashParams are argon2id's (RFC 9106). What a stored hash may ask for is limited, so that a changed
// row cannot take the server's memory.
type hashParams struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
	salt    []byte
	sum     []byte
}

// current is RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes.
var current = hashParams{memory: 64 << 10, time: 3, threads: 4}

const (
	minMemory, maxMemory   = 8 << 10, 256 << 10 // KiB
	minTime, maxTime       = 1, 16
	minThreads, maxThreads = 1, 16
	saltBytes, sumBytes    = 16, 32
)

var errHash = errors.New("auth: a stored password hash is malformed")

// dummyHash is checked for names that do not exist, and for accounts without a password. No password is known to give a sum of zeros.
var dummyHash = hashParams{
	memory: current.memory, time: current.time, threads: current.threads,
	salt: []byte("no such account!"), sum: make([]byte, sumBytes),
}.String()

// String is the PHC string format.
func (p hashParams) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.threads, b64.EncodeToString(p.salt), b64.EncodeToString(p.sum))
}

// parseHash reads what String writes, within the limits, and nothing else.
func parseHash(phc string) (hashParams, error) {
	parts := strings.Split(phc, "$")
	if len(phc) > 256 || len(parts) != 6 {
		return hashParams{}, errHash
	}
	numbers := strings.Split(parts[3], ",")
	if len(numbers) != 3 {
		return hashParams{}, errHash
	}
	var values [3]uint64
	for i, row := range [3]struct {
		prefix   string
		min, max uint64
	}{{"m=", minMemory, maxMemory}, {"t=", minTime, maxTime}, {"p=", minThreads, maxThreads}} {
		digits, ok := strings.CutPrefix(numbers[i], row.prefix)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n < row.min || n > row.max {
			return hashParams{}, errHash
		}
		values[i] = n
	}
	b64 := base64.RawStdEncoding.Strict()
	salt, errSalt := b64.DecodeString(parts[4])
	sum, errSum := b64.DecodeString(parts[5])
	if errSalt != nil || errSum != nil || len(salt) != saltBytes || len(sum) != sumBytes {
		return hashParams{}, errHash
	}
	p := hashParams{memory: uint32(values[0]), time: uint32(values[1]), threads: uint8(values[2]), salt: salt, sum: sum}
	// Writing it again catches leading zeros, signs, line breaks and another name or version in one go.
	if p.String() != phc {
		return hashParams{}, errHash
	}
	return p, nil
}

// hashNormal takes about 64 MiB and a tenth of a second.
func hashNormal(rand io.Reader, normal string) (string, error) {
	p := current
	p.salt = make([]byte, saltBytes)
	if _, err := io.ReadFull(rand, p.salt); err != nil {
		return "", fmt.Errorf("auth: no randomness: %w", err)
	}
	p.sum = p.hash(normal)
	return p.String(), nil
}

// hash is argon2id of a normal password. What it took goes back to the system at once: as garbage it would
// stay resident, and be the measure of how much more the collector lets pile up.
func (p hashParams) hash(normal string) []byte {
	defer debug.FreeOSMemory()
	return argon2.IDKey([]byte(normal), p.salt, p.time, p.memory, p.threads, sumBytes)
}

// normalPassword is the password as it is hashed: NFC, so that two keyboards type the same one.
func normalPassword(password string) (string, error) {
	switch {
	case password == "":
		return "", &InvalidError{"password", "is empty"}
	case len(password) > MaxPasswordBytes:
		return "", &InvalidError{"password", "is longer than 1,024 bytes"}
	case !utf8.ValidString(password):
		return "", &InvalidError{"password", "is not valid UTF-8"}
	}
	normal := norm.NFC.String(password)
	if len(normal) > MaxPasswordBytes {
		return "", &InvalidError{"password", "is longer than 1,024 bytes"}
	}
	return normal, nil
}

// verifier checks passwords, a few at a time: each takes 64 MiB.
type verifier struct {
	slots   chan struct{}
	waiting atomic.Int64
}

func newVerifier() *verifier {
	return &verifier{slots: make(chan struct{}, min(max(runtime.GOMAXPROCS(0), 2), 4))}
}

// verify tells whether password, already normal, is the one of phc.
func (v *verifier) verify(ctx context.Context, phc, normal string) (bool, error) {
	p, err := parseHash(phc)
	if err != nil {
		return false, err
	}
	if err := v.acquire(ctx); err != nil {
		return false, err
	}
	defer func() { <-v.slots }()
	return subtle.ConstantTimeCompare(p.hash(normal), p.sum) == 1, nil
}

func (v *verifier) acquire(ctx context.Context) error {
	select {
	case v.slots <- struct{}{}:
		return nil
	default:
	}
	defer v.waiting.Add(-1)
	if v.waiting.Add(1) > maxWaiting {
		return ErrBusy
	}
	select {
	case v.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
