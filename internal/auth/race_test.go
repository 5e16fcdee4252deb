package auth_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/metadb"
	"stonevault/internal/metadb/testdb"
	"stonevault/internal/vault"
)

// onSQLite is a service on the real database, with one account and a clock that tests turn.
type onSQLite struct {
	*auth.Service
	db      *metadb.DB
	account vault.Person

	mu sync.Mutex
	at time.Time
}

func (o *onSQLite) now() time.Time       { o.mu.Lock(); defer o.mu.Unlock(); return o.at }
func (o *onSQLite) turn(d time.Duration) { o.mu.Lock(); o.at = o.at.Add(d); o.mu.Unlock() }

func newOnSQLite(t testing.TB, hash string) *onSQLite {
	t.Helper()
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
	o := &onSQLite{at: time.Now()}
	o.db, err = testdb.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.db.Close() })
	log := auditlog.NewRecorder(auditlog.Config{Database: o.db.Audit(), Master: sealer{aead}, Rand: rand.Reader, Now: o.now}, func() {})
	if err := o.db.Audit().Update(t.Context(), func(store auditlog.Store) error {
		_, err := log.Begin(t.Context(), store, auditlog.Beginning{Reason: "first"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	o.Service, err = auth.New(t.Context(), auth.Config{
		Store: o.db, Sealer: sealer{aead}, Audit: log, Tally: auditlog.NewTally(log), Issuer: "vault", Now: o.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	observed(log, o.Service)
	moment := o.now().UTC().Truncate(time.Millisecond)
	o.account = vault.Person{
		ID: person, Name: "Zoë", NameKey: auth.NameKey("Zoë"), Role: vault.RoleUser, PasswordHash: hash,
		Epoch: 1, Active: true, CreatedAt: moment, UpdatedAt: moment,
	}
	if err := o.db.Update(t.Context(), func(tx vault.Tx) error { return tx.People().Insert(t.Context(), o.account) }); err != nil {
		t.Fatal(err)
	}
	return o
}

// cheapHash is password's with the least cost that is accepted.
func cheapHash() string {
	salt, b64 := []byte("sixteen bytes ok"), base64.RawStdEncoding
	sum := argon2.IDKey([]byte(password), salt, 1, 8<<10, 1, 32)
	return "$argon2id$v=19$m=8192,t=1,p=1$" + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum)
}

// A hundred who come with one refresh token at once: within the grace each of them goes on, as lost replies may; after
// it, nobody does, and the family ends with them, whoever came first.
func TestHundredRacers(t *testing.T) {
	const racers = 100
	o := newOnSQLite(t, cheapHash())
	ctx := t.Context()
	first, err := o.SignIn(ctx, auth.Credentials{Name: "zoë", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	race := func(token string) (good []auth.Grant, reused, ended int64) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for range racers {
			wg.Go(func() {
				<-begin
				g, err := o.Refresh(ctx, token, "192.0.2.7")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					good = append(good, g)
				case errors.Is(err, auth.ErrReused):
					reused++
				case errors.Is(err, auth.ErrSessionEnded):
					ended++
				default:
					t.Error(err)
				}
			})
		}
		close(begin)
		wg.Wait()
		return good, reused, ended
	}
	good, reused, ended := race(first.RefreshToken)
	if len(good) != racers || reused+ended != 0 {
		t.Fatalf("within the grace %d went on, %d ended the family, %d came after its end", len(good), reused, ended)
	}
	distinct := map[string]bool{}
	for _, g := range good {
		distinct[g.RefreshToken] = true
	}
	if len(distinct) != racers {
		t.Errorf("%d successors are distinct", len(distinct))
	}
	o.turn(auth.RefreshGrace + time.Second)
	// The owner goes on with one of them; the thief's old one ends all.
	next, err := o.Refresh(ctx, good[0].RefreshToken, "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	late, reused, ended := race(first.RefreshToken)
	if len(late) != 0 || reused != 1 || ended != racers-1 {
		t.Errorf("after the grace %d went on, %d ended the family, %d came after its end", len(late), reused, ended)
	}
	for name, g := range map[string]auth.Grant{"the newest": next, "an unused one": good[1]} {
		if _, err := o.Refresh(ctx, g.RefreshToken, "192.0.2.7"); !errors.Is(err, auth.ErrSessionEnded) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := o.Authenticate(ctx, g.AccessToken); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s, its access token: %v", name, err)
		}
	}
}

// A thousand tries at once are no more than the free ones, whichever come first: each is counted before it is looked at.
func TestTriesAtOnce(t *testing.T) {
	o := newOnSQLite(t, cheapHash())
	var looked, waited atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			_, err := o.SignIn(t.Context(), auth.Credentials{Name: "zoë", Password: "not the password, surely", Address: "192.0.2.7"})
			switch {
			case errors.Is(err, auth.ErrCredentials):
				looked.Add(1)
			case errors.Is(err, auth.ErrTooMany):
				waited.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if looked.Load() != 5 || waited.Load() != 995 {
		t.Errorf("%d were looked at, %d had to wait", looked.Load(), waited.Load())
	}
}

// What another server does is heeded within half a second, and at once where this one is told.
func TestDeactivation(t *testing.T) {
	o := newOnSQLite(t, cheapHash())
	ctx := t.Context()
	for name, told := range map[string]bool{"another server": false, "this one": true} {
		g, err := o.SignIn(ctx, auth.Credentials{Name: "zoë", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := o.CreateAPIToken(ctx, g.Principal, "backup", []string{"files:read"}, o.now().Add(time.Hour), "")
		if err != nil {
			t.Fatal(err)
		}
		var who []auth.Principal
		for _, token := range []string{g.AccessToken, text.Text()} {
			p, err := o.Authenticate(ctx, token)
			if err != nil {
				t.Fatal(err)
			}
			who = append(who, p)
		}
		set := func(active bool) {
			account := o.account
			account.Active = active
			if err := o.db.Update(ctx, func(tx vault.Tx) error { return tx.People().Update(ctx, account) }); err != nil {
				t.Fatal(err)
			}
		}
		set(false)
		if told {
			o.Heed(audit.Event{Type: audit.AccountChanged, Subject: audit.Values{"person": person}})
		} else {
			o.turn(500 * time.Millisecond)
		}
		for i, token := range []string{g.AccessToken, text.Text()} {
			if _, err := o.Authenticate(ctx, token); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s: %v", name, err)
			}
			if o.Stands(ctx, who[i]) == nil {
				t.Errorf("%s: %+v stands", name, who[i])
			}
		}
		if _, err := o.Refresh(ctx, g.RefreshToken, ""); !errors.Is(err, auth.ErrSessionEnded) {
			t.Errorf("%s: %v", name, err)
		}
		set(true)
	}
}
