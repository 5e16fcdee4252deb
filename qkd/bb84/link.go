package bb84

import (
	"context"
	"fmt"
	"slices"

	"stonevault/qkd/distill"
	"stonevault/qkd/internal/portable"
)

// Preparations are what Alice knows of pulses that she sent: for each, in order, a bit of every string.
type Preparations struct {
	Bases       *distill.Bits    // 1 for Z
	Bits        *distill.Bits    // what they encode
	Intensities [2]*distill.Bits // the lower and the upper bit of their place in Protocol.Mu
}

// Detections are what Bob knows of the pulses that made a detector click, in the order in which they were sent.
type Detections struct {
	Pulses []int64       // their numbers, counted from 0
	Bases  *distill.Bits // 1 for Z
	Bits   *distill.Bits // what he found; also where both detectors clicked
}

// Sender is Alice's end of a quantum channel.
type Sender interface {
	// Prepared looks up pulses that the other side says it detected, in ascending order. It is asked for some after the
	// other, and does not keep their numbers.
	Prepared(pulses []int64) (*Preparations, error)
}

// Receiver is Bob's end of a quantum channel.
type Receiver interface {
	// Detections are all of them. Who gets them does not change them.
	Detections() *Detections
}

// Link is a simulated quantum channel with what stands at its ends: Alice's source, Eve, fibre, detectors and Bob's choice
// of bases. All pulses of a session go through it at once, each by itself. Those that no detector notices are skipped, in
// one step from click to click, which changes no probability: nothing that happens to a pulse depends on those before it but
// for an after-pulse, and what nobody detects is never asked for.
type Link struct {
	setup  Setup
	table  *table
	pulses []int64 // those that were drawn one by one, in ascending order
	events []event // what became of each
	clicks int     // how many of them were detected
	found  *Detections
	sent   *Preparations // of those that were found
}

type event struct {
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
	if err := l.transmit(ctx, &stream{r: r.Nature}); err != nil {
		return nil, err
	}
	l.found = l.detections()
	var err error
	l.sent, err = l.prepared(l.found.Pulses)
	return l, err
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
		after = l.detect(&e, after, random.uint64(), random.uint64() < again)
		if e.flags&detected != 0 || pulse < detailed {
			l.pulses, l.events = append(l.pulses, pulse), append(l.events, e)
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
func (l *Link) Sender() Sender { return &sender{Link: l} }

// Receiver returns Bob's end.
func (l *Link) Receiver() Receiver { return receiver{l} }

// sender expects to be asked for all pulses that were found, in their order, and has these at hand.
type sender struct {
	*Link
	asked int // for how many of them it was asked
}

func (s *sender) Prepared(pulses []int64) (*Preparations, error) {
	from, to := s.asked, s.asked+len(pulses)
	s.asked = to
	if to > len(s.found.Pulses) || !slices.Equal(pulses, s.found.Pulses[from:to]) {
		return s.prepared(pulses)
	}
	some := func(b *distill.Bits) *distill.Bits { return b.Slice(from, to) }
	return &Preparations{some(s.sent.Bases), some(s.sent.Bits), [2]*distill.Bits{some(s.sent.Intensities[0]), some(s.sent.Intensities[1])}}, nil
}

type receiver struct{ *Link }

func (r receiver) Detections() *Detections { return r.found }

func (l *Link) prepared(pulses []int64) (*Preparations, error) {
	// Columns of bits are gathered in words: bases, bits, and the two of intensities.
	var columns [4]column
	for i := range columns {
		columns[i].words = make([]uint64, 0, len(pulses)/64+1)
	}
	from := 0
	if len(pulses) > 0 {
		from, _ = slices.BinarySearch(l.pulses, pulses[0])
	}
	for _, pulse := range pulses {
		for from < len(l.pulses) && l.pulses[from] < pulse {
			from++
		}
		at := from
		if at == len(l.pulses) || l.pulses[at] != pulse {
			return nil, fmt.Errorf("%w: pulse %d was not detected, or is not in its place", ErrProtocol, pulse)
		}
		e := l.events[at]
		row := &l.table.rows[e.row]
		columns[0].add(uint64(row.alice))
		columns[1].add(uint64(e.flags & aliceOne))
		columns[2].add(uint64(row.intensity & 1))
		columns[3].add(uint64(row.intensity >> 1))
	}
	return &Preparations{columns[0].bits(), columns[1].bits(), [2]*distill.Bits{columns[2].bits(), columns[3].bits()}}, nil
}

func (l *Link) detections() *Detections {
	d := &Detections{Pulses: make([]int64, 0, l.clicks)}
	var bases, bits column
	for i, e := range l.events {
		if e.flags&detected != 0 {
			d.Pulses = append(d.Pulses, l.pulses[i])
			bases.add(uint64(l.table.rows[e.row].bob))
			bits.add(uint64(e.flags & bobOne / bobOne))
		}
	}
	d.Bases, d.Bits = bases.bits(), bits.bits()
	return d
}

// column gathers bits one by one.
type column struct {
	words []uint64
	word  uint64
	n     int
}

func (c *column) add(bit uint64) {
	c.word |= bit << (c.n & 63)
	if c.n++; c.n&63 == 0 {
		c.words = append(c.words, c.word)
		c.word = 0
	}
}

func (c *column) bits() *distill.Bits { return distill.FromWords(append(c.words, c.word), c.n) }
