package audit

import (
	"crypto/ed25519"

	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// Commitment makes a commitment to anything, for tests that forge.
func Commitment(slot Slot, header []byte, o Opening) Hash { return commitment(slot, header, o) }

// LineKeys signs any text as the log would, for tests of what lies behind the signatures: also texts that
// are no checkpoints, for which the ML-DSA statement is made as well as it goes.
func LineKeys(k *SigningKey) (classical, quantumSafe note.Signer) {
	one, two := k.public.lineKeys()
	one.sign = func(text []byte) ([]byte, error) { return ed25519.Sign(k.ed25519, text), nil }
	two.sign = func(text []byte) ([]byte, error) {
		var c log.Checkpoint
		c.Unmarshal(text)
		var t Tree
		t.Size = int64(c.Size)
		copy(t.Root[:], c.Hash)
		sig := make([]byte, timestampSize+mldsa44.SignatureSize)
		return sig, mldsa44.SignTo(k.mldsa44, statement(c.Origin, 0, t), nil, true, sig[timestampSize:])
	}
	return one, two
}

// FsckKeeping is Fsck with another bound on the tiles that it keeps whole.
func FsckKeeping(l StoredLog, tiles int) (*Report, error) { return run(l, tiles) }
