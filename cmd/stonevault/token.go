package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const (
	tokenListExample   = "stonevault token list"
	tokenCreateExample = "stonevault token create backup --scope files:read --days 30"
	tokenRevokeExample = "stonevault token revoke 5f2b1c0e9a7d43b8a1c2d3e4f5061728"

	tokenDays    = 90
	maxTokenDays = 366
)

func newToken(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "token",
		Short: "Make and revoke API tokens, for programs",
		Long: `An API token lets a program use the vault as you, as far as its scopes say, until it ends or is revoked. This client
uses one that is in STONEVAULT_TOKEN, or in the file that --token-file names, in the place of a session.`,
		Example: "  " + tokenCreateExample + "\n  " + tokenListExample,
	}, tokenListExample, newTokenList(a), newTokenCreate(a), newTokenRevoke(a))
}

func newTokenList(a *app) *cobra.Command {
	var f listing
	cmd := &cobra.Command{
		Use:   "list [PERSON]",
		Short: "List API tokens, the newest first",
		Long: `Lists API tokens, the newest first: the id, until when it works, when it was last used, its scopes and its name. Those
that have ended are listed for 30 days.`,
		Example: "  " + tokenListExample + "\n  stonevault token list bob --json",
		Args:    operands(0, 1, "one person", tokenListExample),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.listTokens(cmd.Context(), f, whose(args)) },
	}
	f.add(cmd)
	return cmd
}

func (a *app) listTokens(ctx context.Context, f listing, name string) error {
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
	list, err := some(c.Tokens(ctx, person), f.limit)
	if err != nil {
		return err
	}
	if f.json {
		return writeItems(a.stdout, list)
	}
	t := newTable(a.stdout)
	for _, token := range list {
		until := "until"
		if !token.ExpiresAt.After(a.now()) {
			until = "ended"
		}
		t.line(token.ID, until+" "+token.ExpiresAt.Local().Format(time.DateOnly), "used "+minute(token.LastUsedAt), scopeNames(token.Scopes), shown(token.Name))
	}
	return t.Flush()
}

func scopeNames(scopes []api.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = shown(string(s))
	}
	return strings.Join(names, ",")
}

type tokenCreateFlags struct {
	scopes []string
	days   int
	json   bool
}

func newTokenCreate(a *app) *cobra.Command {
	var f tokenCreateFlags
	cmd := &cobra.Command{
		Use:   "create NAME --scope SCOPE",
		Short: "Make an API token, and print it this once",
		Long: `Makes an API token and prints it, alone, on standard output. It is shown this once and kept nowhere: put it where the
program finds it. NAME says what it is for.

files:read     list, read, verify and export files
files:write    put, move and remove files
audit:read     read the audit log
admin          people, groups, quotas, settings and webhooks; no files, and not the audit log

What you may not do, no scope gives.`,
		Example: "  " + tokenCreateExample + " > token.txt\n  stonevault token create ci --scope files:read,files:write",
		Args:    operands(1, 1, "what the token is for", tokenCreateExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(f.scopes) == 0:
				return misuse("stonevault token create "+shown(args[0])+" --scope files:read", "say what it may do, with --scope")
			case f.days < 1 || f.days > maxTokenDays:
				return misuse("--days 30", "a token lasts 1 to %d days, unlike %d", maxTokenDays, f.days)
			}
			return a.createToken(cmd.Context(), f, args[0])
		},
	}
	cmd.Flags().StringSliceVar(&f.scopes, "scope", nil, "what it may do: `SCOPE` files:read, files:write, audit:read or admin; may be repeated")
	complete(cmd, "scope", "files:read", "files:write", "audit:read", "admin")
	cmd.Flags().IntVar(&f.days, "days", tokenDays, "how many `DAYS` it works")
	addJSON(cmd, &f.json)
	return cmd
}

func (a *app) createToken(ctx context.Context, f tokenCreateFlags, name string) error {
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	token, err := c.CreateToken(ctx, name, f.scopes, a.now().AddDate(0, 0, f.days))
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(a.stdout, token)
	}
	a.say("The token %s works until %s. It is shown this once:", token.ID, token.ExpiresAt.Local().Format(time.DateOnly))
	_, err = fmt.Fprintln(a.stdout, token.Token)
	return err
}

func newTokenRevoke(a *app) *cobra.Command {
	var person string
	cmd := &cobra.Command{
		Use:     "revoke ID...",
		Short:   "Revoke API tokens",
		Long:    "Revokes API tokens by their ids. They stop working at once.",
		Example: "  " + tokenRevokeExample,
		Args:    operands(1, -1, "the ids of the tokens", tokenRevokeExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			whose, err := personRef(cmd.Context(), c, person)
			if err != nil {
				return err
			}
			return each(cmd.Context(), len(args), 1, func(ctx context.Context, i int) error {
				if err := c.RevokeToken(ctx, whose, args[i]); err != nil {
					return fmt.Errorf("%s: %w", shown(args[i]), err)
				}
				a.say("Revoked %s.", shown(args[i]))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&person, "person", client.Self, "tokens of this person; your own without it")
	return cmd
}
