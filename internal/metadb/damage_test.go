package metadb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/metadb/metadbtest"
	"stonevault/internal/vault"
	"stonevault/qkd/kme"
)

// TestDamagedRows changes one field at a time behind the program's back, constraints off, and demands an
// error from whatever reads the row.
func TestDamagedRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	owner := benchOwner(t, db)
	node, version := metadbtest.File(1, owner, "", "a")
	folder := metadbtest.Folder(2, owner, "", "b")
	now := version.SealedAt
	root := vault.Identity{ID: metadbtest.ID[vault.IdentityID](1), Kind: vault.KindRoot, Version: 1, Suite: identity.SuiteHybrid,
		Fingerprint: identity.Fingerprint(strings.Repeat("f", 32)), Public: []byte{1}, CreatedAt: now}
	session := auth.Session{ID: "s", Person: string(owner), CreatedAt: now, LastUsedAt: now, ExpiresAt: now}
	token := auth.RefreshToken{Hash: []byte(strings.Repeat("h", 32)), Session: "s", CreatedAt: now, ExpiresAt: now}
	key := auth.TokenKey{ID: "k", Sealed: []byte{1}, CreatedAt: now}
	intent := vault.Intent{FileID: version.FileID, Kind: vault.IntentPut, CreatedAt: now}
	log := auditlog.Log{ID: 1, Origin: "o", Public: "p", SealedSeed: []byte{1}, BegunAt: now}
	auditKey := auditlog.Key{Number: 1, Person: string(owner), Sealed: []byte{1}}
	checkpoint := auditlog.Checkpoint{Log: 1, Size: 1, Text: []byte{1}, SignedAt: now}
	delivered := kme.Delivered{Master: "a", Slaves: []string{"b"}, At: now}
	pooled := kme.Pooled{Pair: kme.Pair{Master: "a", Slave: "b"}, Sealed: []byte{1}, MadeAt: now}
	anchors := db.Journal(unrecorded)
	planned := anAnchor()
	ctx := t.Context()
	if err := db.WriteTx(ctx, func(tx *Tx) error {
		return errors.Join(metadbtest.InsertFile(ctx, tx, node, version), tx.Nodes().Insert(ctx, folder), tx.Identities().Insert(ctx, root),
			tx.Intents().Insert(ctx, intent), tx.InsertSession(ctx, session), tx.InsertRefresh(ctx, token), tx.InsertTokenKey(ctx, key),
			tx.Audit().InsertLog(ctx, log), tx.Audit().InsertKey(ctx, auditKey), tx.Audit().PutCheckpoint(ctx, checkpoint),
			tx.QuantumKeys().InsertDelivered(ctx, delivered), tx.QuantumKeys().InsertPooled(ctx, pooled),
			tx.QuantumKeys().InsertWaiting(ctx, kme.Waiting{Pair: pooled.Pair, Sealed: []byte{1}}))
	}); err != nil {
		t.Fatal(err)
	}
	mined := moved(t, anchors, planned, journal.Signed, journal.Mined)
	readers := map[string][]func(context.Context, *Tx) error{
		"people": {
			func(ctx context.Context, tx *Tx) error { _, err := tx.People().ByID(ctx, owner); return err },
			func(ctx context.Context, tx *Tx) error { _, err := tx.AccountByNameKey(ctx, "ana 1"); return err },
		},
		"identities": {
			func(ctx context.Context, tx *Tx) error {
				_, err := tx.Identities().Current(ctx, vault.KindRoot, "")
				return err
			},
		},
		"nodes": {
			func(ctx context.Context, tx *Tx) error { _, err := tx.Nodes().ByID(ctx, node.ID); return err },
			func(ctx context.Context, tx *Tx) error { _, err := tx.Nodes().Child(ctx, owner, "", "a"); return err },
			func(ctx context.Context, tx *Tx) error {
				_, err := tx.Nodes().List(ctx, vault.ListQuery{Owner: owner, Limit: 10})
				return err
			},
		},
		"versions": {
			func(ctx context.Context, tx *Tx) error { _, err := tx.Versions().ByID(ctx, version.FileID); return err },
			func(ctx context.Context, tx *Tx) error { _, err := tx.Versions().OfDocument(ctx, node.ID); return err },
			func(ctx context.Context, tx *Tx) error {
				_, err := tx.Nodes().List(ctx, vault.ListQuery{Owner: owner, Limit: 10})
				return err
			},
		},
		"intents": {
			func(ctx context.Context, tx *Tx) error { _, err := tx.Intents().ByID(ctx, version.FileID); return err },
			func(ctx context.Context, tx *Tx) error {
				_, err := tx.Intents().Before(ctx, now.Add(time.Hour), 10)
				return err
			},
		},
		"sessions":       {func(ctx context.Context, tx *Tx) error { _, err := tx.Session(ctx, "s"); return err }},
		"refresh_tokens": {func(ctx context.Context, tx *Tx) error { _, err := tx.Refresh(ctx, token.Hash); return err }},
		"audit_logs":     {func(ctx context.Context, tx *Tx) error { _, err := tx.Audit().CurrentLog(ctx); return err }},
		"audit_heads":    {func(ctx context.Context, tx *Tx) error { _, err := tx.Audit().Head(ctx, 1); return err }},
		"audit_checkpoints": {
			func(ctx context.Context, tx *Tx) error { _, err := tx.Audit().Checkpoint(ctx, 1); return err },
			func(ctx context.Context, tx *Tx) error { _, err := tx.Audit().Checkpoints(ctx, 1); return err },
		},
		"audit_keys": {func(ctx context.Context, tx *Tx) error { _, err := tx.Audit().Key(ctx, 1); return err }},
		"anchors": {
			func(ctx context.Context, _ *Tx) error {
				rows, err := anchors.Unsettled(ctx, mined.Scope)
				if err == nil && len(rows) == 0 {
					return journal.ErrNotFound
				}
				return err
			},
			func(ctx context.Context, _ *Tx) error {
				_, err := anchors.Newest(ctx, mined.Scope, journal.Mined)
				return err
			},
		},
		"qkd_delivered": {func(ctx context.Context, tx *Tx) error {
			_, err := tx.QuantumKeys().Delivered(ctx, delivered.ID)
			return err
		}},
		"qkd_pool": {func(ctx context.Context, _ *Tx) error {
			return db.taken(ctx, func(tx kme.Tx) error { _, err := tx.TakePooled(ctx, pooled.Pair, 1); return err })
		}},
		"qkd_waiting": {func(ctx context.Context, _ *Tx) error {
			return db.taken(ctx, func(tx kme.Tx) error { _, err := tx.TakeWaiting(ctx, delivered.ID, "b"); return err })
		}},
		"token_keys": {func(ctx context.Context, tx *Tx) error { _, err := tx.TokenKeys(ctx); return err }},
	}
	read := func(table string) (errs []error) {
		for _, fn := range readers[table] {
			errs = append(errs, db.ReadTx(ctx, func(tx *Tx) error { return fn(ctx, tx) }))
		}
		return errs
	}
	for table := range readers {
		if errs := read(table); errors.Join(errs...) != nil {
			t.Fatalf("%s before any damage: %v", table, errs)
		}
	}
	raw := rawDB(t, path)
	for _, set := range []string{"ignore_check_constraints = 1", "foreign_keys = 0"} {
		if _, err := raw.Exec("PRAGMA " + set); err != nil {
			t.Fatal(err)
		}
	}
	const far = "253402300800000" // the year 10000
	for _, tt := range []struct{ table, column, value string }{
		{"people", "role", "'owner'"}, {"people", "role", "'Admin'"}, {"people", "active", "2"}, {"people", "epoch", "-1"}, {"people", "created_at", far},
		{"people", "name", "''"},
		{"identities", "suite", "257"}, {"identities", "suite", "0"}, {"identities", "kind", "'person'"}, {"identities", "version", "0"},
		{"identities", "fingerprint", "zeroblob(48)"}, {"identities", "public", "x''"},
		{"nodes", "kind", "'link'"}, {"nodes", "kind", "'folder'"}, {"nodes", "current", "NULL"}, {"nodes", "current", "'" + strings.Repeat("A", 32) + "'"},
		{"nodes", "current", "'" + strings.Repeat("0", 32) + "'"}, {"nodes", "size", "-1"}, {"nodes", "modified_at", far}, {"nodes", "owner", "'x'"},
		{"versions", "mode", "512"}, {"versions", "mode", "4294967296 + 420"}, {"versions", "mode", "-1"}, {"versions", "number", "0"}, {"versions", "class", "'secret'"},
		{"versions", "revision", "-1"}, {"versions", "manifest_digest", "x'00'"}, {"versions", "signer", "x''"}, {"versions", "size", "-1"},
		{"versions", "body_size", "-1"}, {"versions", "sealed_at", far}, {"versions", "owner", "''"},
		{"intents", "kind", "'move'"}, {"intents", "kind", "'rewrite'"}, {"intents", "envelope", "x'00'"}, {"intents", "created_at", "-" + far},
		{"sessions", "revoked_at", "-62135596800000"}, {"sessions", "expires_at", far}, {"sessions", "person", "'x'"},
		{"refresh_tokens", "used_at", "-62135596800000"}, {"refresh_tokens", "session", "''"},
		{"audit_logs", "origin", "''"}, {"audit_logs", "sealed_seed", "x''"}, {"audit_logs", "begun_at", far},
		{"audit_heads", "size", "-1"}, {"audit_heads", "root", "zeroblob(33)"}, {"audit_heads", "root", "x''"},
		{"audit_keys", "sealed", "x''"}, {"audit_keys", "person", "'ana'"},
		{"audit_checkpoints", "size", "-1"}, {"audit_checkpoints", "text", "x''"}, {"audit_checkpoints", "text", "zeroblob(9999)"}, {"audit_checkpoints", "signed_at", far},
		{"anchors", "chain", "-1"}, {"anchors", "contract", "zeroblob(21)"}, {"anchors", "log", "x'00'"}, {"anchors", "sender", "x''"},
		{"anchors", "nonce", "-1"}, {"anchors", "previous", "20"}, {"anchors", "previous", "-1"}, {"anchors", "size", "1 << 48"},
		{"anchors", "root", "zeroblob(33)"}, {"anchors", "state", "'lost'"}, {"anchors", "state", "'sent'"}, {"anchors", "state", "'planned'"},
		{"anchors", "changed_at", far}, {"anchors", "planned_at", far}, {"anchors", "hash", "NULL"}, {"anchors", "hash", "zeroblob(31)"},
		{"anchors", "raw", "x''"}, {"anchors", "raw", "NULL"}, {"anchors", "block", "NULL"}, {"anchors", "block", "-1"},
		{"anchors", "block_hash", "NULL"}, {"anchors", "block_hash", "zeroblob(64)"}, {"anchors", "reason", "'It was lost.'"}, {"anchors", "replaces", "1"},
		{"qkd_delivered", "slaves", "'[]'"}, {"qkd_delivered", "slaves", "'b'"}, {"qkd_delivered", "slaves", `'["a"]'`}, {"qkd_delivered", "master", "''"},
		{"qkd_delivered", "delivered_at", far}, {"qkd_pool", "sealed", "x''"}, {"qkd_pool", "made_at", far}, {"qkd_pool", "id", "'1'"},
		{"qkd_waiting", "sealed", "x''"}, {"qkd_waiting", "master", "'b'"},
		{"token_keys", "sealed", "x''"}, {"token_keys", "retired_at", far},
	} {
		where := ""
		if tt.table == "nodes" {
			where = " WHERE kind = 'file'"
		}
		if _, err := raw.Exec(`CREATE TEMP TABLE saved AS SELECT * FROM ` + tt.table); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Exec(`UPDATE ` + tt.table + ` SET ` + tt.column + ` = ` + tt.value + where); err != nil {
			t.Fatalf("%s.%s: %v", tt.table, tt.column, err)
		}
		for i, err := range read(tt.table) {
			// A changed owner or key may also make the row unfindable, which is an error as well.
			missing := errors.Is(err, vault.ErrNotFound) || errors.Is(err, auth.ErrNotFound) || errors.Is(err, journal.ErrNotFound)
			keyed := tt.column == "owner" || tt.column == "kind" && tt.table == "identities" ||
				tt.table == "anchors" && slices.Contains([]string{"chain", "contract", "log", "sender", "state"}, tt.column)
			if err == nil && !(keyed && i == 2) || err != nil && !errors.Is(err, ErrCorrupt) && !(keyed && missing) {
				t.Errorf("%s.%s = %s, reader %d: %v", tt.table, tt.column, tt.value, i, err)
			}
		}
		for _, text := range []string{`DELETE FROM ` + tt.table, `INSERT INTO ` + tt.table + ` SELECT * FROM saved`, `DROP TABLE saved`} {
			if _, err := raw.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	for table := range readers {
		if errs := read(table); errors.Join(errs...) != nil {
			t.Errorf("%s after the repair: %v", table, errs)
		}
	}
}

// taken runs a delivery, and takes it back.
func (db *DB) taken(ctx context.Context, fn func(kme.Tx) error) error {
	back := errors.New("taken back")
	err := db.UpdateQuantumKeys(ctx, func(tx kme.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return back
	})
	if errors.Is(err, back) {
		return nil
	}
	return err
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	owner, _ := fill(t, db, 500)
	complaints, err := db.Check(t.Context())
	if err != nil || len(complaints) != 0 {
		t.Fatalf("a sound database: %q, %v", complaints, err)
	}
	node, _ := benchFile(7, owner, "")
	raw := rawDB(t, path)
	for _, text := range []string{"PRAGMA foreign_keys = 0", "PRAGMA ignore_check_constraints = 1"} {
		if _, err := raw.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ damage, want, repair string }{
		{`UPDATE nodes SET size = size + 1 WHERE id = $1`, "document " + string(node.ID) + " differs", `UPDATE nodes SET size = size - 1 WHERE id = $1`},
		{`UPDATE nodes SET parent = $1 || '' WHERE parent <> '' AND id > $1`, "lies in a folder that is not there", `UPDATE nodes SET parent = '00000000000000000000000000000001' WHERE parent = $1`},
		{`UPDATE versions SET document = 'x' WHERE document = $1`, "document " + string(node.ID) + " has no current version", ``},
		{`SELECT $1`, "a row refers to one that is not there: versions row ", `UPDATE versions SET document = $1 WHERE document = 'x'`},
		{`UPDATE usage SET bytes = bytes + 1 WHERE person = (SELECT owner FROM nodes WHERE id = $1)`, "use of person " + string(owner) + " is not",
			`UPDATE usage SET bytes = bytes - 1 WHERE person = (SELECT owner FROM nodes WHERE id = $1)`},
		{`INSERT INTO groups (id, name, name_key, created_at, updated_at, files) VALUES ($1, 'g', 'g', 0, 0, 1)`, "use of group " + string(node.ID) + " is not",
			`DELETE FROM groups WHERE id = $1`},
		{`UPDATE nodes SET size = -5 WHERE id = $1`, "the database file is damaged: CHECK constraint failed in nodes", ``},
	} {
		if _, err := raw.Exec(tt.damage, string(node.ID)); err != nil {
			t.Fatal(err)
		}
		complaints, err := db.Check(t.Context())
		if err != nil || !slices.ContainsFunc(complaints, func(c string) bool { return strings.Contains(c, tt.want) }) {
			t.Errorf("%s: %q, %v; want %q", tt.damage, complaints, err, tt.want)
		}
		if tt.repair != "" {
			if _, err := raw.Exec(tt.repair, string(node.ID)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDamagedFile overwrites pages of the file. Whatever is read afterwards must be an error or true.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	db := open(t, path)
	owner, folder := fill(t, db, 500)
	db.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 100; page < len(data)/4096; page += 3 {
		copy(data[page*4096:], strings.Repeat("\xa5", 4096))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db = open(t, path)
	complaints, err := db.Check(t.Context())
	if err != nil || len(complaints) == 0 {
		t.Errorf("check: %q, %v", complaints, err)
	}
	failed := 0
	for n := int64(1); n <= 500; n++ {
		node, version := benchFile(n, owner, folder)
		err := db.View(t.Context(), func(tx vault.Tx) error {
			got, err := tx.Nodes().ByID(t.Context(), node.ID)
			if err == nil && got != node {
				t.Errorf("node %d: %+v", n, got)
			}
			if err == nil {
				_, err = tx.Versions().ByID(t.Context(), version.FileID)
			}
			return err
		})
		if err != nil {
			failed++
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("node %d: %v", n, err)
			}
		}
	}
	if failed == 0 {
		t.Error("no read met the damage; the test has lost its meaning")
	}
}
