package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/vault"
)

// renewals says whose keys are to be replaced.
type renewals struct {
	people, groups []string
	own, all       bool
}

func newRotateIdentity(a *app) *cobra.Command {
	var r renewals
	cmd := &cobra.Command{
		Use:   "identity [PERSON…] --data DIR",
		Short: "Give people, groups or the vault other keys",
		Long: `Gives those who are named another key pair, certified by the vault's root, and rewrites the envelopes of their files
for it. Content is not touched. The old keys open what is not rewritten yet; once nothing needs them, their secret half
is destroyed. It works while the server runs, which then does the rewriting, or without it. Interrupted, it goes on when
it is started again, or the server is.

Whoever has sealed something for a person's old public key, outside of the vault, must be given the new one. Copies of
the objects and of the database made before go on opening with the old keys.`,
		Example: `  stonevaultd rotate identity ada ben --data ./data
  stonevaultd rotate identity --group 0123456789abcdef0123456789abcdef --data ./data
  stonevaultd rotate identity --all --data ./data`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.people = args
			if len(r.people)+len(r.groups) == 0 && !r.own && !r.all {
				return misuse("say whose keys: names of people, --group ID, --vault or --all")
			}
			return a.besideRotating(cmd, func(ctx context.Context, s *store, _ config.Config) error {
				if err := r.begin(ctx, s.vault); err != nil {
					return err
				}
				return a.awaitRotation(ctx, s, vault.RotateIdentity)
			})
		},
	}
	cmd.Flags().StringArrayVar(&r.groups, "group", nil, "the `ID` of a group that gets other keys; may be repeated")
	cmd.Flags().BoolVar(&r.own, "vault", false, "the vault's own identity gets other keys")
	cmd.Flags().BoolVar(&r.all, "all", false, "all people and groups, and the vault, get other keys")
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

// begin gives them other keys, one after the other: each of them either has others or not.
func (r renewals) begin(ctx context.Context, v *vault.Vault) error {
	for _, name := range r.people {
		err := v.BeginPersonRotation(ctx, atMachine, name)
		if errors.Is(err, vault.ErrNotFound) {
			return fmt.Errorf("there is no account %q", name)
		}
		if err != nil {
			return err
		}
	}
	for _, id := range r.groups {
		err := v.BeginGroupRotation(ctx, atMachine, vault.GroupID(id))
		if errors.Is(err, vault.ErrNotFound) {
			return fmt.Errorf("there is no group with the id %q; stonevault group show says it", id)
		}
		if err != nil {
			return err
		}
	}
	if r.own {
		if err := v.BeginOwnRotation(ctx, atMachine); err != nil {
			return err
		}
	}
	if r.all {
		return v.BeginRotationOfAll(ctx, atMachine)
	}
	return nil
}
