package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stonevault/identity"
	"stonevault/internal/config"
	"stonevault/internal/vault"
)

const confirmRecovery = "recovery confirm --secret-stdin"

// maxSecretText bounds what is read of a recovery secret, in bytes.
const maxSecretText = 64 << 10

func newRecovery(a *app) *cobra.Command {
	return withVerbs("recovery", "Confirm that the recovery sheet is kept",
		newRecoveryConfirm(a))
}

func newRecoveryConfirm(a *app) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "confirm --secret-stdin --data DIR",
		Short: "Show that the recovery secret is kept, by typing it in",
		Long: `Reads the recovery secret, as it stands on the sheet, from standard input and compares it with the vault's.
Spaces, line breaks, hyphens and capitals do not matter. The secret is not kept. It works while the server runs
or not.`,
		Example: `  stonevaultd recovery confirm --secret-stdin --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret, err := a.recoverySecret(stdin)
			if err != nil {
				return err
			}
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, _ config.Config) error {
				switch err := s.vault.ConfirmRecovery(ctx, atMachine, secret); {
				case errors.Is(err, vault.ErrWrongRecovery):
					return fmt.Errorf("%w; look for the sheet whose root fingerprint is this vault's", err)
				case errors.Is(err, vault.ErrNotFound):
					return errors.New("this vault has no recovery secret yet; it is made with the first account: stonevaultd admin create")
				case err != nil:
					return err
				}
				_, err := fmt.Fprintln(a.stderr, "The recovery secret is right, and confirmed.")
				return err
			})
		},
	}
	addSecretFlag(cmd, &stdin)
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

func addSecretFlag(cmd *cobra.Command, stdin *bool) {
	cmd.Flags().BoolVar(stdin, "secret-stdin", false, "read the recovery secret from standard input, to its end")
}

// recoverySecret reads the secret as it stands on the sheet.
func (a *app) recoverySecret(stdin bool) (*identity.Identity, error) {
	if !stdin {
		return nil, misuse("type the secret in, or pipe it, with --secret-stdin")
	}
	text, err := io.ReadAll(io.LimitReader(a.stdin, maxSecretText))
	if err != nil {
		return nil, fmt.Errorf("read the recovery secret: %w", err)
	}
	secret, err := identity.ParseSecret(string(text))
	if err != nil {
		return nil, fmt.Errorf("this is not a recovery secret: %w", err)
	}
	return secret, nil
}
