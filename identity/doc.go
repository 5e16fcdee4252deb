// Package identity holds the key pairs of a person, a vault or a program: one to receive (HPKE,
// RFC 9180 and draft-ietf-hpke-pq) and one to sign (ML-DSA, FIPS 204), with their fingerprints, text
// forms and certificates, and the wrapping of a file key for a recipient.
//
// It is the one place that names a post-quantum library. It touches no file, clock or environment:
// randomness and time are parameters. HPKE encapsulations and the hedging of signatures use the
// operating system's randomness, because the libraries take none.
//
// The wire forms are specified in docs/spec/stone.md.
package identity
