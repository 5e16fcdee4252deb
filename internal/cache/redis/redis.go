// Package redis keeps rate windows and short-lived state in a Redis 7 that several servers share: one, one that sentinels
// watch, or a cluster. Valkey speaks the same; no test runs on it where the system has no package of it, as Debian 12.
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
// refuses instead. A replica that becomes the primary may lack the last writes, be it by sentinels or in a cluster: a limit
// can then be exceeded by those, a value be missing or be given twice, and two hold a lease at once, of whom the later has
// the larger fencing token unless the clock of the new primary is behind. A replaced primary that does not know it yet is
// used for a second more where a sentinel can be asked; for how long it takes writes at all, is up to its
// min-replicas-to-write.
//
// Of a cluster whose cluster-require-full-coverage is no, what lies in slots without a server is unavailable, and the
// rest goes on; otherwise all of it is unavailable. Ping is for all slots.
//
// It seals nothing: values lie in Redis as callers give them.
package redis

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
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
	// Address is redis://[user:password@]host[:port][/database],
	// redis+sentinel://[user:password@]host[:port][,host[:port]…]/primary[/database][?sentinel_password=…], or
	// redis+cluster://[user:password@]host[:port][,host[:port]…]. With rediss instead of redis it is TLS 1.3, to
	// sentinels too.
	Address string
	Prefix  string        // DefaultPrefix where it is ""; keeps apart those who share a database
	Timeout time.Duration // DefaultTimeout where it is 0; of a whole operation, connecting included
	TLS     *tls.Config   // for rediss, such as an authority of one's own; nil trusts the system's
}

// Client is a Redis. It may be used by many goroutines.
type Client struct {
	redis   redis.UniversalClient
	prefix  string
	timeout time.Duration
	scripts scripts

	ping        func(context.Context) error
	begins      func() // told of each operation
	lost        func() // told when a server did not answer: another may have taken its place
	closeOthers func() error
}

// quiet drops what the library would write to stderr: whoever asked gets the error.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Open reads the address. It connects when something is first asked, so that a Redis that is away now
// may come later; Ping tells.
func Open(o Options) (*Client, error) {
	silence()
	a, err := parse(o.Address)
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
	var config *tls.Config
	switch {
	case a.tls:
		// Each server has to show a certificate for the name or the IP address by which it is reached.
		if config = o.TLS.Clone(); config == nil {
			config = &tls.Config{}
		}
		config.MinVersion = tls.VersionTLS13
	case o.TLS != nil:
		return nil, errors.New("TLS is for addresses that begin with rediss")
	}
	common := redis.UniversalOptions{
		Addrs: a.hosts, DB: a.database, Username: a.user, Password: a.password, TLSConfig: config,
		// The library's own retries do not know which commands may be repeated.
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: o.Timeout, ReadTimeout: o.Timeout, WriteTimeout: o.Timeout, PoolTimeout: o.Timeout,
		ContextTimeoutEnabled: true,
		// What Redis 7 and Valkey don't know is not asked.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	c := &Client{prefix: o.Prefix, timeout: o.Timeout, scripts: newScripts(serverTime), begins: func() {}, lost: func() {}}
	switch a.kind {
	case single:
		c.serve(redis.NewClient(common.Simple()))
	case bySentinel:
		s := newSentinels(a, common, config, o.Timeout)
		own := common.Simple()
		own.Dialer = s.dial
		c.serve(redis.NewClient(own))
		c.begins, c.lost, c.closeOthers = s.glance, s.look, s.close
	case cluster:
		client := openCluster(common.Cluster())
		c.redis, c.ping = client, func(ctx context.Context) error { return pingCluster(ctx, client) }
		c.lost = func() { client.ReloadState(context.Background()) }
	}
	return c, nil
}

// serve uses one server.
func (c *Client) serve(client *redis.Client) {
	c.redis, c.ping = client, func(ctx context.Context) error { return client.Ping(ctx).Err() }
}

// Close ends all connections.
func (c *Client) Close() error {
	err := c.redis.Close()
	if c.closeOthers != nil {
		err = errors.Join(err, c.closeOthers())
	}
	return err
}

// Ping tells whether Redis answers: nil, or cache.ErrUnavailable. A cluster has to serve all slots.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, "ping", repeatable, c.ping)
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
	c.begins()
	// A connection's deadline passes a moment before the context's, so that ctx.Err alone does not say whose it was.
	callers, ok := ctx.Deadline()
	ok = ok && time.Until(callers) <= c.timeout
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := fn(limited)
	if err != nil && !said(err) {
		if ctx.Err() != context.Canceled {
			c.lost()
		}
		if may == repeatable && limited.Err() == nil {
			err = fn(limited) // a connection that broke; the next one is new
		}
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
