package auth

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func newCode(t *testing.T, gone func()) *SetupCode {
	t.Helper()
	c, err := NewSetupCode(rand.Reader, gone)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSetupCodeAcceptsWhatPeopleType(t *testing.T) {
	for name, typed := range map[string]func(string) string{
		"as it is":       func(s string) string { return s },
		"capitals":       strings.ToUpper,
		"without groups": func(s string) string { return strings.ReplaceAll(s, "-", "") },
		"spaces":         func(s string) string { return "  " + strings.ReplaceAll(s, "-", " ") + "\r\n" },
	} {
		c, ran := newCode(t, nil), false
		if !regexp.MustCompile(`^[a-z2-7]{6}(-[a-z2-7]{6}){3}$`).MatchString(c.Text()) {
			t.Fatalf("the code looks like %s", c.Text())
		}
		if err := c.Use(typed(c.Text()), func() error { ran = true; return nil }); err != nil || !ran {
			t.Errorf("%s: %v, ran %v", name, err, ran)
		}
	}
}

func TestSetupCodeServesOnce(t *testing.T) {
	gone := 0
	c := newCode(t, func() { gone++ })
	failed := errors.New("the name is taken")
	for range 2 * setupTries { // what fails for another reason costs no try
		if err := c.Use(c.Text(), func() error { return failed }); !errors.Is(err, failed) || gone != 0 {
			t.Fatalf("%v, gone %d", err, gone)
		}
	}
	if err := c.Use(c.Text(), func() error { return nil }); err != nil || gone != 1 {
		t.Fatalf("%v, gone %d", err, gone)
	}
	for _, code := range []string{c.Text(), "", "wrong"} {
		err := c.Use(code, func() error { t.Error("it served twice"); return nil })
		if !errors.Is(err, ErrSetupOver) || gone != 1 {
			t.Errorf("%v, gone %d", err, gone)
		}
	}
}

func TestSetupCodeIsGoneAfterTenWrongTries(t *testing.T) {
	gone := 0
	c := newCode(t, func() { gone++ })
	never := func() error { t.Error("a wrong code served"); return nil }
	wrong := []string{
		"", "-", c.Text()[1:], c.Text() + "a", "a" + c.Text(), c.Text()[:6], strings.Repeat("a", 1<<16), "\xff",
		strings.Replace(c.Text(), c.Text()[:1], "1", 1), newCode(t, nil).Text(),
	}
	if len(wrong) != setupTries {
		t.Fatal(len(wrong))
	}
	for i, code := range wrong {
		if err := c.Use(code, never); !errors.Is(err, ErrSetupCode) {
			t.Errorf("try %d: %v", i, err)
		}
		if (gone == 1) != (i == setupTries-1) {
			t.Errorf("after try %d it is gone %d times", i, gone)
		}
	}
	if err := c.Use(c.Text(), never); !errors.Is(err, ErrSetupOver) || gone != 1 {
		t.Errorf("%v, gone %d", err, gone)
	}
}

// Of many who have the right code at once, one gets in.
func TestSetupCodeLetsOneIn(t *testing.T) {
	c := newCode(t, nil)
	var in, over atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			switch err := c.Use(c.Text(), func() error { in.Add(1); return nil }); {
			case errors.Is(err, ErrSetupOver):
				over.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 || over.Load() != 31 {
		t.Errorf("%d came in, %d were too late", in.Load(), over.Load())
	}
}

func TestSetupCodeKeepsItself(t *testing.T) {
	c := newCode(t, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		if s := fmt.Sprintf(verb, c); s != hidden {
			t.Errorf("%s prints %s", verb, s)
		}
	}
	if _, err := NewSetupCode(bytes.NewReader(make([]byte, setupRandom-1)), nil); err == nil {
		t.Error("a code was made without randomness")
	}
}
