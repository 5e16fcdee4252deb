package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/vault"
)

const (
	// rotateEvery is how often a server looks for a rotation that is under way.
	rotateEvery = 3 * time.Second
	// watchEvery is how often a command looks at what a server is doing.
	watchEvery = time.Second
)

func newRotate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the recovery secret",
		Args:  operands("what to replace: recovery"),
		RunE: func(_ *cobra.Command, args []string) error {
			return misuse("%q cannot be replaced; only recovery can", args[0])
		},
	}
	cmd.AddCommand(newRotateRecovery(a))
	return cmd
}

func newRotateRecovery(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recovery --data DIR",
		Short: "Make a new recovery sheet, after the old one was lost or seen",
		Long: `Makes a new recovery secret, prints its sheet once, and rewrites the envelope of every file so that the new
secret opens it and the old one does not. Content is not touched. It works while the server runs, which then does
the rewriting, or without it; a server can be started once the command has ended. Interrupted, it goes on when it
is started again, or the server is.

Copies and backups of the objects made before go on opening with the old secret. Destroy them if the old sheet
was seen.`,
		Example: `  stonevaultd rotate recovery --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, c config.Config) error {
				if err := a.beginRotation(ctx, s, c); err != nil {
					return err
				}
				return a.awaitRotation(ctx, s)
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

// beginRotation prints a new sheet and then makes it the vault's, unless a rotation is under way.
func (a *app) beginRotation(ctx context.Context, s *store, c config.Config) error {
	state, err := s.vault.RotationState(ctx)
	if err != nil {
		return err
	}
	if state.Running {
		_, err := fmt.Fprintln(a.stderr, "A rotation is under way, and goes on; its sheet was printed when it began.")
		return err
	}
	next, err := s.vault.NewRecovery()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, recoverySheet, sheetLines(next.Secret.SecretSheet()), spokenLines(next.RootFingerprint.Spoken()), hint(c, s.dir, confirmRecovery))
	if err != nil {
		return fmt.Errorf("the sheet cannot be printed, and nothing was changed: %w", err)
	}
	switch err := s.vault.BeginRotation(ctx, atMachine, next); {
	case errors.Is(err, vault.ErrNotFound):
		return errors.New("this vault has no recovery secret yet, and the sheet above is void; one is made with the first account: stonevaultd admin create")
	case err != nil:
		return fmt.Errorf("the sheet above is void: %w", err)
	}
	_, err = fmt.Fprintln(a.stderr, "The sheet above holds from now on. The old one goes on opening copies of the objects that were made before.")
	return err
}

// awaitRotation rotates here where no server uses the directory, and otherwise watches the server do it.
func (a *app) awaitRotation(ctx context.Context, s *store) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		state, err := a.rotateHere(ctx, s)
		if err != nil {
			return fmt.Errorf("%w; run it again, and it goes on", err)
		}
		if !state.Running {
			return a.sayRotated(state)
		}
		if state.Total == 0 {
			fmt.Fprintln(a.stderr, "the server begins in a moment")
		} else {
			fmt.Fprintf(a.stderr, "envelopes rewritten by the server: %d of %d\n", state.Done, state.Total)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// rotateHere rotates if the lock can be had, and otherwise tells how far the one who has it is.
func (a *app) rotateHere(ctx context.Context, s *store) (vault.Rotation, error) {
	state, err := s.vault.RotationState(ctx)
	if err != nil || !state.Running {
		return state, err
	}
	release, err := s.instead(ctx, jobRotate)
	if err != nil || release == nil {
		return state, err
	}
	state, err = s.vault.Rotate(ctx, func(state vault.Rotation) {
		fmt.Fprintf(a.stderr, "envelopes rewritten: %d of %d\n", state.Done, state.Total)
	})
	return state, errors.Join(err, release())
}

func (a *app) sayRotated(state vault.Rotation) error {
	if state.Failed == 0 {
		fmt.Fprintf(a.stderr, "The old recovery secret opens nothing in this vault any more. Envelopes rewritten: %d.\n", state.Done)
	} else {
		fmt.Fprintf(a.stderr, "Envelopes rewritten: %d. The old recovery secret still opens those that could not be.\n", state.Done)
		fmt.Fprintf(a.stderr, "Envelopes that do not verify, and were left as they are: %d. The log names them; restore these files from a backup.\n", state.Failed)
		return errLeftOut
	}
	return nil
}

// rotate goes on with a rotation that is under way, unless another server does.
func (s *Server) rotate(ctx context.Context) {
	if state, err := s.store.vault.RotationState(ctx); err == nil && !state.Running {
		return
	}
	if _, err := s.store.peers.Alone(ctx, jobRotate, s.rotateHere); err != nil && ctx.Err() == nil {
		s.Log.Error("whether another server goes on with a rotation could not be told; it will be tried again", "error", err)
	}
}

func (s *Server) rotateHere(ctx context.Context) {
	before, err := s.store.vault.RotationState(ctx)
	if err == nil && before.Running {
		var state vault.Rotation
		if state, err = s.store.vault.Rotate(ctx, nil); err == nil {
			s.Log.Info("the recovery secret was rotated", "envelopes", state.Done, "left_out", state.Failed)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("a rotation of the recovery secret cannot go on, and will be tried again", "error", err)
	}
}
