package metadb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"time"

	"stonevault/internal/auditlog"
)

// maxStatements bounds the prepared statements of a connection. Only lists with unusual orders could
// exceed it.
const maxStatements = 200

// session is one connection with its prepared statements. One goroutine uses it at a time.
type session struct {
	conn  *sql.Conn
	used  bool                 // it has answered before, and may be one that the database has left since
	stmts map[string]*sql.Stmt // nil where the driver prepares by itself
	limit time.Duration        // of one statement's answer; 0 for a database that is in this process
	// auditKeys are those that the open write transaction has found, by person, since every event of a batch
	// asks for the same few. Nobody else changes them while it is open; see forgetKeys.
	auditKeys map[string]auditlog.Key
}

// forgetKeys is called wherever auditKeys may be no longer what the database has: when a transaction begins,
// when a part of it is taken back, and when a key is erased.
func (s *session) forgetKeys() { s.auditKeys = nil }

func openSession(ctx context.Context, d *dialect, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, limit: d.statementLimit}
	if d.prepares {
		s.stmts = make(map[string]*sql.Stmt)
	}
	return s, nil
}

// bounded is a context that ends where the database has not answered in time.
func (s *session) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.limit == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.limit)
}

// write runs a statement that returns no rows.
func (s *session) write(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if s.stmts == nil {
		return s.conn.ExecContext(ctx, query, args...)
	}
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// query runs a statement that returns rows. ctx must stay until they are read.
func (s *session) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s.stmts == nil {
		return s.conn.QueryContext(ctx, query, args...)
	}
	stmt, err := s.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// prepare returns the connection's statement for a query, which it prepares once.
func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(s.stmts) >= maxStatements {
		for victim, old := range s.stmts {
			old.Close()
			delete(s.stmts, victim)
			break
		}
	}
	s.stmts[query] = stmt
	return stmt, nil
}

// exec runs a statement without arguments to its end, whatever becomes of any caller's context.
func (s *session) exec(query string) error {
	_, err := s.write(context.Background(), query)
	return err
}

func (s *session) close() error {
	for _, stmt := range s.stmts {
		stmt.Close()
	}
	return s.conn.Close()
}

// discard ends the connection with whatever transaction it has.
func (s *session) discard() {
	s.conn.Raw(func(any) error { return driver.ErrBadConn }) // database/sql would keep it for the next one
	s.close()
}

// pool lends reading sessions. The one that came back last goes out first, so that few connections with
// warm caches serve a small load.
type pool struct {
	dialect *dialect
	db      *sql.DB
	slots   chan struct{} // holds one for each session that is lent
	mu      sync.Mutex
	idle    []*session // under mu
}

func newPool(d *dialect, db *sql.DB, size int) *pool {
	return &pool{dialect: d, db: db, slots: make(chan struct{}, size)}
}

func (p *pool) get(ctx context.Context, closing <-chan struct{}) (*session, error) {
	select {
	case <-closing:
		return nil, ErrClosed
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-closing:
		return nil, ErrClosed
	}
	if s := p.pop(); s != nil {
		return s, nil
	}
	s, err := openSession(ctx, p.dialect, p.db)
	if err != nil {
		<-p.slots
	}
	return s, err
}

// begin is get with a transaction begun. A connection that the database has left is noticed here, and there may be
// one for each slot when the database was restarted.
func (p *pool) begin(ctx context.Context, closing <-chan struct{}, text string) (*session, error) {
	for {
		s, err := p.get(ctx, closing)
		if err != nil {
			return nil, p.dialect.classify(err)
		}
		if err = s.exec(text); err == nil {
			s.used = true
			return s, nil
		}
		stale := s.used
		p.put(s, false)
		if err = p.dialect.classify(err); !stale || !errors.Is(err, ErrUnavailable) {
			return nil, err
		}
	}
}

func (p *pool) pop() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	s := p.idle[last]
	p.idle = p.idle[:last]
	return s
}

// put returns a session. One that is not clean is closed, which ends its transaction.
func (p *pool) put(s *session, clean bool) {
	if clean {
		p.mu.Lock()
		p.idle = append(p.idle, s)
		p.mu.Unlock()
	} else {
		s.discard()
	}
	<-p.slots
}

// close waits until every session is back.
func (p *pool) close() error {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for s := p.pop(); s != nil; s = p.pop() {
		s.close()
	}
	return p.db.Close()
}
