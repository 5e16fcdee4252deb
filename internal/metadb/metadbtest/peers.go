package metadbtest

import (
	"errors"
	"testing"
	"time"

	"stonevault/internal/peers"
	"stonevault/internal/vault"
)

func server(n int) peers.Server {
	return peers.Server{
		ID: ID[string](n), Place: ID[string](100 + n), Name: "höst", StartedAt: start.Add(time.Duration(n) * time.Second),
		Terms: peers.Terms{Counter: "r", Objects: "o", Settings: "s"}, ExpiresAt: start.Add(time.Minute),
	}
}

// among runs fn in a transaction of servers, which must end with an error.
func among(t *testing.T, db Database, want error, fn func(tx peers.Tx) error) {
	t.Helper()
	if err := db.UpdatePeers(t.Context(), fn); !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func wantServers(t *testing.T, db Database, want ...peers.Server) {
	t.Helper()
	err := db.ViewPeers(t.Context(), func(tx peers.Tx) error {
		got, err := tx.Servers(t.Context())
		if len(got)+len(want) > 0 {
			equal(t, "servers", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func testServers(t *testing.T, db Database) {
	ctx := t.Context()
	one, two := server(1), server(2)
	two.Terms = peers.Terms{}
	among(t, db, nil, func(tx peers.Tx) error { return errors.Join(tx.InsertServer(ctx, two), tx.InsertServer(ctx, one)) })
	wantServers(t, db, one, two)
	samePlace := server(3)
	samePlace.Place = one.Place
	among(t, db, vault.ErrExists, func(tx peers.Tx) error { return tx.InsertServer(ctx, samePlace) })
	one.ExpiresAt = one.ExpiresAt.Add(time.Second)
	among(t, db, nil, func(tx peers.Tx) error { return tx.RenewServer(ctx, one.ID, one.ExpiresAt) })
	among(t, db, peers.ErrNotFound, func(tx peers.Tx) error { return tx.RenewServer(ctx, ID[string](9), one.ExpiresAt) })
	wantServers(t, db, one, two)
	among(t, db, nil, func(tx peers.Tx) error {
		return errors.Join(tx.DeleteServer(ctx, two.ID), tx.DeleteServer(ctx, ID[string](9)))
	})
	wantServers(t, db, one)
}

func testLeases(t *testing.T, db Database) {
	ctx := t.Context()
	one, two := server(1), server(2)
	among(t, db, nil, func(tx peers.Tx) error {
		return errors.Join(tx.InsertServer(ctx, one), tx.InsertServer(ctx, two), tx.PutLease(ctx, "a", one.ID), tx.PutLease(ctx, "b", one.ID), tx.PutLease(ctx, "c", two.ID))
	})
	holder := func(name, want string) {
		t.Helper()
		err := db.ViewPeers(ctx, func(tx peers.Tx) error {
			got, err := tx.Holder(ctx, name)
			if got != want || want == "" && !errors.Is(err, peers.ErrNotFound) || want != "" && err != nil {
				t.Errorf("%s is held by %q, %v; want %q", name, got, err, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wanted := func(server string, want ...string) {
		t.Helper()
		err := db.ViewPeers(ctx, func(tx peers.Tx) error {
			got, err := tx.Wanted(ctx, server)
			if len(got)+len(want) > 0 {
				equal(t, "wanted", got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	among(t, db, peers.ErrNotFound, func(tx peers.Tx) error { return tx.PutLease(ctx, "d", ID[string](9)) })
	among(t, db, nil, func(tx peers.Tx) error {
		return errors.Join(tx.Want(ctx, "b"), tx.Want(ctx, "a"), tx.Want(ctx, "c"), tx.Want(ctx, "nobody's"))
	})
	wanted(one.ID, "a", "b")
	among(t, db, nil, func(tx peers.Tx) error {
		return errors.Join(tx.PutLease(ctx, "a", two.ID), tx.DeleteLease(ctx, "b", two.ID), tx.DeleteLease(ctx, "nobody's", one.ID))
	})
	wanted(one.ID, "b")
	wanted(two.ID, "c") // what changed hands is asked for anew
	holder("a", two.ID)
	holder("b", one.ID)
	holder("nobody's", "")
	among(t, db, nil, func(tx peers.Tx) error { return tx.DeleteLease(ctx, "b", one.ID) })
	holder("b", "")
	among(t, db, nil, func(tx peers.Tx) error { return tx.DeleteServer(ctx, two.ID) })
	holder("a", "")
}
