// Package quantum runs the sessions that two people of a vault get quantum keys from.
//
//	pool is empty ──▶ Make ── bb84.Simulate ──▶ 256-bit keys, which package kme seals and delivers
//
// Invariants:
//   - Of a session's secret bits every key has its own 256; what is left over is destroyed, and so is all where the
//     session was aborted.
//   - Only a few sessions run at once in a process; the others wait, and end with their context.
//
// It is no quantum cryptography: sessions are simulated. It keeps no key, and knows no database and no HTTP.
package quantum
