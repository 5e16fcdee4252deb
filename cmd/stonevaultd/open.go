package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/blob/local"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/peers"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
	webhooksender "stonevault/internal/webhook/sender"
)

// errNoVault is an empty directory where one with data is needed.
var errNoVault = errors.New("there is no vault")

// opening says what a directory is opened for.
type opening int

const (
	// toServe takes the lock, and sets up an empty directory.
	toServe opening = iota
	// toAdd works beside a server, and sets up an empty directory, with the lock for so long.
	toAdd
	// toChange works beside a server; an empty directory is errNoVault.
	toChange
	// toRestart takes the lock, and accepts a database with another audit log than this machine has seen; an empty
	// directory is errNoVault.
	toRestart
	// toRecover takes the lock, and leaves the vault to be made; a directory with one is refused, unless its
	// recovery has not ended.
	toRecover
	// toCopy has the vault for itself, and keeps servers and commands from it.
	toCopy
)

// opener opens the data directory of a configuration.
type opener struct {
	config  config.Config
	version string
	ask     func(prompt string) (string, error)
	now     func() time.Time
	log     *slog.Logger
	terms   peers.Terms // of who serves
	listen  string      // where that one does
}

// store is an open data directory.
type store struct {
	places
	lock      *datadir.Lock // nil beside a server
	place     string        // what others know this process by, unless it is the directory's name or a random one
	keys      *keyring
	key       *masterkey.Ring
	offered   *identity.Identity // see receive
	offeredAs string
	rotating  bool // this process holds the lock of the command that replaces a key
	db        *metadb.DB
	objects   objectStore
	vault     *vault.Vault
	peers     *peers.Member // nil where the database is this machine's own
	leave     func() error  // nil as long as peers is

	audit     auditlog.Config
	sequencer *auditlog.Sequencer // runs in the server alone
	failures  atomic.Int64        // of the sequencer
	recorder  *auditlog.Recorder
	reader    *auditlog.Reader
	webhooks  *webhook.Service
	signIn    atomic.Pointer[auth.Service]         // nil beside a server
	sender    atomic.Pointer[webhooksender.Sender] // nil beside a server
	reserve   *datadir.Reserve                     // nil beside a server, and where the disk has no room for one
}

// refill takes back what the reserve gave to a full disk.
func (s *store) refill() error {
	if s.reserve == nil {
		return nil
	}
	return s.reserve.Refill()
}

// keepRoom makes the reserve, and gives the database alone the use of it.
func (s *store) keepRoom(log *slog.Logger) (makeRoom func() bool) {
	if s.sharesDatabase() {
		return nil
	}
	reserve, err := s.dir.Reserve(diskSpace)
	if err != nil {
		log.Warn("the reserve is not whole: on a full disk, reads will soon be refused too, because they cannot be recorded", "error", err)
	}
	if reserve == nil {
		return nil
	}
	s.reserve = reserve
	if objects, ok := s.objects.(*local.Store); ok {
		objects.Full = reserve.Short
	}
	return reserve.Release
}

// close releases everything, the lock last.
func (s *store) close() error {
	var errs []error
	if s.leave != nil {
		errs = append(errs, s.leave())
	}
	if s.objects != nil {
		errs = append(errs, s.objects.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.keys != nil && s.keys.holder != nil {
		s.keys.holder.Close()
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Release())
	}
	return errors.Join(errs...)
}

// open opens the directory. Every check comes first, so that a refusal leaves it as it was.
func (o *opener) open(ctx context.Context, what opening) (_ *store, err error) {
	s := &store{}
	undo := func() {}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			undo()
		}
	}()
	if s.places, err = placesOf(o.config, o.version); err != nil {
		return nil, err
	}
	keys := &keyring{places: s.places, config: o.config, ask: o.ask}
	state, err := s.inspect(ctx)
	if err != nil {
		return nil, err
	}
	if state != datadir.InUse {
		if err := s.vacant(what); err != nil {
			return nil, err
		}
	}
	s.keys = keys
	if s.key, err = keys.find(state); err != nil {
		return nil, err
	}
	locks := what == toServe || what == toRestart || what == toRecover || state != datadir.InUse
	if locks {
		if undo, err = s.dir.Make(); err != nil {
			return nil, err
		}
		if s.lock, err = s.dir.Lock(); err != nil {
			return nil, err
		}
		// Somebody else may have set it up until now.
		was := state
		if state, err = s.inspect(ctx); err != nil {
			return nil, err
		}
		if state != was && state == datadir.InUse {
			if s.key, err = keys.find(state); err != nil {
				return nil, err
			}
		}
	}
	if state == datadir.InUse {
		if s.objects, err = s.openObjects(ctx); err != nil {
			return nil, err
		}
		if err := o.rehearse(ctx, s, keys, what, locks); err != nil {
			return nil, err
		}
	}
	if state != datadir.InUse && s.sharesObjects() {
		// Before anything is made for a vault that could not have them.
		if s.objects, err = s.openObjects(ctx); err != nil {
			return nil, err
		}
		if err := s.free(ctx); err != nil {
			return nil, err
		}
	}
	if locks {
		if err := o.claim(ctx, s, keys, what, state); err != nil {
			return nil, err
		}
	}
	var makeRoom func() bool
	if what == toServe || what == toRestart {
		makeRoom = s.keepRoom(o.log)
	}
	if s.db, err = s.openDatabase(ctx, metadb.Options{MakeRoom: makeRoom}); err != nil {
		return nil, err
	}
	s.audit = o.auditConfig(s.db, s.key)
	s.sequencer = auditlog.NewSequencer(s.audit, func(err error) {
		s.failures.Add(1)
		o.log.Error("the audit log stands still, and will be tried again", "error", err)
	})
	s.recorder, s.reader = auditlog.NewRecorder(s.audit, s.sequencer.Wake), auditlog.NewReader(s.audit)
	if err := o.join(ctx, s, what); err != nil {
		return nil, err
	}
	if what == toRecover {
		return s, nil
	}
	if s.vault, err = vault.Open(ctx, o.vaultConfig(s, s.db, s.recorder)); err != nil {
		return nil, o.explain(err, s.places, keys)
	}
	if err := s.own(ctx); err != nil {
		return nil, err
	}
	return s, o.openWebhooks(ctx, s)
}

// vacant refuses places without a vault where one is needed, or where one was: the directory may not be mounted.
func (p places) vacant(what opening) error {
	if what == toChange || what == toRestart {
		return p.noVault()
	}
	_, err := os.Lstat(p.dir.AuditHead())
	switch {
	case errors.Is(err, fs.ErrNotExist) || what == toRecover:
		return nil
	case err != nil:
		return err
	}
	where := p.dir.Path()
	if p.sharesDatabase() {
		where = metadb.NameOf(p.database)
	}
	return fmt.Errorf("%s is empty, and %s is of a vault that was there; mount or restore that, or, to begin another one, move the file away", where, p.dir.AuditHead())
}

func (p places) noVault() error {
	if p.sharesDatabase() {
		return fmt.Errorf("%w in %s; name the right database with --database", errNoVault, metadb.NameOf(p.database))
	}
	return fmt.Errorf("%w in %s; name the right directory with --data", errNoVault, p.dir.Path())
}

// claim is where the directory begins to change. The key of a new vault comes first: where it cannot be
// made, nothing else is there yet.
func (o *opener) claim(ctx context.Context, s *store, keys *keyring, what opening, state datadir.State) (err error) {
	switch {
	case state == datadir.InUse:
	case s.key != nil:
		o.log.Info("an empty directory is set up under the master key that was there already", "data", s.dir.Path())
	default:
		if s.key, err = keys.create(); err != nil {
			return err
		}
		switch o.config.MasterKey.Kind {
		case config.KeyFromTransit:
			o.log.Info("a master key was made and wrapped by transit; keep a copy of the file and of transit's key, without either of which the recovery sheet alone opens the data", "file", keys.path())
		case config.KeyFromFile:
			o.log.Info("a master key was made; keep a copy of it away from copies of the data, which cannot be opened without it", "file", keys.path())
		}
	}
	if err := s.lock.Claim(); err != nil {
		return err
	}
	if what == toRecover && state != datadir.InUse {
		// What was signed before is of the log that is lost.
		if err := os.Rename(s.dir.AuditHead(), s.dir.AuditHead()+".before"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.dir.RemoveTemporary(); err != nil {
		return err
	}
	if err := s.dir.Stamp(o.version); err != nil {
		return err
	}
	if s.objects == nil {
		// Before the database, so that one without objects is known to be damaged.
		if s.objects, err = s.openObjects(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (o *opener) vaultConfig(s *store, db vault.Database, audit *auditlog.Recorder) vault.Config {
	return vault.Config{
		Database: db, Objects: s.objects, Parts: s.objects, Master: s.key, Audit: audit, Peers: s.peers, Suite: o.config.Suite,
		Compression: o.config.Compression, Now: o.now, Log: o.log, SealContexts: sealContexts,
	}
}

// rehearsal is a database in which every change comes as far as its first write, and is then left.
type rehearsal struct{ *metadb.DB }

func (r rehearsal) Update(ctx context.Context, fn func(vault.Tx) error) error {
	if err := r.View(ctx, fn); !errors.Is(err, metadb.ErrReadOnly) {
		return err
	}
	return nil
}

// rehearse opens the vault as it would be opened, and writes nothing. Where the database is one that this
// program would first migrate, a copy of it is, if the lock is held.
func (o *opener) rehearse(ctx context.Context, s *store, keys *keyring, what opening, locked bool) error {
	db, err := s.openDatabase(ctx, metadb.Options{ReadOnly: true})
	var newer *metadb.NewerError
	if err != nil && (!locked || s.sharesDatabase() || errors.As(err, &newer) || errors.Is(err, metadb.ErrCorrupt) || errors.Is(err, metadb.ErrBusy) || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		scratch, err := s.dir.Scratch()
		if err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
		if db, err = o.openCopy(ctx, s.dir.Database(), scratch); err != nil {
			return err
		}
	}
	defer db.Close()
	if err := o.mayJoin(ctx, s, db, what); err != nil {
		return err
	}
	_, err = vault.Open(ctx, o.vaultConfig(s, rehearsal{db}, o.silent(db, s.key)))
	switch {
	case errors.Is(err, vault.ErrNotFound):
		return nil // its setting up was interrupted, and will be done again
	case what == toRecover && errors.Is(err, vault.ErrUnfinished):
		return nil
	case what == toRecover && err == nil:
		return fmt.Errorf("%w: %s; choose an empty directory with --data", vault.ErrOccupied, s.places)
	case what == toServe && err == nil:
		err = (&witness{path: s.dir.AuditHead(), reader: auditlog.NewReader(o.auditConfig(db, s.key))}).check(ctx)
	}
	return o.explain(err, s.places, keys)
}

// silent records for a vault that is opened to look at it.
func (o *opener) silent(db *metadb.DB, key *masterkey.Ring) *auditlog.Recorder {
	return auditlog.NewRecorder(o.auditConfig(db, key), func() {})
}

// openCopy copies a database that nobody writes to, and opens the copy as the database would be.
func (o *opener) openCopy(ctx context.Context, path, scratch string) (*metadb.DB, error) {
	to := filepath.Join(scratch, filepath.Base(path))
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(path+suffix, to+suffix); err != nil && !(suffix != "" && errors.Is(err, os.ErrNotExist)) {
			return nil, fmt.Errorf("copy the database to rehearse its migration: %w", err)
		}
	}
	return metadb.OpenSQLite(ctx, to, metadb.Options{ProgramVersion: o.version})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// explain says what to do about what stops a vault from opening.
func (o *opener) explain(err error, p places, keys *keyring) error {
	switch {
	case errors.Is(err, vault.ErrWrongMasterKey) && (o.config.MasterKey.Kind == config.KeyFromFile || o.config.MasterKey.Kind == config.KeyFromTransit):
		return fmt.Errorf("%s was sealed under another master key than the one at %s; put the right one there, or name its place with --master-key %s:PATH", p, keys.path(), o.config.MasterKey.Kind)
	case errors.Is(err, vault.ErrWrongMasterKey) && o.config.MasterKey.Kind == config.KeyFromPassphrase:
		return fmt.Errorf("this is not the passphrase that %s was sealed under; try again", p)
	case errors.Is(err, vault.ErrWrongMasterKey):
		return fmt.Errorf("%s was sealed under another master key than the one in STONEVAULT_MASTER_KEY; set the right one", p)
	case errors.Is(err, errSetBack):
		return fmt.Errorf("%w; if you restored a backup, say so with: %s", err, hint(o.config, p.dir, "audit restart"))
	case errors.Is(err, vault.ErrClock):
		return fmt.Errorf("%w; set the clock of this machine right, then start again", err)
	}
	return err
}
