// Package api is the HTTP interface's description, openapi.yaml, and what is generated from it: the
// types on the wire, and a client. Server and client share these types, so that neither can drift.
//
// It holds no behaviour. Routes and handlers are in internal/httpapi; what the command line needs around
// the generated client (tokens, retries, progress) is in internal/client.
package api

import _ "embed"

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config codegen.yaml openapi.yaml
//go:generate go run ./yamltojson openapi.yaml openapi.json

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the description as JSON, in the order in which it was written.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }
