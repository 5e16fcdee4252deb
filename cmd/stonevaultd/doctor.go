package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

// level is how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn"
	levelFail level = "fail"
)

// finding is a line of the doctor's. Its text says what to do unless all is well.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Text  string `json:"text"`
}

func newDoctor(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor --data DIR",
		Short: "Check a data directory and say what to do",
		Long: `Checks the data directory, the master key, the database, the presence and size of every object and of every
unfinished upload, the certificate, and the machine, while the server runs or not. It changes nothing. What is inside of files is not read: stonevault verify does that.

Each line is ok, warn or fail. The exit code is 1 when one of them is fail.`,
		Example: `  stonevaultd doctor --data ./data`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config(cmd)
			if err != nil {
				return err
			}
			d := &doctor{opener: opener{config: c, version: version, ask: a.ask, now: a.now, log: newLog(a.stderr, c)}}
			if err := d.examine(cmd.Context()); err != nil {
				return err
			}
			if err := d.print(a.stdout, asJSON); err != nil {
				return err
			}
			for _, f := range d.findings {
				if f.Level == levelFail {
					return errSaid
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	config.AddFlags(cmd.Flags(), append(doctorKeys, besideFlags...)...)
	return cmd
}

// doctor examines one data directory.
type doctor struct {
	opener
	store    store
	keys     *keyring
	served   bool // a server uses the directory
	findings []finding
}

func (d *doctor) say(check string, l level, format string, args ...any) {
	d.findings = append(d.findings, finding{check, l, fmt.Sprintf(format, args...)})
}

func (d *doctor) hint(verb string) string { return hint(d.config, d.store.dir, verb) }

func (d *doctor) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"items": d.findings})
	}
	for _, f := range d.findings {
		if _, err := fmt.Fprintf(w, "%-4s  %-11s  %s\n", f.Level, f.Check, f.Text); err != nil {
			return err
		}
	}
	return nil
}

// examine makes every check that the ones before it leave possible. The error is one of the command line.
func (d *doctor) examine(ctx context.Context) (err error) {
	if d.store.places, err = placesOf(d.config, d.version); err != nil {
		return err
	}
	defer d.store.close()
	d.keys = &keyring{places: d.store.places, config: d.config, ask: d.ask}
	d.machine()
	d.entrance()
	if !d.directory(ctx) {
		return nil
	}
	key := d.masterKey(ctx)
	if !d.database(ctx) {
		return nil
	}
	d.servers(ctx)
	if key {
		d.vault(ctx)
	}
	d.contents(ctx)
	d.intents(ctx)
	d.temporary()
	return nil
}

// directory looks at the directory itself, and tells whether there is more to look at.
func (d *doctor) directory(ctx context.Context) bool {
	const check = "directory"
	dir := d.store.dir
	state, err := d.store.inspect(ctx)
	switch {
	case err != nil:
		d.say(check, levelFail, "%v", err)
		return false
	case state != datadir.InUse:
		d.say(check, levelFail, "%v, or make one with: %s", d.store.noVault(), d.hint("serve --create-admin"))
		return false
	}
	open := false
	if runtime.GOOS != "windows" {
		for _, path := range d.store.kept() {
			if info, err := os.Stat(path); err != nil {
				d.say(check, levelFail, "%v", err)
				return false
			} else if info.Mode().Perm()&0o077 != 0 {
				open = true
				d.say(check, levelWarn, "other people of this machine have rights to %s; type: chmod go= %s", path, shellQuote(path))
			}
		}
	}
	held, pid, err := dir.Locked()
	d.served = held
	switch {
	case err != nil:
		d.say(check, levelFail, "whether a server uses %s cannot be told: %v", dir.Path(), err)
	case open:
	case held && pid != 0:
		d.say(check, levelOK, "%s is in use by the server with process number %d", dir.Path(), pid)
	case held:
		d.say(check, levelOK, "%s is in use by a server", dir.Path())
	default:
		d.say(check, levelOK, "%s is used by no server", dir.Path())
	}
	return true
}

func (d *doctor) masterKey(ctx context.Context) bool {
	const check = "master key"
	var err error
	if d.store.key, err = d.keys.find(datadir.InUse); err != nil {
		d.say(check, levelFail, "%v", err)
		return false
	}
	if d.keys.holder != nil {
		d.transitKey(ctx)
		return true
	}
	where := map[config.KeySourceKind]string{
		config.KeyFromFile: "in " + d.keys.path(), config.KeyFromPassphrase: "from a passphrase",
		config.KeyFromEnvironment: "in the environment, which is for development alone",
	}
	d.say(check, levelOK, "it is %s", where[d.config.MasterKey.Kind])
	return true
}

func (d *doctor) database(ctx context.Context) bool {
	const check = "database"
	var err error
	if d.store.objects, err = d.store.openObjects(ctx); err != nil {
		d.say("objects", levelFail, "%v", err)
		return false
	}
	d.store.db, err = d.store.openDatabase(ctx, metadb.Options{ReadOnly: true})
	if err != nil {
		d.say(check, levelFail, "%v", err)
		return false
	}
	complaints, err := d.store.db.Check(ctx)
	if err != nil {
		d.say(check, levelFail, "it could not be checked: %v", err)
		return true
	}
	for _, c := range complaints {
		d.say(check, levelFail, "%s; restore the database from a backup", c)
	}
	if len(complaints) == 0 {
		d.say(check, levelOK, "its schema is this program's, and all of its tables are sound")
	}
	return true
}

// rotation tells which version of the master key is in use, and whether another one takes its place.
func (d *doctor) rotation(ctx context.Context, v *vault.Vault) {
	const check = "key version"
	versions, err := v.MasterVersions(ctx)
	if err != nil {
		d.say(check, levelFail, "%v", err)
		return
	}
	for _, m := range versions {
		since := m.UsedAt.Format(time.DateOnly)
		switch {
		case m.UsedAt.IsZero():
			d.say(check, levelWarn, "version %d of the master key was announced, and is not in use yet; to go on: %s", m.Number, d.hint("rotate master"))
		case m.RetiredAt.IsZero():
			d.say(check, levelOK, "version %d of the master key is in use since %s", m.Number, since)
		case m.DestroyedAt.IsZero():
			d.say(check, levelWarn, "version %d of the master key is still needed; the server goes on, or without one: %s", m.Number, d.hint("rotate master"))
		}
	}
}

// vault opens the vault as the server would.
func (d *doctor) vault(ctx context.Context) {
	v, err := vault.Open(ctx, d.vaultConfig(&d.store, rehearsal{d.store.db}, d.silent(d.store.db, d.store.key)))
	switch {
	case errors.Is(err, vault.ErrNotFound):
		d.say("vault", levelFail, "its setting up was interrupted; start the server, which does it again")
		return
	case errors.Is(err, vault.ErrClock):
		d.say("vault", levelOK, "the master key opens it")
		d.say("clock", levelFail, "%v; set the clock of this machine right", err)
		return
	case err != nil:
		d.say("vault", levelFail, "%v", d.explain(err, d.store.places, d.keys))
		return
	}
	d.say("vault", levelOK, "the master key opens it")
	d.say("clock", levelOK, "it has not been set back")
	admins, err := v.Admins(ctx)
	switch {
	case err != nil:
		d.say("accounts", levelFail, "%v", err)
	case admins == 0:
		d.say("accounts", levelWarn, "there is no admin; make one with: %s", d.hint("admin create NAME --generate-password"))
	default:
		d.say("accounts", levelOK, "admins: %d", admins)
	}
	d.setup(admins)
	d.rotation(ctx, v)
	d.auditLog(ctx)
	exists, confirmed, err := v.RecoveryState(ctx)
	switch {
	case err != nil:
		d.say("recovery", levelFail, "%v", err)
	case confirmed:
		d.say("recovery", levelOK, "somebody has confirmed that the sheet is kept")
	case exists:
		d.say("recovery", levelWarn, "nobody has confirmed that the sheet is kept; type its secret in with: %s", d.hint(confirmRecovery))
	default:
		d.say("recovery", levelWarn, "there is no recovery secret yet; it is made with the first account")
	}
}
