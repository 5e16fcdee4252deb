// Package auditlog is what a server does with the audit log whose format package audit is: it records events
// in the transactions of the changes that they are about, gives them their places in the tree, signs heads,
// hands out proofs and receipts, checks what is stored, and erases what is about a person.
//
//	Recorder.Record ──▶ a row without an index ── Sequencer ──▶ index, tiles, head ──▶ signed checkpoint ── Reader
//
// Invariants:
//   - An event and its change are one transaction: both are there, or neither is.
//   - An event gets its index, and the tree its tiles and head, in one transaction that fails where somebody
//     else has moved the head. Two sequencers on one database can only take turns.
//   - A head is signed once it is durable, and only if the log still begins as the newest signed head says.
//   - What an event says is kept sealed: what is about a person under a key of that person, the rest under
//     the log's own. Where a person's key is gone, nothing about that person can be read any more.
//
// It is no database and no API: rows are kept through Store, which lives in the transactions of others, and
// who may see what is decided by whoever calls the Reader.
package auditlog
