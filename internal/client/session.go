package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"stonevault/api"
)

// session is what a client keeps between runs.
type session struct {
	Server       string    `json:"server"`
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token"`
	ExpiresAt    time.Time `json:"expires_at"` // of the access token, by this machine's clock
}

// String never shows the tokens.
func (s *session) String() string { return "[redacted]" }

// GoString never shows the tokens.
func (s *session) GoString() string { return "[redacted]" }

// early is how long before its end an access token is exchanged.
const early = 30 * time.Second

// keep makes a session of a reply. The two clocks need not agree: what counts is how long the token lasts.
func (c *Client) keep(resp *http.Response, s *api.Session) *session {
	expires := s.AccessExpiresAt
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		expires = c.options.Now().Add(s.AccessExpiresAt.Sub(date))
	}
	return &session{c.options.Server, s.AccessToken, s.RefreshToken, expires}
}

// Credentials are what somebody signs in with.
type Credentials struct {
	Name     string
	Password string
	Code     string // of the second factor; empty as long as ErrSecondFactor does not ask for it
	Client   string // what this device calls itself
}

// String never shows them.
func (Credentials) String() string { return "[redacted]" }

// GoString never shows them.
func (Credentials) GoString() string { return "[redacted]" }

// SignIn opens a session and keeps it. Where the server gives this device a secret to be known by, that is kept too.
// enrol says that a second factor must be set up first.
func (c *Client) SignIn(ctx context.Context, by Credentials) (person *api.Person, enrol bool, err error) {
	known, err := c.devices()
	if err != nil {
		return nil, false, err
	}
	resp, err := c.api.SignIn(ctx, api.SignIn{
		Name: by.Name, Password: by.Password, Code: by.Code, Client: by.Client, Device: known.Devices[accountKey(by.Name)],
	})
	if err = check(resp, err); err != nil {
		return nil, false, err
	}
	var reply api.Session
	if err := decode(resp, &reply); err != nil {
		return nil, false, err
	}
	s := c.keep(resp, &reply)
	b, err := json.Marshal(s)
	if err != nil {
		return nil, false, err
	}
	if err := c.options.Secrets.Replace(ctx, b); err != nil {
		return nil, false, err
	}
	if err := c.keepDevice(ctx, known, by.Name, reply.Device); err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	return &reply.Person, reply.Enrol, nil
}

// devices are by what one server knows this device: a secret for each account that was signed into from here. It lets
// nobody in; it keeps the tries of strangers from making this device wait.
type devices struct {
	Server  string            `json:"server"`
	Devices map[string]string `json:"devices"` // by accountKey
}

// String never shows the secrets.
func (*devices) String() string { return "[redacted]" }

// GoString never shows the secrets.
func (*devices) GoString() string { return "[redacted]" }

// accountKey is a name without the case of its letters, which does not matter for signing in.
func accountKey(name string) string { return strings.ToLower(name) }

// devices returns what is kept for this server. What cannot be read is as good as nothing: the server gives another.
func (c *Client) devices() (*devices, error) {
	none := &devices{c.options.Server, map[string]string{}}
	if c.options.Devices == nil {
		return none, nil
	}
	b, err := c.options.Devices.Load()
	switch {
	case errors.Is(err, ErrNotSignedIn):
		return none, nil
	case err != nil:
		return nil, err
	}
	d := new(devices)
	if json.Unmarshal(b, d) != nil || d.Server != c.options.Server || d.Devices == nil {
		return none, nil
	}
	return d, nil
}

func (c *Client) keepDevice(ctx context.Context, known *devices, name, secret string) error {
	if secret == "" || c.options.Devices == nil {
		return nil
	}
	known.Devices[accountKey(name)] = secret
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return c.options.Devices.Replace(ctx, b)
}

// SignOut ends the session on the server and forgets it here, even where the server cannot be reached.
func (c *Client) SignOut(ctx context.Context) error {
	resp, err := c.call(ctx, func(auth api.RequestEditorFn) (*http.Response, error) { return c.api.SignOut(ctx, nil, auth) })
	if err == nil {
		resp.Body.Close()
	}
	if errors.Is(err, ErrNotSignedIn) {
		err = nil // it had ended by itself
	}
	return errors.Join(err, c.Forget(ctx))
}

// Forget forgets the session here, and leaves it to end on the server by itself.
func (c *Client) Forget(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = nil
	return c.options.Secrets.Update(ctx, func([]byte) ([]byte, error) { return nil, nil })
}

// token returns an access token other than stale, or the API token.
func (c *Client) token(ctx context.Context, stale string) (string, error) {
	if c.options.Token != "" {
		if stale != "" {
			return "", ErrToken
		}
		return string(c.options.Token), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		b, err := c.options.Secrets.Load()
		if err != nil {
			return "", err
		}
		if c.session, err = c.parse(b); err != nil {
			return "", err
		}
	}
	if c.good(c.session, stale) {
		return c.session.AccessToken, nil
	}
	// A refresh token works once. Whoever holds the lock uses it, and the others find what that one got.
	ended := false
	err := c.options.Secrets.Update(ctx, func(old []byte) ([]byte, error) {
		s, err := c.parse(old)
		if err != nil {
			return nil, err
		}
		if c.good(s, stale) {
			c.session = s
			return old, nil
		}
		if s, err = c.refresh(ctx, s); errors.Is(err, ErrNotSignedIn) {
			ended = true
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		c.session = s
		return json.Marshal(s)
	})
	switch {
	case err != nil:
		return "", err
	case ended:
		c.session = nil
		return "", fmt.Errorf("the session has ended: %w", ErrNotSignedIn)
	}
	return c.session.AccessToken, nil
}

func (c *Client) good(s *session, stale string) bool {
	return s.AccessToken != stale && c.options.Now().Add(early).Before(s.ExpiresAt)
}

// parse reads what was kept. A token never goes to another server than its own.
func (c *Client) parse(b []byte) (*session, error) {
	if len(b) == 0 {
		return nil, ErrNotSignedIn
	}
	s := new(session)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil || s.Server != c.options.Server {
		return nil, fmt.Errorf("what was kept is for another server, or damaged: %w", ErrNotSignedIn)
	}
	return s, nil
}

func (c *Client) refresh(ctx context.Context, old *session) (*session, error) {
	resp, err := c.api.RefreshSession(ctx, api.Refresh{RefreshToken: old.RefreshToken})
	if err = check(resp, err); err != nil {
		return nil, err
	}
	var reply api.Session
	if err := decode(resp, &reply); err != nil {
		return nil, err
	}
	return c.keep(resp, &reply), nil
}

// Vault describes the server's vault. It needs no session.
func (c *Client) Vault(ctx context.Context) (*api.Vault, error) {
	resp, err := c.api.GetVault(ctx)
	if err = check(resp, err); err != nil {
		return nil, err
	}
	reply := new(api.Vault)
	return reply, decode(resp, reply)
}

// ChangeMe changes how others see whoever is signed in.
func (c *Client) ChangeMe(ctx context.Context, change api.ProfileChange) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) { return c.api.ChangeMe(ctx, nil, change, auth) })
}

// Me says who is signed in.
func (c *Client) Me(ctx context.Context) (*api.Profile, error) {
	return document[api.Profile](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) { return c.api.GetMe(ctx, auth) })
}
