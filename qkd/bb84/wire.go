package bb84

import (
	"bufio"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"stonevault/qkd/internal/gf2"
)

// AuthSize is how many bytes of secret a session uses up to authenticate its messages, whether it ends with a key or not.
const AuthSize = 32 + 2*16*tagsEach

// tagsEach is how many tags each side sends at most.
const tagsEach = 5

// AuthKey is the secret that Alice and Bob share before a session, random and never used before: for each direction the key
// of a hash, and the one-time pads that mask what it gives (M. N. Wegman and J. L. Carter, J. Comput. Syst. Sci. 22, 265,
// 1981).
type AuthKey [AuthSize]byte

// kind is what a message is.
type kind uint8

const (
	helloMessage kind = 1 + iota
	detectionsMessage
	siftingMessage
	testMessage
	estimateMessage
	restMessage
	comparedMessage
	questionMessage
	answerMessage
	reconciledMessage
	verifyMessage
	verifiedMessage
	amplifyMessage
	doneMessage
)

// batched tells which messages wait for the tag of the next one of the same side. There are hundreds of them in a session,
// none of which discloses or decides anything that a stranger could not have asked for.
func (k kind) batched() bool { return k == questionMessage || k == answerMessage }

const (
	headerSize = 9 // kind u8, number u32, length u32
	tagSize    = 16
	maxPayload = 1 << 28
)

// Traffic is what one side sent.
type Traffic struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"`
	Tags     int64 `json:"tags"`
}

// wire is the authenticated classical channel as one side sees it. The first error ends it.
type wire struct {
	conn     io.Writer
	from     *bufio.Reader
	out, in  direction
	sending  []byte
	received []byte
}

// direction is one way through the channel.
type direction struct {
	hash   gf2.Hash
	pads   []gf2.Element
	number uint32
	Traffic
}

// newWire takes Alice's view of the secret for alice, and Bob's otherwise.
func newWire(conn io.ReadWriter, secret *AuthKey, alice bool) *wire {
	element := func(i int) gf2.Element { return gf2.FromBytes([16]byte(secret[16*i:])) }
	var d [2]direction
	for i := range d {
		d[i].hash.Reset(element(i))
		for n := range tagsEach {
			d[i].pads = append(d[i].pads, element(2+2*n+i))
		}
	}
	if alice {
		return &wire{conn: conn, from: bufio.NewReaderSize(conn, 1<<14), out: d[0], in: d[1]}
	}
	return &wire{conn: conn, from: bufio.NewReaderSize(conn, 1<<14), out: d[1], in: d[0]}
}

// header is what precedes a payload of n bytes.
func (d *direction) header(k kind, n int) (h [headerSize]byte) {
	h[0] = byte(k)
	binary.BigEndian.PutUint32(h[1:], d.number)
	binary.BigEndian.PutUint32(h[5:], uint32(n))
	return h
}

// pass counts a message and makes its tag; none for one that is batched.
func (d *direction) pass(k kind, header, payload []byte) (tag []byte, err error) {
	d.number++
	d.Messages++
	d.Bytes += int64(len(header) + len(payload))
	d.hash.Write(header)
	d.hash.Write(payload)
	if k.batched() {
		return nil, nil
	}
	if len(d.pads) == 0 {
		return nil, fmt.Errorf("%w: more than %d tags", ErrProtocol, tagsEach)
	}
	sum := d.hash.Sum().Add(d.pads[0]).Bytes()
	d.pads = d.pads[1:]
	d.Bytes += tagSize
	d.Tags++
	return sum[:], nil
}

func (w *wire) send(k kind, payload []byte) error {
	if len(payload) > maxPayload {
		return fmt.Errorf("%w: a message of %d bytes", ErrProtocol, len(payload))
	}
	h := w.out.header(k, len(payload))
	tag, err := w.out.pass(k, h[:], payload)
	if err != nil {
		return err
	}
	w.sending = slices.Grow(w.sending[:0], len(h)+len(payload)+len(tag))
	w.sending = append(append(append(w.sending, h[:]...), payload...), tag...)
	if _, err := w.conn.Write(w.sending); err != nil {
		return fmt.Errorf("the classical channel: %w", err)
	}
	return nil
}

// receive reads the next message, which must be one of those kinds. A payload is valid until the next one is read; one that
// is batched is not authenticated yet.
func (w *wire) receive(kinds ...kind) (k kind, payload []byte, err error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(w.from, h[:]); err != nil {
		return 0, nil, broken(err)
	}
	k, n := kind(h[0]), binary.BigEndian.Uint32(h[5:])
	expected := false
	for _, e := range kinds {
		expected = expected || k == e
	}
	switch {
	case !expected || binary.BigEndian.Uint32(h[1:]) != w.in.number:
		return 0, nil, fmt.Errorf("%w: message %d of kind %d is not the one that follows", ErrTampered, w.in.number, k)
	case n > maxPayload:
		return 0, nil, fmt.Errorf("%w: a message of %d bytes", ErrTampered, n)
	}
	if err := w.read(int(n)); err != nil {
		return 0, nil, broken(err)
	}
	want, err := w.in.pass(k, h[:], w.received)
	if err != nil || k.batched() {
		return k, w.received, err
	}
	var tag [tagSize]byte
	if _, err := io.ReadFull(w.from, tag[:]); err != nil {
		return 0, nil, broken(err)
	}
	if subtle.ConstantTimeCompare(tag[:], want) != 1 {
		return 0, nil, fmt.Errorf("%w: message %d has a wrong tag", ErrTampered, w.in.number-1)
	}
	return k, w.received, nil
}

// read reads a payload of n bytes. The length is not to be trusted yet: memory is taken as bytes arrive.
func (w *wire) read(n int) error {
	const atOnce = 1 << 22
	w.received = w.received[:0]
	for n > 0 {
		from := len(w.received)
		w.received = slices.Grow(w.received, min(n, max(atOnce, from)))[:from+min(n, atOnce)]
		if _, err := io.ReadFull(w.from, w.received[from:]); err != nil {
			return err
		}
		n -= len(w.received) - from
	}
	return nil
}

func broken(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the classical channel: %w", err)
}
