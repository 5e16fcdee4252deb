package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
)

// memory is a Store for tests of this package's own rules. The real one is tried in sqlite_test.go.
type memory struct {
	mu    sync.Mutex
	state state
	// failBefore fails an Update with nothing kept; failAfter fails it although all of it was kept.
	failBefore, failAfter error
	views                 int
	heed                  func(audit.Event) // is told of what was committed
}

type state struct {
	accounts map[string]Account // by person
	keys     map[string]string  // name key to person
	sessions map[string]Session
	refresh  map[string]RefreshToken
	tokens   map[string]TokenKey
	api      map[string]APIToken
	between  map[[2]string]access.Acquaintance // of an asker and another
	factors  map[string]Factor
	codes    map[string][][]byte
	failures map[string]Failures
	devices  map[string]Device // by person and hash
	settings map[string][]byte
	events   []audit.Event
}

func newMemory() *memory {
	return &memory{heed: func(audit.Event) {}, state: state{
		accounts: map[string]Account{}, keys: map[string]string{}, sessions: map[string]Session{},
		refresh: map[string]RefreshToken{}, tokens: map[string]TokenKey{},
		api: map[string]APIToken{}, between: map[[2]string]access.Acquaintance{},
		factors: map[string]Factor{}, codes: map[string][][]byte{}, failures: map[string]Failures{}, devices: map[string]Device{},
		settings: map[string][]byte{},
	}}
}

func (s state) clone() state {
	s.accounts, s.keys, s.sessions, s.refresh = maps.Clone(s.accounts), maps.Clone(s.keys), maps.Clone(s.sessions), maps.Clone(s.refresh)
	s.tokens, s.api, s.events = maps.Clone(s.tokens), maps.Clone(s.api), slices.Clone(s.events)
	s.factors, s.codes, s.failures, s.devices = maps.Clone(s.factors), maps.Clone(s.codes), maps.Clone(s.failures), maps.Clone(s.devices)
	return s
}

func (m *memory) putAccount(a Account) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.accounts[a.Person] = a
	m.state.keys[NameKey(a.Name)] = a.Person
}

func (m *memory) ViewAuth(_ context.Context, fn func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.views++
	return fn(&memoryTx{m.state.clone()})
}

func (m *memory) UpdateAuth(_ context.Context, fn func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	// The contract allows fn to run more than once.
	if err := fn(&memoryTx{m.state.clone()}); err != nil {
		return err
	}
	tx := &memoryTx{m.state.clone()}
	if err := fn(tx); err != nil {
		return err
	}
	if m.failBefore != nil {
		return m.failBefore
	}
	before := len(m.state.events)
	m.state = tx.state
	if m.failAfter == nil {
		for _, e := range m.state.events[before:] {
			m.heed(e)
		}
	}
	return m.failAfter
}

type memoryTx struct{ state }

// memoryAudit leads a memoryRecorder to its transaction.
type memoryAudit struct {
	auditlog.Store
	tx *memoryTx
}

func (t *memoryTx) Audit() auditlog.Store { return memoryAudit{tx: t} }

// memoryRecorder keeps events beside the changes.
type memoryRecorder struct{ fails error }

func (r *memoryRecorder) Record(_ context.Context, store auditlog.Store, e audit.Event) (int64, error) {
	if r.fails != nil {
		return 0, r.fails
	}
	if _, err := e.Commit(rand.Reader); err != nil { // not an event of its type
		return 0, err
	}
	tx := store.(memoryAudit).tx
	tx.events = append(tx.events, e)
	return int64(len(tx.events)), nil
}

// memoryTally keeps what it is told.
type memoryTally struct {
	mu    sync.Mutex
	notes []audit.Event // under mu
	fails error
}

func (t *memoryTally) Note(_ context.Context, _ string, e audit.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, e)
	return t.fails
}

// recorded returns the events that were committed.
func (m *memory) recorded() []audit.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.state.events)
}

func lookup[V any](m map[string]V, key string) (V, error) {
	v, ok := m[key]
	if !ok {
		return v, ErrNotFound
	}
	return v, nil
}

func insert[V any](m map[string]V, key string, v V) error {
	if _, ok := m[key]; ok {
		return errors.New("already there")
	}
	m[key] = v
	return nil
}

func (tx *memoryTx) AccountByNameKey(ctx context.Context, key string) (Account, error) {
	person, err := lookup(tx.keys, key)
	if err != nil {
		return Account{}, err
	}
	return tx.Account(ctx, person)
}

func (tx *memoryTx) Account(_ context.Context, person string) (Account, error) {
	return lookup(tx.accounts, person)
}

func (tx *memoryTx) InsertSession(_ context.Context, s Session) error {
	return insert(tx.sessions, s.ID, s)
}

func (tx *memoryTx) Session(_ context.Context, id string) (Session, error) {
	return lookup(tx.sessions, id)
}

func (tx *memoryTx) UpdateSession(_ context.Context, s Session) error {
	tx.sessions[s.ID] = s
	return nil
}

func (tx *memoryTx) DeleteExpiredSessions(_ context.Context, before time.Time) error {
	maps.DeleteFunc(tx.sessions, func(_ string, s Session) bool { return s.ExpiresAt.Before(before) })
	maps.DeleteFunc(tx.refresh, func(_ string, r RefreshToken) bool { _, ok := tx.sessions[r.Session]; return !ok })
	return nil
}

func (tx *memoryTx) Sessions(_ context.Context, person string, at time.Time, span Span) ([]Session, error) {
	return tail(tx.sessions, span, func(s Session) (Place, bool) {
		return Place{s.CreatedAt, s.ID}, s.Person == person && s.RevokedAt.IsZero() && s.ExpiresAt.After(at)
	}), nil
}

// tail is the part of a list that span asks for.
func tail[V any](rows map[string]V, span Span, place func(V) (Place, bool)) (list []V) {
	order := func(a, b Place) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(b.ID, a.ID)) }
	for _, v := range rows {
		if at, ok := place(v); ok && (span.After.ID == "" || order(span.After, at) < 0) {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b V) int {
		at, _ := place(a)
		bt, _ := place(b)
		return order(at, bt)
	})
	return list[:min(len(list), span.Limit)]
}

func (tx *memoryTx) RevokeSessions(_ context.Context, person, except string, at time.Time) (n int64, err error) {
	for id, s := range tx.sessions {
		if s.Person == person && id != except && s.RevokedAt.IsZero() && s.ExpiresAt.After(at) {
			s.RevokedAt = at
			tx.sessions[id] = s
			n++
		}
	}
	return n, nil
}

func (tx *memoryTx) RaiseEpoch(_ context.Context, person string, _ time.Time) error {
	a, err := lookup(tx.accounts, person)
	if err == nil {
		a.Epoch++
		tx.accounts[person] = a
	}
	return err
}

func (tx *memoryTx) SetPassword(_ context.Context, person, hash string, _ time.Time) error {
	a, err := lookup(tx.accounts, person)
	if err == nil {
		a.PasswordHash = hash
		tx.accounts[person] = a
	}
	return err
}

func (tx *memoryTx) Factor(_ context.Context, person string) (Factor, error) {
	return lookup(tx.factors, person)
}

func (tx *memoryTx) PutFactor(_ context.Context, f Factor) error {
	tx.factors[f.Person] = f
	return nil
}

func (tx *memoryTx) DeleteFactor(_ context.Context, person string) error {
	_, err := lookup(tx.factors, person)
	delete(tx.factors, person)
	return err
}

func (tx *memoryTx) RecoveryCodes(_ context.Context, person string) ([][]byte, error) {
	return tx.codes[person], nil
}

func (tx *memoryTx) PutRecoveryCodes(_ context.Context, person string, hashes [][]byte) error {
	tx.codes[person] = hashes
	return nil
}

func (tx *memoryTx) Failures(_ context.Context, key []byte) (Failures, error) {
	return tx.failures[string(key)], nil
}

func (tx *memoryTx) PutFailures(_ context.Context, key []byte, f Failures) error {
	tx.failures[string(key)] = f
	if f.Count == 0 {
		delete(tx.failures, string(key))
	}
	return nil
}

func (tx *memoryTx) DeleteFailures(_ context.Context, before time.Time) error {
	maps.DeleteFunc(tx.failures, func(_ string, f Failures) bool { return f.Last.Before(before) })
	return nil
}

func (tx *memoryTx) Device(_ context.Context, person string, hash []byte) (Device, error) {
	return lookup(tx.devices, person+string(hash))
}

func (tx *memoryTx) PutDevice(_ context.Context, d Device) error {
	tx.devices[d.Person+string(d.Hash)] = d
	return nil
}

func (tx *memoryTx) DeleteDevices(_ context.Context, before time.Time) error {
	maps.DeleteFunc(tx.devices, func(_ string, d Device) bool { return d.LastAt.Before(before) })
	return nil
}

func (tx *memoryTx) Setting(_ context.Context, name string) ([]byte, error) {
	return lookup(tx.settings, name)
}

func (tx *memoryTx) InsertAPIToken(_ context.Context, t APIToken) error {
	return insert(tx.api, t.ID, t)
}

func (tx *memoryTx) APIToken(_ context.Context, id string) (APIToken, error) {
	return lookup(tx.api, id)
}

func (tx *memoryTx) APITokenByHash(_ context.Context, hash []byte) (APIToken, error) {
	for _, t := range tx.api {
		if bytes.Equal(t.Hash, hash) {
			return t, nil
		}
	}
	return APIToken{}, ErrNotFound
}

func (tx *memoryTx) UpdateAPIToken(_ context.Context, t APIToken) error {
	tx.api[t.ID] = t
	return nil
}

func (tx *memoryTx) APITokens(_ context.Context, person string, span Span) ([]APIToken, error) {
	return tail(tx.api, span, func(t APIToken) (Place, bool) {
		return Place{t.CreatedAt, t.ID}, t.Person == person && t.RevokedAt.IsZero()
	}), nil
}

func (tx *memoryTx) DeleteExpiredAPITokens(_ context.Context, before time.Time) error {
	maps.DeleteFunc(tx.api, func(_ string, t APIToken) bool {
		return t.ExpiresAt.Before(before) || !t.RevokedAt.IsZero() && t.RevokedAt.Before(before)
	})
	return nil
}

func (tx *memoryTx) Acquaintance(_ context.Context, asker, person string) (access.Acquaintance, error) {
	if asker == person {
		return access.Acquaintance{Same: true}, nil
	}
	return tx.between[[2]string{asker, person}], nil
}

func (tx *memoryTx) InsertRefresh(_ context.Context, t RefreshToken) error {
	return insert(tx.refresh, string(t.Hash), t)
}

func (tx *memoryTx) Refresh(_ context.Context, hash []byte) (RefreshToken, error) {
	return lookup(tx.refresh, string(hash))
}

func (tx *memoryTx) UseRefresh(_ context.Context, hash []byte, at time.Time) (bool, error) {
	t, err := lookup(tx.refresh, string(hash))
	if err != nil || !t.UsedAt.IsZero() {
		return false, err
	}
	t.UsedAt = at
	tx.refresh[string(hash)] = t
	return true, nil
}

func (tx *memoryTx) InsertTokenKey(_ context.Context, k TokenKey) error {
	return insert(tx.tokens, k.ID, k)
}

func (tx *memoryTx) UpdateTokenKey(_ context.Context, k TokenKey) error {
	tx.tokens[k.ID] = k
	return nil
}

func (tx *memoryTx) DeleteTokenKey(_ context.Context, id string) error {
	delete(tx.tokens, id)
	return nil
}

func (tx *memoryTx) TokenKeys(context.Context) ([]TokenKey, error) {
	keys := slices.Collect(maps.Values(tx.tokens))
	slices.SortFunc(keys, func(a, b TokenKey) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return keys, nil
}
