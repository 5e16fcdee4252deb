// Package peers is what the servers of one vault know of each other: who is there, and who of them has taken what.
//
// Each server has a row in the database that it renews every few seconds. What it takes (an upload, a file whose
// envelope is written, a job that one server does for all) is a lease, good for as long as that row is. A server that
// cannot renew its row in time ends the contexts of all that it had taken, before others may take it, and joins anew.
//
// Invariants: of two servers one has a name at a time, as far as their clocks agree to some seconds; a server started
// again takes the place of the one before it in the same data directory, which its lock says is gone.
//
// A lease saves work and gives order. What must hold even where a clock lies, or a process sleeps, is the database's to
// refuse: rows are changed by what they were (offset, revision, intent).
package peers
