package masterkey

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func TestRing(t *testing.T) {
	old, next, other := mustKey(t, secret), mustKey(t, bytes.Repeat([]byte{1}, keySize)), mustKey(t, bytes.Repeat([]byte{2}, keySize))
	r := NewRing(old)
	before, err := r.Seal("place", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Use(next.Check()); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown key is used: %v", err)
	}
	r.Add(next)
	if !r.Knows(next.Check()) || !bytes.Equal(r.Check(), old.Check()) {
		t.Error("a further key is not known, or seals")
	}
	wrapped, err := r.Wrap(old.Check(), next.Check())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Use(next.Check()); err != nil {
		t.Fatal(err)
	}
	after, err := r.Seal("place", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string][]byte{"before": before, "after": after} {
		if plain, err := r.Open("place", sealed); err != nil || string(plain) != "plain" {
			t.Errorf("what was sealed %s: %q, %v", name, plain, err)
		}
		if _, err := r.Open("elsewhere", sealed); !errors.Is(err, ErrOpen) {
			t.Errorf("what was sealed %s opens elsewhere: %v", name, err)
		}
	}
	if !bytes.HasPrefix(before, r.Tag(old.Check())) || !bytes.HasPrefix(after, r.Tag(next.Check())) {
		t.Error("a value does not begin with the tag of its key")
	}
	if untagged, err := r.Open("place", before[TagSize:]); err != nil || string(untagged) != "plain" {
		t.Errorf("a value from before there were tags: %q, %v", untagged, err)
	}

	// Whoever has the later key finds the earlier one.
	later := NewRing(next)
	if _, err := later.Open("place", before); !errors.Is(err, ErrOpen) {
		t.Errorf("the later key alone: %v", err)
	}
	if err := later.Unwrap(other.Check(), next.Check(), wrapped); !errors.Is(err, ErrOpen) {
		t.Errorf("unwrapped as another key: %v", err)
	}
	if err := later.Unwrap(old.Check(), other.Check(), wrapped); !errors.Is(err, ErrUnknown) {
		t.Errorf("unwrapped with a key that is not there: %v", err)
	}
	if err := later.Unwrap(old.Check(), next.Check(), wrapped); err != nil {
		t.Fatal(err)
	}
	if plain, err := later.Open("place", before); err != nil || string(plain) != "plain" {
		t.Errorf("with the unwrapped key: %q, %v", plain, err)
	}
	later.Forget(old.Check())
	later.Forget(next.Check()) // it seals, and stays
	if _, err := later.Open("place", before); !errors.Is(err, ErrOpen) {
		t.Errorf("with a forgotten key: %v", err)
	}
	if _, err := later.Open("place", after); err != nil {
		t.Errorf("with the key that seals: %v", err)
	}

	given, err := r.Secret(old.Check())
	if err != nil {
		t.Fatal(err)
	}
	if err := later.Accept(other.Check(), given[:]); !errors.Is(err, ErrUnknown) {
		t.Errorf("accepted as another key: %v", err)
	}
	if err := later.Accept(old.Check(), given[:]); err != nil || !later.Knows(old.Check()) {
		t.Errorf("accepted: %v", err)
	}
	if _, err := r.Secret(other.Check()); !errors.Is(err, ErrUnknown) {
		t.Errorf("the secret of a key that is not there: %v", err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, r); got != "[redacted]" {
			t.Errorf("%s shows %s", format, got)
		}
	}
}
