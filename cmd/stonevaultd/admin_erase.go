package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"stonevault/internal/auditlog"
	"stonevault/internal/config"
	"stonevault/internal/vault"
)

func newAdminErase(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase NAME --yes --data DIR",
		Short: "Erase a person: account, keys, files, and what the audit log says about them",
		Long: `Erases a person, while the server runs or not: the account with its keys and sessions, all files with all
versions, and everything about the person in the audit log, payloads, salts and key. What the log says of others
stays, and so does the proof that something was there; it says "erased, authorised by event N".

The database is then written anew, which takes as much room as it has. Copies that were made before are not
reached: backups, snapshots, and the copies beside the database that migrations have made.`,
		Example: `  stonevaultd admin erase ann --yes --data ./data`,
		Args:    operands("the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return misuse("this cannot be taken back, and removes all files of %q; add --yes", args[0])
			}
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, _ config.Config) error {
				return a.erase(ctx, s, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "erase the person and all of their files for good")
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

func (a *app) erase(ctx context.Context, s *store, name string) error {
	done, err := s.vault.Erase(ctx, atMachine, name)
	switch {
	case errors.Is(err, vault.ErrNotFound):
		return fmt.Errorf("there is no account %q", name)
	case err != nil && !errors.Is(err, auditlog.ErrNotShredded):
		return fmt.Errorf("%w; run it again, and it goes on", err)
	case done.Resumed && err == nil:
		_, err := fmt.Fprintf(a.stderr, "There is no account %q. The database was written anew, which an erasure that was stopped had left to do.\n", name)
		return err
	}
	if err := errors.Join(err, a.settleErasure(ctx, s, done)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "Erased: %q, %d files, %d folders, %d unfinished uploads, and %d parts of the audit log.\n",
		name, done.Files, done.Folders, done.Uploads, done.Parts)
	if copies, _ := filepath.Glob(s.dir.Database() + ".before-*"); len(copies) > 0 && err == nil {
		_, err = fmt.Fprintf(a.stderr, "Copies from before a migration still hold the person; remove them when you no longer need them: %v\n", copies)
	}
	return err
}

// settleErasure removes the objects here where no server uses the directory, and leaves them to it otherwise.
func (a *app) settleErasure(ctx context.Context, s *store, done vault.Erasure) error {
	release, err := s.instead(ctx, jobCollect)
	if err != nil {
		return err
	}
	if release == nil {
		_, err := fmt.Fprintln(a.stderr, "The sealed files, which no key opens but the recovery secret, are removed by the server within five minutes.")
		return err
	}
	s.vault.SettleErasure(ctx, done)
	return release()
}

func newAdminScrub(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scrub --data DIR",
		Short: "Write the database anew, so that nothing of what was erased is left in its files",
		Long: `Does what erase does at its end, for where that could not be done: because somebody else used the database for
long, or because the disk had no room for a second database.`,
		Example: `  stonevaultd admin scrub --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, _ config.Config) error {
				if err := s.vault.Scrub(ctx); err != nil {
					return err
				}
				_, err := fmt.Fprintln(a.stderr, "The database was written anew.")
				return err
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}
