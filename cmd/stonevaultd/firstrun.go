package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"stonevault/internal/auth"
	"stonevault/internal/datadir"
)

// offerSetup writes a code that lets somebody make the first admin over HTTP, for those who can read the data.
func (s *Server) offerSetup() (*auth.SetupCode, error) {
	path := s.store.dir.SetupCode()
	code, err := auth.NewSetupCode(rand.Reader, func() {
		if err := s.removeSetupCode(); err != nil {
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
	admins, err := s.store.vault.Admins(ctx)
	if err == nil && admins > 0 {
		err = s.removeSetupCode()
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Error("whether the setup code is still needed could not be told, and is asked again", "error", err)
	}
}

func (s *Server) removeSetupCode() error {
	if err := os.Remove(s.store.dir.SetupCode()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
