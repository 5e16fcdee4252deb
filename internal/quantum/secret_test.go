package quantum

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"stonevault/internal/auditlog"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

// TestSecrets has a session authenticate itself with what the one before left, in either direction, and begin anew where that was
// used up.
func TestSecrets(t *testing.T) {
	s, m := newService(t, rand.Reader)
	s.Shorten()
	run := func(p kme.Pair) (id string, err error) {
		t.Helper()
		_, id, err = s.Make(t.Context(), p, 1)
		return id, err
	}
	from := func(id, want string) {
		t.Helper()
		if v, err := m.Session(t.Context(), id); err != nil || v.SecretFrom != want {
			t.Errorf("the secret is from %q, want %q; %v", v.SecretFrom, want, err)
		}
	}
	first, err := run(pair)
	if err != nil {
		t.Fatal(err)
	}
	from(first, "")
	if m.secret == nil || m.secret.Session != first || len(m.secret.Sealed) != bb84.AuthSize || bytes.Equal(m.secret.Sealed, make([]byte, bb84.AuthSize)) {
		t.Fatalf("%+v is kept", m.secret)
	}
	second, err := run(kme.Pair{Master: "bob", Slave: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	from(second, first)
	other, err := run(kme.Pair{Master: "ann", Slave: "dora"})
	if err != nil {
		t.Fatal(err)
	}
	from(other, "")

	// A session that ends with nothing has used its secret up, and leaves none.
	m.secret = &Secret{Session: second, People: [2]string{"ann", "bob"}, Sealed: make([]byte, bb84.AuthSize)}
	m.eve = &Eavesdropper{People: [2]Person{{ID: "ann"}, {ID: "bob"}}, Attack: bb84.Intercept, Share: wholeShare}
	aborted, err := run(pair)
	if err == nil || m.secret != nil {
		t.Errorf("%v, %+v", err, m.secret)
	}
	from(aborted, second)
	m.eve = nil
	fresh, err := run(pair)
	if err != nil {
		t.Fatal(err)
	}
	from(fresh, "")

	// What cannot be kept is worth nothing, and its secret is gone.
	m.fail = errors.New("full")
	if _, err := run(pair); !errors.Is(err, m.fail) || m.secret != nil {
		t.Errorf("%v, %+v", err, m.secret)
	}
}

// TestTakeSecret wants what was kept to be what is used, and a server that dies to cost one secret.
func TestTakeSecret(t *testing.T) {
	s, m := newService(t, rand.Reader)
	var key bb84.AuthKey
	if _, err := rand.Read(key[:]); err != nil {
		t.Fatal(err)
	}
	v := Session{ID: strings.Repeat("a", 32), Master: Person{ID: "bob"}, Slave: Person{ID: "ann"}}
	if err := s.keepSecret(t.Context(), m, v, &key); err != nil {
		t.Fatal(err)
	}
	begun, err := s.begin(t.Context(), pair)
	if err != nil || begun.secret.key != key || begun.SecretFrom != v.ID {
		t.Errorf("%+v, %v", begun, err)
	}
	if err := s.draw(&begun.secret); err != nil || begun.secret.key != key {
		t.Errorf("another one is drawn: %v", err)
	}
	next, err := s.begin(t.Context(), pair)
	if err != nil || next.SecretFrom != "" {
		t.Errorf("%+v, %v", next, err)
	}
	if err := s.draw(&next.secret); err != nil || next.secret.key == key || next.secret.key == (bb84.AuthKey{}) {
		t.Errorf("none is drawn: %v", err)
	}
}

// TestSecretsThatArePutBack wants one that was used to begin no session, and to be gone: it keeps the two people from no other.
func TestSecretsThatArePutBack(t *testing.T) {
	s, m := newService(t, rand.Reader)
	s.Shorten()
	first, err := s.begin(t.Context(), pair)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.keepSecret(t.Context(), m, first.Session, new(bb84.AuthKey)); err != nil {
		t.Fatal(err)
	}
	kept := *m.secret
	if v, err := s.begin(t.Context(), pair); err != nil || v.SecretFrom != first.ID {
		t.Fatalf("%+v, %v", v, err)
	}
	m.secret = &kept
	if _, _, err := s.Make(t.Context(), pair, 1); err == nil || !strings.Contains(err.Error(), "was used before") || m.secret != nil {
		t.Errorf("%v, %+v", err, m.secret)
	}
	if last := m.sessions[len(m.sessions)-1]; last.State != Failed || last.SecretFrom != "" {
		t.Errorf("%+v", last)
	}
	if _, _, err := s.Make(t.Context(), pair, 1); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// closedSealer opens nothing.
type closedSealer struct {
	openSealer
	err error
}

func (c closedSealer) Open(string, []byte) ([]byte, error) { return nil, c.err }

// TestSecretsThatDoNotOpen wants one that was changed to be gone, and one whose master key is away to stay.
func TestSecretsThatDoNotOpen(t *testing.T) {
	s, m := newService(t, rand.Reader)
	s.Shorten()
	kept := Secret{Session: strings.Repeat("a", 32), People: [2]string{"ann", "bob"}, Sealed: []byte{1}}
	m.secret = &kept
	if _, _, err := s.Make(t.Context(), pair, 1); err == nil || m.secret != nil || m.sessions[0].State != Failed || m.sessions[0].SecretFrom != kept.Session {
		t.Errorf("one that is too short: %v, %+v", err, m.sessions)
	}
	m.secret, m.sessions, s.sealer = &kept, nil, closedSealer{err: errors.New("tampered")}
	if _, _, err := s.Make(t.Context(), pair, 1); err == nil || strings.Contains(err.Error(), "no randomness") || m.secret != nil {
		t.Errorf("one that was changed: %v", err)
	}
	m.secret, m.sessions, s.sealer = &kept, nil, closedSealer{err: auditlog.ErrKeyAway}
	if _, id, err := s.Make(t.Context(), pair, 1); !errors.Is(err, auditlog.ErrKeyAway) || id != "" {
		t.Errorf("one whose key is away: %v", err)
	}
	s.sealer = openSealer{}
	if _, _, err := s.Make(t.Context(), kme.Pair{Master: "ann", Slave: "dora"}, 1); err != nil {
		t.Errorf("others: %v", err)
	}
}
