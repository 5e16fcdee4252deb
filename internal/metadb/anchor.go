package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	"stonevault/audit"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
)

// anchorJournal is what the anchoring worker remembers.
type anchorJournal struct {
	db    *DB
	final func(ctx context.Context, store auditlog.Store, row journal.Row) error
}

var _ journal.Store = anchorJournal{}

// Journal is the journal of anchors. final is called for each row that becomes Final, in the transaction in
// which it does, and when it fails that transaction does. It may be called more than once for a row of which
// a commit failed. A journal without final is for reading: none of its rows becomes Final.
func (db *DB) Journal(final func(ctx context.Context, store auditlog.Store, row journal.Row) error) journal.Store {
	if final == nil {
		final = func(context.Context, auditlog.Store, journal.Row) error {
			return errors.New("metadb: this journal of anchors is for reading; an anchor that is final must be recorded")
		}
	}
	return anchorJournal{db, final}
}

const (
	anchorColumns = `id, chain, contract, log, sender, nonce, replaces, previous, size, root, state, changed_at, planned_at, hash, raw, block, block_hash, reason`
	anchorsOf     = `SELECT ` + anchorColumns + ` FROM anchors WHERE log = $1 AND sender = $2 AND contract = $3 AND chain = $4`
)

var unsettled = []journal.State{journal.Planned, journal.Signed, journal.Sent, journal.Mined}

// scopeArgs are the first four arguments of anchorsOf.
func scopeArgs(s journal.Scope) []any {
	return []any{s.Log[:], s.Sender[:], s.Contract[:], int64(s.ChainID)}
}

func (j anchorJournal) Unsettled(ctx context.Context, s journal.Scope) (rows []journal.Row, err error) {
	err = j.db.ReadTx(ctx, func(tx *Tx) error {
		rows, err = unsettledAnchors(ctx, tx, s)
		return err
	})
	return rows, err
}

func unsettledAnchors(ctx context.Context, tx *Tx, s journal.Scope) ([]journal.Row, error) {
	args := scopeArgs(s)
	for _, state := range unsettled {
		args = append(args, state.String())
	}
	return all(ctx, tx, scanAnchor, anchorsOf+` AND state IN ($5, $6, $7, $8) ORDER BY id`, args...)
}

func (j anchorJournal) Newest(ctx context.Context, s journal.Scope, states ...journal.State) (newest journal.Row, err error) {
	err = j.db.ReadTx(ctx, func(tx *Tx) error {
		newest = journal.Row{}
		for _, state := range states { // each is one look into the index
			r, err := get(ctx, tx, journal.ErrNotFound, scanAnchor, anchorsOf+` AND state = $5 ORDER BY id DESC LIMIT 1`,
				append(scopeArgs(s), state.String())...)
			if err != nil && !errors.Is(err, journal.ErrNotFound) {
				return err
			}
			if r.ID > newest.ID {
				newest = r
			}
		}
		if newest.ID == 0 {
			return journal.ErrNotFound
		}
		return nil
	})
	return newest, err
}

// Anchors lists the rows of a log in a contract that are final or under way, by whoever sent them, the newest
// first. Before is the id of the last row of the page before, or 0.
func (db *DB) Anchors(ctx context.Context, chain uint64, contract [20]byte, log [32]byte, before int64, limit int) (rows []journal.Row, err error) {
	if before == 0 {
		before = math.MaxInt64
	}
	err = db.ReadTx(ctx, func(tx *Tx) error {
		rows, err = all(ctx, tx, scanAnchor, `SELECT `+anchorColumns+` FROM anchors WHERE log = $1 AND contract = $2 AND chain = $3
			AND state NOT IN ('replaced', 'abandoned') AND id < $4 ORDER BY id DESC LIMIT $5`, log[:], contract[:], int64(chain), before, int64(limit))
		return err
	})
	return rows, err
}

func (j anchorJournal) Plan(ctx context.Context, r journal.Row) (journal.Row, error) {
	if r.State != journal.Planned {
		return journal.Row{}, fmt.Errorf("%w: a row begins as planned, not %v", journal.ErrConflict, r.State)
	}
	if err := checkAnchor(r); err != nil {
		return journal.Row{}, err
	}
	err := j.db.WriteTx(ctx, func(tx *Tx) error {
		open, err := unsettledAnchors(ctx, tx, r.Scope)
		if err != nil {
			return err
		}
		var newest journal.Row
		if len(open) > 0 {
			newest = open[len(open)-1]
		}
		if r.Replaces != newest.ID || newest.ID != 0 && r.Nonce != newest.Nonce {
			return journal.ErrConflict
		}
		r.ID, err = get(ctx, tx, journal.ErrNotFound, scanInt, `SELECT coalesce(max(id), 0) + 1 FROM anchors`)
		if err != nil {
			return err
		}
		return tx.insert(ctx, journal.ErrNotFound, `INSERT INTO anchors (`+anchorColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`, anchorArgs(r)...)
	})
	if err != nil {
		return journal.Row{}, err
	}
	return r, nil
}

func (j anchorJournal) Move(ctx context.Context, moves ...journal.Move) error {
	return j.db.WriteTx(ctx, func(tx *Tx) error {
		for _, m := range moves {
			if err := j.move(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (j anchorJournal) move(ctx context.Context, tx *Tx, m journal.Move) error {
	r, err := get(ctx, tx, journal.ErrConflict, scanAnchor, `SELECT `+anchorColumns+` FROM anchors WHERE id = $1`, m.To.ID)
	if err != nil {
		return err
	}
	if r.Scope != m.To.Scope || r.State != m.From || !r.State.MayBecome(m.To.State) {
		return fmt.Errorf("%w: row %d is %v, and cannot go from %v to %v", journal.ErrConflict, r.ID, r.State, m.From, m.To.State)
	}
	r.State, r.Changed, r.Reason = m.To.State, m.To.Changed, m.To.Reason
	r.Hash, r.Raw = m.To.Hash, m.To.Raw
	r.Block, r.BlockHash = m.To.Block, m.To.BlockHash
	if err := checkAnchor(r); err != nil {
		return err
	}
	block, hash := inBlock(r)
	err = tx.change(ctx, journal.ErrConflict, `UPDATE anchors SET state = $2, changed_at = $3, hash = $4, raw = $5, block = $6, block_hash = $7, reason = $8
		WHERE id = $1`, r.ID, r.State.String(), milli(r.Changed), orNull(r.Raw == nil, r.Hash[:]), orNull(r.Raw == nil, r.Raw), block, hash, r.Reason)
	if err != nil || r.State != journal.Final {
		return err
	}
	return j.final(ctx, tx.Audit(), r)
}

// inBlock are a row's columns of its block, NULL where it is in none.
func inBlock(r journal.Row) (number, hash any) {
	none := r.BlockHash == [32]byte{}
	return orNull(none, int64(r.Block)), orNull(none, r.BlockHash[:])
}

// anchorArgs are a row's columns, in the order of anchorColumns.
func anchorArgs(r journal.Row) []any {
	s := r.Scope
	block, hash := inBlock(r)
	return []any{r.ID, int64(s.ChainID), s.Contract[:], s.Log[:], s.Sender[:], int64(r.Nonce), orNull(r.Replaces == 0, r.Replaces), int64(r.Previous),
		int64(r.Size), r.Root[:], r.State.String(), milli(r.Changed), milli(r.Planned), orNull(r.Raw == nil, r.Hash[:]), orNull(r.Raw == nil, r.Raw),
		block, hash, r.Reason}
}

func scanAnchor(row scanner) (r journal.Row, err error) {
	var chain, nonce, previous, size, changed, planned int64
	var replaces, block sql.NullInt64
	var contract, log, sender, root, hash, blockHash []byte
	var state string
	if err := row.Scan(&r.ID, &chain, &contract, &log, &sender, &nonce, &replaces, &previous, &size, &root, &state, &changed, &planned,
		&hash, &r.Raw, &block, &blockHash, &r.Reason); err != nil {
		return journal.Row{}, err
	}
	whole := true
	fill := func(to, from []byte, ok bool) {
		whole = whole && ok && copy(to, from) == len(from) && (from == nil || len(from) == len(to))
	}
	fill(r.Scope.Contract[:], contract, contract != nil)
	fill(r.Scope.Log[:], log, log != nil)
	fill(r.Scope.Sender[:], sender, sender != nil)
	fill(r.Root[:], root, root != nil)
	fill(r.Hash[:], hash, (hash == nil) == (r.Raw == nil))
	fill(r.BlockHash[:], blockHash, (blockHash != nil) == block.Valid)
	if !whole {
		return journal.Row{}, stored(check("anchors", rule{"of a digest or an address", false}))
	}
	if r.State, err = journal.ParseState(state); err != nil {
		return journal.Row{}, stored(err)
	}
	// A negative number becomes one that is too large.
	r.Scope.ChainID, r.Nonce, r.Previous, r.Size, r.Block = uint64(chain), uint64(nonce), uint64(previous), uint64(size), uint64(block.Int64)
	r.Replaces, r.Changed, r.Planned = replaces.Int64, moment(changed), moment(planned)
	return r, stored(checkAnchor(r))
}

// checkAnchor refuses what is beyond an SQL integer as well, though a chain may have it.
func checkAnchor(r journal.Row) error {
	fits := func(n uint64) bool { return n <= math.MaxInt64 }
	signed, mined := r.Raw != nil, r.BlockHash != [32]byte{}
	is := func(states ...journal.State) bool { return slices.Contains(states, r.State) }
	return check("anchors",
		rule{"id", r.ID >= 0},
		rule{"chain", r.Scope.ChainID > 0 && fits(r.Scope.ChainID)},
		rule{"nonce", fits(r.Nonce)},
		rule{"replaces", r.Replaces >= 0 && (r.ID == 0 || r.Replaces < r.ID)},
		rule{"size", r.Size > r.Previous && r.Size <= audit.MaxSize},
		rule{"state", r.State >= journal.Planned && r.State <= journal.Abandoned},
		rule{"changed_at", isTime(r.Changed)},
		rule{"planned_at", isTime(r.Planned)},
		rule{"hash", signed || r.Hash == [32]byte{}},
		rule{"raw", (!signed || len(r.Raw) > 0 && !is(journal.Planned)) && (signed || !is(journal.Signed, journal.Sent, journal.Mined, journal.Final))},
		rule{"block", fits(r.Block) && (!mined || !is(journal.Planned, journal.Signed, journal.Sent)) && (mined || r.Block == 0 && !is(journal.Mined, journal.Final))},
		rule{"reason", is(journal.Abandoned) == (r.Reason != "")},
	)
}
