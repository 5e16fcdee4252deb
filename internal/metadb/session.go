package metadb

import (
	"context"
	"database/sql"
	"sync"

	"stonevault/internal/auditlog"
)

// maxStatements bounds the prepared statements of a connection. Only lists with unusual orders could
// exceed it.
const maxStatements = 200

// session is one connection with its prepared statements. One goroutine uses it at a time.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	// auditKeys are those that the open write transaction has found, by person, since every event of a batch
	// asks for the same few. Nobody else changes them while it is open; see forgetKeys.
	auditKeys map[string]auditlog.Key
}

// forgetKeys is called wherever auditKeys may be no longer what the database has: when a transaction begins,
// when a part of it is taken back, and when a key is erased.
func (s *session) forgetKeys() { s.auditKeys = nil }

func openSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
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
	stmt, err := s.prepare(context.Background(), query)
	if err != nil {
		return err
	}
	_, err = stmt.Exec()
	return err
}

func (s *session) close() error {
	for _, stmt := range s.stmts {
		stmt.Close()
	}
	return s.conn.Close()
}

// pool lends reading sessions. The one that came back last goes out first, so that few connections with
// warm caches serve a small load.
type pool struct {
	db    *sql.DB
	slots chan struct{} // holds one for each session that is lent
	mu    sync.Mutex
	idle  []*session // under mu
}

func newPool(db *sql.DB, size int) *pool {
	return &pool{db: db, slots: make(chan struct{}, size)}
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
	s, err := openSession(ctx, p.db)
	if err != nil {
		<-p.slots
	}
	return s, err
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
		s.close()
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
