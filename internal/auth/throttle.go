package auth

import "time"

// backoff is how tries that failed slow the next ones down.
type backoff struct {
	free  uint32        // failures without consequence
	first time.Duration // the wait after the next one; each further one doubles it
	most  time.Duration // until here
}

// An account's tries from devices that are not known; those of a network, an IPv4 address or an IPv6 /64, behind
// which many people may sit; those of a known device. NIST SP 800-63B-4, 3.2.2 would have a password
// disabled after 100 failures, by which anybody could lock anybody out. Here an account gets fewer than
// 9,000 tries from strangers in a year, where the policy wants passwords that take 2·10^10.
var (
	accountBackoff = backoff{free: 5, first: time.Second, most: time.Hour}
	networkBackoff = backoff{free: 30, first: time.Second, most: 15 * time.Minute}
	deviceBackoff  = backoff{free: 5, first: time.Second, most: 15 * time.Minute}
)

// Failures is what is remembered of tries that failed: a small value, to be kept by who calls, under the account, the
// network or the device, and for no longer than ForgetFailures after Last. The zero value is none.
type Failures struct {
	Count uint32
	Last  time.Time
}

// ForgetFailures is how long Failures matter.
const ForgetFailures = 24 * time.Hour

// Throttle is what is remembered when somebody signs in. It is kept for names that nobody has, too, so that
// the wait does not tell which exist.
type Throttle struct {
	Account Failures // under the account's name key
	Network Failures // under the address: all of IPv4's, the first 64 bits of IPv6's
	Device  Failures // under account and device; zero where KnownDevice is false
	// KnownDevice says that the request shows a device id, a secret of the caller's making, from which this
	// account has been signed into before. Such a device answers for its own failures alone: what strangers do
	// to the account, or next door on the network, never keeps its owner out.
	KnownDevice bool
}

// Try asks for a try at now. Where wait is 0 it is granted, and next has it counted as failed; who calls stores
// next in one atomic step with the read of t, and only then checks the password, so that a thousand tries at
// once are not all the first. A wait of more is how long until a try is granted, and nothing is to be
// stored: a try that was refused does not make the wait longer, or an attacker could make it last for ever.
func (t Throttle) Try(now time.Time) (next Throttle, wait time.Duration) {
	if t.KnownDevice {
		if wait = deviceBackoff.wait(t.Device, now); wait == 0 {
			t.Device = deviceBackoff.failed(t.Device, now)
		}
		return t, wait
	}
	if wait = max(accountBackoff.wait(t.Account, now), networkBackoff.wait(t.Network, now)); wait > 0 {
		return t, wait
	}
	t.Account, t.Network = accountBackoff.failed(t.Account, now), networkBackoff.failed(t.Network, now)
	return t, 0
}

// Succeeded is what to store when a granted try was right; t is what is stored now, next of that Try or what
// others have made of it since. The account starts anew, or the device where it is known. The network gets
// this one try back and no more: an attacker with an account of his own must not wipe it clean by signing in.
func (t Throttle) Succeeded() Throttle {
	if t.KnownDevice {
		t.Device = Failures{}
		return t
	}
	t.Account = Failures{}
	if t.Network.Count > 0 {
		t.Network.Count--
	}
	return t
}

// Undecided is what to store when a granted try was neither right nor wrong: where the password is right and a code
// is still to come, or where nobody looked at the password. This one try is given back and no more, so that
// whoever has the password guesses no more codes for it.
func (t Throttle) Undecided() Throttle {
	for _, f := range []*Failures{&t.Account, &t.Network, &t.Device} {
		if counted := t.KnownDevice == (f == &t.Device); counted && f.Count > 0 {
			f.Count--
		}
	}
	return t
}

// wait is how long it is from now until the next try is granted, 0 where that is now.
func (b backoff) wait(f Failures, now time.Time) time.Duration {
	if f.Count < b.free || forgotten(f, now) {
		return 0
	}
	// Who failed in the future did so before the clock was set back: one try is granted, which corrects it.
	if f.Last.Sub(now) > clockSkew {
		return 0
	}
	whole := b.after(f.Count - b.free)
	return min(max(f.Last.Add(whole).Sub(now), 0), whole)
}

// after is the wait after so many failures more than the free ones.
func (b backoff) after(n uint32) time.Duration {
	wait := b.first
	for ; n > 0 && wait < b.most; n-- {
		wait *= 2
	}
	return min(wait, b.most)
}

func (b backoff) failed(f Failures, now time.Time) Failures {
	if forgotten(f, now) {
		f = Failures{}
	}
	if f.Count+1 != 0 {
		f.Count++
	}
	f.Last = now
	return f
}

func forgotten(f Failures, now time.Time) bool { return now.Sub(f.Last) >= ForgetFailures }
