package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"stonevault/internal/datadir"
	"stonevault/internal/metadb"
	"stonevault/internal/peers"
)

const (
	// leaveFor is how long a server that stops tries to say so; others notice without it.
	leaveFor = 5 * time.Second
	// succeed is how often a server looks whether it is its turn to do what one does for all.
	succeed = 5 * time.Second
	// identifyEvery is how often a Redis that has lost everything is told again which one it is.
	identifyEvery = 10 * time.Second
)

// Jobs that one server does for all, or a command where none serves.
const (
	jobCollect = "collect"
	jobRotate  = "rotate"
	jobAnchor  = "anchor"
)

// agreed are the settings that servers of one vault must have in common.
var agreed = []string{"limit_sign_in", "limit_read", "limit_write", "limit_transfer", "limit_quantum", "limit_qkd", "anchor_chain", "anchor_contract", "anchor_creator"}

// terms are what this server shows to others.
func (s *Server) terms() peers.Terms {
	t := peers.Terms{Counter: s.limits.identity, Objects: string(s.Config.Objects.Address)}
	var lines []string
	for _, v := range s.Settings {
		if slices.Contains(agreed, v.Setting.Key) {
			lines = append(lines, v.Setting.Key+"="+v.Text)
		}
	}
	t.Settings = strings.Join(lines, "\n")
	return t
}

// exclusive are the terms of a command that needs the vault for itself.
var exclusive = peers.Terms{Settings: "exclusive"}

// unlessExclusive refuses to join a command that needs the vault for itself.
func unlessExclusive(others []peers.Server) error {
	for _, o := range others {
		if o.Terms == exclusive {
			return fmt.Errorf("%s needs this vault for itself; wait until it has ended (if it was killed, it counts as gone in %v)",
				o.Name, time.Until(o.ExpiresAt).Round(time.Second))
		}
	}
	return nil
}

// admission says whether a server with such terms may serve beside others: not where requests would be counted twice,
// or files be looked for where another has not put them.
func admission(own peers.Terms, fallback bool) func(others []peers.Server) error {
	return func(others []peers.Server) error {
		if err := unlessExclusive(others); err != nil {
			return err
		}
		for _, o := range others {
			if o.Terms == (peers.Terms{}) { // a command, which ends
				continue
			}
			what := ""
			switch {
			case own.Objects == "":
				what = "keeps sealed files in its own directory, where the others do not find them; name the bucket that they have with --objects"
			case o.Objects == "":
				what = "has its sealed files in the data directory of that one; stop it, and move them to a bucket first"
			case own.Counter == "":
				what = "would count requests for itself alone, so that every limit would be weaker; name the Redis that they have with --cache-file"
			case o.Counter == "":
				what = "would count requests apart from that one, which has no Redis; give it one with --cache-file first"
			case own.Counter != o.Counter:
				what = "counts requests in another Redis, so that every limit would be weaker; name the same in the file of --cache-file"
			case fallback:
				what = "would count requests for itself alone while Redis is away; leave out --cache-fallback memory"
			case own.Settings != o.Settings:
				what = "has another " + strings.Join(differ(own.Settings, o.Settings), ", ") + "; give all servers the same"
			default:
				continue
			}
			return fmt.Errorf("the server %s serves this vault since %s, and this one %s (if it was killed, it counts as gone in %v)",
				o.Name, o.StartedAt.UTC().Format(time.RFC3339), what, time.Until(o.ExpiresAt).Round(time.Second))
		}
		return nil
	}
}

// differ are the names whose lines differ.
func differ(a, b string) (names []string) {
	for line := range strings.SplitSeq(a, "\n") {
		if !slices.Contains(strings.Split(b, "\n"), line) {
			name, _, _ := strings.Cut(line, "=")
			names = append(names, name)
		}
	}
	if names == nil {
		return []string{"configuration"}
	}
	return names
}

// alone refuses what must not be done while somebody else has the vault open.
func alone(others []peers.Server) error {
	if len(others) > 0 {
		return fmt.Errorf("%s uses this vault; stop all of its servers and commands first", others[0].Name)
	}
	return nil
}

// admit says beside whom a directory may be opened.
func (o *opener) admit(what opening) func(others []peers.Server) error {
	switch what {
	case toServe:
		return admission(o.terms, o.config.Limits.FallBack)
	case toRestart, toRecover, toCopy:
		return alone
	}
	return unlessExclusive
}

// mayJoin refuses, before anything is changed, what join would refuse.
func (o *opener) mayJoin(ctx context.Context, s *store, db *metadb.DB, what opening) error {
	if !s.sharesDatabase() {
		return nil
	}
	own, err := s.dir.KnownServerID()
	if err != nil {
		return err
	}
	live, err := peers.Live(ctx, db, o.now())
	if err != nil {
		return err
	}
	return o.admit(what)(slices.DeleteFunc(live, func(other peers.Server) bool { return other.Place == own || other.Place == s.place }))
}

// join makes this process one of those that have a database in common.
func (o *opener) join(ctx context.Context, s *store, what opening) error {
	if !s.sharesDatabase() {
		return nil
	}
	c := peers.Config{
		Store: s.db, Times: peers.Usual, Now: o.now, Terms: o.terms,
		Failed: func(err error) { o.log.Error("this server's place among the others is in doubt", "error", err) },
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	if s.lock != nil && s.place == "" {
		if c.Place, err = s.dir.ServerID(); err != nil {
			return err
		}
		c.Name = strings.TrimSpace(host + " " + o.listen)
	} else {
		b := make([]byte, 16)
		rand.Read(b)
		if c.Place = hex.EncodeToString(b); s.place != "" {
			c.Place = s.place
		}
		c.Name = "a command on " + host
	}
	if c.Admit = o.admit(what); what == toRestart || what == toRecover || what == toCopy {
		c.Terms = exclusive
	}
	if s.peers, err = peers.Join(ctx, c); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var run sync.WaitGroup
	run.Go(func() { s.peers.Run(running) })
	s.leave = func() error {
		stop()
		run.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), leaveFor)
		defer cancel()
		return s.peers.Leave(ctx)
	}
	return nil
}

// served tells whether a server has the vault open, and its process number where that is known.
func (s *store) served(ctx context.Context) (bool, int, error) {
	if !s.sharesDatabase() {
		return s.dir.Locked()
	}
	live, err := peers.Live(ctx, s.db, time.Now())
	return slices.ContainsFunc(live, func(s peers.Server) bool { return s.Terms != peers.Terms{} }), 0, err
}

// instead takes over a job of the server's where none serves; otherwise it is the server's, and release is nil.
func (s *store) instead(ctx context.Context, job string) (release func() error, err error) {
	if !s.sharesDatabase() {
		lock, err := s.dir.Lock()
		var inUse *datadir.InUseError
		if errors.As(err, &inUse) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if err := lock.Claim(); err != nil {
			return nil, errors.Join(err, lock.Release())
		}
		return lock.Release, nil
	}
	if served, _, err := s.served(ctx); served || err != nil {
		return nil, err
	}
	_, free, err := s.peers.Take(ctx, "job/"+job)
	if errors.Is(err, peers.ErrTaken) {
		return nil, nil
	}
	return func() error { free(); return nil }, err
}

// alone runs a job that one server does for all, again and again until ctx ends, while it is this server's turn.
func (s *Server) alone(ctx context.Context, job string, run func(context.Context)) {
	s.jobs.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.store.peers.Alone(ctx, job, run); err != nil && ctx.Err() == nil {
				s.Log.Error("whose turn a job is could not be told, and is asked again", "job", job, "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(succeed):
			}
		}
	})
}

// identify tells a Redis that has lost everything which one it is, so that another server knows it.
func (s *Server) identify(ctx context.Context) {
	now, err := s.limits.redis.Identity(ctx, s.limits.identity)
	if err == nil && now != s.limits.identity {
		s.Log.Error("the Redis of --cache-file is another than it was when this server started; start it again")
	}
}

// servers lists who has the vault open.
func (d *doctor) servers(ctx context.Context) {
	if !d.store.sharesDatabase() {
		return
	}
	const check = "servers"
	live, err := peers.Live(ctx, d.store.db, d.now())
	if err != nil {
		d.say(check, levelFail, "%v", err)
		return
	}
	d.served = len(live) > 0
	for _, s := range live {
		d.say(check, levelOK, "%s has the vault open since %s", s.Name, s.StartedAt.UTC().Format(time.RFC3339))
	}
	if len(live) == 0 {
		d.say(check, levelOK, "none has the vault open")
	}
}
