package transit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const maxToken = 8192 // bytes; a batch token has hundreds

// login knows the token to ask with: one that somebody else renews, or one by AppRole, which it renews itself.
type login struct {
	client   *Client
	read     Secret // nil with a role
	role     string
	secretID Secret

	mu      sync.Mutex
	current string    // under mu, as the next; by AppRole
	renewAt time.Time // zero where it never ends
	endsAt  time.Time
	renews  bool
}

// grant is what logging in and renewing answer.
type grant struct {
	Auth *struct {
		ClientToken   string `json:"client_token"`
		LeaseDuration int64  `json:"lease_duration"` // seconds
		Renewable     bool   `json:"renewable"`
	} `json:"auth"`
}

func (g grant) check() error {
	if g.Auth == nil || !isToken(g.Auth.ClientToken) || g.Auth.LeaseDuration < 0 || g.Auth.LeaseDuration > 1<<31 {
		return fmt.Errorf("%w as the API does: what it logged in with is no token", ErrUnreachable)
	}
	return nil
}

// isToken tells whether text can be the value of a header, and is no more than that.
func isToken(text string) bool {
	return text != "" && len(text) <= maxToken && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// token returns the token to ask with. refused is one that was refused, which it does not return again unless there
// is no other.
func (l *login) token(ctx context.Context, refused string) (string, error) {
	if l.role == "" {
		return readSecret(l.read, "the token")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.client.now()
	switch {
	case l.current == "" || l.current == refused || !l.endsAt.IsZero() && !now.Before(l.endsAt):
	case l.renewAt.IsZero() || now.Before(l.renewAt):
		return l.current, nil
	case l.renews:
		var g grant
		err := l.client.request(ctx, http.MethodPost, "auth/token/renew-self", l.current, struct{}{}, &g)
		if err == nil {
			err = g.check()
		}
		if err == nil {
			return l.keep(g), nil
		}
		if !errors.Is(err, ErrRefused) {
			return l.current, nil // it has not ended yet
		}
	}
	l.current = ""
	secret, err := readSecret(l.secretID, "the secret id")
	if err != nil {
		return "", err
	}
	var g grant
	sent := map[string]string{"role_id": l.role, "secret_id": secret}
	if err := l.client.request(ctx, http.MethodPost, "auth/approle/login", "", sent, &g); err != nil {
		return "", fmt.Errorf("logging in: %w", err)
	}
	if err := g.check(); err != nil {
		return "", err
	}
	return l.keep(g), nil
}

// keep remembers a token, to be renewed when two thirds of its time are over.
func (l *login) keep(g grant) string {
	l.current, l.renews = g.Auth.ClientToken, g.Auth.Renewable
	l.renewAt, l.endsAt = time.Time{}, time.Time{}
	if life := time.Duration(g.Auth.LeaseDuration) * time.Second; life > 0 {
		now := l.client.now()
		l.renewAt, l.endsAt = now.Add(life*2/3), now.Add(life)
	}
	return l.current
}

func readSecret(read Secret, what string) (string, error) {
	text, err := read()
	if err != nil {
		return "", fmt.Errorf("%w: %s cannot be read: %w", ErrUnreachable, what, err)
	}
	if !isToken(text) {
		return "", fmt.Errorf("%w: what should be %s is none", ErrUnreachable, what)
	}
	return text, nil
}
