package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// postgresWriter runs each Update in a transaction of its own, at the isolation level SERIALIZABLE: whatever commits
// is as if it had run alone. PostgreSQL refuses a transaction that would not be, and then it is run again. After a
// few refusals it is run while no other runs, so that it ends however many others there are.
//
// Who runs alone is settled by a lock of the table "turns": LOCK takes no snapshot, so that what is read behind it is
// what the last one has committed, and it needs no connection of its own, as a lock of a session would.
type postgresWriter struct {
	sessions *pool
	closing  <-chan struct{}
}

const (
	postgresAmongOthers = postgresWrite + `; LOCK TABLE turns IN ROW EXCLUSIVE MODE`
	postgresAlone       = postgresWrite + `; LOCK TABLE turns IN EXCLUSIVE MODE`
	// A sequencer reads rows that others are adding to, which at SERIALIZABLE it and they would be refused for. The lock
	// of the heads is held by one at a time, and by whoever begins a log, which has a head of its own.
	postgresSequence = `BEGIN ISOLATION LEVEL READ COMMITTED` + postgresLimits +
		`; LOCK TABLE turns IN ROW EXCLUSIVE MODE; LOCK TABLE audit_heads IN SHARE ROW EXCLUSIVE MODE`

	triesAmongOthers = 2
	triesAlone       = 3
)

var (
	errSerialization = errors.New("metadb: another change came between")
	errInDoubt       = errors.New("metadb: the answer to a commit was lost, and whether it was made is not known")
)

func newPostgresWriter(db *sql.DB, writers int, closing <-chan struct{}) *postgresWriter {
	return &postgresWriter{sessions: newPool(postgresDialect, db, writers), closing: closing}
}

func (w *postgresWriter) update(ctx context.Context, fn func(*Tx) error) error {
	return w.tries(ctx, postgresAmongOthers, postgresAlone, fn)
}

func (w *postgresWriter) sequence(ctx context.Context, fn func(*Tx) error) error {
	return w.tries(ctx, postgresSequence, postgresSequence, fn)
}

// tries runs fn until it is not refused for another's sake, the later times with another beginning.
func (w *postgresWriter) tries(ctx context.Context, among, alone string, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	for try := range triesAmongOthers + triesAlone {
		begin := among
		if try >= triesAmongOthers {
			begin = alone
		}
		if err = w.once(ctx, begin, fn); !errors.Is(err, errSerialization) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(rand.N(2 * time.Millisecond))
	}
	return fmt.Errorf("%w (%w)", ErrBusy, err)
}

// once runs fn in one transaction.
func (w *postgresWriter) once(ctx context.Context, begin string, fn func(*Tx) error) error {
	s, err := w.sessions.begin(ctx, w.closing, begin)
	if err != nil {
		return err
	}
	clean := false
	defer func() { w.sessions.put(s, clean) }()
	s.forgetKeys()
	tx := &Tx{session: s, dialect: postgresDialect, writes: true}
	committed := false
	defer func() { // also when fn panics or ends the goroutine
		tx.over = true
		if !committed {
			clean = s.exec("ROLLBACK") == nil
		}
	}()
	err = fn(tx)
	if tx.failed != nil && (err == nil || errors.Is(tx.failed, errSerialization)) {
		// What fn made of an error does not matter: what was refused for another's sake is run again.
		err = tx.failed
	}
	if err != nil {
		return err
	}
	committed = true
	err = postgresDialect.classify(s.exec("COMMIT"))
	clean = err == nil || errors.Is(err, errSerialization)
	if !clean {
		// Its number would tell what became of it, but a server that crashed gives numbers out again.
		return fmt.Errorf("%w (%w)", errInDoubt, err)
	}
	return err
}

func (w *postgresWriter) close() error { return w.sessions.close() }
