package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"stonevault/internal/cache"
)

// Store keeps one-time values and leases. For values, Redis has commands that are atomic by themselves.
type Store struct{ client *Client }

// Store keeps them in this Redis.
func (c *Client) Store() *Store { return &Store{c} }

// Put keeps a value for ttl, in place of what the key has. It is not repeated: somebody may have taken the value
// between, and would find it again.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := cache.CheckValue(value); err != nil {
		return err
	}
	if err := cache.CheckTTL(ttl); err != nil {
		return err
	}
	name, err := cache.NameOf(key)
	if err != nil {
		return err
	}
	return s.client.do(ctx, "put a value", once, func(ctx context.Context) error {
		return s.client.redis.Set(ctx, s.client.name("value", name), value, ttl).Err()
	})
}

// Get returns a value and leaves it there, or cache.ErrNotFound.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	return s.get(ctx, key, "get a value", repeatable, s.client.redis.Get)
}

// Take returns a value and removes it. Of many who ask, one gets it and the others cache.ErrNotFound. A value
// whose reply was lost is lost.
func (s *Store) Take(ctx context.Context, key string) ([]byte, error) {
	return s.get(ctx, key, "take a value", once, s.client.redis.GetDel)
}

func (s *Store) get(ctx context.Context, key, what string, may repeat, command func(context.Context, string) *redis.StringCmd) (value []byte, err error) {
	name, err := cache.NameOf(key)
	if err != nil {
		return nil, err
	}
	err = s.client.do(ctx, what, may, func(ctx context.Context) (err error) {
		value, err = command(ctx, s.client.name("value", name)).Bytes()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, cache.ErrNotFound
	}
	return value, err
}

// Delete removes a value. That there is none is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	name, err := cache.NameOf(key)
	if err != nil {
		return err
	}
	return s.client.do(ctx, "delete a value", once, func(ctx context.Context) error {
		return s.client.redis.Del(ctx, s.client.name("value", name)).Err()
	})
}

// Acquire takes a lease for ttl, or returns cache.ErrHeld. One whose reply was lost is nobody's until it ends.
func (s *Store) Acquire(ctx context.Context, key string, ttl time.Duration) (cache.Lease, error) {
	if err := cache.CheckTTL(ttl); err != nil {
		return cache.Lease{}, err
	}
	name, err := cache.NameOf(key)
	if err != nil {
		return cache.Lease{}, err
	}
	l := cache.Lease{Key: key, Owner: rand.Text()}
	answer, err := s.client.run(ctx, "acquire a lease", repeatable, s.client.scripts.acquire, s.client.name("lease", name), l.Owner, ttl.Milliseconds())
	switch {
	case err != nil:
		return cache.Lease{}, err
	case answer[0] == 0:
		return cache.Lease{}, cache.ErrHeld
	}
	l.Fence = answer[1]
	return l, nil
}

// Renew makes a lease last for ttl from now, or returns cache.ErrLost.
func (s *Store) Renew(ctx context.Context, l cache.Lease, ttl time.Duration) error {
	if err := cache.CheckTTL(ttl); err != nil {
		return err
	}
	return s.keep(ctx, l, "renew a lease", repeatable, ttl)
}

// Release gives a lease back. cache.ErrLost says that somebody else may have held it meanwhile.
func (s *Store) Release(ctx context.Context, l cache.Lease) error {
	return s.keep(ctx, l, "release a lease", once, 0)
}

func (s *Store) keep(ctx context.Context, l cache.Lease, what string, may repeat, ttl time.Duration) error {
	name, err := cache.NameOf(l.Key)
	if err != nil {
		return err
	}
	answer, err := s.client.run(ctx, what, may, s.client.scripts.keep, s.client.name("lease", name), l.Owner, ttl.Milliseconds())
	switch {
	case err != nil:
		return err
	case answer[0] == 0:
		return cache.ErrLost
	}
	return nil
}
