package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
)

const address = "192.0.2.7"

// newToken makes an API token of whoever has g.
func (f *fixture) newToken(t testing.TB, g Grant, scopes ...string) (string, APIToken) {
	t.Helper()
	text, token, err := f.CreateAPIToken(t.Context(), g.Principal, "backup", scopes, f.clock.now().Add(90*24*time.Hour), address)
	if err != nil {
		t.Fatal(err)
	}
	return text.Text(), token
}

func TestAPITokenIsRecognised(t *testing.T) {
	f := newFixture(t)
	text, token := f.newToken(t, f.signIn(t), "files:write", "files:read")
	want := Principal{Person: annID, Name: "Ann", Role: "user", Client: "backup", Token: token.ID, Scopes: Scopes{ScopeFilesRead, ScopeFilesWrite}}
	for range 3 {
		if p, err := f.Authenticate(t.Context(), text); err != nil || !p.same(want) {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	for name, token := range map[string]string{
		"another checksum": text[:len(text)-1] + map[bool]string{true: "1", false: "0"}[text[len(text)-1] == '0'],
		"cut off":          text[:len(text)-1],
		"longer":           text + "0",
		"another":          must(NewAPIToken(f.rand, annID, "x", Scopes{ScopeAdmin}, f.now(), f.now().Add(time.Hour))),
		"the prefix":       "svp_",
		"a megabyte":       "svp_" + strings.Repeat("A", 1<<20),
		"a NUL":            text[:10] + "\x00" + text[11:],
	} {
		if p, err := f.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) || !p.same(Principal{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func must(text APITokenText, _ APIToken, err error) string {
	if err != nil {
		panic(err)
	}
	return text.Text()
}

// What ends an API token, and what does not: it outlives the sessions of its owner.
func TestAPITokenEnds(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(t *testing.T, f *fixture, g Grant, token APIToken)
		ends bool
	}{
		"revoked": {func(t *testing.T, f *fixture, g Grant, token APIToken) {
			if err := f.RevokeAPIToken(t.Context(), g.Principal, annID, token.ID, address); err != nil {
				t.Fatal(err)
			}
		}, true},
		"expired": {func(_ *testing.T, f *fixture, _ Grant, token APIToken) { f.clock.turn(90 * 24 * time.Hour) }, true},
		"almost expired": {func(_ *testing.T, f *fixture, _ Grant, token APIToken) {
			f.clock.turn(90*24*time.Hour - time.Millisecond)
		}, false},
		"switched off": {func(_ *testing.T, f *fixture, _ Grant, _ APIToken) {
			f.change(func(a *Account) { a.Active = false })
			f.Heed(audit.Event{Type: audit.AccountChanged, Subject: audit.Values{"person": annID}})
		}, true},
		"switched off at another server": {func(_ *testing.T, f *fixture, _ Grant, _ APIToken) {
			f.change(func(a *Account) { a.Active = false })
			f.clock.turn(trustFor)
		}, true},
		"account removed": {func(_ *testing.T, f *fixture, _ Grant, _ APIToken) {
			delete(f.store.state.accounts, annID)
			f.clock.turn(trustFor)
		}, true},
		"a token without scopes": {func(_ *testing.T, f *fixture, _ Grant, token APIToken) {
			token.Scopes = nil
			f.store.state.api[token.ID] = token
			f.clock.turn(trustFor)
		}, true},
		"signed out": {func(t *testing.T, f *fixture, g Grant, _ APIToken) {
			if err := f.SignOut(t.Context(), g.Principal, address); err != nil {
				t.Fatal(err)
			}
		}, false},
		"all sessions ended": {func(t *testing.T, f *fixture, g Grant, _ APIToken) {
			if err := f.EndSessions(t.Context(), g.Principal, annID, false, address); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		f := newFixture(t)
		g := f.signIn(t)
		text, token := f.newToken(t, g, "files:read")
		p, err := f.Authenticate(t.Context(), text)
		if err != nil || f.Stands(t.Context(), p) != nil {
			t.Fatalf("%s: before: %v", name, err)
		}
		row.end(t, f, g, token)
		if _, err := f.Authenticate(t.Context(), text); errors.Is(err, ErrUnauthenticated) != row.ends {
			t.Errorf("%s: %v", name, err)
		}
		if (f.Stands(t.Context(), p) == nil) == row.ends {
			t.Errorf("%s: stands %v", name, !row.ends)
		}
	}
}

// Its use is kept by the minute, and a store that cannot keep it refuses nobody.
func TestAPITokenUseIsKept(t *testing.T) {
	f := newFixture(t)
	text, token := f.newToken(t, f.signIn(t), "files:read")
	used := func() time.Time { return f.store.state.api[token.ID].LastUsedAt }
	start := f.clock.now()
	for _, row := range []struct {
		after time.Duration
		want  time.Time
	}{
		{0, start},
		{time.Second, start},
		{59 * time.Second, start.Add(time.Minute)}, // by then a minute after start
		{2 * time.Second, start.Add(time.Minute)},
	} {
		f.clock.turn(row.after)
		if _, err := f.Authenticate(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		if !used().Equal(row.want) {
			t.Errorf("%v later: used at %v, want %v", row.after, used(), row.want)
		}
	}
	f.store.failBefore = errors.New("disk full")
	f.clock.turn(5 * time.Minute)
	if _, err := f.Authenticate(t.Context(), text); err != nil {
		t.Errorf("with a full disk: %v", err)
	}
}

// Whose tokens and sessions one may see and end: one's own, those of whom one manages, and admins everybody's.
func TestOtherPeople(t *testing.T) {
	const evaID = "e0000000000000000000000000000005"
	for _, row := range []struct {
		name    string
		role    string
		between access.Acquaintance
		whose   string // role
		want    error
	}{
		{"a stranger", "user", access.Acquaintance{}, "user", ErrNotFound},
		{"a member of the same group", "user", access.Acquaintance{Together: true}, "user", ErrForbidden},
		{"who managed as a manager", "user", access.Acquaintance{Manages: true}, "user", ErrNotFound},
		{"a manager of others", "manager", access.Acquaintance{}, "user", ErrNotFound},
		{"his manager", "manager", access.Acquaintance{Manages: true}, "user", nil},
		{"a manager of an admin", "manager", access.Acquaintance{Manages: true}, "admin", ErrForbidden},
		{"an admin", "admin", access.Acquaintance{}, "user", nil},
		{"an admin of an admin", "admin", access.Acquaintance{}, "admin", nil},
	} {
		f := newFixture(t)
		g := f.signIn(t)
		f.store.putAccount(Account{Person: evaID, Name: "Eva", Role: row.whose, PasswordHash: goodHash(), Epoch: 1, Active: true})
		f.change(func(a *Account) { a.Role = row.role })
		f.store.state.between[[2]string{annID, evaID}] = row.between
		hers, err := f.SignIn(t.Context(), Credentials{Name: "eva", Password: goodPassword})
		if err != nil {
			t.Fatal(err)
		}
		text, token := f.newToken(t, hers, "files:read")
		ctx, by := t.Context(), g.Principal
		for _, try := range []struct {
			what string
			do   func() error
		}{
			{"see sessions", func() error { _, err := f.Sessions(ctx, by, evaID, PageRequest{}); return err }},
			{"see tokens", func() error { _, err := f.APITokens(ctx, by, evaID, PageRequest{}); return err }},
			{"revoke a token", func() error { return f.RevokeAPIToken(ctx, by, evaID, token.ID, address) }},
			{"end a session", func() error { return f.EndSession(ctx, by, evaID, hers.Principal.Session, address) }},
			{"end all", func() error { return f.EndSessions(ctx, by, evaID, false, address) }},
		} {
			if err := try.do(); !errors.Is(err, row.want) {
				t.Errorf("%s, %s: %v, want %v", row.name, try.what, err, row.want)
			}
		}
		_, session := f.Authenticate(ctx, hers.AccessToken)
		_, program := f.Authenticate(ctx, text)
		if ended := row.want == nil; ended != (session != nil) || ended != (program != nil) {
			t.Errorf("%s: afterwards the session gives %v and the token %v", row.name, session, program)
		}
		if err := f.EndSessions(ctx, by, evaID, true, address); !isInvalid(err, "keep") {
			t.Errorf("%s: keeping one's session of another's: %v", row.name, err)
		}
		// A thing of one person is not found under another.
		if err := f.EndSession(ctx, by, annID, hers.Principal.Session, address); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: another's session as one's own: %v", row.name, err)
		}
		if err := f.RevokeAPIToken(ctx, by, annID, token.ID, address); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: another's token as one's own: %v", row.name, err)
		}
		// Nobody is told apart from who may not be known of.
		if _, err := f.Sessions(ctx, by, "c0000000000000000000000000000009", PageRequest{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: nobody: %v", row.name, err)
		}
	}
}

func isInvalid(err error, field string) bool {
	var invalid *InvalidError
	return errors.As(err, &invalid) && invalid.Field == field
}

// Who asks is looked up again in the transaction of the change.
func TestAskerIsLookedUpAgain(t *testing.T) {
	for name, change := range map[string]func(*Account){
		"switched off": func(a *Account) { a.Active = false },
		"epoch":        func(a *Account) { a.Epoch++ },
	} {
		f := newFixture(t)
		g := f.signIn(t)
		f.change(change)
		if err := f.EndSessions(t.Context(), g.Principal, annID, false, address); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := f.CreateAPIToken(t.Context(), g.Principal, "x", []string{"admin"}, f.now().Add(time.Hour), address); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEndSessions(t *testing.T) {
	f := newFixture(t)
	mine, other, third := f.signIn(t), f.signIn(t), f.signIn(t)
	good := func(g Grant) bool {
		_, err := f.Authenticate(t.Context(), g.AccessToken)
		stands := f.Stands(t.Context(), g.Principal) == nil
		if stands != (err == nil) {
			t.Errorf("stands %v, and is recognised with %v", stands, err)
		}
		return err == nil
	}
	want := func(what string, goods ...bool) {
		t.Helper()
		if got := []bool{good(mine), good(other), good(third)}; !slices.Equal(got, goods) {
			t.Errorf("%s: %v, want %v", what, got, goods)
		}
	}
	want("at first", true, true, true)
	if err := f.EndSession(t.Context(), mine.Principal, annID, other.Principal.Session, address); err != nil {
		t.Fatal(err)
	}
	want("one ended", true, false, true)
	if err := f.EndSession(t.Context(), mine.Principal, annID, other.Principal.Session, address); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	if err := f.EndSessions(t.Context(), mine.Principal, annID, true, address); err != nil {
		t.Fatal(err)
	}
	want("the others ended", true, false, false)
	next, err := f.Refresh(t.Context(), mine.RefreshToken, address)
	if err != nil {
		t.Fatalf("the session that was kept: %v", err)
	}
	if err := f.EndSessions(t.Context(), mine.Principal, annID, false, address); err != nil {
		t.Fatal(err)
	}
	want("all ended", false, false, false)
	if _, err := f.Refresh(t.Context(), next.RefreshToken, address); !errors.Is(err, ErrSessionEnded) {
		t.Errorf("a refresh token afterwards: %v", err)
	}
	if a := f.store.state.accounts[annID]; a.Epoch != 2 {
		t.Errorf("epoch %d", a.Epoch)
	}
	want2 := []string{"session.opened", "session.opened", "session.opened", "session.ended", "session.ended", "session.ended"}
	events := f.store.recorded()
	if !slices.Equal(kinds(events), want2) {
		t.Fatalf("events %v", kinds(events))
	}
	for i, all := range []bool{false, true, true} {
		e := events[3+i]
		if e.Operational["all"] != all || e.Operational["reason"] != "revoked" || e.Actor["session"] != mine.Principal.Session || e.Subject["person"] != annID {
			t.Errorf("%+v", e)
		}
	}
}

// The list has what stands, in pages, and no more than was asked for.
func TestSessionPages(t *testing.T) {
	f := newFixture(t)
	var ids []string
	var mine Grant
	for range 5 {
		mine = f.signIn(t)
		ids = append([]string{mine.Principal.Session}, ids...)
		f.clock.turn(time.Second)
	}
	var got []string
	r := PageRequest{Limit: 2}
	for i := 0; ; i++ {
		page, err := f.Sessions(t.Context(), mine.Principal, annID, r)
		if err != nil || len(page.Items) > 2 || i > 5 {
			t.Fatal(page, err)
		}
		for _, s := range page.Items {
			got = append(got, s.ID)
		}
		if r.Cursor = page.Next; r.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%v, want %v", got, ids)
	}
	for name, r := range map[string]PageRequest{
		"cursor": {Cursor: "x"}, "cursor ": {Cursor: "1-"}, "cursor  ": {Cursor: "01-a"}, "cursor   ": {Cursor: "1-" + strings.Repeat("a", 100)},
		"limit": {Limit: -1}, "limit ": {Limit: 1001},
	} {
		if _, err := f.Sessions(t.Context(), mine.Principal, annID, r); !isInvalid(err, strings.TrimSpace(name)) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestCreateAPIToken(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	later := f.clock.now().Add(time.Hour)
	for field, row := range map[string]struct {
		name    string
		scopes  []string
		expires time.Time
	}{
		"name":       {"", []string{"admin"}, later},
		"scopes":     {"x", nil, later},
		"scopes ":    {"x", []string{"root"}, later},
		"expires_at": {"x", []string{"admin"}, f.clock.now()},
	} {
		if _, _, err := f.CreateAPIToken(t.Context(), g.Principal, row.name, row.scopes, row.expires, address); !isInvalid(err, strings.TrimSpace(field)) {
			t.Errorf("%s: %v", field, err)
		}
	}
	text, token := f.newToken(t, g, "admin", "files:read")
	e := f.store.recorded()[1]
	if e.Type != audit.TokenCreated || e.Operational["token"] != token.ID || e.Operational["scopes"] != "admin files:read" || strings.Contains(fmt.Sprint(e), text) {
		t.Errorf("%+v", e)
	}
	for range maxAPITokens - 1 {
		f.newToken(t, g, "admin")
	}
	if _, _, err := f.CreateAPIToken(t.Context(), g.Principal, "x", []string{"admin"}, later, address); !isInvalid(err, "name") {
		t.Errorf("one more than %d: %v", maxAPITokens, err)
	}
	// The store has nothing that can be used.
	for _, row := range f.store.state.api {
		if strings.Contains(fmt.Sprintf("%s %s", row.Hash, row.Name), text) {
			t.Error("the token is kept")
		}
	}
}

// A look-up that began before the end of a token does not bring it back.
func TestTokenRevokedMeanwhile(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	text, token := f.newToken(t, g, "files:read")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				f.Authenticate(t.Context(), text)
			}
		})
	}
	if err := f.RevokeAPIToken(t.Context(), g.Principal, annID, token.ID, address); err != nil {
		t.Error(err)
	}
	if _, err := f.Authenticate(t.Context(), text); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("at once: %v", err)
	}
	wg.Wait()
	if _, err := f.Authenticate(t.Context(), text); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("afterwards: %v", err)
	}
}

// Whoever was recognised, and is ended before his change is made, makes none: a session that is ended makes no token
// for later, and a token that is revoked ends nobody's sessions.
func TestEndedBeforeTheChange(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	stolen, own := f.signIn(t), f.signIn(t)
	text, token := f.newToken(t, own, "admin")
	byToken, err := f.Authenticate(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.EndSessions(ctx, own.Principal, annID, true, address); err != nil {
		t.Fatal(err)
	}
	expires := f.clock.now().Add(time.Hour)
	if _, _, err := f.CreateAPIToken(ctx, stolen.Principal, "later", []string{"admin"}, expires, address); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a token of a session that has ended: %v", err)
	}
	if _, _, err := f.BeginFactor(ctx, stolen.Principal); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a factor of a session that has ended: %v", err)
	}
	if err := f.RevokeAPIToken(ctx, own.Principal, annID, token.ID, address); err != nil {
		t.Fatal(err)
	}
	if err := f.EndSessions(ctx, byToken, annID, false, address); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("sessions, by a token that was revoked: %v", err)
	}
	if _, err := f.Authenticate(ctx, own.AccessToken); err != nil {
		t.Errorf("the owner: %v", err)
	}
}
