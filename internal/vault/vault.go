package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/peers"
	"stonevault/stone"
)

// Config is what a Vault is made of. All fields are required but Compression, Peers and SealContexts.
type Config struct {
	Database    Database
	Objects     Objects
	Parts       Parts
	Master      MasterKey
	Audit       *auditlog.Recorder
	Peers       *peers.Member  // nil where there can be no other server
	Suite       identity.Suite // of a new vault; an existing one keeps its own
	Compression stone.Compression
	Now         func() time.Time
	Log         *slog.Logger
	// SealContexts say what the values of other packages' places are bound to, for the rotation of the master key.
	SealContexts map[SealedPlace]func(of []string) string
}

// Vault runs the use cases. It may be used by many goroutines.
type Vault struct {
	db          Database
	objects     Objects
	parts       Parts
	master      MasterKey
	audit       *auditlog.Recorder
	peers       *peers.Member
	compression stone.Compression
	now         func() time.Time
	log         *slog.Logger
	rand        io.Reader
	contexts    map[SealedPlace]func(of []string) string
	grace       time.Duration // see masterGrace

	id        string
	root      atomic.Pointer[reign]
	following sync.Mutex

	keys      keyring
	destroyed atomic.Value // the mark that FollowDestroyed has seen last, a string
	downloads downloads
	files     fileLocks
	sittings  sittings
	live      sync.Map // stone.FileID of this server's puts in progress, which the collector leaves alone
	doubtful  sync.Map // stone.FileID of uploads of which a commit has failed; see certain
}

var (
	// ErrClock is a clock that stands before a time that the vault has seen.
	ErrClock = errors.New("the clock stands before a time that this vault has seen")
	// ErrCopying is a database into which a vault is being copied.
	ErrCopying = errors.New("a vault is being copied here, and that has not ended; run stonevaultd copy again, which goes on with it")
)

// The names of settings.
const (
	settingVaultID = "vault_id"
	settingSuite   = "suite"
	settingClock   = "last_seen"
	// CopyMark is there while a vault is being copied into the database, and no part of it.
	CopyMark = "copying"

	// clockTolerance is how far a clock may have been set back.
	clockTolerance = 10 * time.Minute
)

// Open opens a vault, or founds one where the database is empty.
func Open(ctx context.Context, c Config) (*Vault, error) {
	v := newVault(c)
	err := v.load(ctx)
	if errors.Is(err, ErrNotFound) {
		if !c.Suite.Valid() {
			return nil, fmt.Errorf("vault: %v", c.Suite)
		}
		if err := v.found(ctx, c.Suite, "first", func(Tx) error { return nil }); err != nil {
			return nil, err
		}
		err = v.load(ctx)
	}
	if err == nil {
		err = v.refuseUnfinished(ctx)
	}
	if err == nil {
		err = v.ensureLog(ctx)
	}
	if err != nil {
		return nil, err
	}
	v.peers.Heed(v.yield)
	return v, v.NoteTime(ctx)
}

// Founded tells whether there is a vault in a database.
func Founded(ctx context.Context, db Database) (bool, error) {
	err := db.View(ctx, func(tx Tx) error {
		if err := refuseCopying(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Settings().Get(ctx, settingVaultID)
		return err
	})
	if isMissing(err) {
		return false, nil
	}
	return err == nil, err
}

func refuseCopying(ctx context.Context, tx Tx) error {
	switch _, err := tx.Settings().Get(ctx, CopyMark); {
	case err == nil:
		return ErrCopying
	case !errors.Is(err, ErrNotFound):
		return err
	}
	return nil
}

func newVault(c Config) *Vault {
	grace := masterGrace
	if c.Peers != nil {
		grace = mastersGrace
	}
	return &Vault{
		db: c.Database, objects: c.Objects, parts: c.Parts, master: c.Master, audit: c.Audit, peers: c.Peers, compression: c.Compression,
		now: c.Now, log: c.Log, rand: rand.Reader, contexts: sealContexts(c.SealContexts), grace: grace,
	}
}

// load reads the vault's settings and root. ErrNotFound is an empty database.
func (v *Vault) load(ctx context.Context) error {
	return v.db.View(ctx, func(tx Tx) error {
		if err := refuseCopying(ctx, tx); err != nil {
			return err
		}
		if err := UseMaster(ctx, tx, v.master); err != nil {
			return err
		}
		id, err := tx.Settings().Get(ctx, settingVaultID)
		if err != nil {
			return fmt.Errorf("vault: setting %s: %v", settingVaultID, err)
		}
		suite, err := tx.Settings().Get(ctx, settingSuite)
		if err != nil || len(suite) != 1 || !identity.Suite(suite[0]).Valid() {
			return fmt.Errorf("vault: setting %s is damaged: %v", settingSuite, err)
		}
		r, err := v.readReign(ctx, tx)
		if err != nil {
			return err
		}
		if r.suite != identity.Suite(suite[0]) {
			return fmt.Errorf("vault: setting %s says suite %d, and the root is of suite %d", settingSuite, suite[0], r.suite)
		}
		v.id = string(id)
		v.root.Store(r)
		return nil
	})
}

// found makes a new vault: its id, its root, the identity that it signs with itself, what also adds, and the audit
// log that says why.
func (v *Vault) found(ctx context.Context, suite identity.Suite, why string, also func(Tx) error) error {
	root, err := identity.GenerateSigningKey(v.rand, suite)
	if err != nil {
		return err
	}
	v.root.Store(&reign{suite: suite, key: root, print: root.Verifying().Fingerprint()})
	row := Identity{
		ID: IdentityID(v.newID()), Kind: KindRoot, Version: 1, Suite: suite, CreatedAt: v.now(),
		Fingerprint: root.Verifying().Fingerprint(), Public: root.Verifying().Bytes(),
	}
	if row.WrappedSeeds, err = v.master.Seal(seedContext(row), root.Seed()); err != nil {
		return err
	}
	_, own, err := v.newIdentity(KindVault, "")
	if err != nil {
		return err
	}
	return v.db.Update(ctx, func(tx Tx) error {
		for name, value := range map[string][]byte{
			settingVaultID: []byte(v.newID()),
			settingSuite:   {byte(suite)},
		} {
			if _, err := tx.Settings().Get(ctx, name); !errors.Is(err, ErrNotFound) {
				return errors.Join(errors.New("vault: somebody else founds this vault"), err)
			}
			if err := tx.Settings().Put(ctx, name, value); err != nil {
				return err
			}
		}
		if err := errors.Join(tx.MasterKeys().Insert(ctx, v.firstMaster()), tx.Identities().Insert(ctx, row), tx.Identities().Insert(ctx, own), also(tx)); err != nil {
			return err
		}
		return v.beginLog(ctx, tx, nil, auditlog.Beginning{Reason: why})
	})
}

// NoteTime refuses a clock that was set back, and writes down what it shows. A server calls it every now
// and then.
func (v *Vault) NoteTime(ctx context.Context) error {
	now := v.now()
	return v.db.Update(ctx, func(tx Tx) error {
		seen, err := tx.Settings().Get(ctx, settingClock)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil {
			last, err := time.Parse(time.RFC3339, string(seen))
			if err != nil {
				return fmt.Errorf("vault: setting %s is damaged: %w", settingClock, err)
			}
			if now.Before(last.Add(-clockTolerance)) {
				return fmt.Errorf("%w: it shows %s, and the vault has seen %s", ErrClock,
					now.UTC().Format(time.RFC3339), last.Format(time.RFC3339))
			}
			if now.Before(last) {
				return nil
			}
		}
		return tx.Settings().Put(ctx, settingClock, []byte(now.UTC().Format(time.RFC3339)))
	})
}

// About tells what anybody may know of the vault.
func (v *Vault) About(ctx context.Context) (About, error) {
	if err := v.FollowRoot(ctx); err != nil { // what is known here is better than nothing
		v.log.WarnContext(ctx, "it cannot be seen whether the vault has another root", "error", err)
	}
	r := v.reign()
	return About{VaultID: v.id, Suite: r.suite, RootFingerprint: r.print, RootKey: r.key.Verifying().Bytes(), Successions: r.successions}, nil
}

// newID draws 16 random bytes in hex.
func (v *Vault) newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// millis cuts a time to what is kept of it.
func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// refused hides a reason behind ErrRefused and keeps it for the log.
func refused(format string, args ...any) error {
	return fmt.Errorf("%w (%w)", ErrRefused, fmt.Errorf(format, args...))
}
