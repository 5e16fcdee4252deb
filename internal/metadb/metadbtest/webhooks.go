package metadbtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"stonevault/internal/vault"
	"stonevault/internal/webhook"
)

func viewHooks(t *testing.T, db Database, fn func(context.Context, webhook.Tx) error) {
	t.Helper()
	if err := db.ViewWebhooks(t.Context(), func(tx webhook.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func updateHooks(t *testing.T, db Database, want error, fn func(context.Context, webhook.Tx) error) {
	t.Helper()
	if err := db.UpdateWebhooks(t.Context(), func(tx webhook.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func hook(n int) webhook.Row {
	return webhook.Row{ID: ID[string](n), URL: fmt.Sprintf("https://example.com/%d", n), Secret: []byte{byte(n)},
		Events: []webhook.Kind{webhook.SignInRefused, webhook.RoleChanged}, Active: true,
		CreatedAt: start.Add(time.Duration(n) * time.Second), UpdatedAt: start.Add(time.Hour)}
}

func delivery(n, of int) webhook.Delivery {
	at := start.Add(time.Duration(n) * time.Minute)
	return webhook.Delivery{Message: fmt.Sprintf("msg_%d", n), Webhook: hook(of).ID, Kind: webhook.RoleChanged, Event: int64(n),
		Body: []byte("{}"), CreatedAt: at, NextAt: at}
}

func testWebhooks(t *testing.T, db Database) {
	first, second := hook(2), hook(1)
	first.CreatedAt = start
	updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error {
		return errors.Join(tx.Insert(ctx, second), tx.Insert(ctx, first))
	})
	updateHooks(t, db, vault.ErrExists, func(ctx context.Context, tx webhook.Tx) error { return tx.Insert(ctx, first) })
	second.URL, second.Secret, second.Active, second.Problem = "http://[::1]/", []byte{7, 8}, false, "it broke"
	second.Events, second.UpdatedAt = []webhook.Kind{webhook.DownloadRefused}, start.Add(2*time.Hour)
	updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error { return tx.Update(ctx, second) })
	updateHooks(t, db, webhook.ErrNotFound, func(ctx context.Context, tx webhook.Tx) error { return tx.Update(ctx, hook(3)) })
	updateHooks(t, db, webhook.ErrNotFound, func(ctx context.Context, tx webhook.Tx) error { return tx.Delete(ctx, hook(3).ID) })
	for what, spoil := range map[string]func(*webhook.Row){
		"no id": func(w *webhook.Row) { w.ID = "x" }, "no address": func(w *webhook.Row) { w.URL = "" },
		"no secret": func(w *webhook.Row) { w.Secret = nil }, "no event": func(w *webhook.Row) { w.Events = nil },
		"an unknown event": func(w *webhook.Row) { w.Events = []webhook.Kind{"a,b"} },
		"a test":           func(w *webhook.Row) { w.Events = []webhook.Kind{webhook.Test} },
	} {
		w := hook(4)
		spoil(&w)
		if err := db.UpdateWebhooks(t.Context(), func(tx webhook.Tx) error { return tx.Insert(t.Context(), w) }); err == nil {
			t.Errorf("%s was kept", what)
		}
	}
	testFormers(t, db, first.ID, second.ID)
	viewHooks(t, db, func(ctx context.Context, tx webhook.Tx) error {
		list, err := tx.Webhooks(ctx)
		if err != nil {
			return err
		}
		equal(t, "all", list, []webhook.Row{first, second})
		got, err := tx.Webhook(ctx, second.ID)
		equal(t, "one", got, second)
		if _, missing := tx.Webhook(ctx, hook(3).ID); !errors.Is(missing, webhook.ErrNotFound) {
			t.Errorf("a webhook that is not there: %v", missing)
		}
		return err
	})
}

func testDeliveries(t *testing.T, db Database) {
	people(t, db, 2)
	var d [6]webhook.Delivery
	updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) (err error) {
		if err := errors.Join(tx.Insert(ctx, hook(1)), tx.Insert(ctx, hook(2))); err != nil {
			return err
		}
		for n := 1; n <= 5; n++ {
			d[n] = delivery(n, 1+n/5)
			switch n {
			case 1:
				d[n].Event, d[n].Kind = 0, webhook.Test
			case 2:
				d[n].Person = string(Person(1).ID)
			case 3:
				d[n].Person, d[n].By = string(Person(2).ID), string(Person(1).ID)
			case 4:
				d[n].Person = ID[string](77) // nobody
			}
			if d[n].ID, err = tx.InsertDelivery(ctx, d[n]); err != nil {
				return err
			}
		}
		d[4].Person = ""
		return nil
	})
	same := delivery(1, 1)
	updateHooks(t, db, vault.ErrExists, func(ctx context.Context, tx webhook.Tx) error { _, err := tx.InsertDelivery(ctx, same); return err })

	check := func(what string, want []webhook.Delivery, list func(context.Context, webhook.Tx) ([]webhook.Delivery, error)) {
		t.Helper()
		viewHooks(t, db, func(ctx context.Context, tx webhook.Tx) error {
			got, err := list(ctx, tx)
			equal(t, what, got, want)
			return err
		})
	}
	due := func(n, limit int) func(context.Context, webhook.Tx) ([]webhook.Delivery, error) {
		return func(ctx context.Context, tx webhook.Tx) ([]webhook.Delivery, error) {
			return tx.Due(ctx, hook(1).ID, start.Add(time.Duration(n)*time.Minute), limit)
		}
	}
	list := func(before int64, state webhook.State, limit int) func(context.Context, webhook.Tx) ([]webhook.Delivery, error) {
		return func(ctx context.Context, tx webhook.Tx) ([]webhook.Delivery, error) {
			return tx.Deliveries(ctx, hook(1).ID, before, state, limit)
		}
	}
	const all = int64(1) << 60
	check("due before the first", nil, due(0, 9))
	check("due", []webhook.Delivery{d[1], d[2]}, due(2, 9))
	check("due, limited", []webhook.Delivery{d[1]}, due(9, 1))
	check("the newest", []webhook.Delivery{d[4], d[3]}, list(all, "", 2))
	check("those before", []webhook.Delivery{d[2], d[1]}, list(d[3].ID, "", 9))
	check("none ended", nil, list(all, webhook.Delivered, 9))

	d[1].Tries, d[1].Status, d[1].NextAt, d[1].EndedAt = 1, 204, time.Time{}, start.Add(time.Hour)
	d[2].Tries, d[2].Status, d[2].Problem, d[2].NextAt = 1, 500, "it answered 500", start.Add(time.Hour)
	updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error {
		return errors.Join(tx.UpdateDelivery(ctx, d[1]), tx.UpdateDelivery(ctx, d[2]))
	})
	gone := d[1]
	gone.ID = 999
	updateHooks(t, db, webhook.ErrNotFound, func(ctx context.Context, tx webhook.Tx) error { return tx.UpdateDelivery(ctx, gone) })
	check("delivered", []webhook.Delivery{d[1]}, list(all, webhook.Delivered, 9))
	check("waiting", []webhook.Delivery{d[4], d[3], d[2]}, list(all, webhook.Waiting, 9))
	check("by when they are due", []webhook.Delivery{d[3], d[4], d[2]}, due(60, 9))
	waiting := func(id string, limit int, want int64) {
		t.Helper()
		viewHooks(t, db, func(ctx context.Context, tx webhook.Tx) error {
			n, err := tx.Waiting(ctx, id, limit)
			equal(t, "waiting", n, want)
			return err
		})
	}
	waiting(hook(1).ID, 100, 3)
	waiting(hook(1).ID, 2, 2)
	waiting("", 100, 4)

	// Whom a delivery names, it goes with.
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(2).ID) })
	check("without the person", []webhook.Delivery{d[4], d[2], d[1]}, list(all, "", 9))

	end := start.Add(3 * time.Hour)
	updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error { return tx.EndWaiting(ctx, hook(1).ID, end, "off") })
	for _, n := range []int{2, 4} {
		d[n].NextAt, d[n].EndedAt, d[n].Problem = time.Time{}, end, "off"
	}
	check("given up", []webhook.Delivery{d[4], d[2]}, list(all, webhook.GivenUp, 9))
	waiting("", 100, 1)
	remove := func(limit int, want int64) {
		t.Helper()
		updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error {
			n, err := tx.DeleteEnded(ctx, end, limit)
			equal(t, "removed", n, want)
			return err
		})
	}
	remove(0, 0)
	remove(9, 1)
	check("the younger", []webhook.Delivery{d[4], d[2]}, list(all, "", 9))
	remove(9, 0)
	updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error { return tx.Delete(ctx, hook(2).ID) })
	viewHooks(t, db, func(ctx context.Context, tx webhook.Tx) error {
		if _, err := tx.Delivery(ctx, d[5].ID); !errors.Is(err, webhook.ErrNotFound) {
			t.Errorf("the delivery of a deleted webhook: %v", err)
		}
		got, err := tx.Delivery(ctx, d[4].ID)
		equal(t, "one", got, d[4])
		return err
	})
}

func testFormers(t *testing.T, db Database, one, other string) {
	t.Helper()
	former := func(webhookID string, n byte) webhook.Former {
		return webhook.Former{Webhook: webhookID, Secret: []byte{n}, Until: start.Add(time.Duration(n) * time.Hour)}
	}
	for _, f := range []webhook.Former{former(one, 1), former(other, 2), former(one, 3)} {
		updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error { return tx.InsertFormer(ctx, f) })
	}
	updateHooks(t, db, webhook.ErrNotFound, func(ctx context.Context, tx webhook.Tx) error { return tx.InsertFormer(ctx, former(hook(9).ID, 1)) })
	want := func(of string, secrets ...byte) (ids []int64) {
		t.Helper()
		viewHooks(t, db, func(ctx context.Context, tx webhook.Tx) error {
			list, err := tx.Formers(ctx, of)
			var got []byte
			for _, f := range list {
				ids = append(ids, f.ID)
				got = append(got, f.Secret...)
				if !f.Until.Equal(start.Add(time.Duration(f.Secret[0]) * time.Hour)) {
					t.Errorf("one is good until %v", f.Until)
				}
			}
			equal(t, "former secrets of "+of, got, secrets)
			return err
		})
		return ids
	}
	want("", 3, 2, 1)
	ids := want(one, 3, 1)
	for range 2 {
		updateHooks(t, db, nil, func(ctx context.Context, tx webhook.Tx) error { return tx.DeleteFormer(ctx, ids[0]) })
	}
	want("", 2, 1)
}
