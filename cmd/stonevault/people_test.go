package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"

	"stonevault/api"
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

// useLink does what the page does with a one-time link: link join FILE NAME, or link reset FILE. The password is the
// one in the file "password".
func useLink(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || args[0] == "join" && len(args) != 3 {
		ts.Fatalf("usage: link join FILE NAME, or link reset FILE")
	}
	_, link, ok := strings.Cut(strings.TrimSpace(ts.ReadFile(args[1])), "#")
	if !ok {
		ts.Fatalf("%s holds no link", args[1])
	}
	password := strings.TrimSpace(ts.ReadFile("password"))
	c, err := api.NewClient(ts.Getenv("SERVER"))
	ts.Check(err)
	var resp *http.Response
	if args[0] == "join" {
		resp, err = c.Join(context.Background(), api.Join{Link: link, Name: args[2], Password: password})
	} else {
		resp, err = c.SetPasswordByLink(context.Background(), api.LinkReset{Link: link, Password: password})
	}
	ts.Check(err)
	resp.Body.Close()
	if refused := resp.StatusCode >= 400; refused != neg {
		ts.Fatalf("the link is answered with %s", resp.Status)
	}
}
