package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/config"
)

func newRotateTokens(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokens --data DIR",
		Short: "Replace the key that signs access tokens",
		Long: `Makes another key that signs access tokens; servers notice within a minute. Nobody is signed out: what the old key has
signed stays good as long as it would have been, eleven minutes at most, and then the server destroys the key. By
itself it is replaced every 30 days. API tokens are not signed; they are revoked by their owners or by an admin.`,
		Example: `  stonevaultd rotate tokens --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.besideRotating(cmd, func(ctx context.Context, s *store, _ config.Config) error {
				c := auth.Config{Store: s.db, Sealer: s.key, Audit: s.recorder, Rand: rand.Reader, Now: a.now}
				if err := auth.RotateTokenKeys(ctx, c, auditlog.Actor{Client: atMachine.Client}); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stderr, "Another key signs from now on. What the old one has signed is good for %v at most; then a server destroys it.\n",
					auth.KeyOverlap.Round(time.Second))
				return err
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}
