package metadb

import (
	"context"
	"database/sql"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/quantum"
	"stonevault/qkd/kme"
)

// quantumSessions is a transaction as sessions of quantum keys have it.
type quantumSessions struct{ tx *Tx }

var (
	_ quantum.Store = (*DB)(nil)
	_ quantum.Tx    = quantumSessions{}
)

// ViewQuantum is View.
func (db *DB) ViewQuantum(ctx context.Context, fn func(quantum.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(quantumSessions{tx}) })
}

// UpdateQuantum is Update.
func (db *DB) UpdateQuantum(ctx context.Context, fn func(quantum.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(quantumSessions{tx}) })
}

// quantumColumns begin a query whose FROM clause is quantumTables. Lists leave the result out.
const (
	quantumColumns = `SELECT s.id, s.master, m.name, s.slave, p.name, s.state, s.started_at, s.ended_at, s.secret_from, `
	quantumTables  = ` FROM qkd_sessions s JOIN people m ON m.id = s.master JOIN people p ON p.id = s.slave `
)

func (s quantumSessions) InsertSession(ctx context.Context, v quantum.Session) error {
	if err := checkQuantumSession(v); err != nil {
		return err
	}
	return s.tx.insert(ctx, quantum.ErrNotFound, `INSERT INTO qkd_sessions (id, master, slave, state, result, started_at, ended_at, secret_from)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, v.ID, v.Master.ID, v.Slave.ID, string(v.State), string(v.Result), milli(v.StartedAt),
		orNull(v.EndedAt.IsZero(), milli(v.EndedAt)), v.SecretFrom)
}

func (s quantumSessions) EndSession(ctx context.Context, v quantum.Session) error {
	if err := checkQuantumSession(v); err != nil {
		return err
	}
	return s.tx.change(ctx, quantum.ErrNotFound, `UPDATE qkd_sessions SET state = $2, result = $3, ended_at = $4 WHERE id = $1 AND state = 'running'`,
		v.ID, string(v.State), string(v.Result), orNull(v.EndedAt.IsZero(), milli(v.EndedAt)))
}

func (s quantumSessions) Session(ctx context.Context, id string) (quantum.Session, error) {
	return get(ctx, s.tx, quantum.ErrNotFound, scanQuantumSession, quantumColumns+`s.result`+quantumTables+`WHERE s.id = $1`, id)
}

func (s quantumSessions) Sessions(ctx context.Context, q quantum.SessionQuery) ([]quantum.Session, error) {
	where, args := `WHERE (s.started_at, s.id) < ($1, $2)`, []any{int64(lastMilli) + 1, "", int64(q.Limit)}
	if q.Before != nil {
		args[0], args[1] = milli(q.Before.StartedAt), q.Before.ID
	}
	if q.Person != "" {
		where, args = where+` AND (s.master = $4 OR s.slave = $4)`, append(args, q.Person)
	}
	return all(ctx, s.tx, scanQuantumSession, quantumColumns+`''`+quantumTables+where+` ORDER BY s.started_at DESC, s.id DESC LIMIT $3`, args...)
}

func (s quantumSessions) TrimSessions(ctx context.Context, p kme.Pair, keep int, before time.Time) error {
	_, err := s.tx.exec(ctx, `DELETE FROM qkd_sessions WHERE master = $1 AND slave = $2 AND (started_at < $3 OR id NOT IN
		(SELECT id FROM qkd_sessions WHERE master = $1 AND slave = $2 ORDER BY started_at DESC, id DESC LIMIT $4))`,
		p.Master, p.Slave, milli(before), int64(keep))
	return err
}

func (s quantumSessions) Pools(ctx context.Context, q quantum.PoolQuery) ([]quantum.Pool, error) {
	where, args := `WHERE (k.master, k.slave) > ($1, $2)`, []any{q.After.Master, q.After.Slave, int64(q.Limit)}
	if q.Person != "" {
		where, args = where+` AND (k.master = $4 OR k.slave = $4)`, append(args, q.Person)
	}
	return all(ctx, s.tx, scanPool, `SELECT k.master, m.name, k.slave, p.name, count(*) FROM qkd_pool k JOIN people m ON m.id = k.master
		JOIN people p ON p.id = k.slave `+where+` GROUP BY k.master, m.name, k.slave, p.name ORDER BY k.master, k.slave LIMIT $3`, args...)
}

func scanQuantumSession(row scanner) (v quantum.Session, err error) {
	var result string
	var started int64
	var ended sql.NullInt64
	if err := row.Scan(&v.ID, &v.Master.ID, &v.Master.Name, &v.Slave.ID, &v.Slave.Name, &v.State, &started, &ended, &v.SecretFrom, &result); err != nil {
		return quantum.Session{}, err
	}
	v.StartedAt = moment(started)
	if ended.Valid {
		v.EndedAt = moment(ended.Int64)
	}
	if result != "" {
		v.Result = []byte(result)
	}
	return v, stored(checkQuantumSession(v))
}

func scanPool(row scanner) (p quantum.Pool, err error) {
	err = row.Scan(&p.Master.ID, &p.Master.Name, &p.Slave.ID, &p.Slave.Name, &p.Keys)
	return p, err
}

func (s quantumSessions) Audit() auditlog.Store { return s.tx.Audit() }

func (s quantumSessions) Person(ctx context.Context, id string) (p quantum.Person, err error) {
	return get(ctx, s.tx, quantum.ErrNotFound, func(row scanner) (p quantum.Person, err error) { return p, row.Scan(&p.ID, &p.Name) },
		`SELECT id, name FROM people WHERE id = $1`, id)
}

var quantumStates = map[quantum.State]bool{quantum.Running: true, quantum.Done: true, quantum.Aborted: true, quantum.Failed: true}

func checkQuantumSession(v quantum.Session) error {
	return check("qkd_sessions",
		rule{"id", isID(v.ID)},
		rule{"slave", isPair(v.Pair())},
		rule{"state", quantumStates[v.State]},
		rule{"secret_from", v.SecretFrom == "" || isID(v.SecretFrom)},
		rule{"started_at", isTime(v.StartedAt)},
		rule{"ended_at", isTime(v.EndedAt) && v.EndedAt.IsZero() == (v.State == quantum.Running)},
	)
}
