package quantum

import (
	"context"
	"crypto/rand"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stonevault/internal/auditlog"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

// TestSessionsAreRecorded wants each session to be one event: by whom, with whom, and what came of it.
func TestSessionsAreRecorded(t *testing.T) {
	s, m := newService(t, rand.Reader)
	by := asker("ann")
	by.Name, by.Client, by.Address, by.Session = "Ann", "curl", "192.0.2.7", "s1"
	if _, err := s.Start(t.Context(), by, "bob"); err != nil {
		t.Fatal(err)
	}
	m.eve = &Eavesdropper{People: [2]Person{{ID: "ann"}, {ID: "bob"}}, Attack: bb84.Intercept, Share: wholeShare}
	if _, _, err := s.Make(WithCaller(t.Context(), auditlog.Actor{Client: "program", Address: "192.0.2.8"}), kme.Pair{Master: "bob", Slave: "ann"}, 1); err == nil {
		t.Error("keys in spite of her")
	}
	ended, end := context.WithCancel(t.Context())
	m.begun = end
	for range 2 { // the second time it does not begin, takes no secret and is no event
		if _, _, err := s.Make(ended, pair, 1); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	m.fail = errors.New("full")
	if _, _, err := s.Make(t.Context(), pair, 1); !errors.Is(err, m.fail) {
		t.Error(err)
	}
	said := m.log.of("quantum.session")
	want := []string{
		`eavesdropper=false keys=\d{3} qber=2\d{4} reason=none secret_bits=\d+ session=\S{32} state=done; address=192.0.2.7 client=curl person=ann session=s1; person=bob;`,
		`eavesdropper=true keys=0 qber=26\d{4} reason=qber secret_bits=0 session=\S{32} state=aborted; address=192.0.2.8 client=program person=bob; person=ann;`,
		`eavesdropper=true keys=0 qber=0 reason=broken-off secret_bits=0 session=\S{32} state=failed; person=ann; person=bob;`,
	}
	if len(said) != len(want) {
		t.Fatalf("%q", said)
	}
	for i, line := range said {
		if !regexp.MustCompile("^quantum.session " + want[i] + "$").MatchString(line) {
			t.Errorf("%s", line)
		}
	}
}

// TestDeliveriesAreRecorded wants keys that go to be an event, for each whom they are for, and the KMEs to deliver nothing where
// that cannot be.
func TestDeliveriesAreRecorded(t *testing.T) {
	s, m := newService(t, rand.Reader)
	for _, d := range []kme.Delivery{{Pair: pair, Keys: 2, Bits: 512}, {Pair: pair, Fetched: true, Keys: 1, Bits: 256}, {Pair: kme.Pair{Master: "ann", Slave: "carol"}, Keys: 1, Bits: 64}} {
		if err := s.recordDelivery(t.Context(), m, d); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"quantum.delivered bits=512 keys=2 what=taken; name=name of ann person=ann; name=name of bob person=bob;",
		"quantum.delivered bits=256 keys=1 what=fetched; name=name of bob person=bob; name=name of ann person=ann;",
		"quantum.delivered bits=64 keys=1 what=taken; name=name of ann person=ann;;", // carol was erased
	}
	if !slices.Equal(m.log.said, want) {
		t.Errorf("%q", m.log.said)
	}
	if err := s.recordDelivery(t.Context(), m.Tx, kme.Delivery{Pair: pair}); err == nil {
		t.Error("a delivery without an audit log")
	}
}

// TestRefusalsAboutNobody wants a program that names no person at all to be recorded too.
func TestRefusalsAboutNobody(t *testing.T) {
	for _, peer := range []string{"", "\x00", "\xff", "carol", strings.Repeat("x", 5000)} {
		s, m := newService(t, rand.Reader)
		if err := s.NoteRefused(t.Context(), "ann", peer, Foreign); err != nil || len(m.log.said) != 1 || !strings.HasSuffix(m.log.said[0], "; name=name of ann person=ann;;") {
			t.Errorf("%.9q: %v, %q", peer, err, m.log.said)
		}
	}
}

// TestRefusalsAreRecorded wants the first of each reason to be an event, and no name of a person in one of nobody.
func TestRefusalsAreRecorded(t *testing.T) {
	s, m := newService(t, rand.Reader)
	ctx := WithCaller(t.Context(), auditlog.Actor{Client: "program", Address: "192.0.2.8"})
	for _, sae := range []string{"ann", "ann", "carol"} {
		why, err := s.WhyRefused(ctx, sae)
		if err == nil {
			err = s.NoteRefused(ctx, sae, "bob", why)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(m.log.said) != 2 || !strings.HasSuffix(m.log.said[0], "reason=foreign since=1795809600000; address=192.0.2.8 client=program name=name of ann person=ann; name=name of bob person=bob;") ||
		!strings.HasSuffix(m.log.said[1], "reason=nobody since=1795809600000; address=192.0.2.8;;") {
		t.Errorf("%q", m.log.said)
	}
}
