package peers

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound is a row that is not there.
	ErrNotFound = errors.New("peers: not found")
	// ErrTaken is a name that another has taken.
	ErrTaken = errors.New("somebody else is at it")
	// ErrLost is a server that could not renew its row in time.
	ErrLost = errors.New("this server has lost touch with the database for so long that others take over its work")
	// ErrDisplaced is a server in whose directory, or a copy of it, another one was started.
	ErrDisplaced = errors.New("another server was started in this data directory or a copy of it; give each server a directory of its own")
)

// Server is a row. Every server of a vault shows the others what they must agree upon.
type Server struct {
	ID    string // of one process: 32 hex digits
	Place string // of its data directory: the same
	Name  string // for people
	Terms
	StartedAt, ExpiresAt time.Time
}

// Terms are what servers of one vault have to agree upon. Those of a command, which serves nobody, are empty.
type Terms struct {
	Counter  string // where requests are counted; empty is the server's own memory
	Objects  string // the store of sealed files; empty is a directory
	Settings string // lines of name=value that must be the same
}

// Store runs transactions; its semantics are those of vault.Database.
type Store interface {
	ViewPeers(ctx context.Context, fn func(Tx) error) error
	UpdatePeers(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of one transaction that knows servers and leases.
type Tx interface {
	Servers(ctx context.Context) ([]Server, error) // the oldest first
	InsertServer(ctx context.Context, s Server) error
	RenewServer(ctx context.Context, id string, until time.Time) error
	DeleteServer(ctx context.Context, id string) error // with its leases; missing is no error
	// Holder is the id of the server that has a name.
	Holder(ctx context.Context, name string) (string, error)
	PutLease(ctx context.Context, name, server string) error // takes the place of another
	DeleteLease(ctx context.Context, name, server string) error
	// Want says that somebody else asks for a name, and Wanted which of a server's are asked for.
	Want(ctx context.Context, name string) error
	Wanted(ctx context.Context, server string) ([]string, error)
}

// Live are the servers that are there at a time.
func Live(ctx context.Context, store Store, now time.Time) (live []Server, err error) {
	err = store.ViewPeers(ctx, func(tx Tx) error {
		live, err = liveIn(ctx, tx, now)
		return err
	})
	return live, err
}

func liveIn(ctx context.Context, tx Tx, now time.Time) (live []Server, err error) {
	all, err := tx.Servers(ctx)
	for _, s := range all {
		if now.Before(s.ExpiresAt) {
			live = append(live, s)
		}
	}
	return live, err
}
