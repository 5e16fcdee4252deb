package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"sync"
	"time"

	"stonevault/internal/cache"
)

// Store keeps one-time values and leases. It may be used by many goroutines.
type Store struct {
	now func() time.Time

	mu     sync.Mutex
	values *table[[32]byte, []byte] // under mu, and so are the others
	leases *table[[32]byte, cache.Lease]
	fence  int64 // the last that was given
}

// NewStore makes an empty store. It keeps as many values as Options says, and as many leases.
func NewStore(o Options) *Store {
	o = o.filled(DefaultValues)
	return &Store{now: o.Now, values: newTable[[32]byte, []byte](o.Keys), leases: newTable[[32]byte, cache.Lease](o.Keys)}
}

// begin names a key and locks the store, unless it returns an error.
func (s *Store) begin(ctx context.Context, key string) (name cache.Name, now time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return name, now, err
	}
	if name, err = cache.NameOf(key); err != nil {
		return name, now, err
	}
	s.mu.Lock()
	return name, s.now(), nil
}

// Put keeps a value for ttl, in place of what the key has.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := cache.CheckValue(value); err != nil {
		return err
	}
	if err := cache.CheckTTL(ttl); err != nil {
		return err
	}
	name, now, err := s.begin(ctx, key)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	return s.values.set(name.Digest, bytes.Clone(value), now.UnixMilli(), now.UnixMilli()+ttl.Milliseconds())
}

// Get returns a value and leaves it there, or cache.ErrNotFound.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) { return s.get(ctx, key, false) }

// Take returns a value and removes it. Of many who ask, one gets it and the others cache.ErrNotFound.
func (s *Store) Take(ctx context.Context, key string) ([]byte, error) { return s.get(ctx, key, true) }

func (s *Store) get(ctx context.Context, key string, remove bool) ([]byte, error) {
	name, now, err := s.begin(ctx, key)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	found := s.values.get(name.Digest, now.UnixMilli())
	if found == nil {
		return nil, cache.ErrNotFound
	}
	if remove {
		s.values.remove(found)
		return found.value, nil
	}
	return bytes.Clone(found.value), nil
}

// Delete removes a value. That there is none is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if _, err := s.get(ctx, key, true); err != cache.ErrNotFound {
		return err
	}
	return nil
}

// Acquire takes a lease for ttl, or returns cache.ErrHeld.
func (s *Store) Acquire(ctx context.Context, key string, ttl time.Duration) (cache.Lease, error) {
	if err := cache.CheckTTL(ttl); err != nil {
		return cache.Lease{}, err
	}
	name, now, err := s.begin(ctx, key)
	if err != nil {
		return cache.Lease{}, err
	}
	defer s.mu.Unlock()
	if s.leases.get(name.Digest, now.UnixMilli()) != nil {
		return cache.Lease{}, cache.ErrHeld
	}
	// By the time, so that a token is larger than those before a restart too.
	fence := max(s.fence+1, now.UnixMicro())
	l := cache.Lease{Key: key, Owner: rand.Text(), Fence: fence}
	kept := l
	kept.Key = "" // it has no bound
	if err := s.leases.set(name.Digest, kept, now.UnixMilli(), now.UnixMilli()+ttl.Milliseconds()); err != nil {
		return cache.Lease{}, err
	}
	s.fence = fence
	return l, nil
}

// Renew makes a lease last for ttl from now, or returns cache.ErrLost.
func (s *Store) Renew(ctx context.Context, l cache.Lease, ttl time.Duration) error {
	if err := cache.CheckTTL(ttl); err != nil {
		return err
	}
	return s.owned(ctx, l, func(name cache.Name, kept cache.Lease, now int64) error {
		return s.leases.set(name.Digest, kept, now, now+ttl.Milliseconds())
	})
}

// Release gives a lease back. cache.ErrLost says that somebody else may have held it meanwhile.
func (s *Store) Release(ctx context.Context, l cache.Lease) error {
	return s.owned(ctx, l, func(name cache.Name, _ cache.Lease, now int64) error {
		s.leases.remove(s.leases.get(name.Digest, now))
		return nil
	})
}

func (s *Store) owned(ctx context.Context, l cache.Lease, fn func(name cache.Name, kept cache.Lease, now int64) error) error {
	name, now, err := s.begin(ctx, l.Key)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	found := s.leases.get(name.Digest, now.UnixMilli())
	if found == nil || found.value.Owner != l.Owner {
		return cache.ErrLost
	}
	return fn(name, found.value, now.UnixMilli())
}
