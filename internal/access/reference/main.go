// Command reference writes the reference page of the roles. It is run by go generate.
package main

import (
	"fmt"
	"os"

	"stonevault/internal/access"
)

func main() {
	if err := os.WriteFile("../../docs/reference/roles.md", []byte(access.Reference()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
