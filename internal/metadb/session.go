package metadb

import (
	"context"
	"database/sql"
)

// maxStatements bounds the prepared statements of a connection. Only lists with unusual orders could
// exceed it.
const maxStatements = 200

// session is one connection with its prepared statements. One goroutine uses it at a time.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

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

// pool lends reading sessions, at most cap(free) at once.
type pool struct {
	db   *sql.DB
	free chan *session // nil stands for a session that is yet to be opened
}

func newPool(db *sql.DB, size int) *pool {
	p := &pool{db: db, free: make(chan *session, size)}
	for range size {
		p.free <- nil
	}
	return p
}

func (p *pool) get(ctx context.Context, closing <-chan struct{}) (*session, error) {
	select {
	case <-closing:
		return nil, ErrClosed
	default:
	}
	select {
	case s := <-p.free:
		if s != nil {
			return s, nil
		}
		s, err := openSession(ctx, p.db)
		if err != nil {
			p.free <- nil
		}
		return s, err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-closing:
		return nil, ErrClosed
	}
}

// put returns a session. One that is not clean is closed, which ends its transaction.
func (p *pool) put(s *session, clean bool) {
	if !clean {
		s.close()
		s = nil
	}
	p.free <- s
}

// close waits until every session is back.
func (p *pool) close() error {
	for range cap(p.free) {
		if s := <-p.free; s != nil {
			s.close()
		}
	}
	return p.db.Close()
}
