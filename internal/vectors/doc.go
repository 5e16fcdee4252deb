// Package vectors checks the primitives that Stonevault stands on against published test vectors:
// Wycheproof, NIST ACVP, the HPKE working group's and CCTV's. It shows that the libraries in use are the
// algorithms they are named after; what Stonevault makes of them is tested where it is made.
//
// Nothing but tests imports it. Files of others are read in place, from the folder beside the repository
// or from a module's source, and none is kept here. What could not be run is skipped by name with a
// count, and a file of which nothing ran fails.
package vectors
