package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
)

// maxBatch bounds the Updates that share one commit, and with it how long the first of them waits.
const maxBatch = 64

// writer runs Updates in turn. Those that arrive while a transaction is open join it, each under a
// savepoint of its own, and all are answered after its one commit.
//
// The goroutine in run owns the connection and the transaction, and calls the functions itself: to lend the
// transaction to their callers' goroutines would cost two switches each, with everybody else waiting. What
// ends a function other than by returning is passed on to its caller.
type writer struct {
	dialect *dialect
	db      *sql.DB
	session *session             // nil after its connection was lost; run opens another
	finish  func(*session) error // its last statement, or nil
	queue   chan *update
	closing <-chan struct{}
	stopped chan struct{}
	unsafe  error // set once the disk failed to sync; read and written by run alone

	batched []*update // members of the open transaction
	again   []*update // members of one that was lost with its goroutine; they are run once more
}

// update is one call of Update on its way through the writer.
type update struct {
	ctx    context.Context
	fn     func(*Tx) error
	state  atomic.Int32
	answer chan outcome // buffered, so that the writer never waits
}

// The states of an update. Whoever takes it from queued decides what becomes of it.
const (
	queued = iota
	begun
	withdrawn
)

// outcome is how an update ended.
type outcome struct {
	err      error
	panicked any  // what fn panicked with
	exited   bool // fn called runtime.Goexit
}

func newWriter(d *dialect, db *sql.DB, closing <-chan struct{}, finish func(*session) error) *writer {
	w := &writer{dialect: d, db: db, finish: finish, queue: make(chan *update), closing: closing, stopped: make(chan struct{})}
	go w.run()
	return w
}

// close waits until the last Update has ended, and closes the database.
func (w *writer) close() error {
	<-w.stopped
	var err error
	if w.session != nil {
		if w.finish != nil {
			err = w.dialect.classify(w.finish(w.session))
		}
		w.session.close()
	}
	return errors.Join(err, w.db.Close())
}

// sequence is an update like all others: they run one after the other.
func (w *writer) sequence(ctx context.Context, fn func(*Tx) error) error { return w.update(ctx, fn) }

// update is the caller's side.
func (w *writer) update(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &update{ctx: ctx, fn: fn, answer: make(chan outcome, 1)}
	select {
	case w.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}
	var o outcome
	select {
	case o = <-u.answer:
	case <-ctx.Done():
		if u.state.CompareAndSwap(queued, withdrawn) {
			return ctx.Err()
		}
		// From here on the change may become durable, so that only the writer knows what to report.
		o = <-u.answer
	}
	switch {
	case o.exited:
		runtime.Goexit()
	case o.panicked != nil:
		panic(o.panicked)
	}
	return o.err
}

func (w *writer) run() {
	left := false
	defer func() {
		if left {
			close(w.stopped)
			return
		}
		// A function has ended this goroutine. What it did goes with the transaction, and the other members
		// begin anew.
		w.abandon()
		w.again, w.batched = append(w.batched, w.again...), nil
		go w.run()
	}()
	for {
		if len(w.again) > 0 {
			w.batch(w.next())
			continue
		}
		select {
		case u := <-w.queue:
			w.batch(u)
		case <-w.closing:
			left = true
			return
		}
	}
}

// next returns an update that waits, or nil.
func (w *writer) next() *update {
	if len(w.again) > 0 {
		u := w.again[0]
		w.again = w.again[1:]
		return u
	}
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
			u.answer <- outcome{err: err}
		}
		return
	}
	var err error
	for u, n := first, 1; u != nil; u, n = w.next(), n+1 {
		if err = w.member(u); err != nil || n == maxBatch {
			break
		}
	}
	if err != nil || len(w.batched) == 0 {
		w.abandon()
	} else {
		err = w.commit()
	}
	for _, u := range w.batched {
		u.answer <- outcome{err: err}
	}
	w.batched = nil
}

// member runs u. One that succeeds is added to batched and awaits the commit; any other has been answered.
// An error means that the transaction of the whole batch is lost.
func (w *writer) member(u *update) (lost error) {
	if !u.state.CompareAndSwap(queued, begun) && u.state.Load() == withdrawn {
		return nil
	}
	if err := u.ctx.Err(); err != nil {
		u.answer <- outcome{err: err}
		return nil
	}
	if err := w.session.exec("SAVEPOINT member"); err != nil {
		err = w.dialect.classify(err)
		u.answer <- outcome{err: err}
		return err
	}
	tx := &Tx{session: w.session, dialect: w.dialect, writes: true}
	o := u.call(tx)
	if o.err == nil && o.panicked == nil {
		// A refused statement whose error fn dropped would leave half a change behind.
		o.err = tx.failed
	}
	if o.err == nil && o.panicked == nil {
		if err := w.session.exec("RELEASE member"); err != nil {
			err = w.dialect.classify(err)
			u.answer <- outcome{err: err}
			return err
		}
		w.batched = append(w.batched, u)
		return nil
	}
	w.session.forgetKeys()
	err := w.session.exec("ROLLBACK TO member")
	if err == nil {
		err = w.session.exec("RELEASE member")
	}
	u.answer <- o
	if err != nil {
		// The database gave up the whole transaction, for the reason that fn was told.
		lost = w.dialect.classify(err)
		if tx.failed != nil {
			lost = tx.failed
		}
	}
	return lost
}

// call runs fn. It doesn't return where fn ends the goroutine.
func (u *update) call(tx *Tx) (o outcome) {
	returned := false
	defer func() {
		tx.over = true
		if returned {
			return
		}
		if o.panicked = recover(); o.panicked == nil {
			u.answer <- outcome{exited: true}
		} else if fault, ok := o.panicked.(runtime.Error); ok {
			// The caller's stack will not show where it was.
			o.panicked = fmt.Errorf("%w, in a transaction:\n%s", fault, debug.Stack())
		}
	}()
	o.err = u.fn(tx)
	returned = true
	return o
}

func (w *writer) begin() error {
	if w.unsafe != nil {
		return w.unsafe
	}
	if w.session == nil {
		s, err := openSession(context.Background(), w.dialect, w.db)
		if err != nil {
			return w.dialect.classify(err)
		}
		w.session = s
	}
	w.session.forgetKeys()
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
