// Package distill turns two long bit strings that almost agree, and of which a stranger knows a little, into a
// short one that agrees and of which the stranger knows nothing worth having: the classical post-processing of
// quantum key distribution.
//
//	Reconcile ─── Bob corrects his bits to Alice's, by Cascade; each parity that she answers is leak
//	Tag ───────── both hash their bits and compare; a difference ends the session
//	Amplify ───── both hash their bits to the secret length, by a Toeplitz matrix
//
// Invariants: a parity is disclosed once, and none that follows from those before it in the same pass; both
// sides count what was disclosed and come to the same number; what comes from the other side is checked, and
// contradictions end the work with an error. The same inputs give the same outputs on every platform.
//
// It draws no randomness, decides no length and authenticates nothing: seeds and keys come in, the lengths
// that are safe are package bb84's, and the messages must travel over an authenticated channel. The bits are
// secret; Cascade's work depends on where the errors are, in its messages and so in its time, which is public by
// nature, but not otherwise on the bits. The format is specified in docs/spec/qkd.md, section "Distillation".
package distill
