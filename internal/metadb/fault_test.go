package metadb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/internal/vault"
)

// torture says whether campaigns run at full length.
func torture() bool { return os.Getenv("STONEVAULT_TORTURE") == "1" }

const killedVariable = "STONEVAULT_METADB_TEST_KILLED"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedVariable); path != "" {
		if err := writeUntilKilled(path); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	os.Exit(m.Run())
}

// writeUntilKilled makes Updates of two rows each and prints the name of those that were acknowledged.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	db, err := OpenSQLite(ctx, path, version1)
	if err != nil {
		return err
	}
	var output sync.Mutex
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d/%d/%d", os.Getpid(), g, i)
				err := db.Update(ctx, func(tx vault.Tx) error {
					if err := tx.Settings().Put(ctx, name+"/a", make([]byte, 3000)); err != nil {
						return err
					}
					return tx.Settings().Put(ctx, name+"/b", []byte("x"))
				})
				output.Lock()
				if err != nil {
					fmt.Println("error", err)
				} else {
					fmt.Println(name)
				}
				output.Unlock()
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKill kills a program while it writes: what it acknowledged is there, and no Update is there by half.
func TestKill(t *testing.T) {
	rounds := 5
	if torture() {
		rounds = 100
	}
	path := filepath.Join(t.TempDir(), "vault.db")
	acknowledged := map[string]bool{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killedVariable+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Errorf("round %d: %s", round, lines.Text())
			}
			acknowledged[lines.Text()] = true
			if n == 10+37*round%200 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	if len(acknowledged) < 50 {
		t.Fatalf("only %d updates were acknowledged", len(acknowledged))
	}

	db := open(t, path)
	rows := map[string]int{}
	if err := db.ReadTx(t.Context(), func(tx *Tx) error {
		names, err := all(t.Context(), tx, func(s scanner) (name string, err error) { return name, s.Scan(&name) }, `SELECT name FROM settings`)
		for _, name := range names {
			rows[name[:len(name)-2]]++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name := range acknowledged {
		if rows[name] != 2 {
			t.Errorf("%s was acknowledged and has %d rows", name, rows[name])
		}
	}
	for name, n := range rows {
		if n != 2 {
			t.Errorf("%s is there by half", name)
		}
	}
	if complaints, err := db.Check(t.Context()); err != nil || len(complaints) != 0 {
		t.Errorf("check: %q, %v", complaints, err)
	}
	t.Logf("%d kills, %d acknowledged, %d persisted", rounds, len(acknowledged), len(rows))
}

// fillUp puts large settings until the database has no room, and returns those that were acknowledged.
func fillUp(t *testing.T, db *DB) (stored []string) {
	t.Helper()
	for i := range 10_000 {
		name := fmt.Sprintf("large %d", i)
		err := db.Update(t.Context(), func(tx vault.Tx) error {
			if err := tx.Settings().Put(t.Context(), name+" first", []byte("x")); err != nil {
				return err
			}
			return tx.Settings().Put(t.Context(), name, make([]byte, 20_000))
		})
		switch {
		case errors.Is(err, vault.ErrNoSpace):
			if hasSetting(t, db, name) || hasSetting(t, db, name+" first") {
				t.Errorf("%s failed, but persisted", name)
			}
			return stored
		case err != nil:
			t.Fatalf("%s: %v, want %v", name, err, vault.ErrNoSpace)
		}
		stored = append(stored, name)
	}
	t.Fatal("the database has room without end")
	return nil
}

// TestNoRoom lets SQLite run out of pages, within a statement.
func TestNoRoom(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	limit := func(pages int) error {
		return db.WriteTx(t.Context(), func(tx *Tx) error {
			_, err := tx.session.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		})
	}
	if err := limit(200); err != nil {
		t.Fatal(err)
	}
	for _, name := range fillUp(t, db) {
		if !hasSetting(t, db, name) {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}

	// An fn that drops the error gains nothing by it, and takes nobody else's change with it unnoticed.
	err := db.Update(t.Context(), func(tx vault.Tx) error {
		for i := range 1000 {
			if err := tx.Settings().Put(t.Context(), fmt.Sprintf("dropped %d", i), make([]byte, 20_000)); err != nil {
				break
			}
		}
		tx.Settings().Put(t.Context(), "after", []byte("x"))
		return nil
	})
	if !errors.Is(err, vault.ErrNoSpace) || hasSetting(t, db, "dropped 0") || hasSetting(t, db, "after") {
		t.Errorf("dropped error: %v", err)
	}
	if err := limit(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := putSetting(t, db, "again"); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestLostTransaction takes the whole transaction away from under a batch. Everybody in it must learn.
func TestLostTransaction(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	inside, queued := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	wg.Go(func() {
		errs[0] = db.WriteTx(t.Context(), func(tx *Tx) error {
			close(inside)
			<-queued
			return tx.Settings().Put(t.Context(), "0", []byte("x"))
		})
	})
	<-inside
	for i := 1; i < len(errs); i++ {
		wg.Go(func() {
			errs[i] = db.WriteTx(t.Context(), func(tx *Tx) error {
				if err := tx.Settings().Put(t.Context(), fmt.Sprint(i), []byte("x")); err != nil || i != 4 {
					return err
				}
				_, err := tx.session.conn.ExecContext(t.Context(), "ROLLBACK") // as SQLite does by itself when the disk fails
				return err
			})
		})
	}
	time.Sleep(50 * time.Millisecond) // so that most of them wait; the test holds however many do
	close(queued)
	wg.Wait()
	for i, err := range errs {
		if has := hasSetting(t, db, fmt.Sprint(i)); has != (err == nil) {
			t.Errorf("update %d: reported %v, persisted %v", i, err, has)
		}
	}
	if errs[0] == nil || errs[4] == nil {
		t.Errorf("the lost transaction was reported as %v and %v", errs[0], errs[4])
	}
	if err := putSetting(t, db, "again"); err != nil {
		t.Error(err)
	}
}

// TestFailedCommit keeps a deferred constraint broken until COMMIT, which then fails for all.
func TestFailedCommit(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	err := db.WriteTx(t.Context(), func(tx *Tx) error {
		if err := tx.Settings().Put(t.Context(), "a", []byte("x")); err != nil {
			return err
		}
		for _, text := range []string{"PRAGMA defer_foreign_keys = 1", "INSERT INTO refresh_tokens VALUES (zeroblob(32), 'nobody', 0, 0, NULL)"} {
			if _, err := tx.session.conn.ExecContext(t.Context(), text); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || hasSetting(t, db, "a") {
		t.Errorf("reported %v, persisted %v", err, hasSetting(t, db, "a"))
	}
	if err := putSetting(t, db, "b"); err != nil {
		t.Errorf("the next update: %v", err)
	}
}

// coded stands for a driver's error of any code.
type coded int

func (c coded) Error() string { return "text that means nothing: UNIQUE constraint failed, disk full" }
func (c coded) Code() int     { return int(c) }

func TestClassify(t *testing.T) {
	for code, want := range map[coded]error{
		13: vault.ErrNoSpace, 10 | 19<<8: vault.ErrNoSpace,
		19 | 8<<8: vault.ErrExists, 19 | 6<<8: vault.ErrExists, 19 | 10<<8: vault.ErrExists,
		19 | 3<<8: errReference,
		5:         ErrBusy, 5 | 2<<8: ErrBusy,
		11: ErrCorrupt, 11 | 3<<8: ErrCorrupt, 26: ErrCorrupt,
		8: ErrReadOnly, 8 | 4<<8: ErrReadOnly,
		10 | 4<<8: ErrUnsafe, 10 | 5<<8: ErrUnsafe,
		1: nil, 19: nil, 19 | 1<<8: nil, 10 | 3<<8: nil, 0: nil,
	} {
		err := classifySQLite(fmt.Errorf("wrapped: %w", code))
		if !errors.Is(err, code) {
			t.Errorf("code %d lost the driver's error", code)
		}
		for _, sentinel := range []error{vault.ErrNoSpace, vault.ErrExists, errReference, ErrBusy, ErrCorrupt, ErrReadOnly, ErrUnsafe} {
			if errors.Is(err, sentinel) != (sentinel == want) {
				t.Errorf("code %d: %v", code, err)
			}
		}
	}
}

// TestBusy lets another program hold the lock for longer than anybody waits.
func TestBusy(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: it waits ten seconds; run without -short")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	raw := rawDB(t, path)
	if _, err := raw.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			defer cancel()
			want := ErrBusy
			if i > 1 { // these give up earlier
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				want = context.DeadlineExceeded
			}
			if err := db.Update(ctx, func(tx vault.Tx) error { return tx.Settings().Put(ctx, "a", nil) }); !errors.Is(err, want) {
				t.Errorf("update %d: %v, want %v", i, err, want)
			}
		})
	}
	wg.Wait()
	if hasSetting(t, db, "a") {
		t.Error("a row was written past the lock of another program")
	}
	if _, err := raw.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := putSetting(t, db, "b"); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

// TestUnsafe fails a sync in name only: nothing may be written from then on, and reads go on.
func TestUnsafe(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "vault.db"))
	if err := putSetting(t, db, "a"); err != nil {
		t.Fatal(err)
	}
	real := *db.dialect
	failing := real
	failing.classify = func(error) error { return real.classify(coded(10 | 4<<8)) }
	if err := db.WriteTx(t.Context(), func(tx *Tx) error {
		db.writer.(*writer).dialect = &failing // the writer waits for this turn to end
		_, err := tx.session.conn.ExecContext(t.Context(), "PRAGMA defer_foreign_keys = 1")
		if err == nil {
			_, err = tx.session.conn.ExecContext(t.Context(), "INSERT INTO refresh_tokens VALUES (zeroblob(32), 'nobody', 0, 0, NULL)")
		}
		return err
	}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("the commit: %v", err)
	}
	if err := putSetting(t, db, "b"); !errors.Is(err, ErrUnsafe) {
		t.Errorf("the next update: %v", err)
	}
	if !hasSetting(t, db, "a") || hasSetting(t, db, "b") {
		t.Error("reads are wrong")
	}
	if err := db.Ping(t.Context()); !errors.Is(err, ErrUnsafe) {
		t.Errorf("ping: %v", err)
	}
}
