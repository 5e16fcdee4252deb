package cache

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestExact: the largest windows stay below 2^53, where doubles are exact, in every sum of the formula.
func TestExact(t *testing.T) {
	if 3*maxProduct >= 1<<53 {
		t.Error("three products are not below 2^53")
	}
	for _, w := range []Window{{maxProduct, time.Millisecond}, {maxProduct / Longest.Milliseconds(), Longest}, {maxProduct / 1000, time.Second}} {
		if err := w.Check(w.Limit); err != nil {
			t.Errorf("%v: %v", w, err)
		}
		w.Limit++
		if err := w.Check(1); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", w, err)
		}
	}
}

// FuzzKeys: names are short, made of what the program chose, and differ where keys differ.
func FuzzKeys(f *testing.F) {
	for _, key := range []string{"", ":", "a:", "signin:192.0.2.7", "A:b", "a b:c", "test:\x00\xff", "t-1::{x}", strings.Repeat("a", 33) + ":"} {
		f.Add(key, "signin:192.0.2.7")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		nameA, errA := NameOf(a)
		nameB, errB := NameOf(b)
		for _, one := range []struct {
			key  string
			name Name
			err  error
		}{{a, nameA, errA}, {b, nameB, errB}} {
			if one.err != nil {
				if !errors.Is(one.err, ErrInvalid) || one.name != (Name{}) || len(one.err.Error()) > 100 {
					t.Errorf("%q: %+v, %v", one.key, one.name, one.err)
				}
				continue
			}
			if len(one.name.Space) < 1 || len(one.name.Space) > maxSpace || !strings.HasPrefix(one.key, one.name.Space+":") ||
				strings.Trim(one.name.Space, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("%q has the namespace %q", one.key, one.name.Space)
			}
		}
		if errA == nil && errB == nil && (a == b) != (nameA == nameB) {
			t.Errorf("%q is %+v, and %q is %+v", a, nameA, b, nameB)
		}
		if space, _, ok := strings.Cut(a, ":"); errA != nil && ok && len(space) == 1 && space >= "a" && space <= "z" {
			t.Errorf("%q: %v", a, errA)
		}
	})
}

// answers is a limiter that always says the same.
type answers struct {
	decision Decision
	err      error
	asked    int
}

func (a *answers) Take(context.Context, string, int64, Window) (Decision, error) {
	a.asked++
	return a.decision, a.err
}

// TestFallback: only a server that cannot be asked leads to the second limiter.
func TestFallback(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		used int64
	}{
		{"a decision", nil, 0}, {"unavailable", ErrUnavailable, 1}, {"the caller's end", context.Canceled, 0},
		{"the caller's deadline", context.DeadlineExceeded, 0}, {"full", ErrFull, 0}, {"a bad window", ErrInvalid, 0}, {"too large a cost", ErrCost, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := &answers{err: c.err}, &answers{decision: Decision{Allowed: true}}
			f := NewFallback(first, second)
			d, err := f.Take(t.Context(), "test:a", 1, Window{1, time.Second})
			if f.Used() != c.used || second.asked != int(c.used) || first.asked != 1 {
				t.Errorf("used %d times, %d and %d asked", f.Used(), first.asked, second.asked)
			}
			if d.Allowed != (c.used == 1) || c.used == 0 && err != c.err || c.used == 1 && err != nil {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	both := NewFallback(&answers{err: ErrUnavailable}, &answers{err: ErrFull})
	if _, err := both.Take(t.Context(), "test:a", 1, Window{1, time.Second}); !errors.Is(err, ErrFull) || both.Used() != 1 {
		t.Errorf("neither: %v", err)
	}
}
