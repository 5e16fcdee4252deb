package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// An API token is sent in the place of a session, which stays as it is, and is never exchanged.
func TestAPIToken(t *testing.T) {
	v, c, s := signedIn(t)
	before := string(s.secret())
	c.options.Token = "svp_good"
	v.mu.Lock()
	v.access = "svp_good"
	v.mu.Unlock()
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.options.Token = "svp_revoked"
	if _, err := c.Me(t.Context()); !errors.Is(err, ErrToken) {
		t.Errorf("a token that is not good: %v", err)
	}
	if v.refreshes != 1 || string(s.secret()) != before {
		t.Errorf("the session was touched: %d of them", v.refreshes)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c.options, c.options, c.options.Token, c.options.Token); strings.Contains(text, "svp_") {
		t.Errorf("the token shows itself: %s", text)
	}
}
