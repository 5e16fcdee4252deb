package webhook

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
	"stonevault/internal/once"
)

// maxWebhooks bounds how many there are.
const maxWebhooks = 50

// Config is what a Service is made of. All but Private are required.
type Config struct {
	Store  Store
	Sealer Sealer
	Audit  Recorder
	Outbox *Outbox
	Rand   io.Reader
	Now    func() time.Time
	// Private lets messages go to this machine and its networks.
	Private bool
}

// Service is what admins do with webhooks, and what their sender needs. It may be used by many goroutines.
type Service struct {
	store   Store
	sealer  Sealer
	audit   Recorder
	outbox  *Outbox
	rand    io.Reader
	now     func() time.Time
	private bool
}

// New makes a service.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Sealer == nil || c.Audit == nil || c.Outbox == nil || c.Rand == nil || c.Now == nil {
		return nil, errors.New("webhook: all but Private is required")
	}
	return &Service{
		store: c.Store, sealer: c.Sealer, audit: c.Audit, outbox: c.Outbox, rand: c.Rand, private: c.Private,
		now: func() time.Time { return millis(c.Now()) },
	}, nil
}

// Asker is who wants something of the webhooks.
type Asker struct {
	auditlog.Actor
	Role access.Role
}

func (a Asker) may(action access.Action) error {
	if access.Decide(a.Role, action, access.Vault) != access.Allowed {
		return ErrForbidden
	}
	return nil
}

// Webhook is one as admins see it.
type Webhook struct {
	Row
	Waiting int64
	Secret  Secret // what was drawn just now, or none
}

// Change is what shall be different; what is nil stays.
type Change struct {
	URL    *string
	Events []Kind
	Active *bool
}

func (s *Service) change(ctx context.Context, fn func(Tx) error) error {
	return auditlog.InTransaction(ctx, s.store.UpdateWebhooks, fn)
}

// record writes into a transaction what became of a webhook; by is nil where the server acts by itself. Of its URL the
// host alone is kept: the rest may be what the receiver knows the sender by.
func (s *Service) record(ctx context.Context, tx Tx, by *Asker, w Row, what string) error {
	host := ""
	if u, err := url.Parse(w.URL); err == nil {
		host = u.Hostname()
	}
	e := audit.Event{Type: audit.WebhookChanged, Time: s.now(), Operational: audit.Values{
		"webhook": w.ID, "what": what, "host": host, "events": joinKinds(w.Events), "active": w.Active,
	}}
	if by != nil {
		e.Actor = by.Values()
	}
	_, err := s.audit.Record(ctx, tx.Audit(), e)
	return err
}

func joinKinds(kinds []Kind) string {
	texts := make([]string, len(kinds))
	for i, k := range kinds {
		texts[i] = string(k)
	}
	return strings.Join(texts, ",")
}

// SecretContext is what a webhook's secret is sealed for.
func SecretContext(id string) string { return "webhook/" + id }

// draw makes a secret, and seals it for a webhook.
func (s *Service) draw(id string) (secret Secret, sealed []byte, err error) {
	if secret, err = newSecret(s.rand); err != nil {
		return Secret{}, nil, err
	}
	sealed, err = s.sealer.Seal(SecretContext(id), secret.key)
	return secret, sealed, err
}

func (s *Service) open(w Row) (Secret, error) {
	key, err := s.sealer.Open(SecretContext(w.ID), w.Secret)
	if err != nil {
		return Secret{}, err
	}
	return Secret{key}, nil
}

// checkKinds accepts kinds that there are, each once, and returns them in the order of Kinds.
func checkKinds(kinds []Kind) ([]Kind, error) {
	if len(kinds) == 0 {
		return nil, &InvalidError{"events", "is empty; name one or more of " + joinKinds(Kinds)}
	}
	for i, k := range kinds {
		switch {
		case !slices.Contains(Kinds, k):
			return nil, &InvalidError{"events", "holds what is no event of a webhook; there are " + joinKinds(Kinds)}
		case slices.Contains(kinds[:i], k):
			return nil, &InvalidError{"events", "names an event twice"}
		}
	}
	return slices.DeleteFunc(slices.Clone(Kinds), func(k Kind) bool { return !slices.Contains(kinds, k) }), nil
}

// Create makes a webhook. Its secret is shown this once.
func (s *Service) Create(ctx context.Context, by Asker, address string, events []Kind, active bool) (Webhook, error) {
	if err := by.may(access.WebhooksChange); err != nil {
		return Webhook{}, err
	}
	if _, err := checkURL(address, s.private); err != nil {
		return Webhook{}, err
	}
	events, err := checkKinds(events)
	if err != nil {
		return Webhook{}, err
	}
	var random [16]byte
	if _, err := io.ReadFull(s.rand, random[:]); err != nil {
		return Webhook{}, fmt.Errorf("webhook: no randomness: %w", err)
	}
	w := Webhook{Row: Row{ID: hex.EncodeToString(random[:]), URL: address, Events: events, Active: active, CreatedAt: s.now()}}
	w.UpdatedAt = w.CreatedAt
	if w.Secret, w.Row.Secret, err = s.draw(w.ID); err != nil {
		return Webhook{}, err
	}
	err = s.change(ctx, func(tx Tx) error {
		all, err := tx.Webhooks(ctx)
		if err != nil {
			return err
		}
		if len(all) >= maxWebhooks {
			return ErrTooMany
		}
		if err := tx.Insert(ctx, w.Row); err != nil {
			return err
		}
		return s.record(ctx, tx, &by, w.Row, "created")
	})
	if err != nil {
		return Webhook{}, err
	}
	return w, nil
}

// see is a webhook as admins see it.
func see(ctx context.Context, tx Tx, w Row) (Webhook, error) {
	n, err := tx.Waiting(ctx, w.ID, maxWaiting+1)
	return Webhook{Row: w, Waiting: n}, err
}

// List returns all webhooks, the oldest first.
func (s *Service) List(ctx context.Context, by Asker) (list []Webhook, err error) {
	if err := by.may(access.WebhooksSee); err != nil {
		return nil, err
	}
	err = s.store.ViewWebhooks(ctx, func(tx Tx) error {
		list = nil
		all, err := tx.Webhooks(ctx)
		for _, row := range all {
			w, err := see(ctx, tx, row)
			if err != nil {
				return err
			}
			list = append(list, w)
		}
		return err
	})
	return list, err
}

// Get returns one webhook.
func (s *Service) Get(ctx context.Context, by Asker, id string) (w Webhook, err error) {
	if err := by.may(access.WebhooksSee); err != nil {
		return Webhook{}, err
	}
	err = s.store.ViewWebhooks(ctx, func(tx Tx) error {
		row, err := tx.Webhook(ctx, id)
		if err != nil {
			return err
		}
		w, err = see(ctx, tx, row)
		return err
	})
	return w, err
}

// Change changes a webhook. What waits is given up when it is switched off.
func (s *Service) Change(ctx context.Context, by Asker, id string, c Change) (w Webhook, err error) {
	if err := by.may(access.WebhooksChange); err != nil {
		return Webhook{}, err
	}
	if c.URL == nil && c.Events == nil && c.Active == nil {
		return Webhook{}, &InvalidError{"url", "is missing, and so are events and active; one of them is needed"}
	}
	if c.URL != nil {
		if _, err := checkURL(*c.URL, s.private); err != nil {
			return Webhook{}, err
		}
	}
	if c.Events != nil {
		if c.Events, err = checkKinds(c.Events); err != nil {
			return Webhook{}, err
		}
	}
	err = s.change(ctx, func(tx Tx) error {
		row, err := tx.Webhook(ctx, id)
		if err != nil {
			return err
		}
		if c.URL != nil && *c.URL != row.URL {
			row.URL, row.Problem = *c.URL, ""
		}
		if c.Events != nil {
			row.Events = c.Events
		}
		row.UpdatedAt = s.now()
		if c.Active != nil && *c.Active != row.Active {
			row.Active, row.Problem = *c.Active, ""
			if !row.Active {
				if err := tx.EndWaiting(ctx, id, row.UpdatedAt, problemOff); err != nil {
					return err
				}
			}
		}
		if err := tx.Update(ctx, row); err != nil {
			return err
		}
		if err := s.record(ctx, tx, &by, row, "changed"); err != nil {
			return err
		}
		w, err = see(ctx, tx, row)
		return err
	})
	return w, err
}

// Delete removes a webhook with all of its deliveries.
func (s *Service) Delete(ctx context.Context, by Asker, id string) error {
	if err := by.may(access.WebhooksChange); err != nil {
		return err
	}
	return s.change(ctx, func(tx Tx) error {
		row, err := tx.Webhook(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.Delete(ctx, id); err != nil {
			return err
		}
		row.Active = false
		return s.record(ctx, tx, &by, row, "deleted")
	})
}

// Renew draws another secret, which is shown this once. Those before sign nothing any more.
func (s *Service) Renew(ctx context.Context, by Asker, id string) (w Webhook, err error) {
	if err := by.may(access.WebhooksChange); err != nil {
		return Webhook{}, err
	}
	secret, sealed, err := s.draw(id)
	if err != nil {
		return Webhook{}, err
	}
	err = s.change(ctx, func(tx Tx) error {
		row, err := tx.Webhook(ctx, id)
		if err != nil {
			return err
		}
		row.Secret, row.UpdatedAt = sealed, s.now()
		if err := tx.Update(ctx, row); err != nil {
			return err
		}
		if err := endFormers(ctx, tx, id, func(Former) bool { return true }); err != nil {
			return err
		}
		if err := s.record(ctx, tx, &by, row, "secret"); err != nil {
			return err
		}
		w, err = see(ctx, tx, row)
		return err
	})
	if err != nil {
		return Webhook{}, err
	}
	w.Secret = secret
	return w, nil
}

// Test keeps a message that says nothing but that it came. It is tried once.
func (s *Service) Test(ctx context.Context, by Asker, id string) (d Delivery, err error) {
	if err := by.may(access.WebhooksChange); err != nil {
		return Delivery{}, err
	}
	err = s.change(ctx, func(tx Tx) error {
		return once.Do(ctx, tx.Once(), func() (any, error) {
			row, err := tx.Webhook(ctx, id)
			if err != nil {
				return nil, err
			}
			if !row.Active {
				return nil, ErrOff
			}
			d, err = s.outbox.put(ctx, tx, row, Message{Type: Test, Time: stamp(s.now()), Vault: s.outbox.Vault})
			return d, err
		})
	})
	return d, err
}

// Deliveries lists what was and is to be sent to a webhook, from before on, the newest first; more tells whether
// there are others after these.
func (s *Service) Deliveries(ctx context.Context, by Asker, id string, before int64, state State, limit int) (list []Delivery, more bool, err error) {
	if err := by.may(access.WebhooksSee); err != nil {
		return nil, false, err
	}
	err = s.store.ViewWebhooks(ctx, func(tx Tx) error {
		if _, err := tx.Webhook(ctx, id); err != nil {
			return err
		}
		list, err = tx.Deliveries(ctx, id, before, state, limit+1)
		return err
	})
	if more = len(list) > limit; more {
		list = list[:limit]
	}
	return list, more, err
}
