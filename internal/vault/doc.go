// Package vault holds the use cases of a vault: putting, getting, listing, renaming, removing and
// verifying files, and the keys behind them. It declares the interfaces that it needs of a database, an
// object store and a master key, and imports no implementation of them.
//
// Invariants: every use case takes its Actor and decides by it; what an actor may not know of is
// ErrNotFound. Nothing is given out before the envelope, its signer's certificate and the rows that repeat
// its statements have been compared. Every change is committed in one transaction; what it leaves to do to
// objects is written down in that transaction as an Intent.
//
// Custody is managed: identities' seeds are sealed under the master key and opened in this process.
package vault
