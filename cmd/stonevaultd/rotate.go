package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/peers"
	"stonevault/internal/vault"
)

const (
	// rotateEvery is how often a server looks for a rotation that is under way.
	rotateEvery = 3 * time.Second
	// watchEvery is how often a command looks at what a server is doing.
	watchEvery = time.Second
)

// rotationWords say how far the rotation of a kind is.
type rotationWords struct {
	progress string // of how many, with two numbers
	done     string // with one
	failed   string // what stays as it was, with one number; after progress and instead of done
	log      string
}

var rotations = map[vault.RotationKind]rotationWords{
	vault.RotateRecovery: {
		progress: "envelopes rewritten%s: %d of %d\n",
		done:     "The old recovery secret opens nothing in this vault any more. Envelopes rewritten: %d.\n",
		failed: "Envelopes rewritten: %d. The old recovery secret still opens those that could not be.\n" +
			"Envelopes that do not verify, and were left as they are: %d. The log names them; restore these files from a backup.\n",
		log: "the recovery secret was rotated",
	},
	vault.RotateIdentity: {
		progress: "envelopes rewritten%s: %d of %d\n",
		done:     "The old keys open nothing in this vault any more, and their secret halves are destroyed. Envelopes rewritten: %d.\n",
		failed: "Envelopes rewritten: %d. The old keys stay for those that could not be.\n" +
			"Envelopes that do not verify, and were left as they are: %d. The log names them; restore these files from a backup, and rotate again.\n",
		log: "keys were rotated",
	},
	vault.RotateRoot: {
		progress: "envelopes rewritten%s: %d of %d\n",
		done: "Everybody has keys that the new root certifies, and the vault trusts the former one no more. Envelopes rewritten: %d.\n" +
			"Clients go on with the new root when they sign in next, and say so.\n",
		failed: "Envelopes rewritten: %d. The former root and keys stay, and the vault still trusts them.\n" +
			"Envelopes that do not verify, and were left as they are: %d. The log names them; restore these files from a backup, or delete them,\n" +
			"and rotate the root again. Until then keep the recovery sheet from before as well.\n",
		log: "the root was rotated",
	},
	vault.RotateMaster: {
		progress: "secrets sealed anew%s: %d of %d\n",
		done: "Nothing in the database needs the old master key any more, and the vault has forgotten it. Secrets sealed anew: %d.\n" +
			"Copies of the database that were made before open with the old key alone: keep its copies as long as those.\n",
		log: "the master key was rotated",
	},
}

func newRotate(a *app) *cobra.Command {
	return withVerbs("rotate", "Replace a key while people work",
		newRotateMaster(a), newRotateRoot(a), newRotateRecovery(a), newRotateIdentity(a), newRotateSuite(a), newRotateTokens(a), newRotateWebhooks(a))
}

// jobCommand is taken by the one command that replaces a key, on whatever machine.
const jobCommand = "rotate/command"

var errBusyRotating = errors.New("another stonevaultd rotate is at work on this vault; wait for its end")

// besideRotating is beside, for one command at a time.
func (a *app) besideRotating(cmd *cobra.Command, fn func(context.Context, *store, config.Config) error) error {
	return a.beside(cmd, toChange, func(ctx context.Context, s *store, c config.Config) (err error) {
		undo, err := s.dir.Make() // a command may have none of its own
		if err != nil {
			return err
		}
		defer undo()
		lock, err := s.dir.LockRotation()
		var inUse *datadir.InUseError
		if errors.As(err, &inUse) {
			return errBusyRotating
		}
		if err != nil {
			return err
		}
		s.rotating = true
		defer func() { err = errors.Join(err, lock.Release()) }()
		_, free, err := s.peers.Take(ctx, "job/"+jobCommand)
		if errors.Is(err, peers.ErrTaken) {
			return errBusyRotating
		}
		if err != nil {
			return err
		}
		defer free()
		return fn(ctx, s, c)
	})
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
			return a.besideRotating(cmd, func(ctx context.Context, s *store, c config.Config) error {
				if err := a.beginRotation(ctx, s, c); err != nil {
					return err
				}
				return a.awaitRotation(ctx, s, vault.RotateRecovery)
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}

// beginRotation prints a new sheet and then makes it the vault's, unless a rotation is under way.
func (a *app) beginRotation(ctx context.Context, s *store, c config.Config) error {
	state, err := s.vault.RotationState(ctx, vault.RotateRecovery)
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
func (a *app) awaitRotation(ctx context.Context, s *store, kind vault.RotationKind) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		state, err := a.rotateHere(ctx, s, kind)
		if err != nil {
			return fmt.Errorf("%w; run it again, and it goes on", err)
		}
		if !state.Running {
			return a.sayRotated(kind, state)
		}
		if state.Total == 0 {
			fmt.Fprintln(a.stderr, "the server begins in a moment")
		} else {
			fmt.Fprintf(a.stderr, rotations[kind].progress, " by the server", state.Done, state.Total)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// rotateHere rotates if the lock can be had, and otherwise tells how far the one who has it is.
func (a *app) rotateHere(ctx context.Context, s *store, kind vault.RotationKind) (vault.Rotation, error) {
	state, err := s.rotation(ctx, kind)
	if err != nil || !state.Running {
		return state, err
	}
	release, err := s.instead(ctx, jobRotate)
	if err != nil {
		return state, err
	}
	if release == nil {
		return s.watch(ctx, kind)
	}
	state, err = s.rotate(ctx, kind, func(state vault.Rotation) {
		fmt.Fprintf(a.stderr, rotations[kind].progress, "", state.Done, state.Total)
	})
	if errors.Is(err, vault.ErrNextMasterKey) { // somebody else has the vault open, and will end
		state, err = vault.Rotation{Running: true}, nil
	}
	return state, errors.Join(err, release())
}

func (a *app) sayRotated(kind vault.RotationKind, state vault.Rotation) error {
	words := rotations[kind]
	if state.Failed == 0 {
		_, err := fmt.Fprintf(a.stderr, words.done, state.Done)
		return err
	}
	fmt.Fprintf(a.stderr, words.failed, state.Done, state.Failed)
	return errLeftOut
}

// rotation tells how far a rotation is. That of the master key is under way from its announcement on.
func (s *store) rotation(ctx context.Context, kind vault.RotationKind) (vault.Rotation, error) {
	state, err := s.vault.RotationState(ctx, kind)
	if err != nil || state.Running || kind != vault.RotateMaster {
		return state, err
	}
	next, err := s.vault.NextMaster(ctx)
	if next != nil {
		state = vault.Rotation{Running: true}
	}
	return state, err
}

// rotate goes on with a rotation. Only one process at a time may.
func (s *store) rotate(ctx context.Context, kind vault.RotationKind, report func(vault.Rotation)) (vault.Rotation, error) {
	if kind != vault.RotateMaster {
		return s.vault.Rotate(ctx, kind, report)
	}
	if err := s.turnMaster(ctx); err != nil {
		return vault.Rotation{Running: true}, err
	}
	state, err := s.vault.Rotate(ctx, kind, report)
	if err != nil || state.Running {
		return state, err
	}
	return state, s.exchange(ctx, func(offers, handed letters) { clear(offers); clear(handed) })
}

// followRoot goes on with the root that another process has put in the place of the one in use.
func (s *Server) followRoot(ctx context.Context) {
	s.rotated(ctx, vault.RotateRoot, s.store.vault.FollowRoot(ctx))
}

// followDestroyed forgets keys whose rows another process has destroyed.
func (s *Server) followDestroyed(ctx context.Context) {
	forgot, err := s.store.vault.FollowDestroyed(ctx)
	switch {
	case forgot:
		s.store.recorder.ForgetKeys()
	case err != nil && ctx.Err() == nil:
		s.Log.Error("whether keys were destroyed elsewhere is not known, and will be asked again", "error", err)
	}
}

// rotate follows the master key, and goes on with what is under way, unless another server does.
func (s *Server) rotate(ctx context.Context) {
	if !s.rotated(ctx, vault.RotateMaster, s.store.followMaster(ctx)) {
		return
	}
	for _, kind := range vault.RotationKinds {
		state, err := s.store.rotation(ctx, kind)
		if !s.rotated(ctx, kind, err) || !state.Running {
			continue
		}
		_, err = s.store.peers.Alone(ctx, jobRotate, func(ctx context.Context) { s.rotateHere(ctx, kind) })
		s.rotated(ctx, kind, err)
	}
}

func (s *Server) rotateHere(ctx context.Context, kind vault.RotationKind) {
	before, err := s.store.rotation(ctx, kind)
	if err == nil && before.Running {
		var state vault.Rotation
		if state, err = s.store.rotate(ctx, kind, nil); err == nil && !state.Running {
			s.Log.Info(rotations[kind].log, "rewritten", state.Done, "left_out", state.Failed)
		}
	}
	s.rotated(ctx, kind, err)
}

// rotated says what keeps a rotation from going on.
func (s *Server) rotated(ctx context.Context, kind vault.RotationKind, err error) bool {
	switch {
	case err == nil:
		return true
	case ctx.Err() != nil:
	case errors.Is(err, vault.ErrNextMasterKey):
		s.Log.Info("a new master key waits until all who have the vault open have it; the command that made it hands it over")
	default:
		s.Log.Error("a rotation cannot go on, and will be tried again", "of", string(kind), "error", err)
	}
	return false
}
