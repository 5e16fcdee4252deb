package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/config"
	"stonevault/internal/webhook"
)

func newRotateWebhooks(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks --data DIR",
		Short: "Replace the secrets that webhooks are signed with",
		Long: `Draws another secret for each webhook and prints them, once: the webhook's id, the receiver's host and the secret. For a
day messages are signed with both, the new one and the one before, so that receivers can change over; then with the new
one alone. Each is printed before it is used. To end a secret that somebody has seen at once, draw a new one with
POST /api/v1/webhooks/{id}/secret instead.`,
		Example: `  stonevaultd rotate webhooks --data ./data > secrets`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.besideRotating(cmd, func(ctx context.Context, s *store, _ config.Config) error {
				by := webhook.Asker{Actor: auditlog.Actor{Client: atMachine.Client}, Role: access.Admin}
				n := 0
				err := s.webhooks.Rotate(ctx, by, func(w webhook.Webhook) error {
					n++
					host := ""
					if u, err := url.Parse(w.URL); err == nil {
						host = u.Host
					}
					_, err := fmt.Fprintf(a.stdout, "%s  %s  %s\n", w.ID, host, w.Secret.Reveal())
					return err
				})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stderr, "Webhooks with another secret: %d. For %v messages are signed with the ones before as well.\n", n, webhook.Overlap)
				return err
			})
		},
	}
	config.AddFlags(cmd.Flags(), besideFlags...)
	return cmd
}
