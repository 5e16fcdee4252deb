// Package cobblestone implements Cobblestone-256: the instantiation of C2SP's chunked-encryption
// (c2sp.org/chunked-encryption) with HKDF-Expand over SHA-512 and AES-256-GCM.
//
// A message is
//
//	salt (24) ‖ commitment (32) ‖ sealed chunk 0 ‖ sealed chunk 1 ‖ …
//
// where every chunk but the last holds 16,384 bytes of plaintext and the last holds fewer, perhaps none.
// The commitment binds a message to one key, salt and context, which AES-GCM by itself does not.
//
// Invariants: nothing is decrypted before the commitment was compared; no plaintext of a chunk is
// returned before its tag is right, and Open returns none before all of them are; a message that was cut,
// extended or reordered is refused.
//
// The package draws no randomness: a salt must never repeat under one key, and that is the caller's
// duty. It does no I/O, and a message is only as authentic as its key is secret; it says nothing about
// who made it.
package cobblestone

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"sync"
)

const (
	KeySize        = 32 // the input key, uniformly random
	SaltSize       = 24
	CommitmentSize = 32
	HeaderSize     = SaltSize + CommitmentSize

	ChunkSize       = 16384 // plaintext bytes of every chunk but the last
	TagSize         = 16    // what sealing adds to each chunk
	SealedChunkSize = ChunkSize + TagSize

	// MaxChunks bounds a message: 2^38 chunks, which is 4 PiB.
	MaxChunks = 1 << 38

	nonceSize = 12
)

var (
	label        = []byte("c2sp.org/chunked-encryption@v1+" + "AEAD_AES_256_GCM" + "\x00")
	blockNumbers = [...][]byte{{1}, {2}}
)

var (
	// ErrOpen is what every refusal of a message wraps. Tell strangers this and no more.
	ErrOpen = errors.New("cobblestone: message refused")

	ErrCommitment     = fmt.Errorf("%w: the commitment is for another key, salt or context", ErrOpen)
	ErrTruncated      = fmt.Errorf("%w: truncated", ErrOpen)
	ErrAuthentication = fmt.Errorf("%w: a chunk is not authentic", ErrOpen)
	ErrTooLong        = fmt.Errorf("%w: more than 2^38 chunks", ErrOpen)

	// ErrParameter is a mistake of the caller: a key, salt or chunk of the wrong length.
	ErrParameter = errors.New("cobblestone: invalid parameter")
)

// SealedSize returns the length of the message for a plaintext of n bytes.
func SealedSize(n int) int {
	return HeaderSize + n + (n/ChunkSize+1)*TagSize
}

// PlaintextSize returns the length of the plaintext in a message of n bytes, or ErrTruncated when no
// message has that length.
func PlaintextSize(n int) (int, error) {
	full, last, err := shape(int64(n))
	if err != nil {
		return 0, err
	}
	return int(full)*ChunkSize + last - TagSize, nil
}

// shape splits a message of size bytes into full sealed chunks and the length of the last sealed one.
func shape(size int64) (full int64, last int, err error) {
	if size < HeaderSize+TagSize {
		return 0, 0, ErrTruncated
	}
	full, last = (size-HeaderSize)/SealedChunkSize, int((size-HeaderSize)%SealedChunkSize)
	switch {
	case last < TagSize: // a last chunk is never full, so 0 means that it is gone
		return 0, 0, ErrTruncated
	case full >= MaxChunks:
		return 0, 0, ErrTooLong
	}
	return full, last, nil
}

// keys is what HKDF makes of an input key for one message.
type keys struct {
	aead       cipher.AEAD
	base       [nonceSize]byte
	commitment [CommitmentSize]byte
}

// Key is an input key made ready for many messages. It spares half the hashing of a short one, and many
// goroutines may use it at once. It must not be copied.
type Key struct {
	mac  hash.Cloner // HMAC-SHA-512 under the key, before its input; it is cloned and never written to
	idle sync.Pool   // of *expander
}

// expander is what derive works with, which takes as long to make as to use.
type expander struct {
	mac hash.Hash // before its input
	okm [len(blockNumbers) * sha512.Size]byte
}

// NewKey takes KeySize bytes, of which it keeps no copy.
func NewKey(key []byte) (*Key, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("%w: the key has %d bytes, not %d", ErrParameter, len(key), KeySize)
	}
	mac := hmac.New(sha512.New, key)
	mac.Reset() // it remembers what the key alone gives
	cloner, ok := mac.(hash.Cloner)
	if !ok {
		return nil, fmt.Errorf("cobblestone: HMAC: %w", errors.ErrUnsupported)
	}
	return &Key{mac: cloner}, nil
}

func (k *Key) expander() (*expander, error) {
	if e, ok := k.idle.Get().(*expander); ok {
		return e, nil
	}
	mac, err := k.mac.Clone()
	if err != nil {
		return nil, fmt.Errorf("cobblestone: HMAC: %w", err)
	}
	return &expander{mac: mac}, nil
}

// derive is HKDF-Expand (RFC 5869, section 2.3) with label ‖ salt ‖ context, to two of its blocks.
func (k *Key) derive(salt, context []byte) (own keys, err error) {
	if len(salt) != SaltSize {
		return own, fmt.Errorf("%w: the salt has %d bytes, not %d", ErrParameter, len(salt), SaltSize)
	}
	e, err := k.expander()
	if err != nil {
		return own, err
	}
	okm := e.okm[:0]
	for _, number := range blockNumbers {
		e.mac.Write(okm)
		e.mac.Write(label)
		e.mac.Write(salt)
		e.mac.Write(context)
		e.mac.Write(number)
		okm = e.mac.Sum(okm)
		e.mac.Reset()
	}
	defer func() { clear(e.okm[:]); k.idle.Put(e) }()
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		return own, fmt.Errorf("cobblestone: %w", err)
	}
	if own.aead, err = cipher.NewGCM(block); err != nil {
		return own, fmt.Errorf("cobblestone: %w", err)
	}
	copy(own.base[:], okm[32:])
	copy(own.commitment[:], okm[32+nonceSize:])
	return own, nil
}

// nonce writes the nonce of chunk i into n: the base nonce XOR i, big-endian.
func (k *keys) nonce(n *[nonceSize]byte, i int64) {
	*n = k.base
	low := n[nonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^uint64(i))
}

// Seal appends the message for plaintext to dst and returns the longer slice. The same key, salt and
// context must never be used for two plaintexts. Plaintext must not overlap dst's spare capacity, except
// where it ends exactly at the message's end: then it is sealed in place.
func Seal(dst, plaintext, key, salt, context []byte) ([]byte, error) {
	k, err := NewKey(key)
	if err != nil {
		return nil, err
	}
	return k.Seal(dst, plaintext, salt, context)
}

// Seal is the function Seal under this key.
func (k *Key) Seal(dst, plaintext, salt, context []byte) ([]byte, error) {
	own, err := k.derive(salt, context)
	if err != nil {
		return nil, err
	}
	dst = slices.Grow(dst, SealedSize(len(plaintext)))
	dst = append(dst, salt...)
	dst = append(dst, own.commitment[:]...)
	var nonce [nonceSize]byte
	for i := int64(0); ; i++ {
		n := min(ChunkSize, len(plaintext))
		// A chunk is first moved to where its ciphertext goes: GCM seals a chunk in place or elsewhere, but
		// not across itself. What it moves over is the room of chunks that are sealed already.
		chunk := dst[len(dst) : len(dst)+n]
		copy(chunk, plaintext)
		plaintext = plaintext[n:]
		own.nonce(&nonce, i)
		dst = dst[:len(dst)+len(own.aead.Seal(chunk[:0], nonce[:], chunk, nil))]
		if n < ChunkSize {
			return dst, nil
		}
	}
}

// Open appends the plaintext of message to dst and returns the longer slice. On an error it returns nil,
// and whatever it had written behind dst is zero again. Message must not overlap dst's spare capacity,
// except where it begins exactly there: then it is opened in place, and worthless afterwards. Room for TagSize
// bytes more than the plaintext is all that dst needs not to be moved.
func Open(dst, message, key, context []byte) ([]byte, error) {
	k, err := NewKey(key)
	if err != nil {
		return nil, err
	}
	return k.Open(dst, message, context)
}

// Open is the function Open under this key.
func (k *Key) Open(dst, message, context []byte) ([]byte, error) {
	if len(message) < HeaderSize {
		return nil, ErrTruncated
	}
	o, err := k.opener(message[:HeaderSize], int64(len(message)), context)
	if err != nil {
		return nil, err
	}
	// A chunk is moved to where its plaintext goes, with its tag, and opened there; as in Seal.
	out := slices.Grow(dst, len(message)-HeaderSize-int(o.full)*TagSize)
	sealed := message[HeaderSize:]
	var nonce [nonceSize]byte
	for i := range o.Chunks() {
		n := min(SealedChunkSize, len(sealed))
		chunk := out[len(out) : len(out)+n]
		copy(chunk, sealed)
		sealed = sealed[n:]
		if _, err := o.openChunk(chunk[:0], chunk, i, &nonce); err != nil {
			clear(out[len(dst) : len(out)+n])
			return nil, err
		}
		out = out[:len(out)+n-TagSize]
	}
	return out, nil
}

// Opener opens single chunks of one message, in any order. It may be used by many goroutines at once.
type Opener struct {
	keys keys
	full int64 // chunks before the last
	last int   // sealed length of the last one
}

// NewOpener takes the first HeaderSize bytes of a message and the message's whole length in bytes, both
// before anything of it is trusted, and refuses them unless the commitment is that of key and context.
// The length matters: without it a message cut behind a full chunk would look whole.
func NewOpener(header []byte, size int64, key, context []byte) (*Opener, error) {
	if len(header) != HeaderSize {
		return nil, fmt.Errorf("%w: the header has %d bytes, not %d", ErrParameter, len(header), HeaderSize)
	}
	k, err := NewKey(key)
	if err != nil {
		return nil, err
	}
	o, err := k.opener(header, size, context)
	if err != nil {
		return nil, err
	}
	return &o, nil
}

func (k *Key) opener(header []byte, size int64, context []byte) (Opener, error) {
	own, err := k.derive(header[:SaltSize], context)
	if err != nil {
		return Opener{}, err
	}
	if subtle.ConstantTimeCompare(own.commitment[:], header[SaltSize:]) != 1 {
		return Opener{}, ErrCommitment
	}
	full, last, err := shape(size)
	if err != nil {
		return Opener{}, err
	}
	return Opener{keys: own, full: full, last: last}, nil
}

// Chunks returns how many chunks the message has; at least one.
func (o *Opener) Chunks() int64 { return o.full + 1 }

// Chunk tells where in the message sealed chunk i lies. Plaintext byte p is in chunk p / ChunkSize.
func (o *Opener) Chunk(i int64) (offset int64, length int, err error) {
	switch {
	case i < 0 || i > o.full:
		return 0, 0, fmt.Errorf("%w: chunk %d of %d", ErrParameter, i, o.Chunks())
	case i == o.full:
		length = o.last
	default:
		length = SealedChunkSize
	}
	return HeaderSize + i*SealedChunkSize, length, nil
}

// OpenChunk appends the plaintext of sealed chunk i to dst. A chunk that has not the length which its
// place asks for is refused like any other that is not authentic.
func (o *Opener) OpenChunk(dst, sealed []byte, i int64) ([]byte, error) {
	_, length, err := o.Chunk(i)
	if err != nil {
		return nil, err
	}
	if len(sealed) != length {
		return nil, ErrAuthentication
	}
	return o.openChunk(dst, sealed, i, new([nonceSize]byte))
}

// openChunk is given the room for its nonce, which is on the heap since AEAD is an interface.
func (o *Opener) openChunk(dst, sealed []byte, i int64, nonce *[nonceSize]byte) ([]byte, error) {
	o.keys.nonce(nonce, i)
	out, err := o.keys.aead.Open(dst, nonce[:], sealed, nil)
	if err != nil {
		return nil, ErrAuthentication
	}
	return out, nil
}
