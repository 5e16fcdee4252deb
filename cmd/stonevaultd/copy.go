package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

// copyFlags are the settings that both sides of a copy have in common.
var copyFlags = slices.Concat([]string{"master_key_source", "master_passphrase", "development"}, transitFlags)

// saysEvery is how often progress is shown.
const saysEvery = 2 * time.Second

func newCopy(a *app) *cobra.Command {
	c := &copying{app: a}
	cmd := &cobra.Command{
		Use:   "copy --from DIR[,DATABASE[,OBJECTS]] --to DIR[,DATABASE[,OBJECTS]]",
		Short: "Copy a whole vault to another place or kind of backend, and compare all of it",
		Long: `Copies a whole vault: rows, sealed files, unfinished uploads and the audit log. Each side is a data directory, and
behind commas what lies elsewhere: the address of a PostgreSQL database and that of an S3 bucket, as for --database
and --objects of serve; an address with a password is written as file:PATH. What is left out is in the directory.
Where both sides name the same bucket, files stay in it and are read and compared.

No server may use either side. The target must be empty, or have an unfinished copy of the same vault, which goes on:
a copy that was interrupted is started again with the same line. Until it is done, the target refuses to serve.

The master key is not copied, and both sides have the same. Put a copy of the source's key file where the target
expects it, DIR.master.key, or name one file for both with --master-key file:PATH. Certificates are a server's own and
stay.

Everything is compared: every object by SHA-256 on both sides, and with its row; every row of every table; the audit log
and its root. Of uploads that have not ended, S3 gives back no more than 8 MiB; longer ones are ended on the target
when they come from there, listed, and have to be begun again. The exit code is 2 where something does not verify.`,
		Example: `  stonevaultd copy --from ./data --to ./new,file:/etc/stonevault/database,'s3://stones/vault?endpoint=https://s3.example'
  stonevaultd copy --from ./new,file:/etc/stonevault/database,'s3://stones/vault?endpoint=https://s3.example' --to ./back`,
		Args: operands(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			base, err := a.config(cmd)
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), base)
		},
	}
	cmd.Flags().StringVar(&c.from.text, "from", "", "`DIR[,DATABASE[,OBJECTS]]`: the vault that is copied")
	cmd.Flags().StringVar(&c.to.text, "to", "", "`DIR[,DATABASE[,OBJECTS]]`: where to; empty, or an unfinished copy")
	cmd.Flags().StringVar(&c.from.credentials, "from-s3-credentials", "", "a `FILE` with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the bucket of --from; the environment without one")
	cmd.Flags().StringVar(&c.to.credentials, "to-s3-credentials", "", "the same `FILE` for the bucket of --to")
	cmd.Flags().BoolVar(&c.json, "json", false, "print the report as JSON")
	config.AddFlags(cmd.Flags(), copyFlags...)
	return cmd
}

// place is one side as it was named.
type place struct{ flag, text, credentials string }

// config reads a side: base says what both have in common.
func (p place) config(base config.Config) (config.Config, error) {
	parts := strings.Split(p.text, ",")
	if parts[0] == "" {
		return base, misuse("name the vault with %s DIR[,DATABASE[,OBJECTS]]", p.flag)
	}
	flags := map[string]string{"data": parts[0]}
	at := 1
	for i, part := range parts[1:] {
		switch {
		case i > 1:
			return base, misuse("%s: name a directory, a database and objects at most; %d things are named", p.flag, len(parts))
		case strings.HasPrefix(part, "s3://"):
			at = 2
		}
		if part != "" {
			flags[[]string{"", "database", "objects"}[at]] = part
		}
		at++
	}
	if p.credentials != "" {
		flags["s3-credentials"] = p.credentials
	}
	c, _, err := config.Load(config.Sources{Flags: flags})
	if err != nil {
		return base, fmt.Errorf("%s: %w", p.flag, err)
	}
	base.Data, base.Database, base.Objects = c.Data, c.Database, c.Objects
	return base, nil
}

// copying is one run of copy.
type copying struct {
	*app
	from, to place
	json     bool

	source, target *store
	begun          *opener // of the target
	id             string  // the vault's
	fresh          bool    // the target was empty
	oneStore       bool    // both sides have the same bucket
	rows           *metadb.Copy
	report         copyReport
	said           time.Time
}

func (c *copying) run(ctx context.Context, base config.Config) (err error) {
	c.from.flag, c.to.flag = "--from", "--to"
	fromConfig, err := c.from.config(base)
	if err != nil {
		return err
	}
	toConfig, err := c.to.config(base)
	if err != nil {
		return err
	}
	ask := askOnce(c.ask)
	began := c.now()
	from := &opener{config: fromConfig, version: version, ask: ask, now: c.now, log: newLog(c.stderr, base)}
	c.begun = &opener{config: toConfig, version: version, ask: ask, now: c.now, log: newLog(c.stderr, base)}
	c.source, c.target = &store{}, &store{}
	undo := func() {}
	defer func() {
		err = errors.Join(err, c.target.close(), c.source.close())
		if err != nil {
			undo()
		}
	}()
	if err := c.openSource(ctx, from); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if undo, err = c.openTarget(ctx); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	verified, err := c.copy(ctx)
	if err != nil {
		return fmt.Errorf("%w; the copy is not finished, and goes on when it is started again", err)
	}
	if verified {
		if err := c.finish(ctx); err != nil {
			return fmt.Errorf("%w; the copy is not finished, and goes on when it is started again", err)
		}
		if _, err := c.begun.look(ctx, c.target); err != nil {
			return fmt.Errorf("everything is copied, and does not open: %w", err)
		}
	}
	c.report.Complete = verified
	c.report.Seconds = c.now().Sub(began).Seconds()
	if err := c.report.print(c.stdout, c.json, hint(toConfig, c.target.dir, "serve")); err != nil {
		return err
	}
	if !c.report.ok() {
		return errLeftOut
	}
	return nil
}

// copy brings everything over, and tells whether the target is what the source is.
func (c *copying) copy(ctx context.Context) (bool, error) {
	c.report.Vault, c.report.From, c.report.To = c.id, c.source.String(), c.target.String()
	if same, err := c.copyRows(ctx); !same || err != nil {
		return false, err
	}
	if same, err := c.copyObjects(ctx); !same || err != nil {
		return false, err
	}
	if err := c.copyUploads(ctx); err != nil {
		return false, err
	}
	return c.compareLogs(ctx)
}

// copyRows copies what rows are missing. Where a copy that was interrupted goes on and the source has changed
// meanwhile, it begins anew.
func (c *copying) copyRows(ctx context.Context) (bool, error) {
	for again := false; ; again = true {
		err := c.rows.Rows(ctx, func(table string, rows int64) { c.say("rows of %s copied: %d", table, rows) })
		same := false
		if err == nil {
			same, err = c.compareRows(ctx)
		}
		if again || same || ctx.Err() != nil || errors.Is(err, vault.ErrUnavailable) || errors.Is(err, vault.ErrNoSpace) || err == nil && c.fresh {
			return same, err
		}
		fmt.Fprintln(c.stderr, "the rows have changed since this copy was begun, and are copied anew")
		if err := c.rows.Clear(ctx); err != nil {
			return false, err
		}
	}
}

func (c *copying) compareRows(ctx context.Context) (bool, error) {
	from, to, err := c.rows.Digests(ctx)
	if err != nil {
		return false, err
	}
	same := true
	c.report.Tables, c.report.Rows, c.report.Problems = nil, 0, nil
	for i, d := range from {
		c.report.Tables = append(c.report.Tables, tableReport{d.Table, d.Rows, fmt.Sprintf("%x", d.SHA256)})
		c.report.Rows += d.Rows
		if d != to[i] {
			same = false
			c.report.Problems = append(c.report.Problems, problem{d.Table, "the rows of this table are not the same on both sides; was the vault used while it was copied?"})
		}
	}
	return same, nil
}

// finish makes a vault of the target. Nothing but this does.
func (c *copying) finish(ctx context.Context) error {
	dropped := c.report.dropped
	return c.rows.Finish(ctx, func(tx vault.Tx) error {
		for _, id := range dropped {
			if err := tx.Uploads().Delete(ctx, id); err != nil {
				return err
			}
		}
		return tx.Settings().Delete(ctx, vault.CopyMark)
	})
}

// say shows progress every other second.
func (c *copying) say(format string, args ...any) {
	if now := c.now(); now.Sub(c.said) >= saysEvery {
		c.said = now
		fmt.Fprintf(c.stderr, format+"\n", args...)
	}
}
