package audit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"stonevault/stone/canonical"
)

// MaxPayload bounds the JSON of one slot, in bytes.
const MaxPayload = 64 << 10

// MaxParts bounds a PartList, so that the largest numbers fit into MaxPayload.
const MaxParts = 4000

// MaxCount is the largest Count: integers up to it survive every JSON reader.
const MaxCount = 1<<53 - 1

// ErrEvent is an event that the table of types doesn't allow, or a payload that is not one of its type.
var ErrEvent = errors.New("not an event of its type")

// Slot is one of the three parts of an event, each committed to by itself.
type Slot uint8

const (
	Operational Slot = iota // about the vault; never erased
	Actor                   // about the person who acted
	Subject                 // about the person it was done to, or whose file it was
	slotCount
)

var slotNames = [slotCount]string{"operational", "actor", "subject"}

// String is the slot's name, as in the specification.
func (s Slot) String() string {
	if s < slotCount {
		return slotNames[s]
	}
	return fmt.Sprintf("slot %d", uint8(s))
}

// Values are the fields of one slot: string, int64, bool or []int64, as the field's kind says. An int is
// taken for an int64.
type Values map[string]any

// Event is something that happened. Operational is never nil in an event that was read; Actor and Subject
// are nil where the event has no such person.
type Event struct {
	Type    Type
	Version uint8     // of the type's fields; 0 is the newest
	Time    time.Time // milliseconds count

	Operational, Actor, Subject Values
}

func (e *Event) values() [slotCount]*Values {
	return [slotCount]*Values{&e.Operational, &e.Actor, &e.Subject}
}

// encode writes the values of one slot as canonical JSON behind dst. members are its fields by name. decode
// reads it by other means, which the tests hold against this.
func encode(dst []byte, members []Field, v Values) ([]byte, error) {
	if len(v) != len(members) {
		return nil, fmt.Errorf("%w: it has %d fields, not %d", ErrEvent, len(v), len(members))
	}
	text := append(dst, '{')
	for i := range members {
		f := &members[i]
		value, ok := v[f.Name]
		if !ok {
			return nil, fmt.Errorf("%w: %s is missing", ErrEvent, f.Name)
		}
		if err := f.check(value); err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(canonical.AppendText(text, f.Name), ':')
		switch x := value.(type) {
		case string:
			text = canonical.AppendText(text, x)
		case int:
			text = strconv.AppendInt(text, int64(x), 10)
		case int64:
			text = strconv.AppendInt(text, x, 10)
		case bool:
			text = strconv.AppendBool(text, x)
		case []int64:
			text = append(text, '[')
			for j, n := range x {
				if j > 0 {
					text = append(text, ',')
				}
				text = strconv.AppendInt(text, n, 10)
			}
			text = append(text, ']')
		}
	}
	text = append(text, '}')
	if n := len(text) - len(dst); n > MaxPayload {
		return nil, fmt.Errorf("%w: its fields take %d bytes, and %d are allowed", ErrEvent, n, MaxPayload)
	}
	return text, nil
}

// decode reads what encode writes, and nothing else.
func decode(fields []Field, text []byte) (Values, error) {
	if len(text) > MaxPayload {
		return nil, fmt.Errorf("%w: its fields take %d bytes", ErrEvent, len(text))
	}
	var raw map[string]any
	if err := canonical.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if raw == nil || len(raw) != len(fields) {
		return nil, fmt.Errorf("%w: it has %d fields, not %d", ErrEvent, len(raw), len(fields))
	}
	v := make(Values, len(raw))
	for i := range fields {
		value, err := fields[i].fromJSON(raw[fields[i].Name])
		if err != nil {
			return nil, err
		}
		v[fields[i].Name] = value
	}
	return v, nil
}

// check tells whether value may stand in the field.
func (f *Field) check(value any) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s %s", ErrEvent, f.Name, fmt.Sprintf(format, args...))
	}
	switch x := value.(type) {
	case string:
		switch {
		case f.Kind != Text:
			return wrong("is a text, not a %s", f.Kind)
		case !utf8.ValidString(x):
			return wrong("is not valid UTF-8")
		case f.Among != nil && !slices.Contains(f.Among, x):
			return wrong("is none of %q", f.Among)
		case f.Among == nil && len(x) > f.Max:
			return wrong("has %d bytes, and %d are allowed", len(x), f.Max)
		}
	case int:
		return f.check(int64(x))
	case int64:
		switch {
		case f.Kind != Count:
			return wrong("is a count, not a %s", f.Kind)
		case x < 0 || x > MaxCount:
			return wrong("is not between 0 and 2^53-1")
		}
	case bool:
		if f.Kind != Flag {
			return wrong("is a flag, not a %s", f.Kind)
		}
	case []int64:
		if f.Kind != PartList {
			return wrong("is a list of parts, not a %s", f.Kind)
		}
		if len(x) == 0 || len(x) > MaxParts {
			return wrong("lists %d parts, and 1 to %d are allowed", len(x), MaxParts)
		}
		for i, n := range x {
			if n < 0 || n >= 2*MaxSize || i > 0 && n <= x[i-1] {
				return wrong("is not a list of parts in ascending order")
			}
		}
	default:
		return wrong("is a %T", value)
	}
	return nil
}

// fromJSON turns what encoding/json makes of a value into the field's own type, and checks it.
func (f *Field) fromJSON(value any) (any, error) {
	var bad error
	integer := func(value any) int64 {
		x, ok := value.(float64)
		if !ok || x != math.Trunc(x) || math.Abs(x) > MaxCount {
			bad = fmt.Errorf("%w: %s holds something else than integers", ErrEvent, f.Name)
			return 0
		}
		return int64(x)
	}
	switch x := value.(type) {
	case float64:
		value = integer(x)
	case []any:
		list := make([]int64, len(x))
		for i := range x {
			list[i] = integer(x[i])
		}
		value = list
	}
	if bad == nil {
		bad = f.check(value)
	}
	return value, bad
}
