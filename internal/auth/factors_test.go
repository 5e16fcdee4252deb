package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"stonevault/internal/access"
)

// app is an authenticator app.
type app struct{ secret string }

func (a app) code(at time.Time) string {
	code, err := totp.GenerateCode(a.secret, at)
	if err != nil {
		panic(err)
	}
	return code
}

// enrol sets a second factor up, and lets the code that did it run out.
func (f *fixture) enrol(t testing.TB, g Grant) (app, []RecoveryCode) {
	t.Helper()
	secret, uri, err := f.BeginFactor(t.Context(), g.Principal)
	if err != nil {
		t.Fatal(err)
	}
	a := app{strings.ReplaceAll(secret.Text(), " ", "")}
	if !strings.HasPrefix(uri, "otpauth://totp/Stonevault:Ann?") || !strings.Contains(uri, "secret="+a.secret) {
		t.Errorf("%s", uri)
	}
	codes, err := f.ConfirmFactor(t.Context(), g.Principal, a.code(f.clock.now()), address)
	if err != nil || len(codes) != RecoveryCodes {
		t.Fatal(codes, err)
	}
	f.clock.turn(time.Minute)
	return a, codes
}

func TestSignInWithFactor(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	a, codes := f.enrol(t, g)
	with := func(code string) (Grant, error) {
		return f.try(t, func(c *Credentials) { c.Code = code })
	}
	// Without the right password nobody learns that there is a factor.
	for _, code := range []string{"", a.code(f.clock.now()), codes[0].Text()} {
		if _, err := f.try(t, func(c *Credentials) { c.Password, c.Code = "not the password, surely", code }); !errors.Is(err, ErrCredentials) {
			t.Errorf("a wrong password: %v", err)
		}
	}
	if _, err := with(""); !errors.Is(err, ErrSecondFactorRequired) {
		t.Fatalf("without a code: %v", err)
	}
	code := a.code(f.clock.now())
	if _, err := with(code[:3] + " " + code[3:]); err != nil {
		t.Fatalf("with the app's code: %v", err)
	}
	for name, code := range map[string]string{"the same again": code, "the one before": a.code(f.clock.now().Add(-30 * time.Second)), "nonsense": "abc", "a code of nobody's": "aaaaaa-aaaaaa-aaaaaa-aaaaaa"} {
		if _, err := with(code); !errors.Is(err, ErrSecondFactor) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.clock.turn(time.Minute)
	if _, err := with(strings.ToUpper(codes[3].Text())); err != nil {
		t.Fatalf("with a recovery code: %v", err)
	}
	if _, err := with(codes[3].Text()); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("with it again: %v", err)
	}
	if state, err := f.Factor(t.Context(), g.Principal, annID); err != nil || !state.Enrolled || state.CodesLeft != RecoveryCodes-1 || state.Required || state.EnrolledAt.IsZero() {
		t.Errorf("%+v, %v", state, err)
	}
	want := []string{"session.opened", "factor.changed", "session.opened", "factor.changed", "session.opened"}
	events := f.store.recorded()
	if !slices.Equal(kinds(events), want) {
		t.Fatalf("%v", kinds(events))
	}
	for i, method := range map[int]string{0: "password", 2: "totp", 4: "recovery-code"} {
		if events[i].Operational["method"] != method {
			t.Errorf("%+v", events[i])
		}
	}
	if e := events[3]; e.Operational["what"] != "code-used" || e.Operational["codes_left"] != 9 {
		t.Errorf("%+v", e)
	}
	var reasons []any
	for _, e := range f.config.Tally.(*memoryTally).notes {
		reasons = append(reasons, e.Operational["reason"])
	}
	if !slices.Equal(reasons, []any{"credentials", "credentials", "credentials", "second-factor", "second-factor", "second-factor", "second-factor", "second-factor"}) {
		t.Errorf("%v", reasons)
	}
	for _, kept := range []string{fmt.Sprint(f.store.state.factors), fmt.Sprint(f.store.state.codes), fmt.Sprint(events)} {
		if strings.Contains(kept, a.secret) || strings.Contains(kept, codes[0].Text()) {
			t.Error("a secret is kept in clear")
		}
	}
}

// Of many who come with the same code at once, one gets in.
func TestCodeServesOnce(t *testing.T) {
	f := newFixture(t)
	a, codes := f.enrol(t, f.signIn(t))
	first, err := f.try(t, func(c *Credentials) { c.Code = codes[1].Text() })
	if err != nil {
		t.Fatal(err)
	}
	for name, draw := range map[string]func() string{"app": func() string { return a.code(f.clock.now()) }, "recovery": codes[0].Text} {
		code := draw()
		var in, refused atomic.Int64
		var wg sync.WaitGroup
		for range deviceBackoff.free {
			wg.Go(func() {
				switch _, err := f.try(t, func(c *Credentials) { c.Code, c.Device = code, first.Device }); {
				case err == nil:
					in.Add(1)
				case errors.Is(err, ErrSecondFactor):
					refused.Add(1)
				default:
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || refused.Load() != int64(deviceBackoff.free)-1 {
			t.Errorf("%s: %d got in, %d were refused", name, in.Load(), refused.Load())
		}
		f.clock.turn(time.Hour)
	}
}

// Who has the password guesses codes no faster than passwords: asking for the code in between gives no try back that
// was spent on a wrong one.
func TestCodesAreThrottled(t *testing.T) {
	f := newFixture(t)
	f.enrol(t, f.signIn(t))
	guesses := 0
	for range 50 {
		_, err := f.try(t, func(c *Credentials) { c.Code = "000000" })
		if errors.Is(err, ErrSecondFactor) {
			guesses++
		}
		f.try(t, func(*Credentials) {})
	}
	if guesses != int(accountBackoff.free) {
		t.Errorf("%d guesses at once", guesses)
	}
	// An office of many who sign in rightly fills nothing.
	f = newFixture(t)
	f.enrol(t, f.signIn(t))
	for range 3 * networkBackoff.free {
		if _, err := f.try(t, func(*Credentials) {}); !errors.Is(err, ErrSecondFactorRequired) {
			t.Fatal(err)
		}
	}
}

func TestFactorSetUp(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	ctx, by := t.Context(), g.Principal
	if _, err := f.ConfirmFactor(ctx, by, "123456", address); !errors.Is(err, ErrNotFound) {
		t.Errorf("confirmed before it was begun: %v", err)
	}
	if _, err := f.DrawRecoveryCodes(ctx, by, goodPassword, address); !errors.Is(err, ErrNotFound) {
		t.Errorf("codes without a factor: %v", err)
	}
	if err := f.RemoveFactor(ctx, by, annID, goodPassword, address); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed before there is one: %v", err)
	}
	first, _, err := f.BeginFactor(ctx, by)
	if err != nil {
		t.Fatal(err)
	}
	old := app{strings.ReplaceAll(first.Text(), " ", "")}
	// What was begun is no factor.
	if state, err := f.Factor(ctx, by, annID); err != nil || state.Enrolled {
		t.Errorf("%+v, %v", state, err)
	}
	if _, err := f.try(t, func(*Credentials) {}); err != nil {
		t.Errorf("a factor that was not confirmed: %v", err)
	}
	second, _, err := f.BeginFactor(ctx, by)
	if err != nil || second.Text() == first.Text() {
		t.Fatal(err)
	}
	if _, err := f.ConfirmFactor(ctx, by, old.code(f.clock.now()), address); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("a code of what was drawn before: %v", err)
	}
	a, codes := f.enrol(t, g)
	if _, _, err := f.BeginFactor(ctx, by); !errors.Is(err, ErrEnrolled) {
		t.Errorf("begun again: %v", err)
	}
	if _, err := f.ConfirmFactor(ctx, by, a.code(f.clock.now()), address); !errors.Is(err, ErrEnrolled) {
		t.Errorf("confirmed again: %v", err)
	}
	if _, err := f.DrawRecoveryCodes(ctx, by, "not the password, surely", address); !errors.Is(err, ErrPassword) {
		t.Errorf("codes with a wrong password: %v", err)
	}
	more, err := f.DrawRecoveryCodes(ctx, by, goodPassword, address)
	if err != nil || len(more) != RecoveryCodes {
		t.Fatal(err)
	}
	if _, err := f.try(t, func(c *Credentials) { c.Code = codes[0].Text() }); !errors.Is(err, ErrSecondFactor) {
		t.Errorf("a code of those before: %v", err)
	}
	if _, err := f.try(t, func(c *Credentials) { c.Code = more[0].Text() }); err != nil {
		t.Errorf("a new code: %v", err)
	}
	for _, row := range []struct {
		password string
		want     error
	}{{"not the password, surely", ErrPassword}, {goodPassword, nil}, {goodPassword, ErrNotFound}} {
		if err := f.RemoveFactor(ctx, by, annID, row.password, address); !errors.Is(err, row.want) {
			t.Errorf("removed with %q: %v, want %v", row.password, err, row.want)
		}
	}
	if _, err := f.try(t, func(*Credentials) {}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if len(f.store.state.codes[annID]) != 0 {
		t.Error("recovery codes are left")
	}
}

// With a factor a password may be shorter, and then the factor cannot be taken away by its owner.
func TestShortPasswordNeedsFactor(t *testing.T) {
	const short = "tbx7 qhw2 v"
	f := newFixture(t)
	g := f.signIn(t)
	ctx, by := t.Context(), g.Principal
	if err := f.ChangePassword(ctx, by, goodPassword, short, address); !isInvalid(err, "new") {
		t.Errorf("without a factor: %v", err)
	}
	f.enrol(t, g)
	if err := f.ChangePassword(ctx, by, goodPassword, short, address); err != nil {
		t.Fatalf("with one: %v", err)
	}
	if err := f.RemoveFactor(ctx, by, annID, short, address); !isInvalid(err, "password") {
		t.Errorf("the factor removed: %v", err)
	}
	f.require("user")
	if err := f.RemoveFactor(ctx, by, annID, short, address); err != nil {
		t.Errorf("where another one must be set up: %v", err)
	}
}

// require has roles need a second factor.
func (f *fixture) require(roles ...string) {
	f.store.state.settings[SettingFactorRoles] = []byte(`["` + strings.Join(roles, `","`) + `"]`)
	f.clock.turn(trustFor)
}

// Who must have a factor and has none is told so, until it is set up, in sessions and API tokens that are there already.
func TestEnrolFirst(t *testing.T) {
	f := newFixture(t)
	g := f.signIn(t)
	text, _ := f.newToken(t, g, "files:read")
	enrol := func() (all []bool) {
		for _, token := range []string{g.AccessToken, text} {
			p, err := f.Authenticate(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p.Enrol)
		}
		opened, err := f.try(t, func(*Credentials) {})
		if err != nil {
			return append(all, false)
		}
		return append(all, opened.Principal.Enrol)
	}
	for _, row := range []struct {
		roles []string
		want  []bool
	}{{nil, []bool{false, false, false}}, {[]string{"admin", "manager"}, []bool{false, false, false}}, {[]string{"admin", "user"}, []bool{true, true, true}}} {
		f.require(row.roles...)
		if got := enrol(); !slices.Equal(got, row.want) {
			t.Errorf("%v: %v", row.roles, got)
		}
	}
	next, err := f.Refresh(t.Context(), g.RefreshToken, address)
	if err != nil || !next.Principal.Enrol {
		t.Errorf("refreshed: %+v, %v", next.Principal, err)
	}
	f.enrol(t, next)
	if got := enrol(); !slices.Equal(got, []bool{false, false, false}) {
		t.Errorf("enrolled: %v", got)
	}
	if state, err := f.Factor(t.Context(), next.Principal, annID); err != nil || !state.Required {
		t.Errorf("%+v, %v", state, err)
	}
	// A setting that cannot be read lets nobody in.
	f.store.state.settings[SettingFactorRoles] = []byte("user")
	f.clock.turn(trustFor)
	if _, err := f.Authenticate(t.Context(), g.AccessToken); err == nil || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a setting that is no list: %v", err)
	}
}

// Admins take a factor from who lost it, without a password; managers do not.
func TestFactorOfOthers(t *testing.T) {
	for _, row := range []struct {
		role string
		want error
		sees error
	}{{"admin", nil, nil}, {"manager", ErrForbidden, nil}, {"user", ErrNotFound, ErrNotFound}} {
		f := newFixture(t)
		f.enrol(t, f.signIn(t))
		f.store.putAccount(Account{Person: benID, Name: "Ben", Role: row.role, PasswordHash: goodHash(), Epoch: 1, Active: true})
		f.store.state.between[[2]string{benID, annID}] = access.Acquaintance{Manages: true}
		ben, err := f.SignIn(t.Context(), Credentials{Name: "ben", Password: goodPassword})
		if err != nil {
			t.Fatal(err)
		}
		if state, err := f.Factor(t.Context(), ben.Principal, annID); !errors.Is(err, row.sees) || err == nil && !state.Enrolled {
			t.Errorf("%s sees %+v, %v", row.role, state, err)
		}
		if err := f.RemoveFactor(t.Context(), ben.Principal, annID, "", address); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", row.role, err)
		}
		if _, err := f.try(t, func(*Credentials) {}); errors.Is(err, ErrSecondFactorRequired) != (row.want != nil) {
			t.Errorf("%s, afterwards: %v", row.role, err)
		}
	}
}
