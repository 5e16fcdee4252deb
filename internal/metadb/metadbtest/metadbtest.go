// Package metadbtest is the conformance suite of metadata databases: whatever implements vault.Database,
// auth.Store, webhook.Store, once.Store, peers.Store and the audit log's side together runs it, each against its real server. It
// tests what the interfaces promise and nothing of how a database keeps it.
package metadbtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/once"
	"stonevault/internal/peers"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
	"stonevault/qkd/kme"
	"stonevault/stone"
)

// Database is what the suite tests.
type Database interface {
	vault.Database
	auth.Store
	webhook.Store
	once.Store
	peers.Store
	kme.Store
	quantum.Store
	Audit() auditlog.Database
}

// Run runs every test, each on an empty database from open.
func Run(t *testing.T, open func(t *testing.T) Database) {
	tests := []struct {
		name string
		run  func(*testing.T, Database)
	}{
		{"people", testPeople},
		{"lists of people", testPeopleLists},
		{"a person", testPersonEntry},
		{"ending sessions", testEndSessions},
		{"links", testLinks},
		{"identities", testIdentities},
		{"nodes", testNodes},
		{"trees", testTrees},
		{"versions", testVersions},
		{"intents", testIntents},
		{"uploads", testUploads},
		{"retired identities", testRetire},
		{"outlived identities", testOutlived},
		{"settings", testSettings},
		{"master keys", testMasterKeys},
		{"what is sealed", testSealed},
		{"groups", testGroups},
		{"lists of groups", testGroupLists},
		{"quotas and use", testQuotas},
		{"use, whatever is done", testUseWalk},
		{"bad values", testBadValues},
		{"accounts and sessions", testSessions},
		{"refresh tokens", testRefresh},
		{"lists of sessions", testSessionLists},
		{"API tokens", testAPITokens},
		{"strangers", testStrangers},
		{"second factors", testFactors},
		{"failures and devices", testFailures},
		{"token keys", testTokenKeys},
		{"lists", testLists},
		{"list filters", testListFilters},
		{"list queries that cannot be", testListInvalid},
		{"a failed update leaves nothing", testRollback},
		{"an update with a dropped error fails", testDroppedError},
		{"concurrent updates", testConcurrent},
		{"a panic", testPanic},
		{"an ended goroutine", testGoexit},
		{"a view is one snapshot", testSnapshot},
		{"a view cannot write", testViewWrites},
		{"a transaction kept too long", testKeptTx},
		{"contexts", testContexts},
		{"both sides share a transaction", testBothSides},
		{"audit logs", testAuditLogs},
		{"audit events", testAuditEvents},
		{"audit keys", testAuditKeys},
		{"what managers see of audit events", testAuditManaged},
		{"audit trees", testAuditTrees},
		{"an event and its change", testAuditTogether},
		{"webhooks", testWebhooks},
		{"webhook deliveries", testDeliveries},
		{"answers", testAnswers},
		{"answers of one person", testManyAnswers},
		{"servers", testServers},
		{"leases", testLeases},
		{"quantum keys", testQuantumKeys},
		{"quantum keys of somebody who is erased", testQuantumKeysErased},
		{"quantum keys that are taken at once", testQuantumKeysAtOnce},
		{"quantum sessions", testQuantumSessions},
		{"eavesdroppers", testEavesdroppers},
		{"secrets of sessions", testQuantumSecrets},
		{"a secret that is taken at once", testQuantumSecretAtOnce},
		{"pools of quantum keys", testQuantumPools},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

var start = time.Date(2026, 11, 21, 8, 30, 0, 123_000_000, time.UTC)

// ID returns the n-th id.
func ID[S ~string](n int) S { return S(fmt.Sprintf("%032x", n)) }

// FileID returns the n-th file id.
func FileID(n int) (id stone.FileID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// Person returns the n-th person.
func Person(n int) vault.Person {
	return vault.Person{
		ID: ID[vault.PersonID](n), Name: fmt.Sprintf("Ana %d", n), NameKey: fmt.Sprintf("ana %d", n),
		Role: vault.RoleUser, PasswordHash: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", Epoch: 1, Active: true,
		CreatedAt: start, UpdatedAt: start.Add(time.Second),
	}
}

// Folder returns the n-th node as a folder.
func Folder(n int, owner vault.PersonID, parent vault.NodeID, name string) vault.Node {
	return vault.Node{ID: ID[vault.NodeID](n), Owner: owner, Parent: parent, Name: name, Kind: vault.NodeFolder,
		CreatedAt: start, UpdatedAt: start}
}

// File returns the n-th node as a document, and its first version.
func File(n int, owner vault.PersonID, parent vault.NodeID, name string) (vault.Node, vault.Version) {
	v := vault.Version{
		FileID: FileID(n), Document: ID[vault.NodeID](n), Number: 1, Owner: owner, Revision: 1,
		ManifestDigest: bytes.Repeat([]byte{byte(n)}, 32), Signer: identity.Fingerprint(strings.Repeat("s", 32)),
		Size: 4096, BodySize: 4200, MediaType: "text/plain", Class: string(stone.ClassNormal), Mode: 0o644,
		ModifiedAt: start.Add(-time.Hour), SealedAt: start,
	}
	return vault.Node{ID: v.Document, Owner: owner, Parent: parent, Name: name, Kind: vault.NodeFile,
		Current: v.FileID, Size: v.Size, MediaType: v.MediaType, ModifiedAt: v.ModifiedAt,
		CreatedAt: start, UpdatedAt: start}, v
}

func key(n int) vault.Identity {
	return vault.Identity{
		ID: ID[vault.IdentityID](n), Kind: vault.KindRoot, Version: 1, Suite: identity.SuiteHybrid,
		Fingerprint: identity.Fingerprint(bytes.Repeat([]byte{byte(n)}, identity.SuiteHybrid.DigestSize())),
		Public:      []byte{1, 2, byte(n)}, Certificate: []byte{3}, WrappedSeeds: []byte{4}, CreatedAt: start,
	}
}

func view(t *testing.T, db Database, fn func(context.Context, vault.Tx) error) {
	t.Helper()
	if err := db.View(t.Context(), func(tx vault.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, db Database, fn func(context.Context, vault.Tx) error) {
	t.Helper()
	if err := attempt(t, db, fn); err != nil {
		t.Fatal(err)
	}
}

func attempt(t *testing.T, db Database, fn func(context.Context, vault.Tx) error) error {
	t.Helper()
	return db.Update(t.Context(), func(tx vault.Tx) error { return fn(t.Context(), tx) })
}

// people inserts persons 1 to n and returns the first one's id.
func people(t *testing.T, db Database, n int) vault.PersonID {
	t.Helper()
	update(t, db, func(ctx context.Context, tx vault.Tx) error {
		for i := 1; i <= n; i++ {
			if err := tx.People().Insert(ctx, Person(i)); err != nil {
				return err
			}
		}
		return nil
	})
	return Person(1).ID
}

// InsertFile puts a document and its version into a transaction.
func InsertFile(ctx context.Context, tx vault.Tx, n vault.Node, v vault.Version) error {
	if err := tx.Nodes().Insert(ctx, n); err != nil {
		return err
	}
	return tx.Versions().Insert(ctx, v)
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}
