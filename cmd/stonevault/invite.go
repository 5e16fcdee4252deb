package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const (
	inviteExample         = "stonevault invite --group letters"
	inviteListExample     = "stonevault invite list"
	inviteWithdrawExample = "stonevault invite withdraw 5f2b1c0e9a7d43b8a1c2d3e4f5061728"
)

type inviteFlags struct {
	group string
	days  int
	json  bool
}

func newInvite(a *app) *cobra.Command {
	var f inviteFlags
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Make a link by which somebody makes an account",
		Long: `Prints, alone, on standard output and this once, a link by which somebody makes an account, as a user. Whoever has it
can use it, once. Admins invite anybody; managers into the groups that they manage. Hand it over yourself: there is no
e-mail.`,
		Example: "  " + inviteExample + "\n  " + inviteListExample,
		Args:    operands(0, 0, "nothing but flags, or list or withdraw", inviteExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.days < 1 || f.days > 30 {
				return misuse("stonevault invite --days 7", "an invitation lasts 1 to 30 days, unlike %d", f.days)
			}
			return a.invite(cmd.Context(), f)
		},
	}
	cmd.Flags().StringVar(&f.group, "group", "", "the new account becomes a member of this `GROUP`")
	cmd.Flags().IntVar(&f.days, "days", 7, "how many `DAYS` the link works")
	addJSON(cmd, &f.json)
	cmd.AddCommand(newInviteList(a), newInviteWithdraw(a))
	return cmd
}

func (a *app) invite(ctx context.Context, f inviteFlags) error {
	c, _, err := a.connect(ctx)
	if err != nil {
		return err
	}
	group, err := groupID(ctx, c, f.group)
	if err != nil {
		return err
	}
	i, err := c.Invite(ctx, group, f.days)
	if err != nil {
		return err
	}
	if f.json {
		return writeJSON(a.stdout, i)
	}
	a.say("The invitation %s works until %s, once. Its link is shown this once:", i.ID, minute(&i.ExpiresAt))
	_, err = fmt.Fprintln(a.stdout, i.Link)
	return err
}

func newInviteList(a *app) *cobra.Command {
	return listVerb(a, &cobra.Command{
		Use:     "list",
		Short:   "List invitations that were not used, the newest first",
		Long:    "Lists invitations that were not used, the newest first: the id, until when it works, who made it, and the group.",
		Example: "  " + inviteListExample,
		Args:    operands(0, 0, "nothing", inviteListExample),
	}, (*client.Client).Invitations, func(i *api.Invitation) []string {
		by, group := cmp.Or(i.MadeByName, "-"), cmp.Or(i.GroupName, "-")
		return []string{i.ID, "until " + minute(&i.ExpiresAt), shown(by), shown(group)}
	})
}

func newInviteWithdraw(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "withdraw ID...",
		Short:   "Withdraw invitations",
		Long:    "Withdraws invitations by their ids. Their links open nothing any more.",
		Example: "  " + inviteWithdrawExample,
		Args:    operands(1, -1, "the ids of the invitations", inviteWithdrawExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			return each(cmd.Context(), len(args), 1, func(ctx context.Context, i int) error {
				if err := c.WithdrawInvitation(ctx, args[i]); err != nil {
					return fmt.Errorf("%s: %w", shown(args[i]), err)
				}
				a.say("Withdrew %s.", shown(args[i]))
				return nil
			})
		},
	}
}
