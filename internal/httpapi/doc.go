// Package httpapi puts the vault on HTTP: routes as one table, handlers, problem documents (RFC 9457),
// streamed content with ranges (RFC 9110), metrics, and pages that describe all of it. The interface is
// specified in api/openapi.yaml; a test holds the table to it.
//
// Invariants: a handler is reached only after the route's limits, deadlines and authentication have been
// applied; nothing of a request's content, no name of a file and no secret is logged; an error that is not in
// the table of problems reaches people as "internal error" with a request id; content that fails to
// verify ends a reply without ever ending it cleanly.
//
// It makes no decision about files or people: those are the vault's and auth's.
package httpapi
