// Package redis keeps rate windows and short-lived state in a Redis 7 or a Valkey that several servers share.
//
// Invariants:
//   - Each operation is one script or one command, so that it happens whole or not at all; and it has one key,
//     so that it needs nothing of other slots of a cluster.
//   - The time is the Redis server's, read in the script that decides. Clocks of those who ask don't matter.
//   - What cannot be asked is cache.ErrUnavailable, within Options.Timeout. Nothing is let in for that reason.
//   - Only what can be done twice without harm is tried twice: reading a value, acquiring (by one owner text)
//     and renewing. A take whose reply was lost may have counted, and is not repeated.
//   - Everything that is stored expires.
//
// A Redis that evicts keys for want of memory forgets limits: give it a maxmemory-policy of noeviction, where it
// refuses instead. A replica that becomes the primary may lack the last writes: a limit can then be exceeded
// by those, a value be given twice, and two hold a lease at once, of whom the later has the larger fencing token unless the
// clock of the new primary is behind.
//
// It seals nothing: values lie in Redis as callers give them.
package redis

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"stonevault/internal/cache"
)

const (
	// DefaultTimeout is how long an operation may take.
	DefaultTimeout = time.Second
	// DefaultPrefix begins every name that this program gives.
	DefaultPrefix = "stonevault:"
)

// Options say which Redis it is.
type Options struct {
	// Address is redis://[user:password@]host[:port][/database], or rediss:// for TLS 1.3.
	Address string
	Prefix  string        // DefaultPrefix where it is ""; keeps apart those who share a database
	Timeout time.Duration // DefaultTimeout where it is 0; of a whole operation, connecting included
	TLS     *tls.Config   // for rediss://, such as an authority of one's own; nil trusts the system's
}

// Client is a Redis. It may be used by many goroutines.
type Client struct {
	redis   redis.UniversalClient
	prefix  string
	timeout time.Duration
	scripts scripts
}

// quiet drops what the library would write to stderr: whoever asked gets the error.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Open reads the address. It connects when something is first asked, so that a Redis that is away now
// may come later; Ping tells.
func Open(o Options) (*Client, error) {
	silence()
	parsed, err := parse(o.Address)
	if err != nil {
		return nil, err
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if strings.ContainsAny(o.Prefix, "{}") {
		return nil, errors.New("a prefix of names in Redis may not have { or }, which choose the slot of a cluster")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if parsed.TLSConfig != nil {
		if o.TLS != nil {
			own := o.TLS.Clone()
			if own.ServerName == "" {
				own.ServerName = parsed.TLSConfig.ServerName
			}
			parsed.TLSConfig = own
		}
		parsed.TLSConfig.MinVersion = tls.VersionTLS13
	} else if o.TLS != nil {
		return nil, errors.New("TLS is for addresses that begin with rediss://")
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{parsed.Addr}, DB: parsed.DB, Username: parsed.Username, Password: parsed.Password,
		TLSConfig: parsed.TLSConfig,
		// The library's own retries do not know which commands may be repeated.
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled: true,
		// What Redis 7 and Valkey don't know is not asked.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	return &Client{redis: client, prefix: o.Prefix, timeout: o.Timeout, scripts: newScripts(serverTime)}, nil
}

// parse never repeats the address, which may have a password.
func parse(address string) (*redis.Options, error) {
	wrong := func(what string) error {
		return fmt.Errorf("the address of Redis %s; it is redis://[user:password@]host[:port][/database], or rediss:// for TLS", what)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, wrong("cannot be read")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, wrong("begins with something else")
	case u.Hostname() == "":
		return nil, wrong("names no host")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, wrong("has settings at its end") // one of which would switch off verification
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, wrong("has no number of a database at its end")
	}
	return o, nil
}

// Close ends all connections.
func (c *Client) Close() error { return c.redis.Close() }

// Ping tells whether Redis answers: nil, or cache.ErrUnavailable.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, "ping", repeatable, func(ctx context.Context) error { return c.redis.Ping(ctx).Err() })
}

type repeat bool

const (
	once       repeat = false
	repeatable repeat = true
)

// do runs one operation within the timeout. redis.Nil is passed through.
func (c *Client) do(ctx context.Context, what string, may repeat, fn func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A connection's deadline passes a moment before the context's, so that ctx.Err alone does not say whose it was.
	callers, ok := ctx.Deadline()
	ok = ok && time.Until(callers) <= c.timeout
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := fn(limited)
	var said redis.Error
	if err != nil && may == repeatable && !errors.As(err, &said) && limited.Err() == nil {
		err = fn(limited) // a connection that broke; the next one is new
	}
	switch {
	case err == nil || err == redis.Nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("redis: %s: %w", what, ctx.Err())
	case ok && time.Until(callers) <= time.Millisecond:
		return fmt.Errorf("redis: %s: %w", what, context.DeadlineExceeded)
	default:
		// Not wrapped: a timeout of this package's own is not the caller's context.DeadlineExceeded.
		return fmt.Errorf("%w: %s: %v", cache.ErrUnavailable, what, err)
	}
}

// run runs a script that answers with integers.
func (c *Client) run(ctx context.Context, what string, may repeat, s *redis.Script, key string, args ...any) (answer []int64, err error) {
	err = c.do(ctx, what, may, func(ctx context.Context) (err error) {
		answer, err = s.Run(ctx, c.redis, []string{key}, args...).Int64Slice()
		return err
	})
	return answer, err
}

// name is where something is kept: prefix, kind and namespace as they are, for people who look, and in braces the
// digest, which alone chooses the slot of a cluster.
func (c *Client) name(kind string, n cache.Name) string {
	return c.prefix + kind + ":" + n.Space + ":{" + base64.RawURLEncoding.EncodeToString(n.Digest[:]) + "}"
}
