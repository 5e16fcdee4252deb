// Package qkd is what a vault draws quantum keys from: a Key with its KeyID, and Source, which has the semantics of
// ETSI GS QKD 014 V1.1.1. One secure application entity (SAE), the master, takes keys for another, the slave, and passes
// on their ids; the slave fetches the same keys by id at its end.
//
// Invariants: each end gets a key once, and then it is gone there; a key never shows in text that fmt, log/slog or
// encoding/json make.
//
// Package kme simulates the two key-management entities (KMEs) that hand out keys, and package etsi014 speaks to KMEs by
// HTTPS. This package neither makes keys nor keeps them, and a Source does not say whether physics protected a key: with
// the simulation nothing did.
package qkd
