package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/transparency-dev/formats/proof"
)

// MaxReceipt bounds a receipt in bytes.
const MaxReceipt = 272 << 10

// maxProof is how many hashes the longest audit path has.
const maxProof = 48

// ErrReceipt is a text that is not a receipt, or one that doesn't hold.
var ErrReceipt = errors.New("not a receipt of this log")

// Receipt shows offline, with the log's public key alone, that an event is in the log and what it says. In
// its file it is a C2SP tlog-proof whose extra data are the record.
type Receipt struct {
	Index      int64
	Record     Record // openings that the holder may not see are nil
	Proof      []Hash // the audit path
	Checkpoint []byte
}

// Marshal writes the receipt; a file of it ends in ".tlog-proof".
func (r *Receipt) Marshal() []byte {
	extra := r.Record.Leaf.Bytes()
	for _, o := range r.Record.Openings {
		extra = binary.BigEndian.AppendUint32(extra, uint32(len(o)))
		extra = append(extra, o...)
	}
	p := proof.TLogProof{Index: uint64(r.Index), Checkpoint: r.Checkpoint, ExtraData: extra}
	for _, h := range r.Proof {
		p.Hashes = append(p.Hashes, h)
	}
	return p.Marshal()
}

// ParseReceipt reads what Marshal writes. Nothing in it is to be believed before Verify.
func ParseReceipt(text []byte) (*Receipt, error) {
	wrong := func(format string, args ...any) (*Receipt, error) {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, fmt.Errorf(format, args...))
	}
	if len(text) > MaxReceipt {
		return wrong("it has %d bytes", len(text))
	}
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	lines := bytes.Split(head, []byte("\n"))
	if !ok || len(lines) < 3 || len(lines) > 3+maxProof {
		return wrong("it has not the lines of one")
	}
	r := &Receipt{Checkpoint: bytes.Clone(checkpoint)}
	extra, err := decodeLine(lines[1], "extra ")
	if err != nil {
		return wrong("its second line: %w", err)
	}
	if r.Record, err = parseExtra(extra); err != nil {
		return wrong("%w", err)
	}
	index, ok := bytes.CutPrefix(lines[2], []byte("index "))
	n, err := strconv.ParseUint(string(index), 10, 48)
	if !ok || err != nil {
		return wrong("its third line is no index")
	}
	r.Index = int64(n)
	for i, line := range lines[3:] {
		h, err := decodeLine(line, "")
		if err != nil || len(h) != HashSize {
			return wrong("hash %d is none", i)
		}
		r.Proof = append(r.Proof, Hash(h))
	}
	if !bytes.Equal(r.Marshal(), text) {
		return wrong("it is written in another way than a log writes")
	}
	return r, nil
}

func decodeLine(line []byte, prefix string) ([]byte, error) {
	encoded, ok := bytes.CutPrefix(line, []byte(prefix))
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q", prefix)
	}
	return base64.StdEncoding.Strict().DecodeString(string(encoded))
}

// parseExtra reads the record: the leaf, then each opening behind its length as u32, 0 where there is none.
func parseExtra(b []byte) (r Record, err error) {
	if len(b) < LeafSize {
		return r, fmt.Errorf("%w: the record has %d bytes", ErrLeaf, len(b))
	}
	if r.Leaf, err = ParseLeaf(b[:LeafSize]); err != nil {
		return r, err
	}
	b = b[LeafSize:]
	for i := range r.Openings {
		if len(b) < 4 || int64(len(b)-4) < int64(binary.BigEndian.Uint32(b)) {
			return r, fmt.Errorf("the %s opening is cut off", Slot(i))
		}
		n := binary.BigEndian.Uint32(b)
		if n > maxOpening {
			return r, fmt.Errorf("the %s opening has %d bytes", Slot(i), n)
		}
		if n > 0 {
			r.Openings[i] = bytes.Clone(b[4:][:n])
		}
		b = b[4+n:]
	}
	if len(b) != 0 {
		return r, errors.New("something follows the openings")
	}
	return r, nil
}

// Verify checks the checkpoint, the path to it and every opening, and reads the event. missing are the slots
// that the event has and the receipt does not show. An event whose type is newer than this program is
// ErrEvent, and nothing is said of the rest.
func (r *Receipt) Verify(key *PublicKey) (c Checkpoint, e Event, missing []Slot, err error) {
	if c, err = key.Open(r.Checkpoint); err != nil {
		return Checkpoint{}, Event{}, nil, err
	}
	if err = c.Tree.VerifyInclusion(r.Index, LeafHash(r.Record.Leaf.Bytes()), r.Proof); err != nil {
		return Checkpoint{}, Event{}, nil, err
	}
	if e, missing, err = r.Record.Event(); err != nil {
		return Checkpoint{}, Event{}, nil, err
	}
	return c, e, missing, nil
}
