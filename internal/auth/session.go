package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"
	"unicode/utf8"

	"stonevault/audit"
	"stonevault/internal/auditlog"
)

const (
	// RefreshTTL is how long a refresh token, and with it an unused session, lives.
	RefreshTTL = 30 * 24 * time.Hour
	// RefreshGrace is how long a used refresh token still gives a further successor, for lost replies.
	RefreshGrace = 10 * time.Second

	refreshPrefix  = "svr_"
	refreshRandom  = 32
	sessionIDBytes = 16
	maxClientBytes = 200
	maxNameBytes   = 255

	sweepEvery = time.Hour
)

// Config is what a Service is made of.
type Config struct {
	Store  Store
	Sealer Sealer
	Audit  Recorder
	Tally  Tally            // of sign-ins that are refused
	Issuer string           // names this vault in its tokens; another vault's are refused
	Now    func() time.Time // the clock
	Rand   io.Reader        // crypto/rand where nil
}

// Service signs people in and recognises them.
type Service struct {
	store    Store
	audit    Recorder
	tally    Tally
	now      func() time.Time
	rand     io.Reader
	sealer   Sealer
	tokens   *tokens
	verifier *verifier

	trusted *trusted
}

// Credentials are what somebody signs in with.
type Credentials struct {
	redacted

	Name     string
	Password string
	Code     string // of the second factor, where there is one
	Client   string // what the device calls itself
	Device   string // what it was given when it signed in before, if it did
	Address  string // where the request comes from
}

// Principal is who a request comes from: a session, or an API token.
type Principal struct {
	Person  string
	Name    string
	Role    string
	Session string // empty where it is an API token
	Client  string // as the device called itself, or what the API token is for
	Token   string // the id of an API token; empty where it is a session
	Scopes  Scopes // of the API token
	Epoch   int64  // of the account when the session was recognised; API tokens outlive epochs
	Enrol   bool   // a second factor must be set up before anything else
}

// Grant is what signing in and refreshing give.
type Grant struct {
	redacted

	Principal        Principal
	AccessToken      string
	AccessExpiresAt  time.Time
	RefreshToken     string
	RefreshExpiresAt time.Time
	Device           string // what this device shows from now on; empty where it was known
}

// New opens the service; it makes the first token key where there is none, and fails where the keys that
// are there cannot be opened.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Store == nil || c.Sealer == nil || c.Audit == nil || c.Tally == nil || c.Issuer == "" || c.Now == nil {
		return nil, errors.New("auth: the store, the sealer, the audit log, the issuer and the clock are required")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	// The store keeps milliseconds; what is handed out must not differ from what is kept.
	now := func() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }
	s := &Service{
		store: c.Store, audit: c.Audit, tally: c.Tally, now: now, rand: c.Rand, sealer: c.Sealer, tokens: newTokens(c, now), verifier: newVerifier(),
		trusted: newTrusted(),
	}
	if _, err := s.tokens.signingKey(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Refresh exchanges a refresh token. Using one again after RefreshGrace ends its session: either the
// token was stolen, or its successor was.
func (s *Service) Refresh(ctx context.Context, token, address string) (Grant, error) {
	epoch, hash, err := parseRefresh(token)
	if err != nil {
		return Grant{}, err
	}
	var (
		session Session
		who     Principal
		text    string
		reused  bool
	)
	err = s.change(ctx, func(tx Tx) error {
		reused = false // this function may run again
		now := s.now()
		row, err := tx.Refresh(ctx, hash)
		if err != nil {
			return err
		}
		if session, err = tx.Session(ctx, row.Session); err != nil {
			return err
		}
		account, err := tx.Account(ctx, session.Person)
		if err != nil {
			return err
		}
		if !session.RevokedAt.IsZero() || !now.Before(session.ExpiresAt) || !now.Before(row.ExpiresAt) ||
			!account.Active || account.Epoch != epoch {
			return ErrSessionEnded
		}
		first, err := tx.UseRefresh(ctx, row.Hash, now)
		if err != nil {
			return err
		}
		// Abs: a clock that was set back must not make old tokens good again.
		if !first && now.Sub(row.UsedAt).Abs() > RefreshGrace {
			reused = true
			session.RevokedAt = now
			if err := tx.UpdateSession(ctx, session); err != nil {
				return err
			}
			// Who uses it, its owner or a thief, is not known.
			by, whose := auditlog.Actor{Address: address}, account.values()
			if err := s.record(ctx, tx, audit.TokenReused, by, audit.Values{"session": session.ID}, whose); err != nil {
				return err
			}
			return s.record(ctx, tx, audit.SessionEnded, by, audit.Values{"reason": "token-reused", "all": false}, whose)
		}
		session.LastUsedAt, session.ExpiresAt, session.Address = now, now.Add(RefreshTTL), address
		var next RefreshToken
		if text, next, err = s.newRefresh(session, account.Epoch); err != nil {
			return err
		}
		if err := tx.UpdateSession(ctx, session); err != nil {
			return err
		}
		if who, err = s.principal(ctx, tx, account, session); err != nil {
			return err
		}
		return tx.InsertRefresh(ctx, next)
	})
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrSessionEnded):
		return Grant{}, ErrSessionEnded
	case err != nil:
		return Grant{}, fmt.Errorf("auth: exchange a refresh token: %w", err)
	case reused:
		return Grant{}, ErrReused
	}
	return s.grant(ctx, who, session, text)
}

// SignOut ends the session of p. Ending one that has ended is no error.
func (s *Service) SignOut(ctx context.Context, p Principal, address string) error {
	err := s.change(ctx, func(tx Tx) error {
		session, err := tx.Session(ctx, p.Session)
		if err != nil {
			return err
		}
		if session.Person != p.Person || !session.RevokedAt.IsZero() {
			return nil
		}
		session.RevokedAt = s.now()
		if err := tx.UpdateSession(ctx, session); err != nil {
			return err
		}
		by := Account{Person: p.Person, Name: p.Name}
		return s.record(ctx, tx, audit.SessionEnded, actor(by, session, address), audit.Values{"reason": "signed-out", "all": false}, by.values())
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("auth: end a session: %w", err)
	}
	return nil
}

// Run removes what has expired, once an hour, until ctx ends. report receives what fails.
func (s *Service) Run(ctx context.Context, report func(error)) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Sweep removes what has expired: sessions with their tokens at once, API tokens after a while, failures and devices
// once they do not matter any more, and keys of which no access token is alive.
func (s *Service) Sweep(ctx context.Context) error {
	err := s.change(ctx, func(tx Tx) error {
		now := s.now()
		return errors.Join(tx.DeleteExpiredSessions(ctx, now), tx.DeleteExpiredAPITokens(ctx, now.Add(-apiTokenRemains)),
			tx.DeleteFailures(ctx, now.Add(-ForgetFailures)), tx.DeleteDevices(ctx, now.Add(-DeviceTTL)),
			s.destroyTokenKeys(ctx, tx, now))
	})
	if err != nil {
		return fmt.Errorf("auth: remove what has expired: %w", err)
	}
	return nil
}

func (s *Service) grant(ctx context.Context, who Principal, session Session, refresh string) (Grant, error) {
	access, expires, err := s.tokens.sign(ctx, who.Person, session.ID, who.Epoch)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		Principal:   who,
		AccessToken: access, AccessExpiresAt: expires,
		RefreshToken: refresh, RefreshExpiresAt: session.ExpiresAt,
	}, nil
}

// principal is who has a session.
func (s *Service) principal(ctx context.Context, tx Tx, a Account, session Session) (Principal, error) {
	enrol, err := mustEnrol(ctx, tx, a)
	return Principal{
		Person: a.Person, Name: a.Name, Role: a.Role, Session: session.ID, Client: session.Client, Epoch: a.Epoch, Enrol: enrol,
	}, err
}

// newRefresh makes a token for session. It carries the epoch, so that raising a person's epoch ends
// every session without a search for them.
func (s *Service) newRefresh(session Session, epoch int64) (string, RefreshToken, error) {
	b := make([]byte, refreshRandom, refreshRandom+8)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		return "", RefreshToken{}, fmt.Errorf("auth: no randomness: %w", err)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(epoch))
	text := refreshPrefix + base64.RawURLEncoding.EncodeToString(b)
	hash := sha256.Sum256([]byte(text))
	return text, RefreshToken{
		Hash: hash[:], Session: session.ID, CreatedAt: session.LastUsedAt, ExpiresAt: session.ExpiresAt,
	}, nil
}

// parseRefresh returns the epoch in a token and the hash that the store knows it by.
func parseRefresh(token string) (epoch int64, hash []byte, err error) {
	rest, ok := bytes.CutPrefix([]byte(token), []byte(refreshPrefix))
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(refreshRandom+8) {
		return 0, nil, ErrSessionEnded
	}
	b := make([]byte, refreshRandom+8)
	if n, err := base64.RawURLEncoding.Strict().Decode(b, rest); err != nil || n != len(b) {
		return 0, nil, ErrSessionEnded
	}
	sum := sha256.Sum256([]byte(token))
	return int64(binary.BigEndian.Uint64(b[refreshRandom:])), sum[:], nil
}

func checkText(field, value string, least, most int) error {
	switch {
	case len(value) < least:
		return &InvalidError{field, "is empty"}
	case len(value) > most:
		return &InvalidError{field, fmt.Sprintf("is longer than %d bytes", most)}
	case !utf8.ValidString(value):
		return &InvalidError{field, "is not valid UTF-8"}
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return &InvalidError{field, "holds a control character"}
		}
	}
	return nil
}
