package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"stonevault/internal/blob/local"
	"stonevault/internal/blob/s3"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/metadb"
	"stonevault/internal/vault"
)

// objectStore is where sealed files are.
type objectStore interface {
	vault.Objects
	vault.Parts
	io.Closer
}

// places is where the parts of a vault are: in the data directory unless an address says otherwise.
type places struct {
	dir      datadir.Dir
	database string // an address, and so a secret
	objects  config.Objects
	version  string
}

func placesOf(c config.Config, version string) (places, error) {
	dir, err := datadir.At(c.Data)
	if err != nil {
		return places{}, err
	}
	database, err := c.Database.Read()
	if err != nil {
		return places{}, err
	}
	p := places{database: string(database), objects: c.Objects, version: version}
	p.dir = dir.Without(datadir.Elsewhere{Database: p.sharesDatabase(), Objects: p.sharesObjects()})
	return p, nil
}

// sharesDatabase tells whether other servers may have the same database.
func (p places) sharesDatabase() bool { return p.database != "" }

// sharesObjects tells whether other servers may have the same objects.
func (p places) sharesObjects() bool { return p.objects.Address != "" }

// String names the vault, for people.
func (p places) String() string {
	if p.sharesDatabase() {
		return "the vault in " + metadb.NameOf(p.database)
	}
	return "the data in " + p.dir.Path()
}

// inspect tells whether there is a vault, and changes nothing.
func (p places) inspect(ctx context.Context) (datadir.State, error) {
	state, err := p.dir.Inspect()
	if err != nil || !p.sharesDatabase() {
		return state, err
	}
	founded, err := p.founded(ctx)
	switch {
	case err != nil:
		return 0, err
	case founded:
		return datadir.InUse, p.hasObjects()
	case state == datadir.InUse:
		return 0, fmt.Errorf("%s holds sealed files, and there is no vault in %s; name the right database with --database, or restore it from a backup", p.dir.Path(), metadb.NameOf(p.database))
	}
	return state, nil
}

// hasObjects refuses a directory without a place for files, for a vault that has them in a directory.
func (p places) hasObjects() error {
	if info, err := os.Stat(p.dir.Objects()); p.sharesObjects() || err == nil && info.IsDir() {
		return nil
	}
	return fmt.Errorf("%s has its sealed files elsewhere than in %s; name the right directory with --data, or the store that they are in with --objects", p, p.dir.Path())
}

// founded tells whether a PostgreSQL database has a vault.
func (p places) founded(ctx context.Context) (bool, error) {
	db, err := metadb.OpenPostgres(ctx, p.database, metadb.Options{ProgramVersion: p.version, ReadOnly: true})
	var older *metadb.OlderError
	if errors.As(err, &older) && older.Schema == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer db.Close()
	return vault.Founded(ctx, db)
}

func (p places) openDatabase(ctx context.Context, opts metadb.Options) (*metadb.DB, error) {
	opts.ProgramVersion = p.version
	if p.sharesDatabase() {
		return metadb.OpenPostgres(ctx, p.database, opts)
	}
	return metadb.OpenSQLite(ctx, p.dir.Database(), opts)
}

// openObjects opens the store of sealed files. A bucket is tried first.
func (p places) openObjects(ctx context.Context) (objectStore, error) {
	if !p.sharesObjects() {
		return local.Open(p.dir.Objects())
	}
	return openBucket(ctx, p.objects)
}

func openBucket(ctx context.Context, c config.Objects) (*s3.Store, error) {
	address, err := c.Address.Read()
	if err != nil {
		return nil, err
	}
	credentials, err := s3.ReadCredentials(c.Credentials, os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("%w; name the file with --s3-credentials", err)
	}
	store, err := s3.Open(ctx, s3.Options{Address: string(address), Credentials: credentials})
	if err != nil {
		return nil, fmt.Errorf("%w; correct --objects, or start the store", err)
	}
	return store, nil
}

// free refuses a bucket that a vault has already, for another one.
func (s *store) free(ctx context.Context) error {
	bucket, ok := s.objects.(*s3.Store)
	if !ok {
		return nil
	}
	owner, err := bucket.Owner(ctx)
	if err == nil && owner != "" {
		err = fmt.Errorf("%w, whose database is elsewhere; name that with --database, or another prefix with --objects, or rebuild the vault with: stonevaultd recover", s3.ErrOwned)
	}
	return err
}

// own claims the bucket for the vault.
func (s *store) own(ctx context.Context) error {
	bucket, ok := s.objects.(*s3.Store)
	if !ok {
		return nil
	}
	about, err := s.vault.About(ctx)
	if err != nil {
		return err
	}
	if err = bucket.Claim(ctx, about.VaultID); errors.Is(err, s3.ErrOwned) {
		err = fmt.Errorf("%w; name the right one with --objects", err)
	}
	return err
}

// abandonedAfter is longer than anybody takes to put a file.
const abandonedAfter = 7 * 24 * time.Hour

// removeLeftovers removes what transfers that were interrupted have left in the store. In a directory that is for the
// one who starts to serve it; in a bucket one of its servers does so now and then.
func (s *store) removeLeftovers(ctx context.Context, starting bool) (int, error) {
	switch o := s.objects.(type) {
	case *local.Store:
		if starting {
			return o.RemoveTemporary(ctx)
		}
	case *s3.Store:
		if !starting {
			return o.RemoveAbandoned(ctx, abandonedAfter)
		}
	}
	return 0, nil
}

// kept are the files and directories that the vault has on this machine.
func (p places) kept() (paths []string) {
	if _, err := os.Stat(p.dir.Path()); err == nil || !p.sharesDatabase() {
		paths = append(paths, p.dir.Path())
	}
	if !p.sharesObjects() {
		paths = append(paths, p.dir.Objects())
	}
	if !p.sharesDatabase() {
		paths = append(paths, p.dir.Database())
	}
	return paths
}
