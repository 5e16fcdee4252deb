package main

import (
	"github.com/spf13/cobra"
)

const rootLong = `Stonevault keeps files that must stay secret for decades.

With a server: log in, put files, list them, get them back byte for byte or not at all.
Without one: make keys, seal files for people or under a passphrase, open them again.

A path in a vault begins with "/", or with "sv:/" where a shell rewrites the first. "-" is a pipe.
Exit codes: 0 done, 1 failed, 2 tampering found, 3 could not be checked, 4 not signed in, 130 interrupted.`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "stonevault",
		Short:         "Keep files sealed, and get them back exactly as they were or not at all",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
	}
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but warnings and errors; no progress bars")
	root.PersistentFlags().BoolVar(&a.noInput, "no-input", false, "never ask anything; fail instead")
	root.SetErr(a.stderr)
	root.SetOut(a.stdout)
	root.AddGroup(&cobra.Group{ID: offline, Title: "Without a server:"})
	for _, verb := range []func(*app) *cobra.Command{newKeygen, newSeal, newOpen, newInspect} {
		cmd := verb(a)
		cmd.GroupID = offline
		root.AddCommand(cmd)
	}
	root.AddCommand(newVersion(a))
	return root
}

const offline = "offline"

// operands checks how many a verb gets; example is what to type instead.
func operands(least, most int, what, example string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least {
			return misuse(example, "name %s", what)
		}
		if most >= 0 && len(args) > most {
			return misuse(example, "%s is one thing too many; name %s", shown(args[most]), what)
		}
		return nil
	}
}
