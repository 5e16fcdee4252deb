package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/internal/cache"
	"stonevault/internal/cache/memory"
	"stonevault/internal/cache/redis"
	"stonevault/internal/config"
	"stonevault/internal/httpapi"
)

// limits are where requests are counted.
type limits struct {
	limiter  cache.Limiter
	redis    *redis.Client   // nil where they are counted in memory
	fallback *cache.Fallback // nil where what Redis cannot count is refused
	away     error           // why Redis did not answer at the start
	identity string          // of the Redis; empty where it could not be asked
}

// openLimits finds the place that the settings name. A Redis that does not answer is an error, unless there is a
// fallback: a server that refuses everything is better not started.
func (s *Server) openLimits(ctx context.Context) error {
	c := s.Config.Limits
	if c.Cache == "" {
		s.limits = &limits{limiter: memory.NewLimiter(memory.Options{Now: s.Now})}
		return nil
	}
	client, err := redis.Open(redis.Options{Address: string(c.Cache)})
	if err != nil {
		return fmt.Errorf("%w; mend it in the file that --cache-file names", err)
	}
	l := &limits{limiter: client.Limiter(), redis: client}
	if c.FallBack {
		l.fallback = cache.NewFallback(client.Limiter(), memory.NewLimiter(memory.Options{Now: s.Now}))
		l.limiter = l.fallback
	}
	if l.away = client.Ping(ctx); l.away != nil && !c.FallBack {
		return errors.Join(fmt.Errorf("the Redis of --cache-file does not answer (%w); start it, or begin with --cache-fallback memory", l.away), client.Close())
	}
	if l.away == nil {
		if l.identity, err = client.Identity(ctx, rand.Text()); err != nil {
			return errors.Join(fmt.Errorf("the Redis of --cache-file cannot be used: %w", err), client.Close())
		}
	}
	s.limits = l
	return nil
}

// announce says where requests are counted.
func (l *limits) announce(log *slog.Logger) {
	switch {
	case l.redis == nil:
		log.Info("requests are counted in memory")
	case l.away == nil:
		log.Info("requests are counted in Redis", "fallback", l.fallback != nil)
	default:
		log.Warn("Redis cannot be reached; until it can be, requests are counted in memory", "error", l.away)
	}
}

// requestLimits are the numbers.
func requestLimits(c config.Limits) httpapi.RequestLimits {
	return httpapi.RequestLimits{SignIn: c.SignIn, Read: c.Read, Write: c.Write, Transfer: c.Transfer, Simulate: c.Quantum, Deliver: c.QKD}
}

// ready tells whether requests can be counted, and so answered.
func (l *limits) ready(ctx context.Context) error {
	if l.redis == nil || l.fallback != nil {
		return nil
	}
	return l.redis.Ping(ctx)
}

func (l *limits) collectors() []prometheus.Collector {
	if l.fallback == nil {
		return nil
	}
	return []prometheus.Collector{prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "stonevault_limits_fallback_total", Help: "Requests that were counted in memory because Redis could not be reached.",
	}, func() float64 { return float64(l.fallback.Used()) })}
}

func (l *limits) close() error {
	if l == nil || l.redis == nil {
		return nil
	}
	return l.redis.Close()
}
