package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/vault"
)

// besideFlags are the settings of verbs that work beside a running server.
var besideFlags = slices.Concat([]string{"data", "database", "objects", "s3_credentials", "suite", "master_key_source", "master_passphrase", "development"}, transitFlags)

func newAdmin(a *app) *cobra.Command {
	return withVerbs("admin", "Make accounts, reset passwords and erase people, while the server runs or not",
		newAdminCreate(a), newAdminReset(a), newAdminErase(a), newAdminScrub(a))
}

// passwordFlags say where a password comes from.
type passwordFlags struct {
	stdin    bool
	generate bool
}

func (f *passwordFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input, one line")
	cmd.Flags().BoolVar(&f.generate, "generate-password", false, "make a password and print it, once")
}

// password returns the hash of the password, and the password itself if it is to be printed.
func (f *passwordFlags) password(a *app, name string) (hash, shown string, err error) {
	if f.stdin == f.generate {
		return "", "", misuse("say where the password comes from: --password-stdin or --generate-password")
	}
	if f.generate {
		shown = newPassword()
		hash, err = hashPassword(name, shown)
		return hash, shown, err
	}
	password, err := readPassword(a.stdin)
	if err != nil {
		return "", "", err
	}
	hash, err = hashPassword(name, password)
	return hash, "", err
}

func newAdminCreate(a *app) *cobra.Command {
	var f passwordFlags
	var role string
	cmd := &cobra.Command{
		Use:   "create NAME (--password-stdin | --generate-password) --data DIR",
		Short: "Make an account",
		Long: `Makes an account, while the server runs or not. The first account of a vault makes the recovery secret too,
whose sheet is printed once.`,
		Example: `  stonevaultd admin create ann --generate-password --data ./data
  stonevaultd admin create bob --role user --password-stdin --data ./data <password.txt`,
		Args: operands("the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := vault.Role(role)
			if r != vault.RoleAdmin && r != vault.RoleManager && r != vault.RoleUser {
				return misuse("--role must be admin, manager or user")
			}
			hash, shown, err := f.password(a, args[0])
			if err != nil {
				return err
			}
			return a.beside(cmd, toAdd, func(ctx context.Context, s *store, c config.Config) error {
				recovery, err := createPerson(ctx, s.vault, args[0], r, hash)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "The account %q was made; its role is %s.\n", args[0], r)
				return printAccount(a.stdout, account{args[0], shown, recovery, hint(c, s.dir, confirmRecovery)})
			})
		},
	}
	f.add(cmd)
	config.AddFlags(cmd.Flags(), besideFlags...)
	cmd.Flags().StringVar(&role, "role", string(vault.RoleAdmin), "`ROLE`: admin, manager or user")
	return cmd
}

func newAdminReset(a *app) *cobra.Command {
	var f passwordFlags
	cmd := &cobra.Command{
		Use:     "reset NAME (--password-stdin | --generate-password) --data DIR",
		Short:   "Give an account a new password, and end its sessions",
		Example: `  stonevaultd admin reset ann --generate-password --data ./data`,
		Args:    operands("the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, shown, err := f.password(a, args[0])
			if err != nil {
				return err
			}
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, c config.Config) error {
				p, err := s.vault.ResetPassword(ctx, atMachine, args[0], hash)
				if errors.Is(err, vault.ErrNotFound) {
					return fmt.Errorf("there is no account %q; make it with: stonevaultd admin create", args[0])
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "The account %q has a new password; its sessions have ended.\n", p.Name)
				return printAccount(a.stdout, account{p.Name, shown, nil, ""})
			})
		},
	}
	f.add(cmd)
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

// beside runs fn on the vault of a command, while a server uses it or not.
func (a *app) beside(cmd *cobra.Command, what opening, fn func(context.Context, *store, config.Config) error) (err error) {
	c, err := a.config(cmd)
	if err != nil {
		return err
	}
	o := &opener{config: c, version: version, ask: a.ask, now: a.now, log: newLog(a.stderr, c)}
	s, err := o.open(cmd.Context(), what)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return fn(cmd.Context(), s, c)
}
