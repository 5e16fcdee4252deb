// Package journaltest is the conformance suite of the anchoring worker's journal: whatever implements
// journal.Store runs it. It also has a journal in memory, for tests of what uses one.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"stonevault/internal/anchor/journal"
)

var (
	scope = journal.Scope{ChainID: 80002, Contract: [20]byte{1, 19: 2}, Log: [32]byte{3, 31: 4}, Sender: [20]byte{5, 19: 6}}
	noon  = time.Date(2026, 11, 21, 12, 0, 0, int(123*time.Millisecond), time.UTC)
)

// Run runs every test, each on an empty store from open.
func Run(t *testing.T, open func(t *testing.T) journal.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, journal.Store)
	}{
		{"an empty journal", testEmpty},
		{"a row keeps everything", testRow},
		{"scopes", testScopes},
		{"one nonce at a time", testOneNonce},
		{"moves", testMoves},
		{"moves together", testTogether},
		{"one of many plans", testConcurrent},
		{"contexts", testContexts},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func aRow() journal.Row {
	return journal.Row{
		Scope: scope, Nonce: 7, Previous: 10, Size: 20, Root: [32]byte{8, 31: 9},
		State: journal.Planned, Changed: noon, Planned: noon,
	}
}

func plan(t *testing.T, s journal.Store, r journal.Row) journal.Row {
	t.Helper()
	got, err := s.Plan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// to returns r in another state, with what a row in that state has.
func to(r journal.Row, state journal.State) journal.Move {
	from := r.State
	r.State, r.Changed = state, r.Changed.Add(time.Second)
	if state != journal.Abandoned && r.Raw == nil && state != journal.Replaced {
		r.Hash, r.Raw = [32]byte{10, 31: 11}, bytes.Repeat([]byte{0, 0xff}, 300)
	}
	switch state {
	case journal.Mined, journal.Final:
		r.Block, r.BlockHash = 1<<40, [32]byte{12, 31: 13}
	case journal.Sent:
		r.Block, r.BlockHash = 0, [32]byte{}
	case journal.Abandoned:
		r.Reason = "Somebody else used its nonce."
	}
	return journal.Move{From: from, To: r}
}

func move(t *testing.T, s journal.Store, r journal.Row, states ...journal.State) journal.Row {
	t.Helper()
	for _, state := range states {
		m := to(r, state)
		if err := s.Move(t.Context(), m); err != nil {
			t.Fatalf("%v to %v: %v", r.State, state, err)
		}
		r = m.To
	}
	return r
}

func expect(t *testing.T, s journal.Store, want ...journal.Row) {
	t.Helper()
	got, err := s.Unsettled(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows are unsettled, not %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		same(t, got[i], want[i])
	}
}

func same(t *testing.T, got, want journal.Row) {
	t.Helper()
	if !got.Changed.Equal(want.Changed) || !got.Planned.Equal(want.Planned) {
		t.Errorf("the times are %v and %v, not %v and %v", got.Planned, got.Changed, want.Planned, want.Changed)
	}
	got.Changed, got.Planned, want.Changed, want.Planned = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if len(got.Raw) == 0 && len(want.Raw) == 0 {
		got.Raw, want.Raw = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the row is\n%+v, not\n%+v", got, want)
	}
}

func testEmpty(t *testing.T, s journal.Store) {
	expect(t, s)
	if _, err := s.Newest(t.Context(), scope, journal.Planned, journal.Final); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("the newest row of none: %v", err)
	}
	r := aRow()
	r.ID = 1
	if err := s.Move(t.Context(), to(r, journal.Signed)); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("a row that is not there moves: %v", err)
	}
}

func testRow(t *testing.T, s journal.Store) {
	want := aRow()
	want.Scope.ChainID, want.Nonce = math.MaxInt64, math.MaxInt64
	want.Previous, want.Size = 1<<48-2, 1<<48-1
	got := plan(t, s, want)
	if got.ID < 1 {
		t.Errorf("the ID is %d", got.ID)
	}
	want.ID = got.ID
	same(t, got, want)
	for _, state := range []journal.State{journal.Signed, journal.Sent, journal.Mined, journal.Sent, journal.Mined, journal.Mined, journal.Final} {
		want = move(t, s, want, state)
		got, err := s.Newest(t.Context(), want.Scope, state)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	if rows, err := s.Unsettled(t.Context(), want.Scope); err != nil || len(rows) != 0 {
		t.Errorf("a final row is unsettled: %v, %v", rows, err)
	}
	if _, err := s.Newest(t.Context(), want.Scope, journal.Abandoned, journal.Sent); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a row in another state is found: %v", err)
	}
}

func testScopes(t *testing.T, s journal.Store) {
	r := plan(t, s, aRow())
	for name, other := range map[string]journal.Scope{
		"chain":    {ChainID: 137, Contract: scope.Contract, Log: scope.Log, Sender: scope.Sender},
		"contract": {ChainID: scope.ChainID, Contract: [20]byte{1}, Log: scope.Log, Sender: scope.Sender},
		"log":      {ChainID: scope.ChainID, Contract: scope.Contract, Log: [32]byte{3}, Sender: scope.Sender},
		"sender":   {ChainID: scope.ChainID, Contract: scope.Contract, Log: scope.Log, Sender: [20]byte{5}},
	} {
		if rows, err := s.Unsettled(t.Context(), other); err != nil || len(rows) != 0 {
			t.Errorf("another %s has its rows: %v, %v", name, rows, err)
		}
		if _, err := s.Newest(t.Context(), other, journal.Planned); !errors.Is(err, journal.ErrNotFound) {
			t.Errorf("another %s has its newest row: %v", name, err)
		}
		moved := to(r, journal.Signed)
		moved.To.Scope = other
		if err := s.Move(t.Context(), moved); !errors.Is(err, journal.ErrConflict) {
			t.Errorf("another %s moves its row: %v", name, err)
		}
		second := aRow()
		second.Scope = other
		if got := plan(t, s, second); got.ID <= r.ID {
			t.Errorf("the ID %d comes after %d", got.ID, r.ID)
		}
	}
	expect(t, s, r)
}

func testOneNonce(t *testing.T, s journal.Store) {
	first := plan(t, s, aRow())
	refused := func(what string, change func(*journal.Row)) {
		t.Helper()
		r := aRow()
		change(&r)
		if _, err := s.Plan(t.Context(), r); !errors.Is(err, journal.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a second row beside the first", func(r *journal.Row) {})
	refused("a second nonce", func(r *journal.Row) { r.Nonce++ })
	refused("a second nonce as a replacement", func(r *journal.Row) { r.Nonce, r.Replaces = r.Nonce+1, first.ID })
	refused("a row that was never planned", func(r *journal.Row) { r.State, r.Replaces = journal.Signed, first.ID })

	second := aRow()
	second.Replaces, second.Size = first.ID, 30
	second = plan(t, s, second)
	if second.ID <= first.ID {
		t.Errorf("the ID %d comes after %d", second.ID, first.ID)
	}
	refused("two that replace the same", func(r *journal.Row) { r.Replaces = first.ID })
	expect(t, s, first, second)

	move(t, s, first, journal.Abandoned)
	second = move(t, s, second, journal.Signed)
	refused("a row beside one that is signed", func(r *journal.Row) {})
	expect(t, s, second)
	move(t, s, second, journal.Final)
	refused("a replacement of a settled row", func(r *journal.Row) { r.Replaces = second.ID })
	third := aRow()
	third.Nonce++
	expect(t, s, plan(t, s, third))
}

// testMoves tries every pair of states.
func testMoves(t *testing.T, s journal.Store) {
	paths := map[journal.State][]journal.State{
		journal.Planned:   nil,
		journal.Signed:    {journal.Signed},
		journal.Sent:      {journal.Signed, journal.Sent},
		journal.Mined:     {journal.Signed, journal.Sent, journal.Mined},
		journal.Final:     {journal.Signed, journal.Sent, journal.Mined, journal.Final},
		journal.Replaced:  {journal.Replaced},
		journal.Abandoned: {journal.Abandoned},
	}
	for from := range paths {
		for next := range paths {
			r := move(t, s, plan(t, s, aRow()), paths[from]...)
			m := to(r, next)
			err := s.Move(t.Context(), m)
			switch {
			case from.MayBecome(next) && err != nil:
				t.Errorf("%v to %v: %v", from, next, err)
			case !from.MayBecome(next) && !errors.Is(err, journal.ErrConflict):
				t.Errorf("%v to %v is allowed: %v", from, next, err)
			case err == nil:
				r = m.To
			}
			got, err := s.Newest(t.Context(), scope, r.State)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, r)
			if from != next {
				stale := to(r, journal.Abandoned)
				stale.From = journal.Planned
				if r.State != journal.Planned {
					if err := s.Move(t.Context(), stale); !errors.Is(err, journal.ErrConflict) {
						t.Errorf("a row that is %v moves from planned: %v", r.State, err)
					}
				}
			}
			if !r.State.Settled() {
				move(t, s, r, journal.Abandoned)
			}
		}
	}
}

func testTogether(t *testing.T, s journal.Store) {
	first := move(t, s, plan(t, s, aRow()), journal.Signed, journal.Sent)
	second := aRow()
	second.Replaces = first.ID
	second = move(t, s, plan(t, s, second), journal.Signed)

	wrong := to(second, journal.Replaced)
	wrong.From = journal.Sent
	if err := s.Move(t.Context(), to(first, journal.Final), wrong); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("two moves, of which one cannot be: %v", err)
	}
	expect(t, s, first, second)
	if err := s.Move(t.Context(), to(first, journal.Final), to(second, journal.Replaced)); err != nil {
		t.Fatal(err)
	}
	expect(t, s)
	got, err := s.Newest(t.Context(), scope, journal.Final, journal.Replaced)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, to(second, journal.Replaced).To)
}

func testConcurrent(t *testing.T, s journal.Store) {
	const many = 8
	var wg sync.WaitGroup
	errs := make([]error, many)
	for i := range many {
		wg.Go(func() { _, errs[i] = s.Plan(t.Context(), aRow()) })
	}
	wg.Wait()
	if won := many - len(slices.DeleteFunc(errs, func(err error) bool { return err == nil })); won != 1 {
		t.Errorf("%d of %d plans are taken", won, many)
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, journal.ErrConflict) {
			t.Error(err)
		}
	}
}

func testContexts(t *testing.T, s journal.Store) {
	r := plan(t, s, aRow())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Move(ctx, to(r, journal.Signed)); !errors.Is(err, context.Canceled) {
		t.Errorf("a move after its context ended: %v", err)
	}
	if _, err := s.Unsettled(ctx, scope); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after its context ended: %v", err)
	}
	expect(t, s, r)
}
