// Package anchor writes heads of the audit log to the anchoring contract of an EVM chain, and checks a log
// against it. docs/spec/anchor.md specifies both; package contract beside it speaks the contract's language.
//
// Worker is the loop of a server. It keeps one transaction in flight, writes each step into a journal before
// it takes it, and goes on from the journal after a stop, so that no head is sent under two nonces and none is
// anchored twice. It waits for nobody and nobody waits for it: what goes wrong is a Status that says what to
// do. Verify is for those who don't trust the server.
//
// What RPC servers say is never believed by itself. Several are asked at once, at one finalized block; where
// two of them differ nothing is done, and a transaction counts when the contract has its head. If all of them
// lie together, nothing here finds out.
//
// Worker holds the anchorer's key and no other; the owner's is Owner's alone, which a person starts. The package reads no environment; its clock and its journal come
// in by Config. It is the one place that names go-ethereum.
package anchor
