package quantum

import (
	"context"
	"errors"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/qkd/kme"
)

var (
	// ErrNotFound is a session that is not there, or a person, or an eavesdropper.
	ErrNotFound = errors.New("quantum: there is no such session, person or eavesdropper")
	// ErrForbidden is what the asker's role does not allow.
	ErrForbidden = errors.New("eavesdroppers are for administrators of the vault")
)

// State is how far a session is.
type State string

const (
	Running State = "running"
	Done    State = "done"    // it yielded keys
	Aborted State = "aborted" // it ended without keys, as its result says
	Failed  State = "failed"  // it was broken off, and has no result
)

// Person is who shares keys with somebody.
type Person struct{ ID, Name string }

// account is whose an event is.
func (p Person) account() audit.Values { return audit.Values{"person": p.ID, "name": p.Name} }

// Session is a session between two people. Keys of one direction never serve the other.
type Session struct {
	ID            string
	Master, Slave Person // who takes its keys first, and who fetches them
	State         State
	Result        []byte // a bb84.Result in JSON, where the session has one
	StartedAt     time.Time
	EndedAt       time.Time // zero while it runs
	// SecretFrom is the session that left the secret which authenticates this one; it is empty where that was drawn.
	SecretFrom string
}

// Pair is the pair of SAEs that the two people are.
func (s Session) Pair() kme.Pair { return kme.Pair{Master: s.Master.ID, Slave: s.Slave.ID} }

// Pool counts the keys that wait to be taken.
type Pool struct {
	Master, Slave Person
	Keys          int
}

// SessionQuery asks for a page of sessions, the newest first.
type SessionQuery struct {
	Person string   // whose; empty for all
	Before *Session // behind this one, of which StartedAt and ID matter
	Limit  int
}

// PoolQuery asks for a page of pools with keys, in the order of the ids of their people.
type PoolQuery struct {
	Person string // whose; empty for all
	After  kme.Pair
	Limit  int
}

// Store runs transactions; its semantics are those of vault.Database.
type Store interface {
	ViewQuantum(ctx context.Context, fn func(Tx) error) error
	UpdateQuantum(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of one transaction that sessions use. With a person go all of his sessions, their secrets, and
// eavesdroppers on his fibres. Times have milliseconds.
type Tx interface {
	Audit() auditlog.Store
	Person(ctx context.Context, id string) (Person, error) // or ErrNotFound

	InsertSession(ctx context.Context, s Session) error // ErrNotFound where one of the people is not there
	// EndSession keeps the State, Result and EndedAt of one that runs, or is ErrNotFound.
	EndSession(ctx context.Context, s Session) error
	Session(ctx context.Context, id string) (Session, error)
	Sessions(ctx context.Context, q SessionQuery) ([]Session, error) // without results
	// TrimSessions removes sessions of a pair: those that began before a time, and all but the newest.
	TrimSessions(ctx context.Context, p kme.Pair, keep int, before time.Time) error
	Pools(ctx context.Context, q PoolQuery) ([]Pool, error)

	// PutSecret keeps a secret in the place of the one that is there, or is ErrNotFound where one of the people is not.
	PutSecret(ctx context.Context, s Secret) error
	// TakeSecret removes the secret of two people, in any order, and returns it, or ErrNotFound.
	TakeSecret(ctx context.Context, a, b string) (Secret, error)
	// SecretUsed tells whether a session that is kept was authenticated with what this one left.
	SecretUsed(ctx context.Context, session string) (bool, error)

	// PutEavesdropper keeps her in the place of the one that is there, or is ErrNotFound where one of the people is not.
	PutEavesdropper(ctx context.Context, e Eavesdropper) error
	DeleteEavesdropper(ctx context.Context, a, b string) error           // of two people in any order, or ErrNotFound
	Eavesdropper(ctx context.Context, a, b string) (Eavesdropper, error) // the same
	Eavesdroppers(ctx context.Context, q EavesdropperQuery) ([]Eavesdropper, error)
}
