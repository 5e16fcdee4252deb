package main

import (
	"context"

	"github.com/spf13/cobra"
)

const passwdExample = "stonevault passwd"

func newPasswd(a *app) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "passwd",
		Short: "Change your password",
		Long: `Asks for the password until now and twice for the new one. All other sessions of yours end; API tokens stay. The new
one has at least 15 characters, or 8 beside a second factor, and is neither common nor easy to guess.`,
		Example: "  " + passwdExample + "\n  stonevault passwd --password-stdin < both.txt",
		Args:    operands(0, 0, "nothing; the passwords are asked for", passwdExample),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.passwd(cmd.Context(), stdin) },
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password until now from the first line of standard input, and the new one from the second")
	return cmd
}

func (a *app) passwd(ctx context.Context, stdin bool) error {
	c, p, err := a.connect(ctx)
	if err != nil {
		return err
	}
	current, err := a.password("password of "+shown(p.User)+" until now", stdin, false, passwdExample+" --password-stdin < FILE")
	if err != nil {
		return err
	}
	next, err := a.password("new password", stdin, true, passwdExample+" --password-stdin < FILE")
	if err != nil {
		return err
	}
	if err := c.ChangePassword(ctx, current, next); err != nil {
		return err
	}
	a.say("The password is changed, and other sessions have ended.")
	return nil
}
