// Package audit is the format of the audit log: what an event is, how it is committed to in a leaf, the
// Merkle tree over the leaves (RFC 6962) in tiles (C2SP tlog-tiles), the signed heads of it (C2SP
// tlog-checkpoint), receipts (C2SP tlog-proof), and the verifier that finds what was changed.
//
// An event becomes a Record: a Leaf of fixed width, which is hashed and never changes, and up to three
// Openings, each a salt and what it hides. The leaf holds commitments alone, so that an opening can be
// destroyed and everything that the leaf is part of still verifies.
//
//	Event ── Commit ──▶ Leaf, Openings ── Tree.Append ──▶ tiles, Tree ── SigningKey.Sign ──▶ checkpoint
//
// Invariants: a text or byte string that could be written in another way is refused; a row of the table of
// types never changes once it was used; nothing that is read is believed before a signed head vouches for it.
//
// It is no log server: it keeps nothing, and knows no file, clock, network or database. Who calls it decides
// where rows and tiles lie, who may read what, and under which key an opening is sealed. The format is
// specified in docs/spec/audit.md.
package audit
