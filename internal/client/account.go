package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"stonevault/api"
)

// Self stands for whoever asks, in the place of a person's id.
const Self = "me"

// do makes a call whose reply is of no interest.
func (c *Client) do(ctx context.Context, send func(api.RequestEditorFn) (*http.Response, error)) error {
	resp, err := c.call(ctx, send)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// ChangePassword gives one's own account another password. All other sessions end.
func (c *Client) ChangePassword(ctx context.Context, current, next string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ChangePassword(ctx, nil, api.PasswordChange{Current: current, New: next}, auth)
	})
}

// listed yields the items of a list, page after page as they are wanted.
func listed[L, T any](ctx context.Context, c *Client, items func(*L) ([]T, string),
	send func(context.Context, *string, api.RequestEditorFn) (*http.Response, error)) iter.Seq2[T, error] {
	return paged(func(cursor *string) ([]T, string, error) {
		page, err := ask[L](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
			return send(ctx, cursor, auth)
		})
		if err != nil {
			return nil, "", err
		}
		list, next := items(page)
		return list, next, nil
	})
}

// Sessions yields a person's sessions, the newest first.
func (c *Client) Sessions(ctx context.Context, person string) iter.Seq2[api.SessionEntry, error] {
	limit := pageSize
	return listed(ctx, c, func(l *api.SessionList) ([]api.SessionEntry, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListSessions(ctx, person, &api.ListSessionsParams{Limit: &limit, Cursor: cursor}, auth)
		})
}

// EndSession ends one session of a person.
func (c *Client) EndSession(ctx context.Context, person, session string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.EndSession(ctx, person, session, nil, auth)
	})
}

// EndSessions ends all sessions of a person; with keep, all but the one that asks.
func (c *Client) EndSessions(ctx context.Context, person string, keep bool) error {
	params := new(api.EndSessionsParams)
	if keep {
		current := api.EndSessionsParamsKeep("current")
		params.Keep = &current
	}
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.EndSessions(ctx, person, params, auth)
	})
}

// Tokens yields a person's API tokens, the newest first.
func (c *Client) Tokens(ctx context.Context, person string) iter.Seq2[api.APIToken, error] {
	limit := pageSize
	return listed(ctx, c, func(l *api.APITokenList) ([]api.APIToken, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListTokens(ctx, person, &api.ListTokensParams{Limit: &limit, Cursor: cursor}, auth)
		})
}

// CreateToken makes an API token, which is in the reply and nowhere else.
func (c *Client) CreateToken(ctx context.Context, name string, scopes []string, expires time.Time) (*api.NewAPIToken, error) {
	request := api.APITokenRequest{Name: name, ExpiresAt: expires.UTC().Truncate(time.Second)}
	for _, s := range scopes {
		request.Scopes = append(request.Scopes, api.Scope(s))
	}
	return document[api.NewAPIToken](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.CreateToken(ctx, request, auth)
	})
}

// RevokeToken makes an API token useless.
func (c *Client) RevokeToken(ctx context.Context, person, token string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.RevokeToken(ctx, person, token, nil, auth)
	})
}

// Factor says whether a person has a second factor.
func (c *Client) Factor(ctx context.Context, person string) (*api.Factor, error) {
	return ask[api.Factor](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetFactor(ctx, person, auth)
	})
}

// BeginFactor draws the secret of a second factor, which becomes one with ConfirmFactor.
func (c *Client) BeginFactor(ctx context.Context) (*api.FactorSecret, error) {
	return document[api.FactorSecret](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.BeginFactor(ctx, auth)
	})
}

// ConfirmFactor makes what BeginFactor drew a factor, by a first code, and returns the recovery codes.
func (c *Client) ConfirmFactor(ctx context.Context, code string) ([]string, error) {
	reply, err := document[api.RecoveryCodes](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.ConfirmFactor(ctx, api.FactorCode{Code: code}, auth)
	})
	if err != nil {
		return nil, err
	}
	return reply.RecoveryCodes, nil
}

// DrawRecoveryCodes draws others in the place of all before.
func (c *Client) DrawRecoveryCodes(ctx context.Context, password string) ([]string, error) {
	reply, err := document[api.RecoveryCodes](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.DrawRecoveryCodes(ctx, api.Password{Password: password}, auth)
	})
	if err != nil {
		return nil, err
	}
	return reply.RecoveryCodes, nil
}

// RemoveFactor takes a second factor away; one's own by the password.
func (c *Client) RemoveFactor(ctx context.Context, person, password string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.RemoveFactor(ctx, person, nil, api.FactorRemoval{Password: password}, auth)
	})
}
