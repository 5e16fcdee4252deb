package redis

import (
	"context"
	"time"
)

// identityFor is how long a Redis is known by a text unless somebody asks again.
const identityFor = 24 * time.Hour

// Identity tells by which text a Redis is known to all who ask it. It becomes own where it has none, so that whoever
// knows one from before gives it back to a Redis that has lost it.
func (c *Client) Identity(ctx context.Context, own string) (identity string, err error) {
	key := c.prefix + "identity"
	err = c.do(ctx, "identity", repeatable, func(ctx context.Context) error {
		if err := c.redis.SetNX(ctx, key, own, identityFor).Err(); err != nil {
			return err
		}
		identity, err = c.redis.GetEx(ctx, key, identityFor).Result()
		return err
	})
	return identity, err
}
