package auditlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/masterkey"
)

// secretsOf are the bytes that nobody may find after a person's erasure: the key, sealed and open, and each
// part, sealed and open, with its salt.
func (h *house) secretsOf(t *testing.T, n int) (secrets [][]byte) {
	t.Helper()
	h.view(t, func(ctx context.Context, store auditlog.Store) error {
		keys, err := store.KeysOf(ctx, person(n))
		if err != nil || len(keys) != 1 {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		plain, err := h.Master.Open("stonevault.v1/audit_keys/"+person(n)+"/"+string('0'+rune(keys[0].Number)), keys[0].Sealed)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, keys[0].Sealed, plain)
		events, err := store.EventsBefore(ctx, 1<<40, keys[0].Number, 100_000)
		for _, e := range events {
			for _, p := range e.Parts {
				if p.Key == keys[0].Number {
					secrets = append(secrets, p.Sealed)
				}
			}
		}
		return err
	})
	for _, e := range h.list(t, auditlog.Query{Person: person(n), Limit: 100_000}, auditlog.Viewer{Person: person(n)}) {
		if e.Index == auditlog.Pending {
			continue
		}
		r, err := h.reader.Receipt(t.Context(), e.ID, auditlog.ViewAll)
		if err != nil {
			t.Fatal(err)
		}
		for slot, values := range map[audit.Slot]audit.Values{audit.Actor: e.Event.Actor, audit.Subject: e.Event.Subject} {
			if o := r.Record.Openings[slot]; values["person"] == person(n) {
				secrets = append(secrets, o[:audit.SaltSize], o[audit.SaltSize:])
			}
		}
	}
	return secrets
}

// traces tells in which of the database's files, or in a copy of its content, any of the secrets is.
func (h *house) traces(t *testing.T, secrets [][]byte) (found []string) {
	t.Helper()
	dump := filepath.Join(t.TempDir(), "dump.db")
	if _, err := h.raw(t).Exec(`VACUUM INTO $1`, dump); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(h.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, dump) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(secrets, func(s []byte) bool { return bytes.Contains(content, s) }) {
			found = append(found, filepath.Base(name))
		}
	}
	slices.Sort(found)
	return found
}

// TestErase: of an erased person nothing is left in any file, everything else is as it was, and the log says
// what is gone and why.
func TestErase(t *testing.T) {
	h := newHouse(t)
	const events = 600
	for from := 1; from <= events; from += 100 {
		h.record(t, puts(from, 100)...)
		if from%200 == 1 {
			h.step(t)
		}
	}
	h.step(t)
	before := head(t, h)
	gone, kept := h.secretsOf(t, 1), h.secretsOf(t, 2)
	if found := h.traces(t, gone); len(gone) < 900 || !slices.Contains(found, "dump.db") || !slices.Contains(found, "vault.db-wal") {
		t.Fatalf("of %d secrets, traces are in %q: the test has lost its meaning", len(gone), found)
	}
	h.record(t, put(events+1, 1, 2)) // has no index when the erasure begins
	var parts int
	for _, e := range puts(1, 100) {
		for _, v := range []audit.Values{e.Actor, e.Subject} {
			if v["person"] == person(1) {
				parts += events / 100
			}
		}
	}
	parts++

	if _, err := h.erase(t, person(1), whoActs(1)); !errors.Is(err, auditlog.ErrSelf) {
		t.Errorf("erasing oneself: %v", err)
	}
	done, err := h.erase(t, person(1), whoActs(2))
	if err != nil || done.Parts != parts || len(done.Events) != 1 {
		t.Fatalf("%+v, %v; want %d parts", done, err, parts)
	}
	if found := h.traces(t, gone); found != nil {
		t.Errorf("traces are left in %q", found)
	}
	if found := h.traces(t, kept); !slices.Contains(found, "vault.db") || !slices.Contains(found, "dump.db") {
		t.Errorf("what is about another person is in %q", found)
	}
	h.step(t)
	r := h.fsck(t)
	erasure := int64(events + 2)
	if !r.OK() || r.Events != events+3 || !slices.Equal(r.Erasures, []audit.Erasure{{Event: erasure, Parts: int64(parts)}}) {
		t.Errorf("fsck: %v, %+v", r.Findings, r)
	}
	now := head(t, h)
	proof, _, err := h.reader.Consistency(t.Context(), before.Size)
	if err != nil || now.VerifyConsistency(before, proof) != nil {
		t.Errorf("the log doesn't continue the one before: %v", err)
	}
	// Two people in one event: the other's part is still there.
	receipt, err := h.reader.ReceiptAt(t.Context(), 2, auditlog.ViewAll) // put(2, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, e, missing, err := receipt.Verify(publicKey(t, h)); err != nil || missing != nil || e.Actor["person"] != person(2) {
		t.Errorf("an event without the erased: missing %v, %v", missing, err)
	}
	receipt, err = h.reader.ReceiptAt(t.Context(), events+1, auditlog.ViewAll) // put(…, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, e, missing, err := receipt.Verify(publicKey(t, h)); err != nil || !slices.Equal(missing, []audit.Slot{audit.Actor}) || e.Subject["person"] != person(2) {
		t.Errorf("an event with the erased: missing %v, %v", missing, err)
	}
	if page := h.list(t, auditlog.Query{Person: person(1), Limit: 10}, auditlog.ViewAll); len(page) != 0 {
		t.Errorf("%d events about nobody", len(page))
	}

	// Again does nothing; what comes later about the same person has a key of its own and can be erased too.
	if done, err := h.erase(t, person(1), nil); err != nil || done.Parts != 0 {
		t.Errorf("a second erasure: %+v, %v", done, err)
	}
	h.record(t, put(events+2, 1, 1))
	h.step(t)
	gone = h.secretsOf(t, 1)
	if done, err := h.erase(t, person(1), nobody()); err != nil || done.Parts != 2 {
		t.Errorf("what came later: %+v, %v", done, err)
	}
	if found := h.traces(t, gone); found != nil {
		t.Errorf("of what came later, traces are left in %q", found)
	}
	h.step(t)
	if r := h.fsck(t); !r.OK() || len(r.Erasures) != 2 {
		t.Errorf("fsck: %v, %+v", r.Findings, r)
	}
}

// TestEraseInPieces lists more parts than one event can.
func TestEraseInPieces(t *testing.T) {
	h := newHouse(t)
	var events []audit.Event
	for n := range audit.MaxParts/2 + 10 {
		events = append(events, put(n, 1, 1))
	}
	h.record(t, events...)
	done, err := h.erase(t, person(1), nil)
	if err != nil || done.Parts != audit.MaxParts+20 || len(done.Events) != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	h.step(t)
	r := h.fsck(t)
	at := int64(len(events)) + 1
	if want := []audit.Erasure{{Event: at, Parts: audit.MaxParts}, {Event: at + 1, Parts: 20}}; !r.OK() || !slices.Equal(r.Erasures, want) {
		t.Errorf("fsck: %v, %v", r.Findings, r.Erasures)
	}
}

// TestEraseFaults fails each statement and commit of an erasure: it is done, and recorded, or it is not.
func TestEraseFaults(t *testing.T) {
	h := newHouse(t)
	h.step(t)
	n := 0
	eachFault(t, func(t *testing.T, f *faults) {
		n++
		h.record(t, put(n, n, 9999))
		h.faulty(t, f)
		done, err := h.erase(t, person(n), nobody())
		if err != nil && !errors.Is(err, errInjected) {
			t.Fatal(err)
		}
		h.repaired(t)
		h.step(t)
		left := h.list(t, auditlog.Query{Person: person(n), Limit: 10}, auditlog.ViewAll)
		if err == nil && (len(left) != 0 || done.Parts != 1) || len(left) > 1 {
			t.Errorf("erased: %v; %d events are left", err, len(left))
		}
		if r := h.fsck(t); !r.OK() || r.Unsigned != 0 {
			t.Errorf("fsck: %v", r.Findings)
		}
	})
}

// TestWrongMasterKey: without the master key nothing is signed, read or recorded.
func TestWrongMasterKey(t *testing.T) {
	h := newHouse(t)
	h.record(t, put(1, 1, 2))
	h.step(t)
	other, err := masterkey.CreateFile(filepath.Join(t.TempDir(), "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	h.Master = other
	h.parts(t)
	err = h.Database.Update(t.Context(), func(store auditlog.Store) error {
		_, err := h.recorder.Record(t.Context(), store, put(2, 1, 2))
		return err
	})
	if err == nil {
		t.Error("an event was recorded")
	}
	if err := h.sequencer.Step(t.Context()); err == nil {
		t.Error("the sequencer went on")
	}
	if _, err := h.reader.ReceiptAt(t.Context(), 1, auditlog.ViewAll); err == nil {
		t.Error("a receipt was made")
	}
}

// TestKeyAway: while the master key cannot be used nothing is recorded or read, and nobody takes that for a log that was
// changed; it goes on where it was.
func TestKeyAway(t *testing.T) {
	h := newHouse(t)
	h.record(t, put(1, 1, 2))
	h.step(t)
	key, ok := h.Master.(*masterkey.Key)
	if !ok {
		t.Fatalf("the key is a %T", h.Master)
	}
	same := func() *masterkey.Key {
		again, err := masterkey.ReadFile(h.keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	away := fmt.Errorf("%w: it is a test", auditlog.ErrKeyAway)
	key.Suspend(away)
	h.recorder.ForgetKeys()
	for what, err := range map[string]error{
		"recording": h.Database.Update(t.Context(), func(store auditlog.Store) error {
			_, err := h.recorder.Record(t.Context(), store, put(2, 1, 2))
			return err
		}),
		"a receipt": func() error { _, err := h.reader.ReceiptAt(t.Context(), 1, auditlog.ViewAll); return err }(),
		"a list": func() error {
			_, err := h.reader.List(t.Context(), auditlog.Query{Limit: 10}, auditlog.ViewAll)
			return err
		}(),
	} {
		if !errors.Is(err, auditlog.ErrKeyAway) || errors.Is(err, auditlog.ErrRewritten) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := key.Resume(same()); err != nil {
		t.Fatal(err)
	}
	h.record(t, put(2, 1, 2))
	h.step(t)
	if _, err := h.reader.ReceiptAt(t.Context(), 2, auditlog.ViewAll); err != nil {
		t.Error(err)
	}
}
