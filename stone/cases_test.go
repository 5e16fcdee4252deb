package stone_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"stonevault/identity"
	"stonevault/stone"
)

// outcomes are how opening can end, and what this package says then.
var outcomes = map[string]error{
	"open":             nil,
	"refused":          stone.ErrRefused,
	"no-grant":         stone.ErrNoGrant,
	"wrong-passphrase": identity.ErrPassphrase,
}

func badCases() []badCase {
	return slices.Concat(framingCases, signatureCases, manifestCases, certificateCases, grantCases, metadataCases, bodyCases, segmentCases)
}

func (c *badCase) expected() string {
	if c.expect == "" {
		return "refused"
	}
	return c.expect
}

func (c *badCase) forge(t testing.TB) []byte {
	t.Helper()
	if c.suite == 0 {
		c.suite = identity.SuiteHybrid
	}
	alice := person(t, "alice", c.suite)
	f := newForge(t, alice, alice)
	c.change(f)
	return f.bytes()
}

// identityOf finds who is to open a stone.
func identityOf(t testing.TB, name string, suite identity.Suite) *identity.Identity {
	if base, ok := strings.CutSuffix(name, " (suite 2)"); ok {
		return person(t, base, identity.SuiteCNSA)
	}
	if name == "" {
		name = "alice"
	}
	return person(t, name, suite)
}

func specKeysOf(t testing.TB, as, passphrase string, suite identity.Suite) specKeys {
	if passphrase != "" {
		return specKeys{passphrase: passphrase}
	}
	id := identityOf(t, as, suite)
	return specKeys{suite: byte(id.Suite()), seeds: id.Seeds()}
}

// openAs opens a whole stone by this package's front door.
func openAs(t testing.TB, sealed []byte, as, passphrase string, suite identity.Suite) ([]byte, *stone.Unlocked, error) {
	r := bytes.NewReader(sealed)
	e, err := stone.ReadEnvelope(r, r.Size())
	if err != nil {
		return nil, nil, err
	}
	var key *stone.FileKey
	if passphrase != "" {
		key, err = e.KeyForPassphrase([]byte(passphrase))
	} else {
		key, err = e.KeyFor(identityOf(t, as, suite))
	}
	if err != nil {
		return nil, nil, err
	}
	u, err := e.Unlock(key)
	if err != nil {
		return nil, nil, err
	}
	body, err := stone.OpenBody(r, e.BodySize, u)
	if err != nil {
		return nil, nil, err
	}
	var out bytes.Buffer
	err = body.Stream(context.Background(), &out, 0, body.Size())
	return out.Bytes(), u, err
}

// TestBrokenRules forges a stone for every rule, anew each time.
func TestBrokenRules(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range badCases() {
		if names[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		names[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			sealed := c.forge(t)
			got, _, err := openAs(t, sealed, c.as, c.passphrase, c.suite)
			if !errors.Is(err, outcomes[c.expected()]) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %d bytes and %v; want %s because of %q", len(got), err, c.expected(), c.says)
			}
			if c.step < 12 && len(got) > 0 {
				t.Errorf("%d bytes were given out", len(got))
			}
			var end *specError
			if _, err := specOpen(sealed, specKeysOf(t, c.as, c.passphrase, c.suite)); !errors.As(err, &end) {
				t.Errorf("the specification's opener: %v", err)
			} else if end.step != c.step || end.outcome != c.expected() {
				t.Errorf("the specification's opener: %v; want step %d, %s", end, c.step, c.expected())
			}
		})
	}
	t.Logf("%d rules", len(names))
}
