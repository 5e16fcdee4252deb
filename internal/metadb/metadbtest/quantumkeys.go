package metadbtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd"
	"stonevault/qkd/kme"
)

func keyID(n int) (id qkd.KeyID) {
	id[14], id[15] = byte(n>>8), byte(n)
	return id
}

func pooled(n int, sealed []byte) kme.Pooled {
	return kme.Pooled{ID: keyID(n), Pair: kme.Pair{Master: "master", Slave: "slave"}, Sealed: sealed, Session: "s", MadeAt: start}
}

func deliveredKey(n int, slaves ...string) kme.Delivered {
	return kme.Delivered{ID: keyID(n), Master: "master", Slaves: slaves, Session: "s", At: start}
}

// secretOf is the n-th, of the n-th pair among three people.
func secretOf(n int, sealed []byte) quantum.Secret {
	of := [][2]int{{1, 2}, {1, 3}, {2, 3}}[(n-1)%3]
	return quantum.Secret{Session: ID[string](n), People: [2]string{string(Person(of[0]).ID), string(Person(of[1]).ID)}, Sealed: sealed}
}

func waiting(n int, slave string, sealed []byte) kme.Waiting {
	return kme.Waiting{ID: keyID(n), Pair: kme.Pair{Master: "master", Slave: slave}, Sealed: sealed}
}

// insertQuantumKey puts one value into each place that quantum keys have; n is up to 3.
func insertQuantumKey(ctx context.Context, tx vault.Tx, n int, sealed []byte) error {
	keys := tx.QuantumKeys()
	if err := keys.(quantum.KeysTx).Quantum().PutSecret(ctx, secretOf(n, sealed)); err != nil {
		return err
	}
	return errors.Join(keys.InsertPooled(ctx, pooled(n, sealed)), keys.InsertDelivered(ctx, deliveredKey(n, "slave")),
		keys.InsertWaiting(ctx, waiting(n, "slave", sealed)))
}

func updateKeys(t *testing.T, db Database, want error, fn func(context.Context, kme.Tx) error) {
	t.Helper()
	if err := db.UpdateQuantumKeys(t.Context(), func(tx kme.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func testQuantumKeys(t *testing.T, db Database) {
	pair, reverse := kme.Pair{Master: "master", Slave: "slave"}, kme.Pair{Master: "slave", Slave: "master"}
	count := func(p kme.Pair, want int) {
		t.Helper()
		if err := db.ViewQuantumKeys(t.Context(), func(tx kme.Tx) error {
			n, err := tx.Pooled(t.Context(), p)
			equal(t, "keys in the pool", n, want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	oldest := pooled(9, []byte{9})
	oldest.MadeAt = start.Add(-time.Second)
	other := pooled(7, []byte{7})
	other.Pair = reverse
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error {
		return errors.Join(tx.InsertPooled(ctx, pooled(2, []byte{2})), tx.InsertPooled(ctx, pooled(1, []byte{1})), tx.InsertPooled(ctx, oldest),
			tx.InsertPooled(ctx, other))
	})
	updateKeys(t, db, vault.ErrExists, func(ctx context.Context, tx kme.Tx) error { return tx.InsertPooled(ctx, oldest) })
	count(pair, 3)
	count(reverse, 1)
	take := func(p kme.Pair, n int, want ...kme.Pooled) {
		t.Helper()
		updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error {
			got, err := tx.TakePooled(ctx, p, n)
			equal(t, "taken", got, want)
			return err
		})
	}
	taken := errors.New("taken back")
	updateKeys(t, db, taken, func(ctx context.Context, tx kme.Tx) error {
		if got, err := tx.TakePooled(ctx, pair, 3); err != nil || len(got) != 3 {
			t.Errorf("%d keys, %v", len(got), err)
		}
		return taken
	})
	take(pair, 2, oldest, pooled(1, []byte{1}))
	take(pair, 2, pooled(2, []byte{2}))
	take(pair, 2)
	count(reverse, 1)

	later := deliveredKey(4, "slave")
	later.At = start.Add(time.Hour)
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error {
		return errors.Join(tx.InsertDelivered(ctx, deliveredKey(3, "slave", "urn:x/y z")), tx.InsertDelivered(ctx, later),
			tx.InsertWaiting(ctx, waiting(3, "slave", []byte{3})), tx.InsertWaiting(ctx, waiting(3, "urn:x/y z", []byte{4})),
			tx.InsertWaiting(ctx, waiting(4, "slave", []byte{5})))
	})
	updateKeys(t, db, vault.ErrExists, func(ctx context.Context, tx kme.Tx) error {
		return tx.InsertWaiting(ctx, waiting(3, "slave", []byte{3}))
	})
	updateKeys(t, db, kme.ErrNotFound, func(ctx context.Context, tx kme.Tx) error {
		return tx.InsertWaiting(ctx, waiting(5, "slave", []byte{3}))
	})
	updateKeys(t, db, kme.ErrNotFound, func(ctx context.Context, tx kme.Tx) error { _, err := tx.Delivered(ctx, keyID(5)); return err })
	fetch := func(n int, slave string, want error) {
		t.Helper()
		updateKeys(t, db, want, func(ctx context.Context, tx kme.Tx) error {
			d, err := tx.Delivered(ctx, keyID(3))
			if err != nil {
				return err
			}
			equal(t, "delivered", d, deliveredKey(3, "slave", "urn:x/y z"))
			w, err := tx.TakeWaiting(ctx, keyID(n), slave)
			if err == nil {
				equal(t, "waiting", w, waiting(n, slave, []byte{3}))
			}
			return err
		})
	}
	fetch(3, "slave", nil)
	fetch(3, "slave", kme.ErrNotFound)
	fetch(3, "master", kme.ErrNotFound)
	fetch(9, "slave", kme.ErrNotFound)

	remove := func(before time.Time, fetched bool, want int64) {
		t.Helper()
		updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error {
			n, err := tx.DeleteDelivered(ctx, before, fetched, 10)
			equal(t, "removed", n, want)
			return err
		})
	}
	remove(start.Add(time.Minute), true, 0) // one slave has not fetched it
	remove(start, false, 0)
	remove(start.Add(time.Minute), false, 1)
	fetch3 := func(ctx context.Context, tx kme.Tx) error {
		_, err := tx.TakeWaiting(ctx, keyID(3), "urn:x/y z")
		return err
	}
	updateKeys(t, db, kme.ErrNotFound, fetch3)
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error {
		_, err := tx.TakeWaiting(ctx, keyID(4), "slave")
		return err
	})
	remove(start.Add(2*time.Hour), false, 0)
	remove(start.Add(2*time.Hour), true, 1)

	for what, fn := range map[string]func(ctx context.Context, tx kme.Tx) error{
		"nothing sealed in the pool": func(ctx context.Context, tx kme.Tx) error { return tx.InsertPooled(ctx, pooled(8, nil)) },
		"one SAE in the pool": func(ctx context.Context, tx kme.Tx) error {
			k := pooled(8, []byte{1})
			k.Slave = k.Master
			return tx.InsertPooled(ctx, k)
		},
		"no slave":               func(ctx context.Context, tx kme.Tx) error { return tx.InsertDelivered(ctx, deliveredKey(8)) },
		"a slave without a name": func(ctx context.Context, tx kme.Tx) error { return tx.InsertDelivered(ctx, deliveredKey(8, "")) },
		"nothing that waits": func(ctx context.Context, tx kme.Tx) error {
			return errors.Join(tx.InsertDelivered(ctx, deliveredKey(8, "slave")), tx.InsertWaiting(ctx, waiting(8, "slave", nil)))
		},
	} {
		if err := db.UpdateQuantumKeys(t.Context(), func(tx kme.Tx) error { return fn(t.Context(), tx) }); err == nil {
			t.Errorf("%s is kept", what)
		}
	}
	for what, fn := range map[string]func(ctx context.Context, tx kme.Tx) error{
		"taken": func(ctx context.Context, tx kme.Tx) error { _, err := tx.TakePooled(ctx, reverse, 1); return err },
		"fetched": func(ctx context.Context, tx kme.Tx) error {
			_, err := tx.TakeWaiting(ctx, keyID(1), "slave")
			return err
		},
	} {
		if err := db.ViewQuantumKeys(t.Context(), func(tx kme.Tx) error { return fn(t.Context(), tx) }); err == nil {
			t.Errorf("a key is %s in a View", what)
		}
	}
	count(reverse, 1)
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error { return tx.EmptyPools(ctx) })
	count(reverse, 0)
}

// testQuantumKeysErased wants nothing of a person's keys to be left once the person is erased, and all of others'.
func testQuantumKeysErased(t *testing.T, db Database) {
	people(t, db, 1)
	gone := string(Person(1).ID)
	id := 0
	insert := func(tx kme.Tx, master string, slaves ...string) error {
		ctx := t.Context()
		id++
		k := kme.Pooled{ID: keyID(id), Pair: kme.Pair{Master: master, Slave: slaves[0]}, Sealed: []byte{1}, MadeAt: start}
		err := errors.Join(tx.InsertPooled(ctx, k), tx.InsertDelivered(ctx, kme.Delivered{ID: k.ID, Master: master, Slaves: slaves, At: start}))
		for _, slave := range slaves {
			err = errors.Join(err, tx.InsertWaiting(ctx, kme.Waiting{ID: k.ID, Pair: kme.Pair{Master: master, Slave: slave}, Sealed: []byte{1}}))
		}
		return err
	}
	updateKeys(t, db, nil, func(_ context.Context, tx kme.Tx) error {
		return errors.Join(insert(tx, gone, "b", "c"), insert(tx, "b", gone), insert(tx, "b", "c", gone))
	})
	update(t, db, func(ctx context.Context, tx vault.Tx) error { return tx.People().Erase(ctx, Person(1).ID) })
	for pair, want := range map[kme.Pair]int{{Master: gone, Slave: "b"}: 0, {Master: "b", Slave: gone}: 0, {Master: "b", Slave: "c"}: 1} {
		if err := db.ViewQuantumKeys(t.Context(), func(tx kme.Tx) error {
			n, err := tx.Pooled(t.Context(), pair)
			equal(t, "keys in a pool", n, want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []struct {
		id    int
		slave string
		want  error
	}{{1, "b", kme.ErrNotFound}, {1, "c", kme.ErrNotFound}, {2, gone, kme.ErrNotFound}, {3, gone, kme.ErrNotFound}, {3, "c", nil}} {
		updateKeys(t, db, w.want, func(ctx context.Context, tx kme.Tx) error {
			_, err := tx.TakeWaiting(ctx, keyID(w.id), w.slave)
			return err
		})
	}
}

// testQuantumKeysAtOnce has many take from one pool, and many fetch one key.
func testQuantumKeysAtOnce(t *testing.T, db Database) {
	const keys, takers = 40, 8
	pair := pooled(1, nil).Pair
	updateKeys(t, db, nil, func(ctx context.Context, tx kme.Tx) error {
		for n := range keys {
			if err := tx.InsertPooled(ctx, pooled(n+1, []byte{1})); err != nil {
				return err
			}
		}
		return errors.Join(tx.InsertDelivered(ctx, deliveredKey(1, "slave")), tx.InsertWaiting(ctx, waiting(1, "slave", []byte{1})))
	})
	var mu sync.Mutex
	var taken []string
	fetched := 0
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for range keys / takers {
				var got []kme.Pooled
				if err := db.UpdateQuantumKeys(t.Context(), func(tx kme.Tx) (err error) {
					got, err = tx.TakePooled(t.Context(), pair, 1)
					return err
				}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, k := range got {
					taken = append(taken, k.ID.String())
				}
				mu.Unlock()
			}
			err := db.UpdateQuantumKeys(t.Context(), func(tx kme.Tx) error {
				_, err := tx.TakeWaiting(t.Context(), keyID(1), "slave")
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				fetched++
			} else if !errors.Is(err, kme.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(taken)
	if n := len(slices.Compact(taken)); n != keys || len(taken) != keys || fetched != 1 {
		t.Errorf("of %d keys %d were taken, %d of them different; one was fetched %d times", keys, len(taken), n, fetched)
	}
}
