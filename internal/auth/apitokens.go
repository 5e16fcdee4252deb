package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
)

const (
	// maxAPITokens is how many a person has at most, so that nobody fills the store.
	maxAPITokens = 100
	// apiTokenRemains is how long a token is kept once it is over, so that its owner sees what became of it.
	apiTokenRemains = 30 * 24 * time.Hour
)

// authenticateToken tells whose API token this is.
func (s *Service) authenticateToken(ctx context.Context, text string) (Principal, error) {
	hash, err := ParseAPIToken(text)
	if err != nil {
		return Principal{}, err
	}
	now := s.now()
	p, ok, before := s.trusted.findToken(hash, now)
	if ok {
		return p, nil
	}
	var token APIToken
	p, err = s.look(ctx, hash, before, func(tx Tx) (_ Principal, err error) {
		if token, err = tx.APITokenByHash(ctx, hash); err != nil {
			return Principal{}, err
		}
		return s.standingToken(ctx, tx, token, hash, now)
	})
	if err != nil {
		return Principal{}, err
	}
	if used, news := token.Used(now); news {
		s.noteUse(ctx, used)
	}
	return p, nil
}

// noteUse keeps when a token was used. Where that fails, as on a full disk, the request goes on: nothing depends on
// it, and the next request tries again.
func (s *Service) noteUse(ctx context.Context, used APIToken) {
	_ = s.store.UpdateAuth(ctx, func(tx Tx) error {
		token, err := tx.APIToken(ctx, used.ID)
		if err != nil || !token.LastUsedAt.Before(used.LastUsedAt) {
			return err
		}
		token.LastUsedAt = used.LastUsedAt
		return tx.UpdateAPIToken(ctx, token)
	})
}

// standingToken is who has an API token, or ErrUnauthenticated where it does not stand.
func (s *Service) standingToken(ctx context.Context, tx Tx, token APIToken, hash []byte, now time.Time) (Principal, error) {
	if err := token.Verify(hash, now); err != nil {
		return Principal{}, err
	}
	account, err := tx.Account(ctx, token.Person)
	if err != nil {
		return Principal{}, err
	}
	if account.Person != token.Person || !account.Active {
		return Principal{}, ErrUnauthenticated
	}
	enrol, err := mustEnrol(ctx, tx, account)
	return Principal{
		Person: account.Person, Name: account.Name, Role: account.Role, Client: token.Name,
		Token: token.ID, Scopes: token.Scopes, Enrol: enrol,
	}, err
}

// CreateAPIToken makes an API token of by's own. It needs a session: a token makes no tokens.
func (s *Service) CreateAPIToken(ctx context.Context, by Principal, name string, scopes []string, expires time.Time, address string) (APITokenText, APIToken, error) {
	parsed, err := ParseScopes(scopes)
	if err != nil {
		return APITokenText{}, APIToken{}, err
	}
	text, token, err := NewAPIToken(s.rand, by.Person, name, parsed, s.now(), expires.UTC().Truncate(time.Millisecond))
	if err != nil {
		return APITokenText{}, APIToken{}, err
	}
	err = s.change(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.TokensCreate, by.Person)
		if err != nil {
			return err
		}
		has, err := tx.APITokens(ctx, by.Person, Span{Limit: maxAPITokens})
		if err != nil {
			return err
		}
		if len(has) >= maxAPITokens {
			return &InvalidError{"name", fmt.Sprintf("would be of more than %d API tokens; revoke one that is not used any more", maxAPITokens)}
		}
		if err := tx.InsertAPIToken(ctx, token); err != nil {
			return err
		}
		return s.record(ctx, tx, audit.TokenCreated, by.actor(address), audit.Values{
			"token": token.ID, "scopes": token.Scopes.text(), "expires": token.ExpiresAt.UnixMilli(),
		}, account.values())
	})
	if err != nil {
		return APITokenText{}, APIToken{}, wrapped("make an API token", err)
	}
	return text, token, nil
}

// APITokens lists the API tokens of a person that were not revoked, the newest first.
func (s *Service) APITokens(ctx context.Context, by Principal, person string, r PageRequest) (page Page[APIToken], err error) {
	span, err := r.span()
	if err != nil {
		return page, err
	}
	err = s.store.ViewAuth(ctx, func(tx Tx) error {
		if _, err := s.allowed(ctx, tx, by, access.TokensSee, person); err != nil {
			return err
		}
		rows, err := tx.APITokens(ctx, person, span)
		page = pageOf(rows, r, func(t APIToken) Place { return Place{t.CreatedAt, t.ID} })
		return err
	})
	return page, wrapped("list API tokens", err)
}

// RevokeAPIToken ends an API token of a person. One that is not there, or was revoked before, is ErrNotFound.
func (s *Service) RevokeAPIToken(ctx context.Context, by Principal, person, id, address string) error {
	err := s.change(ctx, func(tx Tx) error {
		account, err := s.allowed(ctx, tx, by, access.TokensRevoke, person)
		if err != nil {
			return err
		}
		token, err := tx.APIToken(ctx, id)
		if err != nil {
			return err
		}
		if token.Person != person || !token.RevokedAt.IsZero() {
			return ErrNotFound
		}
		token.RevokedAt = s.now()
		if err := tx.UpdateAPIToken(ctx, token); err != nil {
			return err
		}
		return s.record(ctx, tx, audit.TokenRevoked, by.actor(address), audit.Values{"token": id, "all": false, "reason": "revoked"}, account.values())
	})
	return wrapped("revoke an API token", err)
}

// text is the scopes as one text.
func (s Scopes) text() string {
	names := make([]string, len(s))
	for i, one := range s {
		names[i] = string(one)
	}
	return strings.Join(names, " ")
}

// wrapped names what failed, for the log.
func wrapped(what string, err error) error {
	var invalid *InvalidError
	if err == nil || errors.As(err, &invalid) {
		return err
	}
	return fmt.Errorf("auth: %s: %w", what, err)
}
