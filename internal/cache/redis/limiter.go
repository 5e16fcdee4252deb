package redis

import (
	"context"
	"strconv"
	"time"

	"stonevault/internal/cache"
)

// Limiter is a cache.Limiter.
type Limiter struct{ client *Client }

// Limiter counts in this Redis.
func (c *Client) Limiter() *Limiter { return &Limiter{c} }

// Take decides and counts. After cache.ErrUnavailable the take may have been counted.
func (l *Limiter) Take(ctx context.Context, key string, cost int64, w cache.Window) (cache.Decision, error) {
	if err := w.Check(cost); err != nil {
		return cache.Decision{}, err
	}
	name, err := cache.NameOf(key)
	if err != nil {
		return cache.Decision{}, err
	}
	period := w.Period.Milliseconds()
	at := l.client.name("window:"+strconv.FormatInt(period, 10), name)
	answer, err := l.client.run(ctx, "count a take", once, l.client.scripts.take, at, period, w.Limit, cost)
	if err != nil {
		return cache.Decision{}, err
	}
	return cache.Decision{
		Allowed: answer[0] == 1, Remaining: answer[1],
		RetryAfter: time.Duration(answer[2]) * time.Millisecond, At: time.UnixMilli(answer[3]).UTC(),
	}, nil
}
