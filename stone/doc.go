// Package stone is the sealed-file format: sealing, opening and random access.
//
// A stone is a body followed by an envelope. The body is a preamble, segments of 1 MiB of plaintext that
// are compressed and sealed one by one, and an index; it never changes. The envelope is a signed manifest,
// the signer's keys, the grants and a trailer; it is replaced whole when a name or a grant changes.
//
//	preamble │ segment 0 │ … │ segment n-1 │ index ║ manifest │ signature │ signer │ grants │ trailer
//	└──────────────────── body ───────────────────┘ └──────────────────── envelope ─────────────────────┘
//
// Invariants: no byte of a segment is given out before the manifest's signature, the index's digest,
// that segment's digest and its tags have been checked; anything unknown, repeated, out of order, out of
// range, truncated or trailing is refused with ErrRefused.
//
// The package knows no file, clock or environment; randomness, time and I/O are parameters. It does not
// decide whose signature is good enough: Envelope says who signed, and the caller judges.
//
// The format is specified in docs/spec/stone.md.
package stone
