// Package once lets a request be sent again without being done again: a request that makes something may carry a key
// (Idempotency-Key, draft-ietf-httpapi-idempotency-key-header), and whoever sends the same once more gets the same
// answer.
//
// Invariants: the answer is kept in the transaction that makes the thing, so that there is never one without the other,
// also where the process dies in between; what failed or was refused is not kept; a key belongs to one person and one
// route; an answer is kept for a day, and of one person the newest MaxAnswers are. What shows a secret must not be kept
// here: such routes take no key.
//
// It knows nothing of HTTP but that an answer has a status, headers and a body.
package once
