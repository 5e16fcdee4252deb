package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/audit"
)

// try signs in as ann.
func (f *fixture) try(t testing.TB, change func(*Credentials)) (Grant, error) {
	t.Helper()
	c := Credentials{Name: "ann", Password: goodPassword, Client: "test", Address: address}
	change(&c)
	return f.SignIn(t.Context(), c)
}

func tooMany(t testing.TB, err error) time.Duration {
	t.Helper()
	var many *TooManyError
	if !errors.As(err, &many) || !errors.Is(err, ErrTooMany) {
		t.Fatalf("%v, want too many tries", err)
	}
	return many.Wait
}

// Failures make the next try wait, for a name that nobody has as for one that somebody has, and whether or not the
// password is right.
func TestThrottleOfSignIns(t *testing.T) {
	for _, name := range []string{"ann", "ben", "nobody at all"} {
		f := newFixture(t)
		wrong := func(c *Credentials) { c.Name, c.Password = name, "not the password, surely" }
		for i := range accountBackoff.free {
			if _, err := f.try(t, wrong); !errors.Is(err, ErrCredentials) {
				t.Fatalf("%s, try %d: %v", name, i, err)
			}
		}
		for i, wait := range []time.Duration{1, 2} {
			for _, change := range []func(*Credentials){wrong, func(c *Credentials) { c.Name = name }, func(c *Credentials) { c.Name, c.Address = strings.ToUpper(name), "2001:db8::1" }} {
				_, err := f.try(t, change)
				if got := tooMany(t, err); got != wait*time.Second {
					t.Errorf("%s: wait %d is %v", name, i, got)
				}
			}
			f.clock.turn(wait * time.Second)
			if _, err := f.try(t, wrong); !errors.Is(err, ErrCredentials) {
				t.Errorf("%s, after wait %d: %v", name, i, err)
			}
		}
	}
}

// While a try has to wait, nothing is hashed: all turns are taken, and still there is an answer.
func TestThrottledTriesAreNotHashed(t *testing.T) {
	f := newFixture(t)
	for range accountBackoff.free {
		f.try(t, func(c *Credentials) { c.Password = "not the password, surely" })
	}
	for range cap(f.verifier.slots) {
		f.verifier.slots <- struct{}{}
	}
	_, err := f.try(t, func(*Credentials) {})
	tooMany(t, err)
}

// A password that is too long is refused before anything is looked at or counted.
func TestLongPassword(t *testing.T) {
	f := newFixture(t)
	for range cap(f.verifier.slots) {
		f.verifier.slots <- struct{}{}
	}
	views := f.store.views
	long := strings.Repeat("a", 1<<20)
	for range 10 {
		if _, err := f.try(t, func(c *Credentials) { c.Password = long }); !isInvalid(err, "password") {
			t.Fatal(err)
		}
	}
	if f.store.views != views || len(f.store.state.failures) != 0 {
		t.Error("the store was asked")
	}
	for field, change := range map[string]func(*Credentials){
		"code":   func(c *Credentials) { c.Code = strings.Repeat("1", recoveryTyped+1) },
		"device": func(c *Credentials) { c.Device = strings.Repeat("d", maxDeviceBytes+1) },
	} {
		if _, err := f.try(t, change); !isInvalid(err, field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Ten thousand tries by strangers, over several networks and two days: the owner signs in from a known device at once, at any
// time, and from anywhere else within an hour.
func TestOwnerIsNotLockedOut(t *testing.T) {
	f := newFixture(t)
	first := f.signIn(t)
	if !strings.HasPrefix(first.Device, devicePrefix) {
		t.Fatalf("the device is %q", first.Device)
	}
	looked := 0
	for i := range 10_000 {
		_, err := f.try(t, func(c *Credentials) {
			c.Password, c.Address = "not the password, surely", []string{address, "198.51.100.1", "2001:db8:1::2"}[i%3]
			if i%7 == 0 {
				c.Device = devicePrefix + strings.Repeat("A", 43) // invented
			}
		})
		switch {
		case errors.Is(err, ErrCredentials):
			looked++
		default:
			tooMany(t, err)
		}
		f.clock.turn(20 * time.Second)
		if i%1000 == 999 {
			g, err := f.try(t, func(c *Credentials) { c.Device = first.Device })
			if err != nil || g.Device != "" {
				t.Fatalf("after %d tries: %v", i+1, err)
			}
		}
	}
	if looked > 56+20 {
		t.Errorf("%d passwords were looked at", looked)
	}
	f.clock.turn(accountBackoff.most)
	if _, err := f.try(t, func(c *Credentials) { c.Address = "203.0.113.9" }); err != nil {
		t.Errorf("from a new device: %v", err)
	}
	// The success is the account's new beginning.
	if _, err := f.try(t, func(c *Credentials) { c.Password, c.Address = "not the password, surely", "203.0.113.10" }); !errors.Is(err, ErrCredentials) {
		t.Errorf("afterwards: %v", err)
	}
}

// A known device answers for itself: its own failures make it wait, and nobody else's account or device does.
func TestKnownDevice(t *testing.T) {
	f := newFixture(t)
	f.change(func(a *Account) {})
	f.store.putAccount(Account{Person: benID, Name: "Ben", Role: "user", PasswordHash: goodHash(), Epoch: 1, Active: true})
	mine, other := f.signIn(t).Device, f.signIn(t).Device
	if mine == other || mine == "" {
		t.Fatalf("%q, %q", mine, other)
	}
	wrong := func(c *Credentials) { c.Password, c.Device = "not the password, surely", mine }
	for range deviceBackoff.free {
		if _, err := f.try(t, wrong); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
	}
	_, err := f.try(t, func(c *Credentials) { c.Device = mine })
	tooMany(t, err)
	for name, change := range map[string]func(*Credentials){
		"another known device": func(c *Credentials) { c.Device = other },
		"no device":            func(c *Credentials) {},
	} {
		if _, err := f.try(t, change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// For another account it is a stranger's.
	g, err := f.try(t, func(c *Credentials) { c.Name, c.Device = "ben", mine })
	if err != nil || g.Device == "" || g.Device == mine {
		t.Errorf("for another account: %v", err)
	}
	events := f.store.recorded()
	var isNew []any
	for _, e := range events {
		isNew = append(isNew, e.Operational["new_device"])
	}
	if len(isNew) != 5 || isNew[0] != true || isNew[1] != true || isNew[4] != true || !slices.Contains(isNew, any(false)) {
		t.Errorf("new devices: %v", isNew)
	}
	for _, d := range f.store.state.devices {
		if strings.Contains(string(d.Hash), mine) || len(d.Hash) != 32 {
			t.Error("the store has what the device shows")
		}
	}
	f.clock.turn(DeviceTTL + time.Hour)
	if err := f.Sweep(t.Context()); err != nil || len(f.store.state.devices) != 0 || len(f.store.state.failures) != 0 {
		t.Errorf("%d devices and %d failures are left, %v", len(f.store.state.devices), len(f.store.state.failures), err)
	}
}

// What is kept of failures names nobody.
func TestFailuresAreDigests(t *testing.T) {
	f := newFixture(t)
	f.try(t, func(c *Credentials) { c.Name, c.Password = "my password by mistake", "x" })
	if n := len(f.store.state.failures); n != 2 {
		t.Fatalf("%d rows, want the name's and the network's", n)
	}
	for key := range f.store.state.failures {
		if len(key) != 32 || strings.Contains(key, "password") || strings.Contains(key, address) {
			t.Errorf("%q", key)
		}
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::ffff": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"": "", "unknown": "unknown",
	} {
		if got := network(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// A try that nobody looked at is given back, and so is one that waits for a code.
func TestTriesAreGivenBack(t *testing.T) {
	f := newFixture(t)
	for range 3 * networkBackoff.free {
		f.verifier.waiting.Store(maxWaiting)
		for range cap(f.verifier.slots) {
			f.verifier.slots <- struct{}{}
		}
		if _, err := f.try(t, func(*Credentials) {}); !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		for range cap(f.verifier.slots) {
			<-f.verifier.slots
		}
		f.verifier.waiting.Store(0)
	}
	if len(f.store.state.failures) != 0 {
		t.Errorf("%v", f.store.state.failures)
	}
}

// An account whose password is yet to be set signs nobody in.
func TestAccountWithoutPassword(t *testing.T) {
	f := newFixture(t)
	f.change(func(a *Account) { a.PasswordHash = "" })
	for _, password := range []string{goodPassword, "x"} {
		if _, err := f.try(t, func(c *Credentials) { c.Password = password }); !errors.Is(err, ErrCredentials) {
			t.Errorf("%v", err)
		}
	}
}

func TestChangePassword(t *testing.T) {
	const next = "six other words nobody ever wrote"
	f := newFixture(t)
	mine, other := f.signIn(t), f.signIn(t)
	text, _ := f.newToken(t, mine, "files:read")
	for name, row := range map[string]struct {
		current, next string
		want          error
		field         string
	}{
		"wrong":            {"not the password, surely", next, ErrPassword, ""},
		"empty":            {"", next, nil, "current"},
		"a megabyte":       {strings.Repeat("a", 1<<20), next, nil, "current"},
		"short":            {goodPassword, "short", nil, "new"},
		"common":           {goodPassword, "stonevaultstonevault", nil, "new"},
		"a long new one":   {goodPassword, strings.Repeat("a", 1025), nil, "new"},
		"wrong, and short": {"not the password, surely", "short", nil, "new"},
	} {
		err := f.ChangePassword(t.Context(), mine.Principal, row.current, row.next, address)
		if row.field != "" && !isInvalid(err, row.field) || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.store.recorded()) != 3 {
		t.Fatalf("%v", kinds(f.store.recorded()))
	}
	if err := f.ChangePassword(t.Context(), mine.Principal, goodPassword, next, address); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		token string
		ends  bool
	}{"mine": {mine.AccessToken, false}, "other": {other.AccessToken, true}, "program": {text, false}} {
		if _, err := f.Authenticate(t.Context(), row.token); errors.Is(err, ErrUnauthenticated) != row.ends {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Refresh(t.Context(), mine.RefreshToken, address); err != nil {
		t.Errorf("the session that asked: %v", err)
	}
	if _, err := f.try(t, func(*Credentials) {}); !errors.Is(err, ErrCredentials) {
		t.Errorf("with the old password: %v", err)
	}
	if _, err := f.try(t, func(c *Credentials) { c.Password = next }); err != nil {
		t.Errorf("with the new one: %v", err)
	}
	events := f.store.recorded()
	ended, changed := events[3], events[4]
	if ended.Type != audit.SessionEnded || ended.Operational["reason"] != "password-changed" || changed.Type != audit.AccountChanged || changed.Operational["by"] != "self" {
		t.Errorf("%+v, %+v", ended, changed)
	}
	if _, err := f.try(t, func(c *Credentials) { c.Device = mine.Device }); !errors.Is(err, ErrCredentials) {
		t.Error(err)
	}
}

// Who holds a session guesses the password no faster than by signing in, and strangers do not keep its owner from it.
func TestPasswordChangeIsThrottled(t *testing.T) {
	const next = "six other words nobody ever wrote"
	f := newFixture(t)
	g := f.signIn(t)
	for range 20 {
		f.try(t, func(c *Credentials) { c.Password = "not the password, surely" })
	}
	for range deviceBackoff.free {
		if err := f.ChangePassword(t.Context(), g.Principal, "not the password, surely", next, address); !errors.Is(err, ErrPassword) {
			t.Fatal(err)
		}
	}
	err := f.ChangePassword(t.Context(), g.Principal, goodPassword, next, address)
	tooMany(t, err)
	f.clock.turn(time.Second)
	if err := f.ChangePassword(t.Context(), g.Principal, goodPassword, next, address); err != nil {
		t.Error(err)
	}
}
