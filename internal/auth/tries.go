package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
)

const triesContext = "stonevault.v1/sign-in/"

// nobody stands for the person where no account has the name, so that the store is asked the same.
const nobody = "00000000000000000000000000000000"

// attempt is a try to show who one is: as whom, from which device and from where.
type attempt struct {
	name    string // the account's name key, or one that nobody has
	person  string // nobody where no account has the name
	device  []byte // the hash of what the device shows
	address string
}

// key is what failures are kept under: a digest, since names that nobody has may be passwords.
func triesKey(of string, parts ...string) []byte {
	h := sha256.New()
	h.Write([]byte(triesContext + of))
	for _, part := range parts {
		sum := sha256.Sum256([]byte(part))
		h.Write(sum[:])
	}
	return h.Sum(nil)
}

// network is the part of an address that stands for who can use others beside it: all of IPv4's, the first 64 bits of
// IPv6's.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// place is where the failures of a kind are kept, and where they are in a Throttle.
type place struct {
	key []byte
	in  func(*Throttle) *Failures
}

func (a attempt) places(known bool) []place {
	if known {
		return []place{{triesKey("device", a.person, string(a.device)), func(t *Throttle) *Failures { return &t.Device }}}
	}
	return []place{
		{triesKey("account", a.name), func(t *Throttle) *Failures { return &t.Account }},
		{triesKey("network", network(a.address)), func(t *Throttle) *Failures { return &t.Network }},
	}
}

// throttle reads what is remembered of tries like this one.
func (a attempt) throttle(ctx context.Context, tx Tx) (t Throttle, err error) {
	_, err = tx.Device(ctx, a.person, a.device)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Throttle{}, err
	}
	t.KnownDevice = err == nil
	for _, p := range a.places(t.KnownDevice) {
		if *p.in(&t), err = tx.Failures(ctx, p.key); err != nil {
			return Throttle{}, err
		}
	}
	return t, nil
}

// settle changes what is remembered, where it changes.
func (a attempt) settle(ctx context.Context, tx Tx, change func(Throttle) (Throttle, error)) error {
	before, err := a.throttle(ctx, tx)
	if err != nil {
		return err
	}
	after, err := change(before)
	if err != nil {
		return err
	}
	for _, p := range a.places(before.KnownDevice) {
		if f := *p.in(&after); f != *p.in(&before) {
			if err := tx.PutFailures(ctx, p.key, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// try asks for a try and counts it as failed, or returns a *TooManyError. It is a transaction of its own, or a part
// of one, before anything secret is looked at.
func (s *Service) try(ctx context.Context, tx Tx, a attempt) error {
	return a.settle(ctx, tx, func(t Throttle) (Throttle, error) {
		next, wait := t.Try(s.now())
		if wait > 0 {
			return Throttle{}, &TooManyError{Wait: wait}
		}
		return next, nil
	})
}

// succeeded takes a try that was right out of what failed.
func (a attempt) succeeded(ctx context.Context, tx Tx) error {
	return a.settle(ctx, tx, func(t Throttle) (Throttle, error) { return t.Succeeded(), nil })
}

// giveBack takes back that a try was counted, since it was neither right nor wrong.
func (s *Service) giveBack(ctx context.Context, a attempt) error {
	return s.store.UpdateAuth(ctx, func(tx Tx) error {
		return a.settle(ctx, tx, func(t Throttle) (Throttle, error) { return t.Undecided(), nil })
	})
}

// deviceHash is what a device is known by. One that shows nothing has a hash that no device has.
func deviceHash(shown string) []byte {
	if shown == "" {
		return make([]byte, sha256.Size)
	}
	sum := sha256.Sum256([]byte(shown))
	return sum[:]
}
