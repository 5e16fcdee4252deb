package journaltest

import (
	"context"
	"slices"
	"sync"

	"stonevault/internal/anchor/journal"
)

// Memory is a journal that ends with its process, for tests.
type Memory struct {
	mu   sync.Mutex
	rows []journal.Row // the ID is the index and one
}

var _ journal.Store = (*Memory)(nil)

// Rows returns all of them.
func (m *Memory) Rows() []journal.Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.match(func(journal.Row) bool { return true })
}

func (m *Memory) match(keep func(journal.Row) bool) (rows []journal.Row) {
	for _, r := range m.rows {
		if keep(r) {
			r.Raw = slices.Clone(r.Raw)
			rows = append(rows, r)
		}
	}
	return rows
}

func (m *Memory) unsettled(s journal.Scope) []journal.Row {
	return m.match(func(r journal.Row) bool { return r.Scope == s && !r.State.Settled() })
}

// Unsettled implements journal.Store.
func (m *Memory) Unsettled(ctx context.Context, s journal.Scope) ([]journal.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unsettled(s), ctx.Err()
}

// Newest implements journal.Store.
func (m *Memory) Newest(ctx context.Context, s journal.Scope, states ...journal.State) (journal.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := m.match(func(r journal.Row) bool { return r.Scope == s && slices.Contains(states, r.State) })
	if len(rows) == 0 {
		return journal.Row{}, journal.ErrNotFound
	}
	return rows[len(rows)-1], ctx.Err()
}

// Plan implements journal.Store.
func (m *Memory) Plan(ctx context.Context, r journal.Row) (journal.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return journal.Row{}, err
	}
	var newest journal.Row
	if open := m.unsettled(r.Scope); len(open) > 0 {
		newest = open[len(open)-1]
	}
	if r.State != journal.Planned || r.Replaces != newest.ID || newest.ID != 0 && r.Nonce != newest.Nonce {
		return journal.Row{}, journal.ErrConflict
	}
	r.ID, r.Raw = int64(len(m.rows)+1), slices.Clone(r.Raw)
	m.rows = append(m.rows, r)
	return r, nil
}

// Move implements journal.Store.
func (m *Memory) Move(ctx context.Context, moves ...journal.Move) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	rows := slices.Clone(m.rows)
	for _, mv := range moves {
		if mv.To.ID < 1 || mv.To.ID > int64(len(rows)) {
			return journal.ErrConflict
		}
		r := &rows[mv.To.ID-1]
		if r.Scope != mv.To.Scope || r.State != mv.From || !r.State.MayBecome(mv.To.State) {
			return journal.ErrConflict
		}
		r.State, r.Changed, r.Reason = mv.To.State, mv.To.Changed, mv.To.Reason
		r.Hash, r.Raw = mv.To.Hash, slices.Clone(mv.To.Raw)
		r.Block, r.BlockHash = mv.To.Block, mv.To.BlockHash
	}
	m.rows = rows
	return nil
}
