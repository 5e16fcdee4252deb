package redis

import (
	"testing"

	"stonevault/internal/cache/redistest"
)

func TestIdentity(t *testing.T) {
	s := redistest.Start(t)
	one, two := open(t, Options{Address: s.Address()}), open(t, Options{Address: s.Address()})
	apart := open(t, Options{Address: s.Address(), Prefix: "other:"})
	for _, ask := range []struct {
		c         *Client
		own, want string
	}{{one, "a", "a"}, {two, "b", "a"}, {one, "c", "a"}, {apart, "d", "d"}} {
		if got, err := ask.c.Identity(t.Context(), ask.own); err != nil || got != ask.want {
			t.Errorf("%q offered: %q, %v; want %q", ask.own, got, err, ask.want)
		}
	}
	s.Command(t, "FLUSHALL")
	if got, err := two.Identity(t.Context(), "a"); err != nil || got != "a" {
		t.Errorf("after a flush: %q, %v", got, err)
	}
}
