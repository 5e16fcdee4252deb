// Command stonevaultd is the server of a vault: it serves the HTTP interface, makes and resets accounts,
// and says how a data directory is doing.
//
// What it promises: nothing in the data directory changes before everything that could refuse the start
// has been checked; a stop by signal loses nothing; secrets are never arguments and never logged. It
// decides nothing itself: the packages that it puts together do.
//
// There is one file for each verb. Standard output is what was asked for, standard error is the log. Exit
// codes are in one table, below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "unknown"

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), now: time.Now}
	os.Exit(a.main(context.Background(), os.Args[1:]))
}

// app is one run of the program.
type app struct {
	stdin   *os.File
	stdout  io.Writer
	stderr  io.Writer
	environ []string
	now     func() time.Time
}

var (
	// errSaid is a failure whose sentences have been printed already. It goes together with the others.
	errSaid = errors.New("not all is well")
	// errLeftOut is success with exceptions, which have been printed already.
	errLeftOut = errors.New("something does not verify")
	// errTampering is evidence that what is stored is not what was written.
	errTampering = errors.New("tampering was found")
	// errUnchecked is a check that could not be made, and says nothing about what was to be checked.
	errUnchecked = errors.New("it could not be checked")
)

// exits are the exit codes of errors, the first that fits. Without an error it is 0, with any other 1.
var exits = []struct {
	err  error
	code int
}{
	{errLeftOut, 2}, {errTampering, 2}, {errUnchecked, 3},
}

// exitError is an error with its own words that ends the program as kind does.
type exitError struct {
	error
	kind error
}

func (e exitError) Unwrap() []error { return []error{e.error, e.kind} }

// main runs one command line and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSaid) && !errors.Is(err, errLeftOut) {
		fmt.Fprintf(a.stderr, "stonevaultd: %v\n", err)
		var usage *usageError
		if errors.As(err, &usage) {
			fmt.Fprintf(a.stderr, "Try: %s --help\n", cmd.CommandPath())
		}
	}
	for _, e := range exits {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return 1
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func misuse(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "stonevaultd",
		Short: "Serve a vault for files that must stay secret for decades",
		Long: `Stonevaultd serves a vault for files that must stay secret for decades.

Begin with:  stonevaultd serve --data ./data --create-admin`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	for _, verb := range []func(*app) *cobra.Command{newServe, newAdmin, newRecovery, newRecover, newRotate, newCopy, newMigrate, newAudit, newAnchor, newKey, newQuantum, newDoctor, newPosture, newConfig, newVersion} {
		root.AddCommand(verb(a))
	}
	return root
}

// withVerbs is a verb that has verbs of its own, one of which must be named.
func withVerbs(name, short string, verbs ...*cobra.Command) *cobra.Command {
	var names []string
	for _, v := range verbs {
		names = append(names, v.Name())
	}
	list := names[0]
	if last := len(names) - 1; last > 0 {
		list = strings.Join(names[:last], ", ") + " or " + names[last]
	}
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse("say what to do: %s", list)
			}
			return misuse("%q is no verb of %s; use %s", args[0], name, list)
		},
		// The flags that follow a wrong verb are not what is wrong.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// operands checks how many a verb gets.
func operands(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return misuse("name %s", strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return misuse("%q is one thing too many", args[len(names)])
		}
		return nil
	}
}
