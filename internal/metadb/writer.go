package metadb

import (
	"context"
	"database/sql"
	"errors"
)

// maxBatch bounds the Updates that share one commit, and with it how long the first of them waits.
const maxBatch = 64

var errUnwound = errors.New("metadb: the function of the transaction did not return")

// writer runs Updates in turn. Those that arrive while a transaction is open join it, each under a
// savepoint of its own, and all are answered after its one commit.
//
// The goroutine in run owns the connection and the transaction. It lends the transaction to the caller
// of an Update for as long as the caller's fn runs, so that a panic or runtime.Goexit in fn unwinds the
// goroutine that it belongs to, and the writer only sees that the turn has ended.
type writer struct {
	dialect *dialect
	db      *sql.DB
	session *session // nil after its connection was lost; run opens another
	queue   chan *update
	closing <-chan struct{}
	stopped chan struct{}
	unsafe  error // set once the disk failed to sync; read and written by run alone
}

// update is one call of Update on its way through the writer.
type update struct {
	ctx    context.Context
	turn   chan *Tx   // not buffered: either both sides see the turn begin or neither does
	ended  chan error // what fn returned, or errUnwound
	answer chan error // buffered, so that nobody waits for a caller who has gone
}

func newWriter(d *dialect, db *sql.DB, closing <-chan struct{}) *writer {
	w := &writer{dialect: d, db: db, queue: make(chan *update), closing: closing, stopped: make(chan struct{})}
	go w.run()
	return w
}

// update is the caller's side.
func (w *writer) update(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &update{ctx: ctx, turn: make(chan *Tx), ended: make(chan error), answer: make(chan error, 1)}
	select {
	case w.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}
	select {
	case tx := <-u.turn:
		u.run(tx, fn)
		// From here on the change may become durable, so that only the writer knows what to report.
		return <-u.answer
	case err := <-u.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run calls fn and ends the turn. When fn panics, the panic goes on after the rollback.
func (u *update) run(tx *Tx, fn func(*Tx) error) {
	err := errUnwound
	defer func() {
		u.ended <- err
		if err == errUnwound {
			<-u.answer
		}
	}()
	err = fn(tx)
}

func (w *writer) run() {
	defer close(w.stopped)
	for {
		select {
		case u := <-w.queue:
			w.batch(u)
		case <-w.closing:
			return
		}
	}
}

// next returns an update that waits, or nil.
func (w *writer) next() *update {
	select {
	case u := <-w.queue:
		return u
	default:
		return nil
	}
}

// batch runs first, and whoever arrives meanwhile, in one transaction.
func (w *writer) batch(first *update) {
	if err := w.begin(); err != nil {
		// Whoever waits now would wait for the same lock or disk in vain.
		for u := first; u != nil; u = w.next() {
			u.answer <- err
		}
		return
	}
	var kept []*update
	var err error
	for u, n := first, 1; u != nil; u, n = w.next(), n+1 {
		var keep bool
		if keep, err = w.member(u); keep {
			kept = append(kept, u)
		}
		if err != nil || n == maxBatch {
			break
		}
	}
	switch {
	case err != nil:
		w.abandon()
	case len(kept) == 0:
		w.abandon()
	default:
		err = w.commit()
	}
	for _, u := range kept {
		u.answer <- err
	}
}

// member gives u its turn. keep means that u awaits the commit; otherwise it has been answered. An error
// means that the transaction of the whole batch is lost.
func (w *writer) member(u *update) (keep bool, lost error) {
	if err := u.ctx.Err(); err != nil {
		u.answer <- err
		return false, nil
	}
	if err := w.session.exec("SAVEPOINT member"); err != nil {
		err = w.dialect.classify(err)
		u.answer <- err
		return false, err
	}
	tx := &Tx{session: w.session, dialect: w.dialect, writes: true}
	var result error
	select {
	case u.turn <- tx:
		result = <-u.ended
		tx.over = true
		if result == nil {
			// A refused statement whose error fn dropped would leave half a change behind.
			result = tx.failed
		}
	case <-u.ctx.Done():
		result = u.ctx.Err()
	}
	if result == nil {
		if err := w.session.exec("RELEASE member"); err != nil {
			err = w.dialect.classify(err)
			u.answer <- err
			return false, err
		}
		return true, nil
	}
	err := w.session.exec("ROLLBACK TO member")
	if err == nil {
		err = w.session.exec("RELEASE member")
	}
	u.answer <- result
	if err != nil {
		// The database gave up the whole transaction, for the reason that fn was told.
		lost = w.dialect.classify(err)
		if tx.failed != nil {
			lost = tx.failed
		}
		return false, lost
	}
	return false, nil
}

func (w *writer) begin() error {
	if w.unsafe != nil {
		return w.unsafe
	}
	if w.session == nil {
		s, err := openSession(context.Background(), w.db)
		if err != nil {
			return w.dialect.classify(err)
		}
		w.session = s
	}
	err := w.session.exec(w.dialect.beginWrite)
	if err == nil {
		return nil
	}
	err = w.dialect.classify(err)
	if !errors.Is(err, ErrBusy) {
		w.discard()
	}
	return err
}

func (w *writer) commit() error {
	err := w.session.exec("COMMIT")
	if err == nil {
		return nil
	}
	err = w.dialect.classify(err)
	if errors.Is(err, ErrUnsafe) {
		// The kernel may have dropped the pages that it could not write, and a second sync would
		// succeed without them.
		w.unsafe = err
	}
	w.abandon()
	return err
}

// abandon leaves the connection without a transaction.
func (w *writer) abandon() {
	if err := w.session.exec("ROLLBACK"); err != nil {
		w.discard()
	}
}

func (w *writer) discard() {
	w.session.close()
	w.session = nil
}
