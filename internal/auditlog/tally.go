package auditlog

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"

	"stonevault/audit"
)

const (
	// tallyPeriod is how long what repeats is counted for one event.
	tallyPeriod = time.Minute
	// maxTallies bounds the kinds and networks that are counted apart, and with that what strangers with many
	// addresses write in a minute, to about 1 MB; beyond it, networks are no longer told apart.
	maxTallies = 1000
)

// Tally records what strangers can repeat at will: of each kind and network the first one at once, and then
// one event a minute that says how many there were. It may be used by many goroutines.
type Tally struct {
	recorder *Recorder

	mu     sync.Mutex
	counts map[tallyKey]*count // under mu
}

type tallyKey struct {
	kind    audit.Type
	what    string
	network netip.Prefix
}

// count is what came since the last event of a kind.
type count struct {
	event audit.Event // what all of them have in common
	since time.Time
	n     int64
}

// NewTally makes a tally.
func NewTally(r *Recorder) *Tally { return &Tally{recorder: r, counts: map[tallyKey]*count{}} }

// Note counts an event whose type has the fields count and since, which are filled in here. what tells kinds
// of one type apart, such as a reason. The error says that an event could not be written; it is counted on.
func (t *Tally) Note(ctx context.Context, what string, e audit.Event) error {
	now := t.recorder.config.Now()
	e.Time = now
	key := tallyKey{e.Type, what, network(e.Actor)}
	t.mu.Lock()
	if _, ok := t.counts[key]; !ok && len(t.counts) >= maxTallies {
		key.network = netip.Prefix{}
	}
	c := t.counts[key]
	if c != nil {
		if c.n++; c.n == 1 {
			c.event, c.since = e, now
		} else {
			c.event = common(c.event, e)
		}
		t.mu.Unlock()
		return nil
	}
	t.counts[key] = &count{since: now}
	t.mu.Unlock()
	// The request may have begun before its person was erased.
	err := InTransaction(ctx, t.recorder.config.Database.Update, func(store Store) error {
		_, err := t.recorder.RecordLate(ctx, store, counted(e, 1, now))
		return err
	})
	if err != nil {
		t.giveBack(key, count{e, now, 1})
	}
	return err
}

// network is the part of an address that one person or company has: 24 bits of IPv4, 48 of IPv6.
func network(actor audit.Values) netip.Prefix {
	text, _ := actor["address"].(string)
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	p, _ := ip.Prefix(bits)
	return p
}

func counted(e audit.Event, n int64, since time.Time) audit.Event {
	e.Operational = maps.Clone(e.Operational)
	if e.Operational == nil {
		e.Operational = audit.Values{}
	}
	e.Operational["count"], e.Operational["since"] = n, since.UnixMilli()
	return e
}

// common keeps of two events what both say. Several people are nobody.
func common(a, b audit.Event) audit.Event {
	a.Time = b.Time
	if a.Actor == nil || b.Actor == nil {
		a.Actor = nil
	} else if !maps.Equal(a.Actor, b.Actor) {
		one := maps.Clone(a.Actor)
		for name, value := range b.Actor {
			if one[name] != value {
				one[name] = ""
			}
		}
		a.Actor = one
	}
	if !maps.Equal(a.Subject, b.Subject) {
		a.Subject = nil
	}
	return a
}

// Flush records what was counted for longer than a minute, or all of it. A server calls it every now and
// then, and with all when it ends. What could not be written is counted on.
func (t *Tally) Flush(ctx context.Context, all bool) error {
	now := t.recorder.config.Now()
	due := map[tallyKey]count{}
	t.mu.Lock()
	for key, c := range t.counts {
		switch age := now.Sub(c.since); {
		case !all && age >= 0 && age < tallyPeriod:
		case c.n == 0:
			delete(t.counts, key)
		default:
			due[key] = *c
			t.counts[key] = &count{since: now}
		}
	}
	t.mu.Unlock()
	var failed []error
	for key, c := range due {
		err := t.recorder.config.Database.Update(ctx, func(store Store) error {
			_, err := t.recorder.RecordLate(ctx, store, counted(c.event, c.n, c.since))
			return err
		})
		if err != nil {
			failed = append(failed, err)
			t.giveBack(key, c)
		}
	}
	return errors.Join(failed...)
}

func (t *Tally) giveBack(key tallyKey, c count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if later := t.counts[key]; later != nil && later.n > 0 {
		c.event, c.n = common(c.event, later.event), c.n+later.n
	}
	t.counts[key] = &c
}
