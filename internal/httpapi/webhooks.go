package httpapi

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"

	"stonevault/api"
	"stonevault/internal/access"
	"stonevault/internal/once"
	"stonevault/internal/webhook"
)

// Webhooks is what the handlers need of webhooks.
type Webhooks interface {
	Create(ctx context.Context, by webhook.Asker, address string, events []webhook.Kind, active bool) (webhook.Webhook, error)
	List(ctx context.Context, by webhook.Asker) ([]webhook.Webhook, error)
	Get(ctx context.Context, by webhook.Asker, id string) (webhook.Webhook, error)
	Change(ctx context.Context, by webhook.Asker, id string, c webhook.Change) (webhook.Webhook, error)
	Delete(ctx context.Context, by webhook.Asker, id string) error
	Renew(ctx context.Context, by webhook.Asker, id string) (webhook.Webhook, error)
	Test(ctx context.Context, by webhook.Asker, id string) (webhook.Delivery, error)
	Deliveries(ctx context.Context, by webhook.Asker, id string, before int64, state webhook.State, limit int) (list []webhook.Delivery, more bool, err error)
}

var _ Webhooks = (*webhook.Service)(nil)

// asker is the caller, as webhooks have it.
func (c *call) asker() webhook.Asker {
	return webhook.Asker{Actor: c.whoActs(), Role: access.Role(c.who.Role)}
}

func webhookOf(w webhook.Webhook) api.Webhook {
	out := api.Webhook{
		ID: w.ID, URL: w.URL, Active: w.Active, Waiting: w.Waiting, Problem: w.Problem, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt,
	}
	for _, k := range w.Events {
		out.Events = append(out.Events, api.WebhookEvent(k))
	}
	if !w.Secret.IsZero() {
		out.Secret = w.Secret.Reveal()
	}
	return out
}

func kindsOf(events []api.WebhookEvent) []webhook.Kind {
	if events == nil {
		return nil
	}
	kinds := make([]webhook.Kind, len(events))
	for i, e := range events {
		kinds[i] = webhook.Kind(e)
	}
	return kinds
}

func deliveryOf(d webhook.Delivery) api.WebhookDelivery {
	return api.WebhookDelivery{
		ID: d.Message, Type: string(d.Kind), Event: d.Event, State: api.WebhookDeliveryState(d.State()), Tries: d.Tries, Status: d.Status,
		Problem: d.Problem, CreatedAt: d.CreatedAt, NextAt: d.NextAt, EndedAt: d.EndedAt,
	}
}

// webhookID is the id in the path. What is none names nothing.
func webhookID(c *call) (string, error) {
	if _, err := readQuery(c.r); err != nil {
		return "", err
	}
	return pathWebhook(c)
}

func pathWebhook(c *call) (string, error) {
	id := c.r.PathValue("webhook")
	if !isID(id) {
		return "", fail("not-found", "")
	}
	return id, nil
}

func (a *API) listWebhooks(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	all, err := a.Webhooks.List(c.r.Context(), c.asker())
	if err != nil {
		return err
	}
	out := api.WebhookList{Items: []api.Webhook{}}
	for _, w := range all {
		out.Items = append(out.Items, webhookOf(w))
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) createWebhook(c *call) error {
	var in api.NewWebhook
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	w, err := a.Webhooks.Create(c.r.Context(), c.asker(), in.URL, kindsOf(in.Events), in.Active == nil || *in.Active)
	return a.sendWebhook(c, http.StatusCreated, w, err)
}

func (a *API) sendWebhook(c *call, status int, w webhook.Webhook, err error) error {
	if err != nil {
		return err
	}
	out := webhookOf(w)
	_, out.Receipt = a.receiptOf(c)
	if status == http.StatusCreated {
		c.w.Header().Set("Location", "/api/v1/webhooks/"+w.ID)
	}
	return writeJSON(c.w, status, out)
}

func (a *API) getWebhook(c *call) error {
	id, err := webhookID(c)
	if err != nil {
		return err
	}
	w, err := a.Webhooks.Get(c.r.Context(), c.asker(), id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, webhookOf(w))
}

func (a *API) changeWebhook(c *call) error {
	id, err := webhookID(c)
	if err != nil {
		return err
	}
	var in api.WebhookChange
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	w, err := a.Webhooks.Change(c.r.Context(), c.asker(), id, webhook.Change{URL: in.URL, Events: kindsOf(in.Events), Active: in.Active})
	return a.sendWebhook(c, http.StatusOK, w, err)
}

func (a *API) deleteWebhook(c *call) error {
	id, err := webhookID(c)
	if err != nil {
		return err
	}
	if err := a.Webhooks.Delete(c.r.Context(), c.asker(), id); err != nil {
		return err
	}
	return a.done(c)
}

func (a *API) renewWebhookSecret(c *call) error {
	id, err := webhookID(c)
	if err != nil {
		return err
	}
	w, err := a.Webhooks.Renew(c.r.Context(), c.asker(), id)
	return a.sendWebhook(c, http.StatusOK, w, err)
}

func (a *API) testWebhook(c *call) error {
	id, err := webhookID(c)
	if err != nil {
		return err
	}
	return makes(a, c, testAnswer, func(ctx context.Context) (webhook.Delivery, error) {
		return a.Webhooks.Test(ctx, c.asker(), id)
	})
}

func testAnswer(d webhook.Delivery) (once.Answer, error) {
	return jsonAnswer(http.StatusAccepted, deliveryOf(d), nil)
}

func (a *API) listDeliveries(c *call) error {
	q, err := readQuery(c.r, "state", "limit", "cursor")
	if err != nil {
		return err
	}
	id, err := pathWebhook(c)
	if err != nil {
		return err
	}
	state := webhook.State(q["state"])
	if _, given := q["state"]; given && !slices.Contains(webhook.States, state) {
		return invalid("state", "must be waiting, delivered or given-up")
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	before, err := q.number64("cursor", 1)
	if err != nil {
		return invalid("cursor", "is no next_cursor of this list")
	}
	if before == 0 {
		before = math.MaxInt64
	}
	list, more, err := a.Webhooks.Deliveries(c.r.Context(), c.asker(), id, before, state, limit)
	if err != nil {
		return err
	}
	out := api.WebhookDeliveryList{Items: []api.WebhookDelivery{}}
	for _, d := range list {
		out.Items = append(out.Items, deliveryOf(d))
	}
	if more {
		out.NextCursor = strconv.FormatInt(list[len(list)-1].ID, 10)
		linkNext(c, q, out.NextCursor)
	}
	return writeJSON(c.w, http.StatusOK, out)
}
