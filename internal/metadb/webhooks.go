package metadb

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"stonevault/internal/auditlog"
	"stonevault/internal/once"
	"stonevault/internal/webhook"
)

// webhooks is a transaction as webhooks have it.
type webhooks struct{ tx *Tx }

var _ webhook.Tx = webhooks{}

const (
	webhookColumns  = `id, url, secret, events, active, problem, created_at, updated_at`
	deliveryColumns = `id, message, webhook, type, event, person, by_person, body, created_at, tries, next_at, ended_at, status, problem`
)

// WebhooksIn are the webhooks in the transaction of a store of this package's.
func WebhooksIn(store auditlog.Store) webhook.Tx { return store.(auditStore).tx.Webhooks() }

func (s webhooks) Audit() auditlog.Store { return s.tx.Audit() }
func (s webhooks) Once() once.Tx         { return s.tx }

func (s webhooks) Insert(ctx context.Context, w webhook.Row) error {
	if err := checkWebhook(w); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, w.Secret); err != nil {
		return err
	}
	return s.tx.insert(ctx, webhook.ErrNotFound, `INSERT INTO webhooks (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, webhookValues(w)...)
}

func (s webhooks) Webhook(ctx context.Context, id string) (webhook.Row, error) {
	return get(ctx, s.tx, webhook.ErrNotFound, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks WHERE id = $1`, id)
}

func (s webhooks) Webhooks(ctx context.Context) ([]webhook.Row, error) {
	return all(ctx, s.tx, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks ORDER BY created_at, id`)
}

func (s webhooks) Update(ctx context.Context, w webhook.Row) error {
	if err := checkWebhook(w); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, w.Secret); err != nil {
		return err
	}
	return s.tx.change(ctx, webhook.ErrNotFound, `UPDATE webhooks SET url = $2, secret = $3, events = $4, active = $5, problem = $6,
		created_at = $7, updated_at = $8 WHERE id = $1`, webhookValues(w)...)
}

func (s webhooks) Delete(ctx context.Context, id string) error {
	return s.tx.change(ctx, webhook.ErrNotFound, `DELETE FROM webhooks WHERE id = $1`, id)
}

func (s webhooks) InsertFormer(ctx context.Context, f webhook.Former) error {
	if err := checkFormer(f); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, f.Secret); err != nil {
		return err
	}
	return s.tx.insert(ctx, webhook.ErrNotFound, `INSERT INTO webhook_formers (webhook, secret, until) VALUES ($1, $2, $3)`, f.Webhook, f.Secret, milli(f.Until))
}

func (s webhooks) Formers(ctx context.Context, id string) ([]webhook.Former, error) {
	const query = `SELECT id, webhook, secret, until FROM webhook_formers`
	if id == "" {
		return all(ctx, s.tx, scanFormer, query+` ORDER BY id DESC`)
	}
	return all(ctx, s.tx, scanFormer, query+` WHERE webhook = $1 ORDER BY id DESC`, id)
}

func (s webhooks) DeleteFormer(ctx context.Context, id int64) error {
	_, err := s.tx.exec(ctx, `DELETE FROM webhook_formers WHERE id = $1`, id)
	return err
}

func scanFormer(row scanner) (f webhook.Former, err error) {
	var until int64
	if err := row.Scan(&f.ID, &f.Webhook, &f.Secret, &until); err != nil {
		return webhook.Former{}, err
	}
	f.Until = moment(until)
	return f, stored(checkFormer(f))
}

func checkFormer(f webhook.Former) error {
	return check("webhook_formers",
		rule{"webhook", isID(f.Webhook)},
		rule{"secret", len(f.Secret) > 0},
		rule{"until", isTime(f.Until)},
	)
}

func (s webhooks) InsertDelivery(ctx context.Context, d webhook.Delivery) (int64, error) {
	if err := checkDelivery(d); err != nil {
		return 0, err
	}
	return s.tx.insertRow(ctx, `INSERT INTO webhook_deliveries (message, webhook, type, event, person, by_person, body, created_at, tries,
			next_at, ended_at, status, problem)
		VALUES ($1, $2, $3, $4, (SELECT id FROM people WHERE id = $5), (SELECT id FROM people WHERE id = $6), $7, $8, $9, $10, $11, $12, $13)`,
		d.Message, d.Webhook, string(d.Kind), orNull(d.Event == 0, d.Event), d.Person, d.By, d.Body, milli(d.CreatedAt), d.Tries,
		orNull(d.NextAt.IsZero(), milli(d.NextAt)), orNull(d.EndedAt.IsZero(), milli(d.EndedAt)), int64(d.Status), d.Problem)
}

func (s webhooks) Delivery(ctx context.Context, id int64) (webhook.Delivery, error) {
	return get(ctx, s.tx, webhook.ErrNotFound, scanDelivery, `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE id = $1`, id)
}

func (s webhooks) UpdateDelivery(ctx context.Context, d webhook.Delivery) error {
	if err := checkDelivery(d); err != nil {
		return err
	}
	return s.tx.change(ctx, webhook.ErrNotFound, `UPDATE webhook_deliveries SET tries = $2, next_at = $3, ended_at = $4, status = $5, problem = $6
		WHERE id = $1`, d.ID, d.Tries, orNull(d.NextAt.IsZero(), milli(d.NextAt)), orNull(d.EndedAt.IsZero(), milli(d.EndedAt)), int64(d.Status), d.Problem)
}

// deliveryStates are the conditions of the states.
var deliveryStates = map[webhook.State]string{
	"":                ``,
	webhook.Waiting:   ` AND next_at IS NOT NULL`,
	webhook.Delivered: ` AND ended_at IS NOT NULL AND problem = ''`,
	webhook.GivenUp:   ` AND ended_at IS NOT NULL AND problem <> ''`,
}

func (s webhooks) Deliveries(ctx context.Context, id string, before int64, state webhook.State, limit int) ([]webhook.Delivery, error) {
	condition, ok := deliveryStates[state]
	if !ok {
		return nil, nil
	}
	return all(ctx, s.tx, scanDelivery, `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE webhook = $1 AND id < $2`+condition+
		` ORDER BY id DESC LIMIT $3`, id, before, int64(limit))
}

func (s webhooks) Due(ctx context.Context, id string, at time.Time, limit int) ([]webhook.Delivery, error) {
	return all(ctx, s.tx, scanDelivery, `SELECT `+deliveryColumns+` FROM webhook_deliveries
		WHERE webhook = $1 AND next_at IS NOT NULL AND next_at <= $2 ORDER BY next_at, id LIMIT $3`, id, milli(at), int64(limit))
}

func (s webhooks) Waiting(ctx context.Context, id string, limit int) (int64, error) {
	if id == "" {
		return get(ctx, s.tx, webhook.ErrNotFound, scanInt,
			`SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE next_at IS NOT NULL LIMIT $1) AS found`, int64(limit))
	}
	return get(ctx, s.tx, webhook.ErrNotFound, scanInt,
		`SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries WHERE webhook = $1 AND next_at IS NOT NULL LIMIT $2) AS found`, id, int64(limit))
}

func (s webhooks) EndWaiting(ctx context.Context, id string, at time.Time, problem string) error {
	_, err := s.tx.exec(ctx, `UPDATE webhook_deliveries SET next_at = NULL, ended_at = $2, problem = $3 WHERE webhook = $1 AND next_at IS NOT NULL`,
		id, milli(at), problem)
	return err
}

func (s webhooks) DeleteEnded(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.tx.exec(ctx, `DELETE FROM webhook_deliveries WHERE id IN
		(SELECT id FROM webhook_deliveries WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)`, milli(before), int64(limit))
}

func webhookValues(w webhook.Row) []any {
	events := make([]string, len(w.Events))
	for i, k := range w.Events {
		events[i] = string(k)
	}
	return []any{w.ID, w.URL, w.Secret, strings.Join(events, ","), flag(w.Active), w.Problem, milli(w.CreatedAt), milli(w.UpdatedAt)}
}

func scanWebhook(row scanner) (w webhook.Row, err error) {
	var events string
	var active, created, updated int64
	if err := row.Scan(&w.ID, &w.URL, &w.Secret, &events, &active, &w.Problem, &created, &updated); err != nil {
		return webhook.Row{}, err
	}
	for name := range strings.SplitSeq(events, ",") {
		w.Events = append(w.Events, webhook.Kind(name))
	}
	w.Active, w.CreatedAt, w.UpdatedAt = active == 1, moment(created), moment(updated)
	return w, stored(checkWebhook(w))
}

func scanDelivery(row scanner) (d webhook.Delivery, err error) {
	var created int64
	var event, next, ended sql.NullInt64
	var person, by sql.NullString
	err = row.Scan(&d.ID, &d.Message, &d.Webhook, &d.Kind, &event, &person, &by, &d.Body, &created, &d.Tries, &next, &ended, &d.Status, &d.Problem)
	if err != nil {
		return webhook.Delivery{}, err
	}
	d.Event, d.Person, d.By = event.Int64, person.String, by.String
	d.CreatedAt, d.NextAt, d.EndedAt = moment(created), momentOrZero(next), momentOrZero(ended)
	return d, stored(checkDelivery(d))
}
