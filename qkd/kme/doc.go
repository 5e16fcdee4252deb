// Package kme simulates a pair of key-management entities: what stands between the sessions that make quantum keys and
// the applications (SAEs) that use them. It has the semantics of ETSI GS QKD 014 V1.1.1 and gives every SAE a
// qkd.Source.
//
// For each ordered pair of SAEs there is a pool of 256-bit keys, filled by sessions when it has too few. Whoever takes a
// key gets it out of the pool; what is for the other ends waits for each of them apart, until it is fetched.
//
//	Maker ── session ──▶ pool ── Take ──▶ master
//	                       └──▶ waiting, one for each slave ── Fetch ──▶ slave
//
// Invariants:
//   - Each end gets a key at most once, whatever crashes and whoever asks at the same time: the row that has the key is
//     removed in the transaction that delivers it. A crash loses keys at worst.
//   - A request gets all of its keys or none, and then nothing is gone.
//   - A key is kept sealed, bound to its id, its SAEs and which of the two places it lies in.
//   - A pair has one session at a time in this process; other requests wait for it.
//
// Both KMEs are one here, over one store: nothing is sent between them, and no physics protects a key. This package
// knows no database, no clock and no quantum physics; they come with the Config.
package kme
