package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
)

// showCode is the program "totp": what an authenticator app shows for the secret in a file that "factor setup" has
// written. With "next" it is the code after the one of now, since each is taken once.
func showCode() {
	b, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	secret, at := "", time.Now()
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "secret"); ok {
			secret = strings.ReplaceAll(strings.TrimSpace(rest), " ", "")
		}
	}
	if len(os.Args) > 2 && os.Args[2] == "next" {
		at = at.Add(30 * time.Second)
	}
	code, err := totp.GenerateCode(secret, at)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(code)
}
