// Package quantum runs the sessions that two people of a vault get quantum keys from, and keeps what they came to.
//
//	pool is empty, or a person asks ──▶ kme.KMEs ──▶ Make ── bb84.Simulate ──▶ 256-bit keys, which kme seals and delivers
//	                                                  └──▶ Store: a session, without any bit of a key
//
// Invariants:
//   - Of a session's secret bits every key has its own 256; what is left over is destroyed, and so is all where the
//     session was aborted.
//   - Keys are made only by sessions that are kept: who is erased meanwhile gets none.
//   - A session is seen by its two people and by admins; to others it is not there.
//   - Only a few sessions run at once in a process; the others wait, and end with their context.
//
// It is no quantum cryptography: sessions are simulated. It keeps no key, and knows no database and no HTTP.
package quantum
