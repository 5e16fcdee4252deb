package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/internal/client"
)

const (
	sessionListExample = "stonevault session list"
	sessionEndExample  = "stonevault session end 5f2b1c0e9a7d43b8a1c2d3e4f5061728"
)

func newSession(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:     "session",
		Short:   "See where you are signed in, and sign out there",
		Long:    "Lists and ends sessions: your own, and as an admin or manager those of others.",
		Example: "  " + sessionListExample + "\n  stonevault session end --others",
	}, sessionListExample, newSessionList(a), newSessionEnd(a))
}

func newSessionList(a *app) *cobra.Command {
	var f listing
	cmd := &cobra.Command{
		Use:   "list [PERSON]",
		Short: "List sessions, the newest first",
		Long: `Lists sessions, the newest first: the id, when it was opened, when it was last used, the address that it was used
from, and what the device calls itself. "*" marks the one that asks.`,
		Example: "  " + sessionListExample + "\n  stonevault session list bob",
		Args:    operands(0, 1, "one person", sessionListExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.listSessions(cmd.Context(), f, whose(args)) },
	}
	f.add(cmd)
	return cmd
}

func (a *app) listSessions(ctx context.Context, f listing, name string) error {
	if err := f.check(); err != nil {
		return err
	}
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	person, err := personRef(ctx, c, name)
	if err != nil {
		return err
	}
	list, err := some(c.Sessions(ctx, person), f.limit)
	if err != nil {
		return err
	}
	if f.json {
		return writeItems(a.stdout, list)
	}
	t := newTable(a.stdout)
	for _, s := range list {
		mark, address := " ", s.Address
		if s.Current {
			mark = "*"
		}
		if address == "" {
			address = "-"
		}
		t.line(s.ID, mark, minute(&s.CreatedAt), minute(&s.LastUsedAt), shown(address), shown(s.Client))
	}
	return t.Flush()
}

type sessionEndFlags struct {
	person string
	others bool
	all    bool
}

func newSessionEnd(a *app) *cobra.Command {
	var f sessionEndFlags
	cmd := &cobra.Command{
		Use:   "end (ID... | --others | --all)",
		Short: "End sessions",
		Long: `Ends the sessions with these ids, all but the one that asks, or all. They stop working at once. API tokens stay: those
are taken away by "stonevault token revoke".`,
		Example: "  " + sessionEndExample + "\n  stonevault session end --others\n  stonevault session end --person bob --all",
		Args: func(_ *cobra.Command, args []string) error {
			given := 0
			for _, is := range []bool{len(args) > 0, f.others, f.all} {
				if is {
					given++
				}
			}
			switch {
			case given != 1:
				return misuse(sessionEndExample, "say which: ids, --others or --all")
			case f.others && f.person != "":
				return misuse("stonevault session end --person "+shown(f.person)+" --all", "--others is about your own sessions")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.endSessions(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.person, "person", "", "sessions of this person; your own without it")
	flags.BoolVar(&f.others, "others", false, "all of your own but this one")
	flags.BoolVar(&f.all, "all", false, "all, this one too")
	return cmd
}

func (a *app) endSessions(ctx context.Context, f sessionEndFlags, ids []string) error {
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	name := client.Self
	if f.person != "" {
		name = f.person
	}
	person, err := personRef(ctx, c, name)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		if err := c.EndSessions(ctx, person, f.others); err != nil {
			return err
		}
		a.say("Ended.")
		return nil
	}
	return each(ctx, len(ids), 1, func(ctx context.Context, i int) error {
		if err := c.EndSession(ctx, person, ids[i]); err != nil {
			return fmt.Errorf("%s: %w", shown(ids[i]), err)
		}
		a.say("Ended %s.", shown(ids[i]))
		return nil
	})
}
