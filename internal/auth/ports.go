package auth

import (
	"context"
	"errors"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
)

// ErrNotFound is what a Tx returns for what is not there.
var ErrNotFound = errors.New("not found")

// Account is what signing in needs to know of a person.
type Account struct {
	Person       string
	Name         string
	Role         string
	PasswordHash string // PHC string, argon2id
	Epoch        int64
	Active       bool
}

// Session is one signed-in device; its refresh tokens form a family.
type Session struct {
	ID         string
	Person     string
	Client     string // what the device calls itself
	Address    string // where it was last signed in or refreshed from
	Device     []byte // SHA-256 of what the device shows; nil where it has none
	CreatedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time
	RevokedAt  time.Time // zero while in use
}

// Device is one that a person has signed in from.
type Device struct {
	Person  string
	Hash    []byte // SHA-256 of what it shows
	FirstAt time.Time
	LastAt  time.Time
}

// MaxDevices is how many devices a person has at most.
const MaxDevices = 100

// Factor is a person's authenticator app.
type Factor struct {
	Person      string
	Sealed      []byte
	LastStep    int64 // of the newest code that was used; 0 before the first
	CreatedAt   time.Time
	ConfirmedAt time.Time // zero until a first code was entered
}

// Place is a row of a list that is sorted by when a thing was made, the newest first, and then by its id.
type Place struct {
	At time.Time
	ID string
}

// Span is a part of such a list: what comes after a row, or from the start where After is the zero value.
type Span struct {
	After Place
	Limit int
}

// RefreshToken is kept by the SHA-256 of the token alone.
type RefreshToken struct {
	Hash      []byte
	Session   string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero until exchanged
}

// TokenKey is a key that signs access tokens, sealed under the master key.
type TokenKey struct {
	ID        string
	Sealed    []byte
	CreatedAt time.Time
	RetiredAt time.Time // zero while it signs; old tokens verify until they expire
}

// Recorder writes events of the audit log into the transactions of the changes that they are about.
type Recorder interface {
	Record(ctx context.Context, store auditlog.Store, e audit.Event) (id int64, err error)
}

// Tally records what strangers can repeat at will.
type Tally interface {
	Note(ctx context.Context, what string, e audit.Event) error
}

var (
	_ Recorder = (*auditlog.Recorder)(nil)
	_ Tally    = (*auditlog.Tally)(nil)
)

// Store runs transactions; its semantics are those of vault.Database.
type Store interface {
	ViewAuth(ctx context.Context, fn func(Tx) error) error
	UpdateAuth(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of one transaction that signing in uses.
type Tx interface {
	AccountByNameKey(ctx context.Context, key string) (Account, error)
	Account(ctx context.Context, person string) (Account, error)

	InsertSession(ctx context.Context, s Session) error
	Session(ctx context.Context, id string) (Session, error)
	UpdateSession(ctx context.Context, s Session) error
	DeleteExpiredSessions(ctx context.Context, before time.Time) error // with their tokens
	// Sessions lists those of a person that stand at a time.
	Sessions(ctx context.Context, person string, at time.Time, span Span) ([]Session, error)
	// RevokeSessions sets RevokedAt of all that stand, but for the session except, and tells how many those were.
	RevokeSessions(ctx context.Context, person, except string, at time.Time) (int64, error)
	// RaiseEpoch ends what was signed under the epoch before.
	RaiseEpoch(ctx context.Context, person string, at time.Time) error

	InsertRefresh(ctx context.Context, t RefreshToken) error
	Refresh(ctx context.Context, hash []byte) (RefreshToken, error)
	// UseRefresh sets UsedAt where it was zero, and tells whether it was.
	UseRefresh(ctx context.Context, hash []byte, at time.Time) (bool, error)

	SetPassword(ctx context.Context, person, hash string, at time.Time) error

	// Factor is a person's authenticator app, whether or not it was confirmed.
	Factor(ctx context.Context, person string) (Factor, error)
	PutFactor(ctx context.Context, f Factor) error // in the place of the one before
	DeleteFactor(ctx context.Context, person string) error
	// RecoveryCodes are the hashes of those that were not used.
	RecoveryCodes(ctx context.Context, person string) ([][]byte, error)
	PutRecoveryCodes(ctx context.Context, person string, hashes [][]byte) error // in the place of all before

	// Failures is the zero value where there are none, and PutFailures of it removes them.
	Failures(ctx context.Context, key []byte) (Failures, error)
	PutFailures(ctx context.Context, key []byte, f Failures) error
	DeleteFailures(ctx context.Context, before time.Time) error

	Device(ctx context.Context, person string, hash []byte) (Device, error)
	// PutDevice keeps a device, and of all that the person has the last MaxDevices that were seen.
	PutDevice(ctx context.Context, d Device) error
	DeleteDevices(ctx context.Context, before time.Time) error

	// Setting is the value of a setting of the vault.
	Setting(ctx context.Context, name string) ([]byte, error)

	InsertAPIToken(ctx context.Context, t APIToken) error
	APIToken(ctx context.Context, id string) (APIToken, error)
	APITokenByHash(ctx context.Context, hash []byte) (APIToken, error)
	UpdateAPIToken(ctx context.Context, t APIToken) error
	// APITokens lists those of a person that were not revoked.
	APITokens(ctx context.Context, person string, span Span) ([]APIToken, error)
	DeleteExpiredAPITokens(ctx context.Context, before time.Time) error // and those that were revoked before

	// Acquaintance tells what an asker and another person have to do with each other.
	Acquaintance(ctx context.Context, asker, person string) (access.Acquaintance, error)

	// Audit is the audit log in this transaction.
	Audit() auditlog.Store

	InsertTokenKey(ctx context.Context, k TokenKey) error
	UpdateTokenKey(ctx context.Context, k TokenKey) error
	TokenKeys(ctx context.Context) ([]TokenKey, error) // newest first
	DeleteTokenKey(ctx context.Context, id string) error
}
