package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"stonevault/identity"
	"stonevault/internal/config"
	"stonevault/internal/vault"
)

const nextRootWords = `The fingerprint of the vault's root key is now, to be written on the recovery sheet in place of the former one:
%s`

func newRotateRoot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "root --data DIR",
		Short: "Replace the vault's root, and with it everybody's keys",
		Long: `Makes another root key, which certifies other keys for all people and groups and for the vault itself, and rewrites
the envelope of every file for them. Content is not touched. The former root signs that the new one follows it, so that
clients go on by themselves, and is then destroyed; what it certified holds until it has been replaced. The recovery
secret stays as it is.

It works while the server runs, which then does the rewriting, or without it. Interrupted, it goes on when it is started
again, or the server is.`,
		Example: `  stonevaultd rotate root --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.besideRotating(cmd, func(ctx context.Context, s *store, c config.Config) error {
				about, err := s.vault.About(ctx)
				if err != nil {
					return err
				}
				return a.rotateRoot(ctx, s, c, about.Suite)
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

func newRotateSuite(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "suite N --data DIR",
		Short: "Go over to another suite: other algorithms for all keys and envelopes",
		Long: `Puts the vault, the keys of all people and groups, and the envelopes of all files into another suite: 1 is hybrid
(ML-KEM-1024 with P-384, ML-DSA-65), 2 is CNSA 2.0 (ML-KEM-1024 alone, ML-DSA-87). It is what rotate root does, by a root
of the other suite. The recovery secret is of one suite too, so that another one is made, and its sheet printed once.
Keep the former sheet until this has ended: until then each of the two opens a part of the files.

What is sealed from now on is of the new suite in all its parts. The content of files that are there is not touched: it
keeps its cipher, which is the same in both suites, and the digests that it was sealed with.`,
		Example: `  stonevaultd rotate suite 2 --data ./data`,
		Args:    operands("which suite: 1 or 2"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[0], 10, 8)
			suite := identity.Suite(n)
			if err != nil || !suite.Valid() {
				return misuse("%q is no suite; 1 and 2 are", args[0])
			}
			return a.besideRotating(cmd, func(ctx context.Context, s *store, c config.Config) error {
				about, err := s.vault.About(ctx)
				if err != nil {
					return err
				}
				state, err := s.vault.RotationState(ctx, vault.RotateRoot)
				if err != nil {
					return err
				}
				if about.Suite == suite && !state.Running {
					_, err := fmt.Fprintf(a.stderr, "The vault is of suite %d already; nothing was changed.\n", suite)
					return err
				}
				return a.rotateRoot(ctx, s, c, suite)
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

func (a *app) rotateRoot(ctx context.Context, s *store, c config.Config, suite identity.Suite) error {
	if err := a.beginRoot(ctx, s, c, suite); err != nil {
		return err
	}
	return a.awaitRotation(ctx, s, vault.RotateRoot)
}

// beginRoot prints what belongs on the sheet and then changes the root, unless a rotation is under way.
func (a *app) beginRoot(ctx context.Context, s *store, c config.Config, suite identity.Suite) error {
	state, err := s.vault.RotationState(ctx, vault.RotateRoot)
	if err != nil {
		return err
	}
	if state.Running {
		about, err := s.vault.About(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stderr, "A rotation of the root is under way, and goes on. The fingerprint of the root that it began with, which is on the sheet that holds:\n%s", spokenLines(about.RootFingerprint.Spoken()))
		return err
	}
	next, err := s.vault.NewRoot(ctx, suite)
	if err != nil {
		return err
	}
	if next.Recovery != nil {
		_, err = fmt.Fprintf(a.stdout, recoverySheet, sheetLines(next.Recovery.Secret.SecretSheet()), spokenLines(next.Fingerprint.Spoken()), hint(c, s.dir, confirmRecovery))
	} else {
		_, err = fmt.Fprintf(a.stdout, nextRootWords, spokenLines(next.Fingerprint.Spoken()))
	}
	if err != nil {
		return fmt.Errorf("what belongs on the recovery sheet cannot be printed, and nothing was changed: %w", err)
	}
	switch err := s.vault.BeginRootRotation(ctx, atMachine, next); {
	case errors.Is(err, vault.ErrRotating):
		return fmt.Errorf("what is printed above is void: %w", err)
	case err != nil:
		return fmt.Errorf("whether what is printed above holds is not known, so keep it, and run this again, which says which root is in use: %w", err)
	}
	if next.Recovery != nil {
		fmt.Fprintln(a.stderr, "The sheet above holds from now on. Keep the old one as well until all files are for the new one, and for copies that were made before.")
	}
	return nil
}
