package main

import (
	"context"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
)

// drainFor is how long requests under way may take once the server is told to stop.
const drainFor = 30 * time.Second

func newServe(a *app) *cobra.Command {
	var createAdmin bool
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve a vault",
		Long: `Serves the vault in the data directory until it is told to stop by Ctrl-C or SIGTERM; requests under way
then have 30 seconds, and a second signal stops at once.

An empty directory is set up at once. Its master key is made beside it, in DIR.master.key: keep a copy of that
file, away from copies of the data. As long as there is no admin, a code in DIR/setup-code lets who can read it
make one on the page.

What other machines can reach is served by TLS 1.3, with a certificate from --tls-cert and --tls-key or, for trying
out, one of the server's own; or in clear to a proxy alone that has TLS.`,
		Example: `  stonevaultd serve --data ./data --create-admin
  stonevaultd serve --data ./data --listen 0.0.0.0:8443 --tls-generate
  stonevaultd serve --data ./data --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem --require-pq
  stonevaultd serve --data /srv/vault --listen 127.0.0.1:8080 --master-key file:/run/keys/vault`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, values, err := config.Load(config.FromFlags(cmd.Flags(), a.environ))
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), &Server{
				Config: c, Settings: values, Version: version, CreateAdmin: createAdmin, Ask: a.ask, Stdout: a.stdout,
				Log: newLog(a.stderr, c), Now: a.now,
			})
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&createAdmin, "create-admin", false, `make the account "admin" where there is no admin, and print its password and the recovery sheet, once`)
	return cmd
}

// serve runs a server until a signal.
func (a *app) serve(ctx context.Context, s *Server) error {
	// Who reads the log may go away; the server stays.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := s.Run(ctx); err != nil {
		return err
	}
	if err := a.notify("READY=1"); err != nil {
		s.Log.Warn(err.Error())
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.Failed():
	}
	stop() // from here on a signal ends the process at once
	if err := a.notify("STOPPING=1"); err != nil {
		s.Log.Warn(err.Error())
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
	defer cancel()
	if err := s.Close(drain); err != nil {
		return err
	}
	return failed
}

// config reads the settings of a command.
func (a *app) config(cmd *cobra.Command) (config.Config, error) {
	c, _, err := config.Load(config.FromFlags(cmd.Flags(), a.environ))
	return c, err
}

func newLog(w io.Writer, c config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		panic(err) // the settings have been checked
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
