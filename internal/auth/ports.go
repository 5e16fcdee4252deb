package auth

import (
	"context"
	"errors"
	"time"

	"stonevault/audit"
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
	CreatedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time
	RevokedAt  time.Time // zero while in use
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

	InsertRefresh(ctx context.Context, t RefreshToken) error
	Refresh(ctx context.Context, hash []byte) (RefreshToken, error)
	// UseRefresh sets UsedAt where it was zero, and tells whether it was.
	UseRefresh(ctx context.Context, hash []byte, at time.Time) (bool, error)

	// Audit is the audit log in this transaction.
	Audit() auditlog.Store

	InsertTokenKey(ctx context.Context, k TokenKey) error
	UpdateTokenKey(ctx context.Context, k TokenKey) error
	TokenKeys(ctx context.Context) ([]TokenKey, error) // newest first
}
