package metadbtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/vault"
)

func viewAudit(t *testing.T, db Database, fn func(context.Context, auditlog.Store) error) {
	t.Helper()
	if err := db.Audit().View(t.Context(), func(s auditlog.Store) error { return fn(t.Context(), s) }); err != nil {
		t.Fatal(err)
	}
}

func updateAudit(t *testing.T, db Database, fn func(context.Context, auditlog.Store) error) {
	t.Helper()
	if err := db.Audit().Update(t.Context(), func(s auditlog.Store) error { return fn(t.Context(), s) }); err != nil {
		t.Fatal(err)
	}
}

func refusedAudit(t *testing.T, db Database, what string, want error, fn func(context.Context, auditlog.Store) error) {
	t.Helper()
	err := db.Audit().Update(t.Context(), func(s auditlog.Store) error { return fn(t.Context(), s) })
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func auditLog(n int64) auditlog.Log {
	return auditlog.Log{ID: n, Origin: "vault.example/audit/" + string('0'+rune(n)), Public: "keys", SealedSeed: []byte{byte(n)}, BegunAt: start}
}

func auditKey(n int64, person string) auditlog.Key {
	return auditlog.Key{Number: n, Person: person, Sealed: bytes.Repeat([]byte{byte(n)}, 104)}
}

// event is one whose leaf shows its number; 0 is no person.
func event(n byte, actor, subject int64) auditlog.Event {
	e := auditlog.Event{Index: auditlog.Pending, Leaf: bytes.Repeat([]byte{n}, audit.LeafSize)}
	e.Parts[audit.Operational].Sealed = []byte{1, n}
	e.Parts[audit.Actor] = auditlog.Part{Key: actor, Sealed: []byte{2, n}}
	if subject != 0 {
		e.Parts[audit.Subject] = auditlog.Part{Key: subject, Sealed: []byte{3, n}}
	}
	return e
}

func testAuditLogs(t *testing.T, db Database) {
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		if _, err := s.CurrentLog(ctx); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("no log: %v", err)
		}
		if _, err := s.Head(ctx, 1); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("no head: %v", err)
		}
		return nil
	})
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		return errors.Join(s.InsertLog(ctx, auditLog(1)), s.InsertLog(ctx, auditLog(2)))
	})
	refusedAudit(t, db, "the same log", vault.ErrExists, func(ctx context.Context, s auditlog.Store) error { return s.InsertLog(ctx, auditLog(2)) })
	first, second := audit.Tree{Size: 3, Root: audit.Hash{1}}, audit.Tree{Size: 5, Root: audit.Hash{2}}
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		l, err := s.CurrentLog(ctx)
		equal(t, "current log", l, auditLog(2))
		return errors.Join(err, s.MoveHead(ctx, 2, audit.EmptyTree(), first), s.MoveHead(ctx, 2, first, second))
	})
	for what, from := range map[string]audit.Tree{"an old head": first, "another root": {Size: 5, Root: audit.Hash{9}}, "the empty log": audit.EmptyTree()} {
		refusedAudit(t, db, what, auditlog.ErrConflict, func(ctx context.Context, s auditlog.Store) error {
			// The error is dropped, and the event before it must be gone all the same.
			if _, err := s.InsertEvent(ctx, event(1, 0, 0)); err != nil {
				return err
			}
			s.MoveHead(ctx, 2, from, audit.Tree{Size: 9, Root: audit.Hash{3}})
			return nil
		})
	}
	refusedAudit(t, db, "a head that doesn't grow", nil, func(ctx context.Context, s auditlog.Store) error {
		return s.MoveHead(ctx, 2, second, audit.Tree{Size: 5, Root: audit.Hash{3}})
	})
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		for log, want := range map[int64]audit.Tree{1: audit.EmptyTree(), 2: second} {
			head, err := s.Head(ctx, log)
			if err != nil {
				return err
			}
			equal(t, "head", head, want)
		}
		pending, err := s.PendingEvents(ctx, 10)
		equal(t, "events of refused batches", len(pending), 0)
		return err
	})
}

func testAuditEvents(t *testing.T, db Database) {
	ids := make([]int64, 12)
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		errs := []error{s.InsertLog(ctx, auditLog(1)), s.InsertLog(ctx, auditLog(2)),
			s.InsertKey(ctx, auditKey(1, "")), s.InsertKey(ctx, auditKey(2, string(ID[string](2)))), s.InsertKey(ctx, auditKey(3, ID[string](3)))}
		for i := range ids {
			var err error
			ids[i], err = s.InsertEvent(ctx, event(byte(i), int64(i%2)*2, int64(i%3)*3/2))
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if !slices.IsSorted(ids) || ids[0] < 1 {
		t.Fatalf("rows %v are not in the order of arrival", ids)
	}
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		pending, err := s.PendingEvents(ctx, 11)
		if err != nil || len(pending) != 11 {
			t.Fatalf("%d events wait, %v", len(pending), err)
		}
		for i, p := range pending {
			equal(t, "waiting event", p, auditlog.Leaf{ID: ids[i], Leaf: event(byte(i), 0, 0).Leaf})
		}
		// With a gap, and in two logs with the same indexes.
		return errors.Join(s.PlaceEvents(ctx, 1, 0, slices.Concat(ids[:3], ids[4:7])), s.PlaceEvents(ctx, 2, 0, ids[3:4]), s.PlaceEvents(ctx, 2, 1, ids[7:10]))
	})
	for what, place := range map[string][]int64{"a placed event": {ids[10], ids[4]}, "no event": {ids[11] + 5}, "one event twice": {ids[10], ids[10]}} {
		refusedAudit(t, db, what, auditlog.ErrConflict, func(ctx context.Context, s auditlog.Store) error {
			s.PlaceEvents(ctx, 2, 4, place)
			return nil
		})
	}
	refusedAudit(t, db, "a taken index", vault.ErrExists, func(ctx context.Context, s auditlog.Store) error { return s.PlaceEvents(ctx, 2, 2, ids[10:11]) })
	refusedAudit(t, db, "no log", nil, func(ctx context.Context, s auditlog.Store) error { return s.PlaceEvents(ctx, 3, 0, ids[10:11]) })
	refusedAudit(t, db, "no id of a group", nil, func(ctx context.Context, s auditlog.Store) error {
		e := event(99, 0, 0)
		e.Group = "team"
		_, err := s.InsertEvent(ctx, e)
		return err
	})
	refusedAudit(t, db, "no key", auditlog.ErrNotFound, func(ctx context.Context, s auditlog.Store) error {
		_, err := s.InsertEvent(ctx, event(99, 9, 0))
		return err
	})
	place := map[int][2]int64{0: {1, 0}, 1: {1, 1}, 2: {1, 2}, 3: {2, 0}, 4: {1, 3}, 5: {1, 4}, 6: {1, 5}, 7: {2, 1}, 8: {2, 2}, 9: {2, 3}, 10: {0, -1}, 11: {0, -1}}
	want := func(i int) auditlog.Event {
		e := event(byte(i), int64(i%2)*2, int64(i%3)*3/2)
		e.ID, e.Log, e.Index = ids[i], place[i][0], place[i][1]
		return e
	}
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		for i, id := range ids {
			e, err := s.Event(ctx, id)
			if err != nil {
				return err
			}
			equal(t, "event", e, want(i))
		}
		if _, err := s.Event(ctx, ids[11]+1); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("no event: %v", err)
		}
		list := func(what string, numbers []int, found []auditlog.Event, err error) {
			t.Helper()
			var wanted []auditlog.Event
			for _, n := range numbers {
				wanted = append(wanted, want(n))
			}
			equal(t, what, found, wanted)
			if err != nil {
				t.Error(err)
			}
		}
		found, err := s.Events(ctx, 1, 2, 3)
		list("a range", []int{2, 4, 5}, found, err)
		found, err = s.Events(ctx, 2, 0, 100)
		list("another log", []int{3, 7, 8, 9}, found, err)
		found, err = s.EventsBefore(ctx, ids[11]+1, 0, 3)
		list("the newest", []int{11, 10, 9}, found, err)
		found, err = s.EventsBefore(ctx, ids[9], 2, 3)
		list("the newest of a key as actor", []int{7, 5, 3}, found, err)
		found, err = s.EventsBefore(ctx, ids[11]+1, 3, 2)
		list("the newest of a key as subject", []int{11, 8}, found, err)
		parts, err := s.PartsUnder(ctx, 1, 2)
		equal(t, "parts", parts, []int64{audit.PartNumber(1, audit.Actor), audit.PartNumber(4, audit.Actor)})
		return err
	})
}

func testAuditKeys(t *testing.T, db Database) {
	person, other := ID[string](7), ID[string](8)
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		n, err := s.NextKey(ctx)
		equal(t, "first number", n, int64(1))
		errs := []error{err, s.InsertLog(ctx, auditLog(1)), s.InsertKey(ctx, auditKey(1, "")), s.InsertKey(ctx, auditKey(2, person)), s.InsertKey(ctx, auditKey(3, other))}
		for n, keys := range [][2]int64{{2, 3}, {3, 2}, {2, 2}, {0, 3}} {
			_, err := s.InsertEvent(ctx, event(byte(n), keys[0], keys[1]))
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	refusedAudit(t, db, "a second key of a person", vault.ErrExists, func(ctx context.Context, s auditlog.Store) error { return s.InsertKey(ctx, auditKey(4, person)) })
	refusedAudit(t, db, "a second key of a number", vault.ErrExists, func(ctx context.Context, s auditlog.Store) error {
		return s.InsertKey(ctx, auditKey(3, ID[string](9)))
	})
	refusedAudit(t, db, "a key of no person", nil, func(ctx context.Context, s auditlog.Store) error { return s.InsertKey(ctx, auditKey(4, "ana")) })
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		keys, err := s.KeysOf(ctx, "", person, ID[string](9))
		slices.SortFunc(keys, func(a, b auditlog.Key) int { return int(a.Number - b.Number) })
		equal(t, "keys", keys, []auditlog.Key{auditKey(1, ""), auditKey(2, person)})
		return err
	})
	if err := db.Audit().Shred(t.Context(), func(s auditlog.Store) error { return s.EraseKey(t.Context(), 2) }); err != nil {
		t.Fatal(err)
	}
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		keys, err := s.KeysOf(ctx, person)
		equal(t, "keys of the erased", keys, []auditlog.Key(nil))
		if _, err := s.Key(ctx, 2); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("the erased key: %v", err)
		}
		found, err2 := s.EventsBefore(ctx, 1<<40, 0, 10)
		for i, wanted := range [][2][]byte{{{2, 3}, {3, 3}}, {nil, nil}, {{2, 1}, nil}, {nil, {3, 0}}} {
			equal(t, "parts that are left", [2][]byte{found[i].Parts[audit.Actor].Sealed, found[i].Parts[audit.Subject].Sealed}, wanted)
		}
		n, err3 := s.NextKey(ctx)
		equal(t, "the next number", n, int64(4))
		return errors.Join(err, err2, err3, s.InsertKey(ctx, auditKey(4, person)))
	})
	for _, number := range []int64{2, 99} {
		if err := db.Audit().Shred(t.Context(), func(s auditlog.Store) error { return s.EraseKey(t.Context(), number) }); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("erasing key %d: %v", number, err)
		}
	}
}

// testAuditManaged: person 1 manages group 1, to which 2 and 3 belong and where 4 is a manager alone, and belongs to
// group 2, as 5 does.
func testAuditManaged(t *testing.T, db Database) {
	people(t, db, 5)
	groups(t, db, 2, in(1, 1, false, true), in(1, 2, true, false), in(1, 3, true, true), in(1, 4, false, true), in(2, 1, true, false), in(2, 5, true, false))
	var ids []int64
	rows := []struct{ actor, subject, group int }{
		0: {1, 0, 0}, {2, 0, 0}, {4, 3, 0}, {4, 0, 0}, {5, 5, 0}, {4, 5, 1}, {0, 0, 2}, {2, 3, 1}, {0, 0, 1}, {0, 0, 0},
	}
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		errs := []error{s.InsertLog(ctx, auditLog(1)), s.InsertKey(ctx, auditKey(9, ""))}
		for n := 1; n <= 5; n++ {
			errs = append(errs, s.InsertKey(ctx, auditKey(int64(9+n), string(Person(n).ID))))
		}
		for n, row := range rows {
			key := func(person int) int64 {
				if person == 0 {
					return 0
				}
				return int64(9 + person)
			}
			e := event(byte(n), key(row.actor), key(row.subject))
			if row.group > 0 {
				e.Group = string(Group(row.group).ID)
			}
			id, err := s.InsertEvent(ctx, e)
			ids, errs = append(ids, id), append(errs, err)
		}
		return errors.Join(errs...)
	})
	list := func(what string, manager int, from, before, limit int, want ...int) {
		t.Helper()
		viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
			found, err := s.EventsManaged(ctx, string(Person(manager).ID), ids[from], ids[len(ids)-1]+int64(before), limit)
			var got []int
			for _, e := range found {
				n := slices.Index(ids, e.ID)
				got = append(got, n)
				if rows[n].group > 0 != (e.Group != "") {
					t.Errorf("event %d is about the group %q", n, e.Group)
				}
			}
			equal(t, what, got, want)
			return err
		})
	}
	list("of a manager", 1, 0, 1, 100, 8, 7, 5, 2, 1, 0)
	list("the newest of a manager", 1, 0, 1, 2, 8, 7)
	list("some of a manager", 1, 2, -1, 100, 7, 5, 2)
	list("of a member who is a manager too", 3, 0, 1, 100, 8, 7, 5, 2, 1)
	list("of a member", 2, 0, 1, 100, 7, 1)
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		return errors.Join(tx.Groups().Remove(ctx, Group(1).ID, Person(2).ID), tx.Groups().Put(ctx, in(1, 1, true, false)))
	})
	list("of a manager, after a member has left", 4, 0, 1, 100, 8, 7, 5, 3, 2, 0)
	list("of who is no manager any more", 1, 0, 1, 100, 0)
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		managed, err := s.ManagedGroups(ctx, string(Person(4).ID))
		equal(t, "managed groups", managed, []string{string(Group(1).ID)})
		none, err2 := s.ManagedGroups(ctx, string(Person(5).ID))
		equal(t, "no managed groups", len(none), 0)
		role, err3 := s.Role(ctx, string(Person(4).ID))
		equal(t, "role", string(role), string(Person(4).Role))
		a, err4 := s.Acquaintance(ctx, string(Person(4).ID), string(Person(3).ID))
		equal(t, "acquaintance", a, access.Acquaintance{Manages: true})
		if _, err := s.Role(ctx, ID[string](99)); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("the role of nobody: %v", err)
		}
		return errors.Join(err, err2, err3, err4)
	})
}

func testAuditTrees(t *testing.T, db Database) {
	tile := func(level int, index int64, width int, fill byte) audit.TileData {
		return audit.TileData{Tile: audit.Tile{Level: level, Index: index, Width: width}, Data: bytes.Repeat([]byte{fill}, width*audit.HashSize)}
	}
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		return errors.Join(s.InsertLog(ctx, auditLog(1)), s.InsertLog(ctx, auditLog(2)),
			s.PutTiles(ctx, 1, []audit.TileData{tile(0, 0, 256, 1), tile(0, 1, 3, 2), tile(1, 0, 1, 3)}), s.PutTiles(ctx, 2, []audit.TileData{tile(0, 0, 1, 9)}),
			s.PutTiles(ctx, 1, []audit.TileData{tile(0, 1, 5, 4)}))
	})
	for what, bad := range map[string]audit.TileData{"a narrower tile": tile(0, 1, 4, 5), "a tile of the same width": tile(0, 0, 256, 5)} {
		refusedAudit(t, db, what, auditlog.ErrConflict, func(ctx context.Context, s auditlog.Store) error {
			s.PutTiles(ctx, 1, []audit.TileData{tile(0, 2, 1, 5), bad})
			return nil
		})
	}
	refusedAudit(t, db, "an empty tile", nil, func(ctx context.Context, s auditlog.Store) error {
		return s.PutTiles(ctx, 1, []audit.TileData{tile(0, 3, 0, 0)})
	})
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		got, err := s.Tiles(ctx, 1, []audit.Tile{{Level: 0, Index: 1, Width: 5}, {Level: 1, Index: 0, Width: 1}})
		equal(t, "tiles", got, [][]byte{tile(0, 1, 5, 4).Data, tile(1, 0, 1, 3).Data})
		for _, missing := range []audit.Tile{{Level: 0, Index: 1, Width: 6}, {Level: 0, Index: 2, Width: 1}} {
			if _, err := s.Tiles(ctx, 1, []audit.Tile{missing}); !errors.Is(err, auditlog.ErrNotFound) {
				t.Errorf("%s: %v", missing.Path(), err)
			}
		}
		first, err2 := s.TilesAfter(ctx, 1, -1, 0, 2)
		rest, err3 := s.TilesAfter(ctx, 1, 0, 1, 2)
		equal(t, "all tiles", slices.Concat(first, rest), []audit.TileData{tile(0, 0, 256, 1), tile(0, 1, 5, 4), tile(1, 0, 1, 3)})
		return errors.Join(err, err2, err3)
	})

	checkpoint := func(size int64, at time.Time) auditlog.Checkpoint {
		return auditlog.Checkpoint{Log: 1, Size: size, Text: []byte{byte(size)}, SignedAt: at}
	}
	tomorrow := start.Add(24 * time.Hour)
	again := checkpoint(9, tomorrow.Add(time.Minute))
	again.Text = []byte("another")
	updateAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		if _, err := s.Checkpoint(ctx, 1); !errors.Is(err, auditlog.ErrNotFound) {
			t.Errorf("no checkpoint: %v", err)
		}
		return errors.Join(s.PutCheckpoint(ctx, checkpoint(3, start)), s.PutCheckpoint(ctx, checkpoint(5, start.Add(time.Second))),
			s.PutCheckpoint(ctx, checkpoint(7, tomorrow)), s.PutCheckpoint(ctx, checkpoint(9, tomorrow)), s.PutCheckpoint(ctx, again))
	})
	viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
		newest, err := s.Checkpoint(ctx, 1)
		equal(t, "newest checkpoint", newest, checkpoint(9, tomorrow))
		kept, err2 := s.Checkpoints(ctx, 1)
		equal(t, "the last of each day", kept, []auditlog.Checkpoint{checkpoint(5, start.Add(time.Second)), newest})
		return errors.Join(err, err2)
	})
}

// testAuditTogether: an event and the change beside it are one transaction.
func testAuditTogether(t *testing.T, db Database) {
	for _, fails := range []bool{true, false} {
		err := db.Update(t.Context(), func(tx vault.Tx) error {
			both, ok := tx.(interface{ Audit() auditlog.Store })
			if !ok {
				return errors.New("a vault.Tx without the audit log")
			}
			_, err := both.Audit().InsertEvent(t.Context(), event(1, 0, 0))
			if err := errors.Join(err, put(t.Context(), tx, "a")); err != nil || !fails {
				return err
			}
			return errMine
		})
		if errors.Is(err, errMine) != fails || has(t, db, "a") == fails {
			t.Errorf("fails %v: %v, the change is there: %v", fails, err, has(t, db, "a"))
		}
		viewAudit(t, db, func(ctx context.Context, s auditlog.Store) error {
			pending, err := s.PendingEvents(ctx, 10)
			if (len(pending) == 0) != fails {
				t.Errorf("fails %v: %d events", fails, len(pending))
			}
			return err
		})
	}
}
