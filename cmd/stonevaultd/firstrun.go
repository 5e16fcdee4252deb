package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"stonevault/internal/auth"
	"stonevault/internal/datadir"
	"stonevault/internal/vault"
)

// settingSetup has, sealed, what the setup code of servers that share a database is made of: whoever reads it at one may
// come to another.
const settingSetup = "setup_code"

// setupRandom is what a setup code is made of.
func (s *Server) setupRandom(ctx context.Context) (io.Reader, error) {
	if !s.store.sharesDatabase() {
		return rand.Reader, nil
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	sealed, err := s.store.key.Seal(settingSetup, seed)
	if err != nil {
		return nil, err
	}
	err = s.store.db.Update(ctx, func(tx vault.Tx) error {
		there, err := tx.Settings().Get(ctx, settingSetup)
		if err != nil && !errors.Is(err, vault.ErrNotFound) {
			return err
		}
		if other, err := s.store.key.Open(settingSetup, there); err == nil {
			seed = other
			return nil
		}
		return tx.Settings().Put(ctx, settingSetup, sealed)
	})
	return bytes.NewReader(seed), err
}

// offerSetup writes a code that lets somebody make the first admin over HTTP, for those who can read the data.
func (s *Server) offerSetup(ctx context.Context) (*auth.SetupCode, error) {
	random, err := s.setupRandom(ctx)
	if err != nil {
		return nil, err
	}
	path := s.store.dir.SetupCode()
	code, err := auth.NewSetupCode(random, func() {
		if err := s.endSetupCode(context.WithoutCancel(ctx)); err != nil {
			s.Log.Error("the setup code is over, and its file could not be removed", "file", path, "error", err)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := datadir.WriteFile(path, []byte(code.Text()+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("the setup code cannot be written: %w", err)
	}
	s.Log.Warn("there is no admin yet; open the page and give the code that is in the file, or make one with: "+
		s.hint("admin create NAME --generate-password"), "page", s.url(), "file", path)
	return code, nil
}

// endSetup removes the code's file once an admin was made in another way. The code itself is of no use then.
func (s *Server) endSetup(ctx context.Context) {
	if s.setupOver.Load() {
		return
	}
	admins, err := s.store.vault.Admins(ctx)
	if err == nil && admins > 0 {
		err = s.endSetupCode(ctx)
		s.setupOver.Store(err == nil)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("whether the setup code is still needed could not be told, and is asked again", "error", err)
	}
}

// endSetupCode has the next code be another.
func (s *Server) endSetupCode(ctx context.Context) error {
	err := s.store.db.Update(ctx, func(tx vault.Tx) error { return tx.Settings().Delete(ctx, settingSetup) })
	return errors.Join(err, s.removeSetupCode())
}

func (s *Server) removeSetupCode() error {
	if err := os.Remove(s.store.dir.SetupCode()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
