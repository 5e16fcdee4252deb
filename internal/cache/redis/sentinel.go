package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// glanceEvery is how often the sentinels are asked while operations go on. A primary that somebody replaces takes writes
// for ten seconds more, which are then lost.
const glanceEvery = time.Second

// sentinels tell which server is the primary.
//
// All of them are asked at once, and the first answer counts: one that hangs holds up nobody. The library's own client
// asks again and again the one that it has chosen, for as long as an operation may take.
type sentinels struct {
	clients []*redis.SentinelClient
	name    string
	timeout time.Duration
	tls     *tls.Config // nil is none

	mu      sync.Mutex
	primary string
	open    map[*primaryConn]struct{} // all to the primary
	asked   time.Time                 // when last

	looking atomic.Bool
}

func newSentinels(a address, common redis.UniversalOptions, config *tls.Config, timeout time.Duration) *sentinels {
	s := &sentinels{name: a.primary, timeout: timeout, tls: config, open: map[*primaryConn]struct{}{}}
	for _, host := range a.hosts {
		o := common.Simple()
		o.Addr, o.DB, o.Username, o.Password = host, 0, "", a.sentinelPassword
		s.clients = append(s.clients, redis.NewSentinelClient(o))
	}
	return s
}

// find asks which server is the primary. Where it is another than before, all connections to that one end.
func (s *sentinels) find(ctx context.Context) (string, error) {
	s.mu.Lock()
	s.asked = time.Now()
	s.mu.Unlock()
	type answer struct {
		at  []string
		err error
	}
	answers := make(chan answer, len(s.clients))
	for _, c := range s.clients {
		go func() {
			// A later answer is let in, since the end of its context would be the end of its connection.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
			defer cancel()
			at, err := c.GetMasterAddrByName(ctx, s.name).Result()
			if err == nil && len(at) != 2 {
				err = errors.New("an answer that is no address")
			}
			answers <- answer{at, err}
		}()
	}
	var errs []error
	for range s.clients {
		var a answer
		select {
		case a = <-answers:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if a.err == nil {
			now := net.JoinHostPort(a.at[0], a.at[1])
			s.turnTo(now)
			return now, nil
		}
		if errors.Is(a.err, redis.Nil) {
			a.err = errors.New("it knows no primary of that name")
		}
		errs = append(errs, a.err)
	}
	return "", fmt.Errorf("no sentinel tells which server is the primary: %w", errors.Join(errs...))
}

func (s *sentinels) turnTo(primary string) {
	s.mu.Lock()
	var former []*primaryConn
	if s.primary != primary {
		for c := range s.open {
			former = append(former, c)
		}
		s.primary = primary
	}
	s.mu.Unlock()
	for _, c := range former {
		c.Close()
	}
}

// look asks in the background whether the primary is another.
func (s *sentinels) look() {
	if s.looking.CompareAndSwap(false, true) {
		go func() {
			defer s.looking.Store(false)
			s.find(context.Background())
		}()
	}
}

// glance looks where nobody has for some time.
func (s *sentinels) glance() {
	s.mu.Lock()
	late := time.Since(s.asked) >= glanceEvery
	s.mu.Unlock()
	if late {
		s.look()
	}
}

// dial connects with the primary.
func (s *sentinels) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	at, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	dialed, err := new(net.Dialer).DialContext(ctx, network, at)
	if err != nil {
		return nil, err
	}
	c := &primaryConn{dialed.(*net.TCPConn), s}
	if !s.keep(c, at) {
		c.Close()
		return nil, errors.New("another server became the primary meanwhile")
	}
	if s.tls == nil {
		return c, nil
	}
	config := s.tls.Clone()
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(at); err != nil {
			c.Close()
			return nil, err
		}
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}

func (s *sentinels) keep(c *primaryConn, at string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.primary != at {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *sentinels) close() (err error) {
	for _, c := range s.clients {
		err = errors.Join(err, c.Close())
	}
	return err
}

// primaryConn is a connection that ends when its server is the primary no more. It is still a socket to the library, which
// looks whether a connection broke while nobody used it.
type primaryConn struct {
	*net.TCPConn
	of *sentinels
}

func (c *primaryConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.TCPConn.Close()
}
