package auditlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"stonevault/audit"
	"stonevault/stone/cobblestone"
)

const (
	keySize = cobblestone.KeySize
	// maxCachedKeys bounds the cache, which begins anew when it is full.
	maxCachedKeys = 4096
)

// keyring opens keys. What it remembers, by number, it believes only where a transaction finds the same sealed
// key: one that was made in a transaction that failed, or was erased elsewhere, is never used.
type keyring struct {
	master MasterKey
	rand   io.Reader

	mu     sync.Mutex
	opened map[int64]openedKey // under mu
	signer *signer             // under mu; of the log that was asked for last
}

type openedKey struct {
	sealed []byte
	key    *cobblestone.Key
}

// signer is a log with its signing key.
type signer struct {
	log Log
	key *audit.SigningKey
}

func newKeyring(c Config) *keyring { return &keyring{master: c.Master, rand: c.Rand} }

// KeyContext binds a sealed key to its person and number.
func KeyContext(k Key) string {
	return fmt.Sprintf("stonevault.v1/audit_keys/%s/%d", k.Person, k.Number)
}

// SeedContext binds the seed of a signing key to its log.
func SeedContext(l Log) string { return fmt.Sprintf("stonevault.v1/audit_logs/%s/%d", l.Origin, l.ID) }

// unseal opens a key with the master key.
func (r *keyring) unseal(k Key) (*cobblestone.Key, error) {
	plain, err := r.master.Open(KeyContext(k), k.Sealed)
	if errors.Is(err, ErrKeyAway) {
		return nil, fmt.Errorf("auditlog: key %d: %w", k.Number, err)
	}
	if err != nil || len(plain) != keySize {
		return nil, fmt.Errorf("%w: key %d does not open: %v", ErrRewritten, k.Number, err)
	}
	defer clear(plain)
	return cobblestone.NewKey(plain)
}

// open is unseal, which it does once for keys that are used often.
func (r *keyring) open(k Key) (*cobblestone.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.opened[k.Number]; ok && bytes.Equal(known.sealed, k.Sealed) {
		return known.key, nil
	}
	key, err := r.unseal(k)
	if err != nil {
		return nil, err
	}
	if r.opened == nil || len(r.opened) >= maxCachedKeys {
		r.opened = map[int64]openedKey{}
	}
	r.opened[k.Number] = openedKey{k.Sealed, key}
	return key, nil
}

func (r *keyring) forget(number int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.opened, number)
}

// forgetAll drops the keys that open something. The one that signs opens nothing.
func (r *keyring) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = nil
}

// create makes the key of a person, or the log's own.
func (r *keyring) create(ctx context.Context, store KeyStore, person string) (Key, error) {
	number, err := store.NextKey(ctx)
	if err != nil {
		return Key{}, err
	}
	secret := make([]byte, keySize)
	defer clear(secret)
	if _, err := io.ReadFull(r.rand, secret); err != nil {
		return Key{}, fmt.Errorf("auditlog: no randomness: %w", err)
	}
	k := Key{Number: number, Person: person}
	if k.Sealed, err = r.master.Seal(KeyContext(k), secret); err != nil {
		return Key{}, err
	}
	return k, store.InsertKey(ctx, k)
}

// signing opens the signing key of a log, and holds its public half against the row.
func (r *keyring) signing(l Log) (*audit.SigningKey, error) {
	r.mu.Lock()
	s := r.signer
	r.mu.Unlock()
	if s != nil && s.log.ID == l.ID && s.log.Origin == l.Origin && s.log.Public == l.Public && bytes.Equal(s.log.SealedSeed, l.SealedSeed) {
		return s.key, nil
	}
	seed, err := r.master.Open(SeedContext(l), l.SealedSeed)
	if err != nil {
		return nil, fmt.Errorf("auditlog: the signing key of log %d does not open: %w", l.ID, err)
	}
	defer clear(seed)
	key, err := audit.SigningKeyFromSeed(l.Origin, seed)
	if err != nil {
		return nil, err
	}
	if key.Public().Text() != l.Public {
		return nil, fmt.Errorf("%w: the public key of log %d is another", ErrRewritten, l.ID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signer = &signer{l, key}
	return key, nil
}

// sealing returns the salt and the context of a part. The leaf's commitment to an opening is in both: no two
// openings have the same, so that no salt is used for two under one key, and none opens in another's place.
func sealing(leaf []byte, slot audit.Slot) (salt, context []byte) {
	commitment := leaf[len(leaf)-(slotCount-int(slot))*audit.HashSize:][:audit.HashSize]
	const prefix, longest = "stonevault.v1/audit/", "operational/"
	context = append(make([]byte, 0, len(prefix)+len(longest)+audit.HashSize), prefix...)
	context = append(append(context, slot.String()...), '/')
	return commitment[:cobblestone.SaltSize], append(context, commitment...)
}

// sealPart seals the opening of a leaf's slot.
func sealPart(key *cobblestone.Key, leaf []byte, slot audit.Slot, o audit.Opening) ([]byte, error) {
	salt, context := sealing(leaf, slot)
	return key.Seal(nil, o, salt, context)
}

// openPart opens what sealPart made.
func openPart(key *cobblestone.Key, leaf []byte, slot audit.Slot, sealed []byte) (audit.Opening, error) {
	if len(leaf) != audit.LeafSize {
		return nil, audit.ErrLeaf
	}
	_, context := sealing(leaf, slot)
	return key.Open(nil, sealed, context)
}

// opener opens the parts of events in one transaction. Its keys end with that, so that no reader remembers the
// key of somebody who is erased.
type opener struct {
	ctx   context.Context
	ring  *keyring
	store KeyStore
	keys  map[int64]*readKey // by number, 0 for the log's own; nil where there is none
}

type readKey struct {
	person string
	key    *cobblestone.Key
}

func (r *keyring) opener(ctx context.Context, store KeyStore) *opener {
	return &opener{ctx, r, store, map[int64]*readKey{}}
}

// key returns the key of a number, or nil where there is none any more.
func (o *opener) key(number int64) (*readKey, error) {
	if k, ok := o.keys[number]; ok {
		return k, nil
	}
	var row Key
	var err error
	if number == 0 {
		var found []Key
		if found, err = o.store.KeysOf(o.ctx, ""); err == nil && len(found) != 1 {
			err = ErrNoLog
		} else if err == nil {
			row = found[0]
		}
	} else {
		row, err = o.store.Key(o.ctx, number)
	}
	if errors.Is(err, ErrNotFound) {
		o.keys[number] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	secret, err := o.ring.unseal(row)
	if err != nil {
		return nil, err
	}
	k := &readKey{row.Person, secret}
	o.keys[number] = k
	return k, nil
}
