package metadb

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"stonevault/internal/quantum"
	"stonevault/qkd"
	"stonevault/qkd/kme"
)

// quantumKeys is a transaction as key-management entities have it.
type quantumKeys struct{ tx *Tx }

var (
	_ kme.Store      = (*DB)(nil)
	_ quantum.KeysTx = quantumKeys{}
)

// QuantumKeys is the part of a transaction that keeps quantum keys.
func (tx *Tx) QuantumKeys() kme.Tx { return quantumKeys{tx} }

// Quantum is what sessions have in the same transaction.
func (s quantumKeys) Quantum() quantum.Tx { return quantumSessions(s) }

// ViewQuantumKeys is View.
func (db *DB) ViewQuantumKeys(ctx context.Context, fn func(kme.Tx) error) error {
	return db.ReadTx(ctx, func(tx *Tx) error { return fn(tx.QuantumKeys()) })
}

// UpdateQuantumKeys is Update.
func (db *DB) UpdateQuantumKeys(ctx context.Context, fn func(kme.Tx) error) error {
	return db.WriteTx(ctx, func(tx *Tx) error { return fn(tx.QuantumKeys()) })
}

func (s quantumKeys) Pooled(ctx context.Context, p kme.Pair) (int, error) {
	n, err := get(ctx, s.tx, ErrCorrupt, scanInt, `SELECT count(*) FROM qkd_pool WHERE master = $1 AND slave = $2`, p.Master, p.Slave)
	return int(n), err
}

func (s quantumKeys) InsertPooled(ctx context.Context, k kme.Pooled) error {
	if err := checkPooled(k); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, k.Sealed); err != nil {
		return err
	}
	return s.tx.insert(ctx, kme.ErrNotFound, `INSERT INTO qkd_pool (id, master, slave, sealed, session, made_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		k.ID.String(), k.Master, k.Slave, k.Sealed, k.Session, milli(k.MadeAt))
}

func (s quantumKeys) TakePooled(ctx context.Context, p kme.Pair, n int) ([]kme.Pooled, error) {
	if !s.tx.writes {
		return nil, ErrReadOnly
	}
	taken, err := all(ctx, s.tx, scanPooled, `DELETE FROM qkd_pool WHERE id IN
		(SELECT id FROM qkd_pool WHERE master = $1 AND slave = $2 ORDER BY made_at, id LIMIT $3)
		RETURNING id, master, slave, sealed, session, made_at`, p.Master, p.Slave, int64(n))
	slices.SortFunc(taken, func(a, b kme.Pooled) int { // the database returns them in any order
		if c := a.MadeAt.Compare(b.MadeAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return taken, err
}

func (s quantumKeys) EmptyPools(ctx context.Context) error {
	if _, err := s.tx.exec(ctx, `DELETE FROM qkd_secrets`); err != nil {
		return err
	}
	_, err := s.tx.exec(ctx, `DELETE FROM qkd_pool`)
	return err
}

func (s quantumKeys) InsertDelivered(ctx context.Context, d kme.Delivered) error {
	if err := checkDelivered(d); err != nil {
		return err
	}
	slaves, err := json.Marshal(d.Slaves)
	if err != nil {
		return err
	}
	return s.tx.insert(ctx, kme.ErrNotFound, `INSERT INTO qkd_delivered (id, master, slaves, session, delivered_at) VALUES ($1, $2, $3, $4, $5)`,
		d.ID.String(), d.Master, string(slaves), d.Session, milli(d.At))
}

func (s quantumKeys) Delivered(ctx context.Context, id qkd.KeyID) (kme.Delivered, error) {
	return get(ctx, s.tx, kme.ErrNotFound, scanDelivered, `SELECT id, master, slaves, session, delivered_at FROM qkd_delivered WHERE id = $1`, id.String())
}

func (s quantumKeys) InsertWaiting(ctx context.Context, w kme.Waiting) error {
	if err := checkWaiting(w); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, w.Sealed); err != nil {
		return err
	}
	return s.tx.insert(ctx, kme.ErrNotFound, `INSERT INTO qkd_waiting (id, master, slave, sealed) VALUES ($1, $2, $3, $4)`,
		w.ID.String(), w.Master, w.Slave, w.Sealed)
}

func (s quantumKeys) TakeWaiting(ctx context.Context, id qkd.KeyID, slave string) (kme.Waiting, error) {
	if !s.tx.writes {
		return kme.Waiting{}, ErrReadOnly
	}
	return get(ctx, s.tx, kme.ErrNotFound, scanWaiting, `DELETE FROM qkd_waiting WHERE id = $1 AND slave = $2 RETURNING id, master, slave, sealed`,
		id.String(), slave)
}

func (s quantumKeys) DeleteDelivered(ctx context.Context, before time.Time, fetched bool, limit int) (int64, error) {
	waits := `EXISTS`
	if fetched {
		waits = `NOT EXISTS`
	}
	return s.tx.exec(ctx, `DELETE FROM qkd_delivered WHERE id IN (SELECT d.id FROM qkd_delivered d WHERE d.delivered_at < $1
		AND `+waits+` (SELECT 1 FROM qkd_waiting w WHERE w.id = d.id) ORDER BY d.delivered_at LIMIT $2)`, milli(before), int64(limit))
}

func scanPooled(row scanner) (k kme.Pooled, err error) {
	var id string
	var at int64
	if err := row.Scan(&id, &k.Master, &k.Slave, &k.Sealed, &k.Session, &at); err != nil {
		return kme.Pooled{}, err
	}
	if k.ID, err = qkd.ParseKeyID(id); err != nil {
		return kme.Pooled{}, stored(err)
	}
	k.MadeAt = moment(at)
	return k, stored(checkPooled(k))
}

func scanDelivered(row scanner) (d kme.Delivered, err error) {
	var id, slaves string
	var at int64
	if err := row.Scan(&id, &d.Master, &slaves, &d.Session, &at); err != nil {
		return kme.Delivered{}, err
	}
	if d.ID, err = qkd.ParseKeyID(id); err != nil {
		return kme.Delivered{}, stored(err)
	}
	if err := json.Unmarshal([]byte(slaves), &d.Slaves); err != nil {
		return kme.Delivered{}, stored(err)
	}
	d.At = moment(at)
	return d, stored(checkDelivered(d))
}

func scanWaiting(row scanner) (w kme.Waiting, err error) {
	var id string
	if err := row.Scan(&id, &w.Master, &w.Slave, &w.Sealed); err != nil {
		return kme.Waiting{}, err
	}
	if w.ID, err = qkd.ParseKeyID(id); err != nil {
		return kme.Waiting{}, stored(err)
	}
	return w, stored(checkWaiting(w))
}

func isPair(p kme.Pair) bool {
	return qkd.ValidSAE(p.Master) && qkd.ValidSAE(p.Slave) && p.Master != p.Slave
}

func checkPooled(k kme.Pooled) error {
	return check("qkd_pool",
		rule{"slave", isPair(k.Pair)},
		rule{"sealed", len(k.Sealed) > 0},
		rule{"made_at", isTime(k.MadeAt)},
	)
}

func checkDelivered(d kme.Delivered) error {
	return check("qkd_delivered",
		rule{"master", qkd.ValidSAE(d.Master)},
		rule{"slaves", len(d.Slaves) > 0 && !slices.ContainsFunc(d.Slaves, func(s string) bool { return !isPair(kme.Pair{Master: d.Master, Slave: s}) })},
		rule{"delivered_at", isTime(d.At)},
	)
}

func checkWaiting(w kme.Waiting) error {
	return check("qkd_waiting",
		rule{"slave", isPair(w.Pair)},
		rule{"sealed", len(w.Sealed) > 0},
	)
}
