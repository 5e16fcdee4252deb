// Package gf2 has products of polynomials over GF(2): of two words, in the field GF(2^128), and of a Toeplitz
// matrix with a vector, the longest of which go through a transform over GF(2^64). The verification of a reconciled
// key, its privacy amplification, and the authentication of messages are made of these.
//
// Polynomials lie in 64-bit words: the coefficient of x^i is bit i%64, counted from the least significant, of
// word i/64. That is not the order of GCM, whose bits are reflected.
//
// Invariants: every product is the same, bit for bit, whether a processor's carry-less multiplication made it or
// the Go code; and neither branches on, nor looks up by, the value of an operand.
//
// It is no general library: lengths are those that its callers need, and a wrong one is a panic.
package gf2
