// Package bb84 simulates BB84 sessions from the pulses of light to a secret key, and computes how long such a key may be.
//
//	Transmit ──── the quantum channel: source, Eve, fibre, detectors, Bob's choice of bases
//	Alice, Bob ── sifting, estimation, correction of errors, verification, privacy amplification, over a classical channel
//	Simulate ──── all of it in one process
//	Evaluate ──── the lengths that DecoyCounts (weak pulses, Lim et al. 2014) and SingleCounts (single photons, Tomamichel
//	              et al. 2012) allow; ExpectedRate and Curve evaluate them at what a setup is expected to yield
//
// Invariants: Alice and Bob know of each other what came over the two channels, and nothing else; every message on the
// classical one is authenticated with a key that is used for one session, and one that was changed ends it; where a session is
// aborted nothing is put out; a Result holds no bit of a key. A seed makes a session repeatable to the byte, on every platform.
//
// It is no quantum cryptography: the light is computed, so a key is as secret as the computer and the randomness that made
// it. What follows the detections is what real systems do, and Alice and Bob would do it with those of hardware behind Sender
// and Receiver. It knows no clock, network or file. The model, the formulas and the messages are specified in docs/spec/qkd.md.
package bb84
