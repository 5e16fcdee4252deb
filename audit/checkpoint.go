package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"stonevault/internal/simdstate"
)

// MaxCheckpoint is the length of the longest checkpoint in bytes.
const MaxCheckpoint = MaxOrigin + 1 + 15 + 1 + 44 + 1 + 1 + // text and empty line
	2*(4+MaxOrigin+1+1) + (4+ed25519.SignatureSize+2)/3*4 + (4+timestampSize+mldsa44.SignatureSize+2)/3*4

const timestampSize = 8

// ErrCheckpoint is a text that is not a checkpoint of this log, signed by both its keys.
var ErrCheckpoint = errors.New("not a checkpoint of this log")

// Checkpoint is a head that a log has signed.
type Checkpoint struct {
	Origin string
	Tree   Tree
	Time   time.Time // of signing, in seconds, as the log says
}

// Sign makes the checkpoint of a tree. A log never signs two that aren't consistent: who calls this has
// made the tree durable first. Signatures of ML-DSA are hedged with the operating system's randomness.
func (k *SigningKey) Sign(t Tree, at time.Time) ([]byte, error) {
	if t.Size < 0 || t.Size > MaxSize || t.Size == 0 && t != EmptyTree() {
		return nil, fmt.Errorf("audit: no log has %d events with the root %s", t.Size, t.Root)
	}
	seconds := at.Unix()
	if seconds < 0 {
		return nil, errors.New("audit: a checkpoint's time is not before 1970")
	}
	text := log.Checkpoint{Origin: k.public.origin, Size: uint64(t.Size), Hash: t.Root[:]}.Marshal()
	classical, quantumSafe := k.public.lineKeys()
	classical.sign = func(text []byte) ([]byte, error) { return ed25519.Sign(k.ed25519, text), nil }
	quantumSafe.sign = func([]byte) ([]byte, error) {
		defer simdstate.Clear()
		sig := binary.BigEndian.AppendUint64(nil, uint64(seconds))
		sig = append(sig, make([]byte, mldsa44.SignatureSize)...)
		err := mldsa44.SignTo(k.mldsa44, statement(k.public.origin, uint64(seconds), t), nil, true, sig[timestampSize:])
		return sig, err
	}
	return note.Sign(&note.Note{Text: string(text)}, classical, quantumSafe)
}

// Open verifies a checkpoint. It takes exactly what Sign makes: three lines, and the two signatures in that
// order. Extension lines are refused because ML-DSA's statement doesn't cover them, and further signatures
// because nobody here could tell whose they are.
func (k *PublicKey) Open(checkpoint []byte) (Checkpoint, error) {
	wrong := func(format string, args ...any) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, fmt.Errorf(format, args...))
	}
	if len(checkpoint) > MaxCheckpoint {
		return wrong("it has %d bytes", len(checkpoint))
	}
	classical, quantumSafe := k.lineKeys()
	n, err := note.Open(checkpoint, note.VerifierList(classical, quantumSafe))
	if err != nil {
		return wrong("%w", err)
	}
	if len(n.UnverifiedSigs) != 0 {
		return wrong("it is signed by another key as well")
	}
	if len(n.Sigs) != 2 {
		return wrong("one of the log's two signatures is missing")
	}
	c, err := parseCheckpointText([]byte(n.Text))
	if err != nil {
		return wrong("%w", err)
	}
	if c.Origin != k.origin {
		return wrong("it is of the log %q", c.Origin)
	}
	// note.Open is lenient about order, repetition and the last bits of base64.
	exact := append([]byte(n.Text), '\n')
	for i, key := range []*lineKey{classical, quantumSafe} {
		raw, err := base64.StdEncoding.DecodeString(n.Sigs[i].Base64)
		if err != nil {
			return wrong("%w", err)
		}
		exact = fmt.Appendf(exact, "— %s %s\n", key.name, base64.StdEncoding.EncodeToString(raw))
		if n.Sigs[i].Hash != key.hash {
			return wrong("its signatures are in another order")
		}
		if key == quantumSafe {
			c.Time = time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC()
		}
	}
	if !bytes.Equal(exact, checkpoint) {
		return wrong("it is written in another way than the log writes")
	}
	return c, nil
}

// parseCheckpointText reads the signed lines of a checkpoint.
func parseCheckpointText(text []byte) (Checkpoint, error) {
	var c log.Checkpoint
	rest, err := c.Unmarshal(text)
	switch {
	case err != nil:
		return Checkpoint{}, err
	case len(rest) != 0:
		return Checkpoint{}, errors.New("it has extension lines, which one of its signatures doesn't cover")
	case len(c.Hash) != HashSize || !bytes.Equal(c.Marshal(), text):
		return Checkpoint{}, errors.New("its lines are written in another way than the log writes")
	case c.Size > MaxSize:
		return Checkpoint{}, fmt.Errorf("its size %d is more than a log can have", c.Size)
	}
	t := Tree{int64(c.Size), Hash(c.Hash)}
	if t.Size == 0 && t != EmptyTree() {
		return Checkpoint{}, errors.New("its root is not that of an empty log")
	}
	return Checkpoint{Origin: c.Origin, Tree: t}, checkOrigin(c.Origin)
}

// lineKeys are the verifiers of the two signature lines, in their order.
func (k *PublicKey) lineKeys() (classical, quantumSafe *lineKey) {
	classical = &lineKey{name: k.origin, hash: keyHash(k.origin, typeEd25519, k.ed25519)}
	classical.verify = func(text, sig []byte) bool { return ed25519.Verify(k.ed25519, text, sig) }

	quantumSafe = &lineKey{name: k.origin, hash: keyHash(k.origin, typeMLDSA44, k.mldsa44.Bytes())}
	quantumSafe.verify = func(text, sig []byte) bool {
		defer simdstate.Clear()
		if len(sig) != timestampSize+mldsa44.SignatureSize {
			return false
		}
		seconds := binary.BigEndian.Uint64(sig)
		c, err := parseCheckpointText(text)
		return err == nil && seconds <= math.MaxInt64 &&
			mldsa44.Verify(k.mldsa44, statement(c.Origin, seconds, c.Tree), nil, sig[timestampSize:])
	}
	return classical, quantumSafe
}

// statement is what the ML-DSA key signs: the cosigned_message of C2SP tlog-cosignature, with the log as
// its own cosigner.
func statement(origin string, seconds uint64, t Tree) []byte {
	b := []byte("subtree/v1\n\x00")
	b = append(b, byte(len(origin)))
	b = append(b, origin...)
	b = binary.BigEndian.AppendUint64(b, seconds)
	b = append(b, byte(len(origin)))
	b = append(b, origin...)
	b = binary.BigEndian.AppendUint64(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Size))
	return append(b, t.Root[:]...)
}
