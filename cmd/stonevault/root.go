package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Stonevault keeps files that must stay secret for decades.

With a server: log in, put files, list them, get them back byte for byte or not at all. Programs set
STONEVAULT_TOKEN to an API token instead of logging in.
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
	root.PersistentFlags().StringVar(&a.profile, "profile", "default", "which of several servers: a `NAME` of your own")
	root.PersistentFlags().StringVar(&a.tokenFile, "token-file", "", "use the API token on the first line of `FILE` instead of a session")
	root.SetErr(a.stderr)
	root.SetOut(a.stdout)
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, verb := range g.verbs {
			cmd := verb(a)
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(newVersion(a), newDocs(a))
	return root
}

var groups = []struct {
	title string
	verbs []func(*app) *cobra.Command
}{
	{"With a server:", []func(*app) *cobra.Command{
		newLogin, newLogout, newWhoami, newPut, newGet, newUploads, newList, newFind, newInfo, newMakeFolder, newMove, newRemove,
		newRemoveFolder, newVerify, newExport, newAudit,
	}},
	{"People and accounts:", []func(*app) *cobra.Command{newPasswd, newFactor, newSession, newToken, newUser, newInvite, newGroup, newSettings}},
	{"Without a server:", []func(*app) *cobra.Command{newKeygen, newSeal, newOpen, newInspect, newQKD}},
}

// withVerbs gives a verb verbs of its own, each of which must be named.
func withVerbs(cmd *cobra.Command, example string, verbs ...*cobra.Command) *cobra.Command {
	var names []string
	for _, v := range verbs {
		names = append(names, v.Name())
	}
	last := len(names) - 1
	before := strings.Join(names[:last], ", ")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return misuse(example, "%s has no %s; there are %s and %s", cmd.Name(), shown(args[0]), before, names[last])
		}
		return misuse(example, "say what to do: %s or %s", before, names[last])
	}
	cmd.FParseErrWhitelist.UnknownFlags = true // those that follow a wrong verb are not what is wrong
	cmd.AddCommand(verbs...)
	return cmd
}

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
