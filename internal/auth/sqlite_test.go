package auth_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
)

type sealer struct{ cipher.AEAD }

func (s sealer) Seal(context string, plaintext []byte) ([]byte, error) {
	return s.AEAD.Seal(nil, nil, plaintext, []byte(context)), nil
}

func (s sealer) Open(context string, sealed []byte) ([]byte, error) {
	return s.AEAD.Open(nil, nil, sealed, []byte(context))
}

const (
	person   = "a0000000000000000000000000000001"
	password = "correct horse battery staple"
)

// observed has a service told of what a recorder's transactions commit.
func observed(log *auditlog.Recorder, s *auth.Service) {
	log.Observe(func(_ context.Context, store auditlog.Store, _ int64, e audit.Event) error {
		metadb.AfterCommit(store, func() { s.Heed(e) })
		return nil
	})
}

// The whole life of a session on the real database, which is closed and opened again on the way.
func TestSessionOnSQLite(t *testing.T) {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	at := time.Now()
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
	turn := func(d time.Duration) { mu.Lock(); at = at.Add(d); mu.Unlock() }

	file := filepath.Join(t.TempDir(), "meta.db")
	open := func() (*metadb.DB, *auth.Service) {
		t.Helper()
		db, err := testdb.Open(t.Context(), file, "test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		log := auditlog.NewRecorder(auditlog.Config{Database: db.Audit(), Master: sealer{aead}, Rand: rand.Reader, Now: now}, func() {})
		if err := db.Audit().Update(t.Context(), func(store auditlog.Store) error {
			begun, err := log.Begun(t.Context(), store)
			if err == nil && !begun {
				_, err = log.Begin(t.Context(), store, auditlog.Beginning{Reason: "first"})
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		s, err := auth.New(t.Context(), auth.Config{
			Store: db, Sealer: sealer{aead}, Audit: log, Tally: auditlog.NewTally(log), Issuer: "vault", Now: now,
		})
		if err != nil {
			t.Fatal(err)
		}
		observed(log, s)
		return db, s
	}
	db, s := open()
	hash, err := auth.Policy{}.Hash(rand.Reader, password)
	if err != nil {
		t.Fatal(err)
	}
	moment := now().UTC().Truncate(time.Millisecond)
	account := vault.Person{
		ID: person, Name: "Zoë", NameKey: auth.NameKey("Zoë"), Role: vault.RoleUser, PasswordHash: hash,
		Epoch: 1, Active: true, CreatedAt: moment, UpdatedAt: moment,
	}
	if err := db.Update(t.Context(), func(tx vault.Tx) error { return tx.People().Insert(t.Context(), account) }); err != nil {
		t.Fatal(err)
	}

	first, err := s.SignIn(t.Context(), auth.Credentials{Name: "ZOE\u0308", Password: password, Client: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(t.Context(), auth.Credentials{Name: "Zoe", Password: password}); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("another name: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, s = open()
	if p, err := s.Authenticate(t.Context(), first.AccessToken); err != nil || !reflect.DeepEqual(p, first.Principal) {
		t.Fatalf("after a restart: %+v, %v", p, err)
	}

	// Several at once within the grace: every one of them goes on.
	var wg sync.WaitGroup
	grants := make([]auth.Grant, 8)
	for i := range grants {
		wg.Go(func() {
			g, err := s.Refresh(t.Context(), first.RefreshToken, "192.0.2.7")
			if err != nil {
				t.Errorf("refresh %d: %v", i, err)
			}
			grants[i] = g
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	turn(time.Minute)
	next, err := s.Refresh(t.Context(), grants[0].RefreshToken, "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context(), first.RefreshToken, "192.0.2.7"); !errors.Is(err, auth.ErrReused) {
		t.Fatalf("reuse after the grace: %v", err)
	}
	for name, g := range map[string]auth.Grant{"successor": next, "branch": grants[1]} {
		if _, err := s.Refresh(t.Context(), g.RefreshToken, "192.0.2.7"); !errors.Is(err, auth.ErrSessionEnded) {
			t.Errorf("%s after the family was ended: %v", name, err)
		}
	}
	if _, err := s.Authenticate(t.Context(), next.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("access token after the family was ended: %v", err)
	}

	second, err := s.SignIn(t.Context(), auth.Credentials{Name: "zoë", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	account.Epoch++
	if err := db.Update(t.Context(), func(tx vault.Tx) error { return tx.People().Update(t.Context(), account) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(t.Context(), second.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("access token after the epoch was raised: %v", err)
	}
	if _, err := s.Refresh(t.Context(), second.RefreshToken, "192.0.2.7"); !errors.Is(err, auth.ErrSessionEnded) {
		t.Errorf("refresh token after the epoch was raised: %v", err)
	}

	turn(auth.RefreshTTL + time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = db.ViewAuth(t.Context(), func(tx auth.Tx) error {
		_, err := tx.Session(t.Context(), second.Principal.Session)
		return err
	})
	if !errors.Is(err, auth.ErrNotFound) {
		t.Errorf("an expired session after the sweep: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Run(ctx, func(err error) { t.Errorf("a loop that was told to end reports %v", err) })
}
