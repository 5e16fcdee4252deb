package bb84

import (
	"context"
	"fmt"
	"slices"

	"stonevault/qkd/internal/portable"
)

// Preparation is what Alice knows of a pulse that she sent.
type Preparation struct {
	Basis     Basis
	Bit       uint8
	Intensity uint8 // its place in Protocol.Mu
}

// Detection is what Bob knows of a pulse that made a detector click.
type Detection struct {
	Pulse int64 // counted from 0
	Basis Basis
	Bit   uint8 // even where both detectors clicked
}

// Sender is Alice's end of a quantum channel.
type Sender interface {
	// Prepared looks up pulses, in ascending order, that the other side says it detected.
	Prepared(pulses []int64) ([]Preparation, error)
}

// Receiver is Bob's end of a quantum channel.
type Receiver interface {
	// Detections are all, in ascending order.
	Detections() []Detection
}

// Link is a simulated quantum channel with what stands at its ends: Alice's source, Eve, fibre, detectors and Bob's choice
// of bases. All pulses of a session go through it at once, each by itself. Those that no detector notices are skipped, in
// one step from click to click, which changes no probability: nothing that happens to a pulse depends on those before it but
// for an after-pulse, and what nobody detects is never asked for.
type Link struct {
	setup  Setup
	table  *table
	events []event // of pulses that were drawn one by one, in ascending order
	clicks int     // how many of them were detected
}

type event struct {
	pulse int64
	row   uint16
	flags uint8
}

// flags of an event.
const (
	aliceOne  = 1 << iota // her bit
	bobOne                // his
	detected              // a detector clicked
	doubled               // both did
	afterward             // one clicked as an after-pulse
)

func mark(f uint8, set bool) uint8 {
	if set {
		return f
	}
	return 0
}

// detailed is how many of the first pulses are drawn whether they are detected or not, to be shown one by one.
const detailed = 300

// Transmit sends the pulses of a session. It fails with ErrParameters, an error of the randomness, or that of the context.
func Transmit(ctx context.Context, s Setup, r Randomness) (*Link, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	l := &Link{setup: s, table: newTable(outcomes(&s))}
	return l, l.transmit(ctx, &stream{r: r.Nature})
}

func (l *Link) transmit(ctx context.Context, random *stream) error {
	logQuiet := portable.Log1p(-l.table.clicks)
	again := threshold(l.setup.Channel.AfterPulse)
	after := int8(-1) // the detector that clicks once more in this gate
	for pulse := int64(0); pulse < l.setup.Pulses; pulse++ {
		var e event
		if after >= 0 || pulse < detailed {
			e.row = uint16(l.table.any.draw(random.uint64(), random.uint64()))
		} else {
			pulse += l.table.gap(random, logQuiet)
			if pulse >= l.setup.Pulses {
				break
			}
			e.row = uint16(l.table.first + l.table.clicked.draw(random.uint64(), random.uint64()))
		}
		e.pulse = pulse
		after = l.detect(&e, after, random.uint64(), random.uint64() < again)
		if e.flags&detected != 0 || pulse < detailed {
			l.events = append(l.events, e)
		}
		if len(l.events)%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
		}
	}
	return random.err
}

// detect sets an event's flags and returns the detector of an after-pulse in the next gate, -1 for none. after is the one in
// this gate, and coins are random bits.
func (l *Link) detect(e *event, after int8, coins uint64, again bool) (next int8) {
	alice := int8(coins & 1)
	var clicked [2]bool
	click := l.table.rows[e.row].click
	if click == rightClick || click == doubleClick {
		clicked[alice] = true
	}
	if click == wrongClick || click == doubleClick {
		clicked[1-alice] = true
	}
	next = -1
	if click != noClick && again {
		if next = int8(coins >> 1 & 1); !clicked[next] {
			next = 1 - next
		}
	}
	if after >= 0 {
		clicked[after] = true
	}
	both := clicked[0] && clicked[1]
	bob := clicked[1]
	if both {
		bob = coins>>2&1 == 1
	}
	e.flags = mark(aliceOne, alice == 1) | mark(bobOne, bob) | mark(detected, clicked[0] || clicked[1]) |
		mark(doubled, both) | mark(afterward, after >= 0)
	if e.flags&detected != 0 {
		l.clicks++
	}
	return next
}

func logUnit(random *stream) float64 { return portable.Log(random.unit()) }

// Sender returns Alice's end.
func (l *Link) Sender() Sender { return sender{l} }

// Receiver returns Bob's end.
func (l *Link) Receiver() Receiver { return receiver{l} }

type sender struct{ *Link }

func (s sender) Prepared(pulses []int64) ([]Preparation, error) {
	out := make([]Preparation, len(pulses))
	from := 0
	for i, pulse := range pulses {
		at := from
		if at >= len(s.events) || s.events[at].pulse != pulse {
			var found bool
			at, found = slices.BinarySearchFunc(s.events, pulse, func(e event, p int64) int { return int(min(1, max(-1, e.pulse-p))) })
			if !found {
				return nil, fmt.Errorf("%w: pulse %d was not detected", ErrProtocol, pulse)
			}
		}
		from = at + 1
		e := &s.events[at]
		row := &s.table.rows[e.row]
		out[i] = Preparation{Basis: row.alice, Bit: e.flags & aliceOne, Intensity: row.intensity}
	}
	return out, nil
}

type receiver struct{ *Link }

func (r receiver) Detections() []Detection {
	out := make([]Detection, 0, r.clicks)
	for i := range r.events {
		if e := &r.events[i]; e.flags&detected != 0 {
			out = append(out, Detection{Pulse: e.pulse, Basis: r.table.rows[e.row].bob, Bit: e.flags & bobOne / bobOne})
		}
	}
	return out
}
