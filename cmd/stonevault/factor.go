package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const (
	factorExample       = "stonevault factor setup"
	factorStatusExample = "stonevault factor status"
	factorCodesExample  = "stonevault factor codes"
	factorRemoveExample = "stonevault factor remove"
)

func newFactor(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "factor",
		Short: "Set up a second factor for signing in",
		Long: `A second factor is a code that an authenticator app shows, asked for besides the password. Recovery codes let you in
without the app, each once.`,
		Example: "  " + factorExample + "\n  " + factorStatusExample,
	}, factorExample, newFactorStatus(a), newFactorSetup(a), newFactorCodes(a), newFactorRemove(a))
}

func newFactorStatus(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status [PERSON]",
		Short:   "Show whether there is a second factor",
		Example: "  " + factorStatusExample + "\n  stonevault factor status bob",
		Args:    operands(0, 1, "one person", factorStatusExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.factorStatus(cmd.Context(), whose(args), asJSON)
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) factorStatus(ctx context.Context, name string, asJSON bool) error {
	c, err := a.connectToEnrol(ctx)
	if err != nil {
		return err
	}
	person, err := personRef(ctx, c, name)
	if err != nil {
		return err
	}
	factor, err := c.Factor(ctx, person)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(a.stdout, factor)
	}
	t := newTable(a.stdout)
	t.row("second factor", "%s", factorState(factor))
	if factor.Enrolled {
		t.row("since", "%s", minute(factor.EnrolledAt))
		t.row("recovery codes", "%d left", factor.CodesLeft)
	}
	t.row("required", "%s", yesNo(factor.Required))
	return t.Flush()
}

func factorState(f *api.Factor) string {
	if !f.Enrolled {
		return "none"
	}
	methods := make([]string, len(f.Methods))
	for i, m := range f.Methods {
		if methods[i] = shown(string(m)); m == "totp" {
			methods[i] = "authenticator app"
		}
	}
	return strings.Join(methods, ", ")
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// connectToEnrol is connect for sessions too that may do nothing but set up a second factor.
func (a *app) connectToEnrol(ctx context.Context) (*client.Client, error) {
	c, _, err := a.connect(ctx)
	if errors.Is(err, client.ErrEnrolFirst) {
		err = nil
	}
	return c, err
}

func newFactorSetup(a *app) *cobra.Command {
	var codeStdin bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Set up an authenticator app as a second factor",
		Long: `Shows a secret for an authenticator app, on a terminal as a QR code too, and asks for the first code from the app. Then
it prints ten recovery codes, on standard output and this once: keep them where you find them without the app.`,
		Example: "  " + factorExample,
		Args:    operands(0, 0, "nothing", factorExample),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.setUpFactor(cmd.Context(), codeStdin) },
	}
	cmd.Flags().BoolVar(&codeStdin, "code-stdin", false, "read the first code from standard input, once the secret is there")
	return cmd
}

func (a *app) setUpFactor(ctx context.Context, codeStdin bool) error {
	if !codeStdin && !a.attended() {
		return misuse(factorExample+" --code-stdin", "the first code is needed and %v", errNoTerminal)
	}
	c, err := a.connectToEnrol(ctx)
	if err != nil {
		return err
	}
	secret, err := c.BeginFactor(ctx)
	if err != nil {
		return err
	}
	if err := a.showFactor(secret); err != nil {
		return err
	}
	a.say("Enter it into your authenticator app, and then the code that the app shows.")
	codes, err := a.confirmFactor(ctx, c, codeStdin)
	if err != nil {
		return err
	}
	a.say("The second factor is set up. Sign-ins ask for a code from now on.")
	return a.showRecoveryCodes(codes)
}

func (a *app) showFactor(secret *api.FactorSecret) error {
	t := newTable(a.stdout)
	t.row("secret", "%s", shown(secret.Secret))
	t.row("uri", "%s", shown(secret.URI))
	if err := t.Flush(); err != nil || !isTerminal(a.stdout) {
		return err
	}
	return drawQR(a.stdout, secret.URI, colourful())
}

func (a *app) confirmFactor(ctx context.Context, c *client.Client, codeStdin bool) ([]string, error) {
	for try := 1; ; try++ {
		code, err := a.password("code of the authenticator app", codeStdin, false, factorExample+" --code-stdin")
		if err != nil {
			return nil, err
		}
		codes, err := c.ConfirmFactor(ctx, code)
		if err == nil || codeStdin || try == codeTries || !errors.Is(err, client.ErrWrongCode) {
			return codes, err
		}
		a.say("That code is wrong. Check that the clocks of both devices are right.")
	}
}

func (a *app) showRecoveryCodes(codes []string) error {
	a.say("Recovery codes, each for one sign-in without the app. They are shown this once:")
	for _, code := range codes {
		if _, err := fmt.Fprintln(a.stdout, shown(code)); err != nil {
			return err
		}
	}
	return nil
}

func newFactorCodes(a *app) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:     "codes",
		Short:   "Draw new recovery codes",
		Long:    "Asks for the password, and prints ten new recovery codes this once. Those before work no more.",
		Example: "  " + factorCodesExample + " > recovery-codes.txt",
		Args:    operands(0, 0, "nothing", factorCodesExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, p, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			password, err := a.password("password of "+shown(p.User), stdin, false, factorCodesExample+" --password-stdin < FILE")
			if err != nil {
				return err
			}
			codes, err := c.DrawRecoveryCodes(cmd.Context(), password)
			if err != nil {
				return err
			}
			return a.showRecoveryCodes(codes)
		},
	}
	addPasswordStdin(cmd, &stdin)
	return cmd
}

func addPasswordStdin(cmd *cobra.Command, v *bool) {
	cmd.Flags().BoolVar(v, "password-stdin", false, "read the password from the first line of standard input")
}

func newFactorRemove(a *app) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "remove [PERSON]",
		Short: "Take a second factor away",
		Long: `Takes a second factor away, with its recovery codes: your own, for which the password is asked, or as an admin that of
somebody who has lost the app and the codes.`,
		Example: "  " + factorRemoveExample + "\n  stonevault factor remove bob",
		Args:    operands(0, 1, "one person", factorRemoveExample),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.removeFactor(cmd.Context(), whose(args), stdin)
		},
	}
	addPasswordStdin(cmd, &stdin)
	return cmd
}

func (a *app) removeFactor(ctx context.Context, name string, stdin bool) error {
	c, p, err := a.connect(ctx)
	if err != nil {
		return err
	}
	person, err := personRef(ctx, c, name)
	if err != nil {
		return err
	}
	password := ""
	if person == client.Self {
		if password, err = a.password("password of "+shown(p.User), stdin, false, factorRemoveExample+" --password-stdin < FILE"); err != nil {
			return err
		}
	}
	if err := c.RemoveFactor(ctx, person, password); err != nil {
		return err
	}
	a.say("The second factor is gone.")
	return nil
}
