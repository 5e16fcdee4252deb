package stone

import (
	"context"
	"errors"
	"io"
	"time"

	"stonevault/identity"
)

// SealParams says for whom and by whom a stone is sealed without a vault.
type SealParams struct {
	Rand        io.Reader
	Now         time.Time
	Recipients  []*identity.WrappingKey
	Signer      Signer // nil makes a signer that is used once
	Compression Compression
	// Metadata's Size is found while sealing; Class may be empty for ClassNormal.
	Metadata Metadata
}

// Seal writes a whole stone, body and envelope, to dst.
func Seal(ctx context.Context, dst io.Writer, src io.Reader, p SealParams) error {
	if len(p.Recipients) == 0 {
		return errors.New("stone: a stone needs a recipient")
	}
	suite := p.Recipients[0].Suite()
	for _, r := range p.Recipients {
		if r.Suite() != suite {
			return errors.New("stone: recipients of two suites cannot share a stone; seal one for each")
		}
	}
	if p.Signer == nil {
		once, err := identity.Generate(p.Rand, suite)
		if err != nil {
			return err
		}
		p.Signer = once
	}
	if p.Metadata.Class == "" {
		p.Metadata.Class = ClassNormal
	}
	key, err := NewFileKey(p.Rand)
	if err != nil {
		return err
	}
	id, err := NewFileID(p.Rand)
	if err != nil {
		return err
	}
	var grants []*identity.Grant
	for _, r := range p.Recipients {
		g, err := r.Wrap(p.Rand, id, (*[32]byte)(key))
		if err != nil {
			return err
		}
		grants = append(grants, g)
	}
	if err := checkGrants(grants); err != nil {
		return err
	}
	body, err := SealBody(ctx, dst, src, BodyParams{
		Suite: suite, FileID: id, Key: key, Rand: p.Rand, Compression: p.Compression,
		MediaType: p.Metadata.MediaType, Class: p.Metadata.Class,
	})
	if err != nil {
		return err
	}
	p.Metadata.Size = body.Size
	envelope, err := SealEnvelope(EnvelopeParams{
		Body: body, Key: key, Revision: 1, Time: p.Now, Signer: p.Signer, Grants: grants, Metadata: p.Metadata, Rand: p.Rand,
	})
	if err != nil {
		return err
	}
	n, err := dst.Write(envelope)
	if err == nil && n != len(envelope) {
		err = io.ErrShortWrite
	}
	return err
}

// ReadEnvelope finds and parses the envelope at the end of a whole stone of size bytes. The body is what
// lies before it: the first Envelope.BodySize bytes of r.
func ReadEnvelope(r io.ReaderAt, size int64) (*Envelope, error) {
	if size < PreambleSize+TrailerSize {
		return nil, refuse("the file is too short for a stone")
	}
	tail := make([]byte, TrailerSize)
	if err := readAt(r, tail, size-TrailerSize); err != nil {
		return nil, err
	}
	t, err := parseTrailer(tail)
	if err != nil {
		return nil, err
	}
	length := int64(t.envelopeSize())
	if length > size || size-length != t.body {
		return nil, refuse("the file's length is not the one that the trailer states")
	}
	b := make([]byte, length)
	if err := readAt(r, b, size-length); err != nil {
		return nil, err
	}
	return ParseEnvelope(b)
}
