package bb84

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stonevault/qkd/internal/portable"
)

// Options of a simulated session.
type Options struct {
	// Secret authenticates the messages. Where it is nil one is drawn, before the first pulse.
	Secret *AuthKey
	// Now tells the time, so that the result says how long steps took. Nil for no times.
	Now func() time.Time
	// Laboratory shows the bits of the first pulses, those of the key too, which must then never be used.
	Laboratory bool
}

// Session is a simulated session with both its ends. Where it was not aborted, both have the same key.
type Session struct {
	Result     Result // Alice's, with what the simulation alone knows
	Alice, Bob *Ending
}

// Simulate runs a session in one process: the quantum channel of Transmit, and Alice and Bob with a classical channel between
// them. Errors are those of Transmit, Alice and Bob.
func Simulate(ctx context.Context, s Setup, r Randomness, o Options) (*Session, error) {
	secret := o.Secret
	if secret == nil {
		secret = new(AuthKey)
		if _, err := io.ReadFull(r.Nature, secret[:]); err != nil {
			return nil, fmt.Errorf("reading random numbers: %w", err)
		}
	}
	link, err := Transmit(ctx, s, r)
	if err != nil {
		return nil, err
	}
	atAlice, atBob := pipe()
	defer context.AfterFunc(ctx, func() {
		atAlice.close(context.Cause(ctx))
		atBob.close(context.Cause(ctx))
	})()
	type ended struct {
		end *Ending
		err error
	}
	done := make(chan ended, 1)
	go func() {
		end, err := Bob(Party{s.Protocol, *secret, r.Bob, nil}, link.Receiver(), atBob)
		atBob.close(err)
		done <- ended{end, err}
	}()
	alice, aliceErr := Alice(Party{s.Protocol, *secret, r.Alice, o.Now}, link.Sender(), atAlice)
	atAlice.close(aliceErr)
	bob := <-done
	if err := errors.Join(aliceErr, bob.err); err != nil {
		return nil, err
	}
	if !alice.Result.Aborted && (!alice.Key.Equal(bob.end.Key) || *alice.Next != *bob.end.Next) {
		return nil, fmt.Errorf("%w: the keys differ although their tags agree", ErrProtocol)
	}
	session := &Session{Result: alice.Result, Alice: alice, Bob: bob.end}
	link.reveal(&session.Result, alice, o.Laboratory)
	return session, nil
}

// Knowledge is what Eve knows about the sifted bits that were for the key, before privacy amplification.
type Knowledge struct {
	Attack  Attack `json:"attack"`
	Touched int64  `json:"touched"` // bits whose pulses she measured or kept a photon of
	Certain int64  `json:"certain"` // bits that she knows for sure, once the bases are known
	Right   int64  `json:"right"`   // bits that she touched and has right, certain or not
	// Bits is her Shannon information about Alice's bits: 1 for each that is certain, 1 − h(cos²(π/8)) = 0.399 for each that
	// was measured in the Breidbart basis, none for one that was measured in the wrong basis.
	Bits float64 `json:"bits"`
}

// Pulse is one of the first pulses in detail. A bit is missing where there is none, and where it went into a key.
type Pulse struct {
	Number     int64  `json:"number"`
	AliceBasis string `json:"alice_basis"`
	AliceBit   *int   `json:"alice_bit,omitempty"`
	Intensity  int    `json:"intensity"` // its place in Protocol.Mu
	Photons    int    `json:"photons"`   // that left Alice
	Eve        string `json:"eve,omitempty"`
	EveBit     *int   `json:"eve_bit,omitempty"`
	BobBasis   string `json:"bob_basis"`
	BobBit     *int   `json:"bob_bit,omitempty"`
	Detected   bool   `json:"detected"`
	Double     bool   `json:"double,omitempty"`
	AfterPulse bool   `json:"after_pulse,omitempty"`
	Use        string `json:"use"` // lost, discarded (bases differ), test or key
}

var tappings = [...]string{untouched: "", measuredX: "measured X", measuredZ: "measured Z", measuredBetween: "measured between", kept: "kept a photon", blocked: "blocked"}

// reveal adds to a result what only the simulation knows.
func (l *Link) reveal(r *Result, alice *Ending, laboratory bool) {
	setup := l.setup
	r.Setup = &setup
	r.Seconds = float64(setup.Pulses) / setup.PulseRate
	eve := &Knowledge{Attack: setup.Eve.Attack}
	between := 0
	detection, bit := 0, 0
	for i := range l.events {
		e := &l.events[i]
		use := "lost"
		if e.flags&detected != 0 {
			use = "discarded"
			if alice.sifting.same.At(detection) == 1 {
				use = "key"
				if alice.sifted.test.At(bit) == 1 {
					use = "test"
				}
				bit++
			}
			detection++
		}
		if e.flags&doubled != 0 {
			r.Doubled++
		}
		row := &l.table.rows[e.row]
		if use == "key" {
			between += eve.learn(row)
		}
		if pulse := l.pulses[i]; pulse < detailed {
			secret := use == "key" && !laboratory
			r.First = append(r.First, describe(pulse, e, row, use, secret))
		}
	}
	eve.Bits = float64(eve.Certain) + float64(float64(between)*(1-portable.Entropy(right)))
	if setup.Eve.Attack != NoAttack {
		r.Eve = eve
	}
}

// learn counts what Eve knows of a key bit, and returns 1 for one that she knows by the Breidbart basis.
func (k *Knowledge) learn(o *outcome) (between int) {
	switch o.eve {
	case untouched, blocked:
		return 0
	case measuredBetween:
		between = 1
	case kept:
		k.Certain++
	default:
		if Basis(o.eve-measuredX) == o.alice {
			k.Certain++
		}
	}
	k.Touched++
	if o.eveRight {
		k.Right++
	}
	return between
}

func describe(pulse int64, e *event, o *outcome, use string, secret bool) Pulse {
	p := Pulse{
		Number: pulse, AliceBasis: o.alice.String(), BobBasis: o.bob.String(), Intensity: int(o.intensity), Photons: int(o.photons),
		Eve: tappings[o.eve], Detected: e.flags&detected != 0, Double: e.flags&doubled != 0, AfterPulse: e.flags&afterward != 0, Use: use,
	}
	if secret {
		return p
	}
	bit := func(one bool) *int {
		b := 0
		if one {
			b = 1
		}
		return &b
	}
	alice := e.flags&aliceOne != 0
	p.AliceBit = bit(alice)
	if o.eve != untouched && o.eve != blocked {
		p.EveBit = bit(alice == o.eveRight)
	}
	if p.Detected {
		p.BobBit = bit(e.flags&bobOne != 0)
	}
	return p
}
