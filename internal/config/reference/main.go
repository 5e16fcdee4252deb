// Command reference writes the reference page of the settings. It is run by go generate.
package main

import (
	"fmt"
	"os"

	"stonevault/internal/config"
)

func main() {
	if err := os.WriteFile("../../docs/reference/configuration.md", []byte(config.Reference()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
