package client

import (
	"context"
	"iter"
	"net/http"

	"stonevault/api"
)

// QuantumSessions yields those that one may see, the newest first, without results.
func (c *Client) QuantumSessions(ctx context.Context) iter.Seq2[api.QuantumSession, error] {
	limit := pageSize
	return listed(ctx, c, func(l *api.QuantumSessionList) ([]api.QuantumSession, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListQuantumSessions(ctx, &api.ListQuantumSessionsParams{Limit: &limit, Cursor: cursor}, auth)
		})
}

// QuantumSession returns the session with this id.
func (c *Client) QuantumSession(ctx context.Context, id string) (*api.QuantumSession, error) {
	return ask[api.QuantumSession](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetQuantumSession(ctx, id, auth)
	})
}

// StartQuantumSession runs a session with another person, by name.
func (c *Client) StartQuantumSession(ctx context.Context, with string) (*api.QuantumSession, error) {
	return document[api.QuantumSession](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.StartQuantumSession(ctx, api.NewQuantumSession{With: with}, auth)
	})
}

// QuantumPools yields those with keys that one may see.
func (c *Client) QuantumPools(ctx context.Context) iter.Seq2[api.QuantumPool, error] {
	limit := pageSize
	return listed(ctx, c, func(l *api.QuantumPoolList) ([]api.QuantumPool, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListQuantumPools(ctx, &api.ListQuantumPoolsParams{Limit: &limit, Cursor: cursor}, auth)
		})
}

// Eavesdroppers yields those that one may see.
func (c *Client) Eavesdroppers(ctx context.Context) iter.Seq2[api.QuantumEavesdropper, error] {
	limit := pageSize
	return listed(ctx, c, func(l *api.QuantumEavesdropperList) ([]api.QuantumEavesdropper, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListEavesdroppers(ctx, &api.ListEavesdroppersParams{Limit: &limit, Cursor: cursor}, auth)
		})
}

// Eavesdrop puts a simulated eavesdropper between two people, by their ids.
func (c *Client) Eavesdrop(ctx context.Context, person, other string, e api.Eavesdropping) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PutEavesdropper(ctx, person, other, nil, e, auth)
	})
}

// StopEavesdropping takes her away.
func (c *Client) StopEavesdropping(ctx context.Context, person, other string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.RemoveEavesdropper(ctx, person, other, nil, auth)
	})
}
