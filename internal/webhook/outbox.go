package webhook

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

const (
	// maxWaiting bounds what waits for a receiver that is away, and so what strangers can make the vault keep and
	// the receiver take at its return. What is beyond it, the audit log alone has.
	maxWaiting = 10_000
	// keepFor is how long deliveries are shown that have ended.
	keepFor = 7 * 24 * time.Hour
	// maxProblem bounds why a try failed, in bytes.
	maxProblem = 300

	problemOff     = "the webhook was switched off"
	problemGone    = "the receiver answered 410, which says that it wants no more; the webhook was switched off"
	problemTooMany = "10,000 deliveries wait already; what came after them is in the audit log alone"
)

// Outbox keeps what is to be sent. All fields are required.
type Outbox struct {
	Vault string // its id
	Rand  io.Reader
	Now   func() time.Time
	// IsDownload tells of a method and a route, as events have them, whether content comes that way.
	IsDownload func(method, route string) bool
	Wake       func() // is called inside the transaction; it must not block
}

// Announce is told of every event in its transaction, and keeps a message for each webhook that wants one.
func (o *Outbox) Announce(ctx context.Context, tx Tx, id int64, e audit.Event) error {
	m, ok := o.messageOf(id, e)
	if !ok {
		return nil
	}
	all, err := tx.Webhooks(ctx)
	if err != nil {
		return err
	}
	for _, w := range all {
		if !w.Active || !slices.Contains(w.Events, m.Type) {
			continue
		}
		if _, err := o.put(ctx, tx, w, m); err != nil {
			return err
		}
	}
	return nil
}

// put keeps a message for a webhook. Where too many wait, it is left out, and the webhook says so.
func (o *Outbox) put(ctx context.Context, tx Tx, w Row, m Message) (Delivery, error) {
	n, err := tx.Waiting(ctx, w.ID, maxWaiting)
	if err != nil {
		return Delivery{}, err
	}
	if n >= maxWaiting && m.Type != Test {
		w.Problem = problemTooMany
		return Delivery{}, tx.Update(ctx, w)
	}
	var random [16]byte
	if _, err := io.ReadFull(o.Rand, random[:]); err != nil {
		return Delivery{}, fmt.Errorf("webhook: no randomness: %w", err)
	}
	now := millis(o.Now())
	d := Delivery{
		Message: "msg_" + hex.EncodeToString(random[:]), Webhook: w.ID, Kind: m.Type, Event: m.Event, Person: m.Person, By: m.By,
		Body: m.encode(), CreatedAt: now, NextAt: now,
	}
	if d.ID, err = tx.InsertDelivery(ctx, d); err != nil {
		return Delivery{}, err
	}
	o.Wake()
	return d, nil
}

// millis cuts a time to what is kept of it.
func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// Job is a delivery that is due, with all that sending it takes.
type Job struct {
	Delivery
	URL    string
	Secret Secret // none where it could not be opened
	// Formers are the secrets that it has replaced not long ago.
	Formers []Secret
}

// Outcome is what came of a try.
type Outcome struct {
	Status  int    // of the reply, or 0 where there was none
	Problem string // why it failed, as a sentence; empty where it did not
	Gone    bool   // the receiver wants no more
}

// Due returns the deliveries that are to be tried now, up to perWebhook for each of them. Those that are tried already
// are among them until Settle was told.
func (s *Service) Due(ctx context.Context, perWebhook int) (jobs []Job, err error) {
	now := s.now()
	err = s.store.ViewWebhooks(ctx, func(tx Tx) error {
		jobs = nil
		all, err := tx.Webhooks(ctx)
		if err != nil {
			return err
		}
		for _, w := range all {
			due, err := tx.Due(ctx, w.ID, now, perWebhook)
			if err != nil {
				return err
			}
			for _, d := range due {
				// One that cannot be opened keeps nobody else's messages from being sent.
				secret, err := s.open(w)
				if errors.Is(err, auditlog.ErrKeyAway) {
					return err
				}
				formers, err := s.formers(ctx, tx, w, now)
				if err != nil {
					return err
				}
				jobs = append(jobs, Job{d, w.URL, secret, formers})
			}
		}
		return nil
	})
	return jobs, err
}

// Settle keeps what came of a try, and decides about the next. What was deleted or switched off meanwhile stays so.
func (s *Service) Settle(ctx context.Context, j Job, o Outcome) (became State, err error) {
	err = s.change(ctx, func(tx Tx) error {
		now := s.now()
		d, err := tx.Delivery(ctx, j.ID)
		if errors.Is(err, ErrNotFound) {
			became = GivenUp
			return nil
		}
		if err != nil {
			return err
		}
		w, err := tx.Webhook(ctx, d.Webhook)
		if err != nil {
			return err
		}
		if became = d.State(); became != Waiting {
			return nil
		}
		o.Problem = strings.ToValidUTF8(o.Problem[:min(len(o.Problem), maxProblem)], "")
		d.Tries, d.Status, d.Problem = d.Tries+1, o.Status, o.Problem
		wait, again := pause(d.Tries)
		switch {
		case o.Problem == "" || !again || o.Gone || d.Kind == Test:
			d.NextAt, d.EndedAt = time.Time{}, now
		default:
			d.NextAt = now.Add(wait)
		}
		if err := tx.UpdateDelivery(ctx, d); err != nil {
			return err
		}
		became = d.State()
		if o.Gone && w.Active {
			w.Active, w.Problem, w.UpdatedAt = false, problemGone, now
			if err := tx.EndWaiting(ctx, w.ID, now, problemGone); err != nil {
				return err
			}
			if err := tx.Update(ctx, w); err != nil {
				return err
			}
			return s.record(ctx, tx, nil, w, "changed")
		}
		if w.Problem == o.Problem {
			return nil
		}
		w.Problem = o.Problem
		return tx.Update(ctx, w)
	})
	if err != nil {
		return "", fmt.Errorf("webhook: keep what came of a delivery: %w", err)
	}
	return became, nil
}

// Sweep removes deliveries that ended a week ago, so many at once that nobody else's change waits for it.
func (s *Service) Sweep(ctx context.Context) error {
	const batch = 500
	err := s.store.UpdateWebhooks(ctx, func(tx Tx) error {
		now := s.now()
		return endFormers(ctx, tx, "", func(f Former) bool { return !now.Before(f.Until) })
	})
	if err != nil {
		return err
	}
	for removed := int64(batch); removed == batch; {
		err := s.store.UpdateWebhooks(ctx, func(tx Tx) (err error) {
			removed, err = tx.DeleteEnded(ctx, s.now().Add(-keepFor), batch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// WaitingAll counts the deliveries of all webhooks that wait.
func (s *Service) WaitingAll(ctx context.Context) (n int64, err error) {
	err = s.store.ViewWebhooks(ctx, func(tx Tx) error {
		n, err = tx.Waiting(ctx, "", maxWebhooks*(maxWaiting+1))
		return err
	})
	return n, err
}
