package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/internal/auth"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
	"stonevault/qkd/kme"
)

// sealContexts say what is sealed under the master key beside what the vault seals itself.
var sealContexts = map[vault.SealedPlace]func(of []string) string{
	vault.SealedTokenKeys: func(of []string) string { return auth.TokenKeyContext(of[0]) },
	vault.SealedFactors:   func(of []string) string { return auth.FactorContext(of[0]) },
	vault.SealedWebhooks:  func(of []string) string { return webhook.SecretContext(of[0]) },
	vault.SealedFormers:   func(of []string) string { return webhook.SecretContext(of[1]) },
	vault.SealedPool:      func(of []string) string { return kme.PoolContext(of[0], of[1], of[2]) },
	vault.SealedWaiting:   func(of []string) string { return kme.WaitingContext(of[1], of[2], of[3]) },
	vault.SealedSecrets:   func(of []string) string { return quantum.SecretContext(of[0], of[1], of[2]) },
}

func newRotateMaster(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "master --data DIR",
		Short: "Replace the master key",
		Long: `Makes another master key, seals every secret in the database under it, and then forgets the old one. Files are not
touched. It works while the server runs, which then does it, or without it. Interrupted, it goes on when it is
started again, or the server is: whichever of the two keys lies there is the right one.

Where the key is a file, the new one is made beside it, with ".next" at the end of its name, and takes its place as
soon as it is in use. Keep a copy of the new file away from copies of the data. A passphrase is asked for. A key in
the environment is replaced by the one in STONEVAULT_MASTER_KEY_NEXT, and the variables are yours to change after it.

Copies of the database made before go on opening with the old key alone. Destroy them if that was seen by somebody,
and run stonevaultd admin scrub, which removes what the database's files still have of secrets under it.`,
		Example: `  stonevaultd rotate master --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.besideRotating(cmd, func(ctx context.Context, s *store, c config.Config) error {
				if err := a.beginMaster(ctx, s); err != nil {
					return err
				}
				if err := a.awaitRotation(ctx, s, vault.RotateMaster); err != nil {
					return err
				}
				return a.sayWhereMaster(s)
			})
		},
	}
	config.AddFlags(cmd.Flags(), append([]string{"master_passphrase_next"}, besideFlags...)...)
	return cmd
}

// beginMaster makes a key and announces it, unless a rotation is under way. In this order a kill leaves a key that
// nothing is sealed under, and never a vault without its key.
func (a *app) beginMaster(ctx context.Context, s *store) error {
	state, err := s.vault.RotationState(ctx, vault.RotateMaster)
	if err != nil {
		return err
	}
	if state.Running {
		_, err := fmt.Fprintln(a.stderr, "A rotation is under way, and goes on.")
		return err
	}
	announced, err := s.vault.NextMaster(ctx)
	if err != nil {
		return err
	}
	if announced != nil {
		ready, err := s.keys.next()
		if err != nil {
			return err
		}
		if ready != nil && bytes.Equal(ready.Check(), announced) {
			s.key.Add(ready)
			_, err := fmt.Fprintln(a.stderr, "A rotation was announced, and goes on.")
			return err
		}
		if err := s.vault.WithdrawMaster(ctx); err != nil {
			return err
		}
	}
	ready, err := s.keys.makeNext()
	if err != nil {
		return err
	}
	if bytes.Equal(ready.Check(), s.key.Check()) {
		return errors.New("the new master key is the old one; choose another")
	}
	s.key.Add(ready)
	return s.vault.AnnounceMaster(ctx, atMachine, ready.Check())
}

// watch tells how far the server is, hands a new master key to those who ask for it, and puts the key in its place once
// it is in use.
func (s *store) watch(ctx context.Context, kind vault.RotationKind) (vault.Rotation, error) {
	if kind == vault.RotateMaster {
		err := s.followMaster(ctx)
		if err == nil {
			err = s.handMaster(ctx)
		}
		if err != nil {
			return vault.Rotation{}, err
		}
	}
	return s.rotation(ctx, kind)
}

// handMaster hands the newest master key to the servers that ask for it.
func (s *store) handMaster(ctx context.Context) error {
	versions, err := s.vault.MasterVersions(ctx)
	if err != nil || len(versions) == 0 {
		return err
	}
	newest := versions[len(versions)-1]
	if !s.key.Knows(newest.Check) {
		return nil
	}
	return s.hand(ctx, newest.Check)
}

// followMaster brings this process to the master key in use, and gets to know the next one: that lies beside the one
// before, or a command hands it over. vault.ErrNextMasterKey until then.
func (s *store) followMaster(ctx context.Context) error {
	wanted, err := s.vault.FollowMaster(ctx)
	if err == nil && wanted != nil {
		if err = s.learnMaster(ctx, wanted); err == nil {
			_, err = s.vault.FollowMaster(ctx)
		}
	}
	if err != nil {
		return err
	}
	return s.promote(ctx)
}

func (s *store) learnMaster(ctx context.Context, wanted []byte) error {
	if s.keys.config.MasterKey.Kind == config.KeyFromFile {
		ready, err := s.keys.nextFile()
		if err == nil && ready != nil && bytes.Equal(ready.Check(), wanted) {
			s.key.Add(ready)
			return nil
		}
	}
	return s.receive(ctx, wanted)
}

// turnMaster puts an announced master key into use. Only who rotates may call it.
func (s *store) turnMaster(ctx context.Context) error {
	if err := s.followMaster(ctx); err != nil {
		return err
	}
	if err := s.vault.TurnMaster(ctx); err != nil {
		return err
	}
	return s.promote(ctx)
}

// exclusively runs what only one process at a time may do with what lies ready in this place; a command does it where
// one is at work.
func (s *store) exclusively(fn func() error) error {
	if s.rotating {
		return fn()
	}
	lock, err := s.dir.LockRotation()
	var inUse *datadir.InUseError
	if errors.As(err, &inUse) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(fn(), lock.Release())
}

// promote has the file or the salt of the master key in use take the place of the one before. Only one process may at
// a time: what lies ready could be another one's before it is moved.
func (s *store) promote(ctx context.Context) error {
	if there, err := s.keys.waits(); err != nil || !there {
		return err
	}
	return s.exclusively(func() error {
		versions, err := s.vault.MasterVersions(ctx)
		if err != nil {
			return err
		}
		for _, m := range versions {
			if !m.UsedAt.IsZero() && m.RetiredAt.IsZero() {
				return s.keys.promote(m.Check)
			}
		}
		return nil
	})
}

// sayWhereMaster says what to do with the new master key.
func (a *app) sayWhereMaster(s *store) error {
	if err := s.promote(context.Background()); err != nil {
		return err
	}
	text := "The new passphrase opens the vault from now on."
	switch s.keys.config.MasterKey.Kind {
	case config.KeyFromFile:
		text = "The new master key is in " + s.keys.path() + "; keep a copy of it away from copies of the data."
	case config.KeyFromEnvironment:
		text = "Set STONEVAULT_MASTER_KEY to the new key from now on, and unset STONEVAULT_MASTER_KEY_NEXT."
	}
	_, err := fmt.Fprintln(a.stderr, text)
	return err
}
