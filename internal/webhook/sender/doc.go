// Package sender sends what webhooks are to be told of: an HTTP client that nobody can turn against the server's own
// networks, and the loop that gives it what is due.
//
// Invariants:
//   - The address that is dialled is the one that was checked, whatever a name leads to from one moment to the next.
//     No proxy and no redirect is followed.
//   - A receiver has ten seconds in all and is read 64 KiB of; two messages to one webhook are under way at most, so
//     that one that hangs holds up nobody else.
//   - Nothing of an address but the host, and nothing of a message or a secret, is logged.
//
// What is due and what comes of a try, package webhook decides.
package sender
