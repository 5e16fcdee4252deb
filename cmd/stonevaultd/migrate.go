package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/metadb"
)

// migrateFlags are the settings that say where the database is.
var migrateFlags = []string{"data", "database", "objects"}

func newMigrate(a *app) *cobra.Command {
	return withVerbs("migrate", "Show the schema of the database, or bring it to this program's",
		newMigrateStatus(a), newMigrateUp(a))
}

func newMigrateStatus(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status --data DIR",
		Short:   "Say whether the database has this program's schema, an older or a newer one",
		Example: `  stonevaultd migrate status --data ./data --database file:/etc/stonevault/database`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config(cmd)
			if err != nil {
				return err
			}
			p, err := placesOf(c, version)
			if err != nil {
				return err
			}
			s, err := p.standing(cmd.Context(), a.now())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"state": stateOf(s), "schema": s.Schema, "needed": s.Needed, "program": s.Program})
			}
			_, err = fmt.Fprintln(a.stdout, p.sayStanding(s))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	config.AddFlags(cmd.Flags(), migrateFlags...)
	return cmd
}

func newMigrateUp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up --data DIR",
		Short: "Bring an older database to this program's schema",
		Long: `Brings an older database to the schema of this program, while no server uses it. SQLite's is copied first, beside
itself, as serve does by itself. Of one in PostgreSQL make a backup with pg_dump before; several servers are stopped all,
and started again with this program.`,
		Example: `  pg_dump --format=custom --file=before.dump vault && stonevaultd migrate up --data ./data --database file:/etc/stonevault/database`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config(cmd)
			if err != nil {
				return err
			}
			p, err := placesOf(c, version)
			if err != nil {
				return err
			}
			return a.migrate(cmd.Context(), p)
		},
	}
	config.AddFlags(cmd.Flags(), migrateFlags...)
	return cmd
}

func (a *app) migrate(ctx context.Context, p places) (err error) {
	if !p.sharesDatabase() {
		if _, err := p.dir.Inspect(); err != nil {
			return err
		}
	}
	s, err := p.standing(ctx, a.now())
	if err != nil {
		return err
	}
	switch stateOf(s) {
	case "empty":
		return p.noVault()
	case "newer":
		return &metadb.NewerError{Schema: s.Schema, Program: s.Program}
	case "current":
		_, err := fmt.Fprintln(a.stdout, p.sayStanding(s))
		return err
	}
	if len(s.Servers) > 0 {
		return fmt.Errorf("%s uses this vault; stop all of its servers and commands first", s.Servers[0])
	}
	opts := metadb.Options{ProgramVersion: version}
	if p.sharesDatabase() {
		err = metadb.MigratePostgres(ctx, p.database, opts)
	} else {
		err = migrateFile(ctx, p, opts)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "The schema was %d and is %d.\n", s.Schema, s.Needed)
	return err
}

func migrateFile(ctx context.Context, p places, opts metadb.Options) (err error) {
	lock, err := p.dir.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := lock.Claim(); err != nil {
		return err
	}
	db, err := metadb.OpenSQLite(ctx, p.dir.Database(), opts)
	if err != nil {
		return err
	}
	return db.Close()
}

// standing is how the database stands to this program.
func (p places) standing(ctx context.Context, now time.Time) (metadb.Standing, error) {
	if p.sharesDatabase() {
		return metadb.StandingOfPostgres(ctx, p.database, now)
	}
	return metadb.StandingOfSQLite(ctx, p.dir.Database())
}

func stateOf(s metadb.Standing) string {
	switch {
	case s.Empty || s.Schema == 0:
		return "empty"
	case s.Schema < s.Needed:
		return "older"
	case s.Schema > s.Needed:
		return "newer"
	}
	return "current"
}

func (p places) sayStanding(s metadb.Standing) string {
	where := p.dir.Database()
	if p.sharesDatabase() {
		where = metadb.NameOf(p.database)
	}
	by := ""
	if s.Program != "" {
		by = fmt.Sprintf(", written by version %s", s.Program)
	}
	switch stateOf(s) {
	case "empty":
		return where + " is empty, or not there; stonevaultd serve sets it up."
	case "older":
		return fmt.Sprintf("%s has schema %d%s, which is older than this program's, %d; make a backup, and bring it there with: stonevaultd migrate up", where, s.Schema, by, s.Needed)
	case "newer":
		return fmt.Sprintf("%s has schema %d%s, which is newer than this program's, %d; use that version or a newer one", where, s.Schema, by, s.Needed)
	}
	return fmt.Sprintf("%s has this program's schema, %d.", where, s.Schema)
}
