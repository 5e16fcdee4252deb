// Package vectors checks the primitives that Stonevault stands on against published test vectors:
// Wycheproof, NIST ACVP, the HPKE working group's and CCTV's. It shows that the libraries in use are the
// algorithms they are named after; what Stonevault makes of them is tested where it is made.
//
// Nothing but tests imports it. Files of others are read in place and none is kept in this repository;
// where they are missing the tests that need them are skipped by name.
package vectors
