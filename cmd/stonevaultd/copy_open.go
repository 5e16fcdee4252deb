package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"stonevault/internal/auditlog"
	"stonevault/internal/blob/s3"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/masterkey"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

// copyMark is what a target keeps as vault.CopyMark: which vault it becomes, and where its files go.
type copyMark struct {
	Vault   string `json:"vault"`
	Objects string `json:"objects"`
}

// openSource opens the vault that is copied, for reading, and keeps everybody else from it.
func (c *copying) openSource(ctx context.Context, o *opener) (err error) {
	s := c.source
	if s.places, err = placesOf(o.config, o.version); err != nil {
		return err
	}
	state, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	if state != datadir.InUse {
		return fmt.Errorf("%w in %s", errNoVault, s.places)
	}
	s.keys = &keyring{places: s.places, config: o.config, ask: o.ask}
	if s.key, err = s.keys.find(state); err != nil {
		return err
	}
	if _, err := os.Stat(s.dir.Path()); err == nil {
		if s.lock, err = s.dir.Lock(); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.db, err = s.openDatabase(ctx, metadb.Options{ReadOnly: !s.sharesDatabase()}); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	// A copy that was killed is the same one when it is started again, and need not be waited for.
	id := sha256.Sum256([]byte("copy " + host + " " + s.dir.Path()))
	s.place = hex.EncodeToString(id[:16])
	if err := o.join(ctx, s, toCopy); err != nil {
		return err
	}
	if s.objects, err = s.openObjects(ctx); err != nil {
		return err
	}
	v, err := o.look(ctx, s)
	if err != nil {
		return o.explain(err, s.places, s.keys)
	}
	about, err := v.About(ctx)
	if err != nil {
		return err
	}
	c.id = about.VaultID
	s.audit = o.auditConfig(s.db, s.key)
	s.reader = auditlog.NewReader(s.audit)
	if err := (&witness{path: s.dir.AuditHead(), reader: s.reader}).check(ctx); err != nil {
		return o.explain(err, s.places, s.keys)
	}
	return nil
}

// look opens a vault as a server would, and writes nothing.
func (o *opener) look(ctx context.Context, s *store) (*vault.Vault, error) {
	return vault.Open(ctx, o.vaultConfig(s, rehearsal{s.db}, o.silent(s.db, s.key)))
}

// openTarget opens the place that a vault is copied to, once it is known to be empty or an unfinished copy.
func (c *copying) openTarget(ctx context.Context) (undo func(), err error) {
	undo = func() {}
	s, o := c.target, c.begun
	if s.places, err = placesOf(o.config, o.version); err != nil {
		return undo, err
	}
	inside, err := c.source.dir.Contains(s.dir.Path())
	if err != nil {
		return undo, err
	}
	if inside {
		return undo, fmt.Errorf("%s is the source's directory, or lies in it; choose another one", s.dir.Path())
	}
	if err := c.sameStore(); err != nil {
		return undo, err
	}
	if _, err := s.dir.Inspect(); err != nil {
		return undo, err
	}
	if s.key, err = c.targetKey(); err != nil {
		return undo, err
	}
	standing, err := s.standing(ctx, c.now())
	if err != nil {
		return undo, err
	}
	if c.fresh = standing.Vacant; c.fresh {
		if _, err := os.Lstat(s.dir.AuditHead()); err == nil {
			return undo, fmt.Errorf("%s is of a vault that was there; mount or restore that, choose another place, or move the file away", s.dir.AuditHead())
		}
	} else if standing.Schema != standing.Needed {
		return undo, errOccupied(s.places)
	} else if err := c.isUnfinished(ctx); err != nil {
		return undo, err
	}
	if undo, err = s.dir.Make(); err != nil {
		return undo, err
	}
	if s.lock, err = s.dir.Lock(); err != nil {
		return undo, err
	}
	if s.objects, err = c.targetObjects(ctx); err != nil {
		return undo, err
	}
	return undo, c.begin(ctx)
}

func errOccupied(p places) error {
	return fmt.Errorf("%w: %s; choose an empty place", vault.ErrOccupied, p)
}

// sameStore finds out whether both sides have one bucket.
func (c *copying) sameStore() error {
	if !c.source.sharesObjects() || !c.target.sharesObjects() {
		return nil
	}
	from, err := c.source.places.objects.Address.Read()
	if err != nil {
		return err
	}
	to, err := c.target.places.objects.Address.Read()
	c.oneStore = from == to
	return err
}

// targetKey is the master key where the target's server will look for it.
func (c *copying) targetKey() (*masterkey.Ring, error) {
	keys := &keyring{places: c.target.places, config: c.begun.config}
	if kind := keys.config.MasterKey.Kind; kind == config.KeyFromPassphrase || kind == config.KeyFromEnvironment {
		return c.source.key, nil
	}
	c.target.keys = keys
	from := c.source.keys.path()
	key, err := keys.find(datadir.Empty)
	switch {
	case err != nil:
		return nil, err
	case key == nil:
		return nil, fmt.Errorf("the vault keeps its master key, which is not at %s; put a copy of %s there, or name one file for both sides with --master-key %s:PATH", keys.path(), from, keys.config.MasterKey.Kind)
	case !key.Knows(c.source.key.Check()):
		return nil, fmt.Errorf("%s is another master key than the vault's; put a copy of %s there, or choose another place", keys.path(), from)
	}
	return key, key.Use(c.source.key.Check())
}

// isUnfinished accepts a database that an interrupted copy of the same vault has left.
func (c *copying) isUnfinished(ctx context.Context) (err error) {
	db, err := c.target.openDatabase(ctx, metadb.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var text []byte
	err = db.View(ctx, func(tx vault.Tx) (err error) {
		text, err = tx.Settings().Get(ctx, vault.CopyMark)
		return err
	})
	if errors.Is(err, vault.ErrNotFound) {
		return errOccupied(c.target.places)
	}
	if err != nil {
		return err
	}
	var mark copyMark
	if json.Unmarshal(text, &mark) != nil || mark != c.mark() {
		return fmt.Errorf("an unfinished copy is in %s, of another vault or with its files elsewhere; go on with that one as it was begun, or choose an empty place", c.target.places)
	}
	return nil
}

func (c *copying) mark() copyMark {
	objects := c.target.dir.Objects()
	if c.target.sharesObjects() {
		objects = string(c.target.places.objects.Address)
	}
	return copyMark{c.id, objects}
}

// targetObjects opens a store for files that holds none, or those of the unfinished copy.
func (c *copying) targetObjects(ctx context.Context) (_ objectStore, err error) {
	s := c.target
	if !s.sharesObjects() {
		if err := s.dir.Stamp(c.begun.version); err != nil {
			return nil, err
		}
	}
	store, err := s.openObjects(ctx)
	if err != nil || c.oneStore {
		return store, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	if bucket, ok := store.(*s3.Store); ok {
		owner, err := bucket.Owner(ctx)
		if err == nil && owner != "" && (c.fresh || owner != c.id) {
			err = fmt.Errorf("%w; choose another prefix", s3.ErrOwned)
		}
		if err != nil {
			return nil, err
		}
	}
	if !c.fresh {
		return store, nil
	}
	found := errors.New("there are sealed files already; choose an empty place for them")
	return store, store.Walk(ctx, func(string, int64) error { return found })
}

// begin is where the target begins to change.
func (c *copying) begin(ctx context.Context) (err error) {
	s, o := c.target, c.begun
	if err := errors.Join(s.lock.Claim(), s.dir.RemoveTemporary(), s.dir.Stamp(o.version)); err != nil {
		return err
	}
	if o.config.MasterKey.Kind == config.KeyFromPassphrase {
		salt, err := c.source.keys.saltOf(s.key.Check())
		if err == nil {
			err = s.dir.PutSalt(salt)
		}
		if err != nil {
			return err
		}
	}
	if _, err := s.removeLeftovers(ctx, true); err != nil {
		return err
	}
	if s.db, err = s.openDatabase(ctx, metadb.Options{}); err != nil {
		return err
	}
	if err := o.join(ctx, s, toCopy); err != nil {
		return err
	}
	if c.rows, err = metadb.NewCopy(ctx, c.source.db, s.db); err != nil {
		return err
	}
	if c.fresh {
		empty, err := c.rows.Empty(ctx)
		if err != nil {
			return err
		}
		if !empty {
			return errOccupied(s.places)
		}
		text, err := json.Marshal(c.mark())
		if err != nil {
			return err
		}
		if err := c.rows.Begin(ctx, func(tx vault.Tx) error { return tx.Settings().Put(ctx, vault.CopyMark, text) }); err != nil {
			return err
		}
	}
	s.audit = o.auditConfig(s.db, s.key)
	s.reader = auditlog.NewReader(s.audit)
	if bucket, ok := s.objects.(*s3.Store); ok {
		return bucket.Claim(ctx, c.id)
	}
	return nil
}
