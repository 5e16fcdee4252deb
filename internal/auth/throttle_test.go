package auth

import (
	"math"
	"testing"
	"time"
)

var throttleTime = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func TestThrottleWaits(t *testing.T) {
	for _, row := range []struct {
		name  string
		state Throttle
		after time.Duration
		want  time.Duration
	}{
		{"nothing remembered", Throttle{}, 0, 0},
		{"the free tries", Throttle{Account: Failures{4, throttleTime}}, 0, 0},
		{"the first wait", Throttle{Account: Failures{5, throttleTime}}, 0, time.Second},
		{"a part of it", Throttle{Account: Failures{5, throttleTime}}, 400 * time.Millisecond, 600 * time.Millisecond},
		{"its end", Throttle{Account: Failures{5, throttleTime}}, time.Second, 0},
		{"the second", Throttle{Account: Failures{6, throttleTime}}, 0, 2 * time.Second},
		{"the twelfth", Throttle{Account: Failures{16, throttleTime}}, 0, 2048 * time.Second},
		{"the longest", Throttle{Account: Failures{17, throttleTime}}, 0, time.Hour},
		{"no longer", Throttle{Account: Failures{math.MaxUint32, throttleTime}}, 0, time.Hour},
		{"almost forgotten", Throttle{Account: Failures{17, throttleTime}}, 24*time.Hour - 1, 0},
		{"forgotten", Throttle{Account: Failures{17, throttleTime}}, 24 * time.Hour, 0},
		{"a network's free tries", Throttle{Network: Failures{29, throttleTime}}, 0, 0},
		{"a network's wait", Throttle{Network: Failures{32, throttleTime}}, 0, 4 * time.Second},
		{"a network's longest", Throttle{Network: Failures{1000, throttleTime}}, 0, 15 * time.Minute},
		{"the longer of two", Throttle{Account: Failures{9, throttleTime}, Network: Failures{31, throttleTime}}, 0, 16 * time.Second},
		{"a known device", Throttle{Account: Failures{1000, throttleTime}, Network: Failures{1000, throttleTime}, KnownDevice: true}, 0, 0},
		{"a known device's own", Throttle{Device: Failures{7, throttleTime}, KnownDevice: true}, 0, 4 * time.Second},
		{"a known device's longest", Throttle{Device: Failures{1000, throttleTime}, KnownDevice: true}, 0, 15 * time.Minute},
		{"a device that is not known any more", Throttle{Device: Failures{1000, throttleTime}}, 0, 0},
		{"another server's clock", Throttle{Account: Failures{6, throttleTime}}, -clockSkew, 2 * time.Second},
		{"a clock that was set back", Throttle{Account: Failures{17, throttleTime}}, -time.Minute, 0},
	} {
		now := throttleTime.Add(row.after)
		next, wait := row.state.Try(now)
		if wait != row.want {
			t.Errorf("%s: %v, want %v", row.name, wait, row.want)
		}
		if wait > 0 && next != row.state {
			t.Errorf("%s: a refused try was counted", row.name)
		}
		if wait == 0 && next == row.state {
			t.Errorf("%s: a granted try was not counted", row.name)
		}
		// The wait is exact: nothing before it, a try after it.
		if wait > 0 {
			if _, early := row.state.Try(now.Add(wait - 1)); early == 0 && row.after >= 0 {
				t.Errorf("%s: granted a nanosecond early", row.name)
			}
			if _, late := row.state.Try(now.Add(wait)); late != 0 && row.after >= 0 {
				t.Errorf("%s: %v are left after the wait", row.name, late)
			}
		}
	}
}

func TestThrottleCounts(t *testing.T) {
	now := throttleTime
	old := Failures{20, now.Add(-25 * time.Hour)}
	for _, row := range []struct {
		name       string
		from, want Throttle
	}{
		{"first", Throttle{}, Throttle{Account: Failures{1, now}, Network: Failures{1, now}}},
		{"after a quiet day", Throttle{Account: old, Network: old}, Throttle{Account: Failures{1, now}, Network: Failures{1, now}}},
		{"on a known device", Throttle{Account: old, KnownDevice: true}, Throttle{Account: old, Device: Failures{1, now}, KnownDevice: true}},
		{"at the end of counting", Throttle{Account: Failures{math.MaxUint32, now.Add(-time.Hour)}}, Throttle{Account: Failures{math.MaxUint32, now}, Network: Failures{1, now}}},
	} {
		if got, wait := row.from.Try(now); wait != 0 || got != row.want {
			t.Errorf("%s: %+v after %v, want %+v", row.name, got, wait, row.want)
		}
	}
	for _, row := range []struct {
		name       string
		from, want Throttle
	}{
		{"success", Throttle{Account: Failures{9, now}, Network: Failures{40, now}}, Throttle{Network: Failures{39, now}}},
		{"success with nothing left", Throttle{}, Throttle{}},
		{"success on a known device", Throttle{Account: Failures{9, now}, Network: Failures{40, now}, Device: Failures{3, now}, KnownDevice: true},
			Throttle{Account: Failures{9, now}, Network: Failures{40, now}, KnownDevice: true}},
	} {
		if got := row.from.Succeeded(); got != row.want {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}

// attack is a store of what is remembered, as the caller keeps it.
type attack struct {
	accounts, networks, devices map[string]Failures
	checked                     int // tries whose password was looked at
}

func newAttack() *attack {
	return &attack{map[string]Failures{}, map[string]Failures{}, map[string]Failures{}, 0}
}

func (a *attack) signIn(account, network, device string, right bool, now time.Time) (wait time.Duration, in bool) {
	t := Throttle{Account: a.accounts[account], Network: a.networks[network], Device: a.devices[device], KnownDevice: device != ""}
	t, wait = t.Try(now)
	if wait > 0 {
		return wait, false
	}
	a.checked++
	if right {
		t = t.Succeeded()
	}
	a.accounts[account], a.networks[network] = t.Account, t.Network
	if device != "" {
		a.devices[device] = t.Device
	}
	return 0, right
}

// 10,000 bad sign-ins for one account: few are looked at, and the owner gets in from a known device after each
// of them, wherever they come from, even from next door.
func TestThrottleUnderAttack(t *testing.T) {
	for name, network := range map[string]func(int) string{
		"from one network":       func(int) string { return "attacker" },
		"from ten thousand":      func(i int) string { return string(rune(i)) },
		"from the owner's":       func(int) string { return "home" },
		"from a few and at once": func(i int) string { return string(rune('a' + i%7)) },
	} {
		for _, pause := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
			a, now := newAttack(), throttleTime
			looked := 0
			for i := range 10_000 {
				now = now.Add(pause)
				before := a.checked
				if _, in := a.signIn("ann", network(i), "", false, now); in {
					t.Fatal("a wrong password got in")
				}
				looked += a.checked - before
				if wait, in := a.signIn("ann", "home", "ann's laptop", true, now); !in {
					t.Fatalf("%s, %v apart: after %d bad sign-ins the owner waits %v", name, pause, i+1, wait)
				}
			}
			if looked > 20 {
				t.Errorf("%s, %v apart: %d of 10,000 passwords were looked at", name, pause, looked)
			}
			wait, _ := a.signIn("ann", "elsewhere", "", true, now)
			if wait > time.Hour {
				t.Errorf("%s: from a new device the owner waits %v", name, wait)
			}
			if _, in := a.signIn("ann", "elsewhere", "", true, now.Add(wait)); !in {
				t.Errorf("%s: after the wait the owner does not get in", name)
			}
		}
	}
}

// An attacker who always asks at the right moment gets fewer than 9,000 tries in a year.
func TestThrottleInAYear(t *testing.T) {
	a := newAttack()
	for now := throttleTime; now.Before(throttleTime.Add(365 * 24 * time.Hour)); {
		wait, _ := a.signIn("ann", now.String(), "", false, now)
		now = now.Add(max(wait, time.Millisecond))
	}
	if a.checked >= 9000 || a.checked < 8000 {
		t.Errorf("%d tries in a year", a.checked)
	}
}

// Many names from one network: it is slowed, and an account of the attacker's own does not help.
func TestThrottleOfANetwork(t *testing.T) {
	a := newAttack()
	for i := range 10_000 {
		a.signIn(string(rune(i)), "attacker", "", false, throttleTime)
		a.signIn("mallory", "attacker", "", true, throttleTime)
	}
	guesses := 0
	for account, f := range a.accounts {
		if account != "mallory" {
			guesses += int(f.Count)
		}
	}
	if guesses > 31 {
		t.Errorf("%d names were tried at once", guesses)
	}
	if wait, in := a.signIn("ann", "home", "", true, throttleTime); !in {
		t.Errorf("another network waits %v", wait)
	}
}

func FuzzThrottle(f *testing.F) {
	f.Add(uint32(5), uint32(31), uint32(0), int64(0), int64(0), false)
	f.Add(uint32(math.MaxUint32), uint32(math.MaxUint32), uint32(9), int64(-1), int64(1<<40), true)
	f.Fuzz(func(t *testing.T, account, network, device uint32, last, at int64, known bool) {
		then, now := time.UnixMilli(last), time.UnixMilli(at)
		s := Throttle{Failures{account, then}, Failures{network, then}, Failures{device, then}, known}
		next, wait := s.Try(now)
		if wait < 0 || wait > time.Hour || known && wait > 15*time.Minute {
			t.Errorf("%+v at %v: wait %v", s, now, wait)
		}
		if wait > 0 && next != s {
			t.Error("a refused try was counted")
		}
		if again, also := s.Try(now); again != next || also != wait {
			t.Error("two answers to one question")
		}
	})
}
