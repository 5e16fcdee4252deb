// Package cache says what rate windows and short-lived state are: the values, the errors and the limits that
// internal/cache/memory (one server) and internal/cache/redis (several) share. Both pass internal/cache/cachetest.
//
// A rate window is a sliding window counter: two counters for each key, of the aligned window of time that now
// lies in and of the one before it. With e milliseconds of a period P gone, a take of cost c under limit L is
// allowed if and only if
//
//	previous × (P − e) + (current + c) × P ≤ L × P
//
// which is count(now) = previous × (1 − e/P) + current without a division, so that nothing is rounded. All
// terms are integers below 2^53 (Window.Check), which the 64-bit integers of Go and the doubles of Redis's Lua
// compute alike, bit for bit.
//
// The formula supposes that the previous window's takes were spread evenly. What was taken in the last P before now is
// current and some part of previous, so that the count is at most previous × e/P too small and at most
// previous × (1 − e/P) too large. Its source is J. Desgats, "How we built rate limiting capable of scaling to
// millions of domains", Cloudflare, 2017: of 400 million requests there, 0.003% were wrongly allowed or refused.
//
// Invariants, where takes are at whole milliseconds and the limit of a key stays:
//   - The cost taken in an aligned window, [kP, (k+1)P) since 1970, is never above L: previous counts at least 0.
//   - In a window of the same length that begins e later, 0 < e < P, it is at most L + L(e−1)/P, so always
//     below 2L: the last take in it came at some f < e into the second aligned window, when
//     current ≤ L − previous × (1 − f/P), and previous + current ≤ L + previous × f/P. An adversary reaches it.
//   - A refused take counts nothing.
//   - Decision.RetryAfter is exact: the same take is refused at each millisecond before, and allowed at that one,
//     if no other comes.
//   - A key's text is kept nowhere, only its digest, and everything kept has an end: what strangers write
//     cannot grow memory for good.
//   - A clock that steps back by less than a window counts on from the latest window that it has seen; one that
//     steps back further begins anew, and so does a key that had ended meanwhile. Where it counts on, all of this
//     holds of the times that decisions state.
//
// One-time values and leases are short-lived state: a value is taken by exactly one of those who ask, and a lease is
// held by one owner at a time, under a fencing token that is larger each time. What is kept here may be lost at any time
// (a restart, a flush), and nothing that must outlive that belongs here. So a lease alone protects nothing: what it is
// for has to refuse a token below the largest it has seen (M. Kleppmann, "How to do distributed locking", 2016).
//
// It is no database, no queue, and no cache of anything that could be read elsewhere, whatever its name says. Values are
// opaque: who puts a secret seals it.
package cache
