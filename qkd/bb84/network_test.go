package bb84

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
)

// sides run Alice and Bob over a connection of two ends and return what each has at the end.
func sides(l *Link, s Setup, secrets [2]AuthKey, atAlice, atBob io.ReadWriteCloser) (alice, bob *Ending, errs [2]error) {
	random := Seeded(Seed("network"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		bob, errs[1] = Bob(Party{s.Protocol, secrets[1], random.Bob, nil}, l.Receiver(), atBob)
		atBob.Close()
	}()
	alice, errs[0] = Alice(Party{s.Protocol, secrets[0], random.Alice, nil}, l.Sender(), atAlice)
	atAlice.Close()
	<-done
	return alice, bob, errs
}

func secret(seed byte) (k AuthKey) {
	rand.NewChaCha8([32]byte{seed}).Read(k[:])
	return k
}

// loopback is a TCP connection through the machine's own network.
func loopback(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := listener.Accept()
		accepted <- c
	}()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other := <-accepted
	if other == nil {
		t.Fatal("nothing was accepted")
	}
	return dialled.(*net.TCPConn), other.(*net.TCPConn)
}

func TestOverTheNetwork(t *testing.T) {
	for _, eve := range []Eve{{}, {Intercept, 1}} {
		s := singles(t)
		s.Eve = eve
		l := transmit(t, s, "network")
		a, b := loopback(t)
		alice, bob, errs := sides(l, s, [2]AuthKey{secret(1), secret(1)}, a, b)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		if aborted := eve.Fraction > 0; alice.Result.Aborted != aborted || bob.Result.Aborted != aborted {
			t.Fatalf("%+v", alice.Result)
		} else if aborted {
			continue
		}
		if !alice.Key.Equal(bob.Key) || *alice.Next != *bob.Next || alice.Key.Len() == 0 {
			t.Error("the keys differ")
		}
		// The secret that is kept back authenticates the next session.
		a, b = loopback(t)
		next, _, errs := sides(l, s, [2]AuthKey{*alice.Next, *bob.Next}, a, b)
		if err := errors.Join(errs[:]...); err != nil || next.Key == nil {
			t.Errorf("the next session: %v", err)
		}
	}
}

func TestDifferentSecrets(t *testing.T) {
	s := singles(t)
	a, b := pipe()
	_, _, errs := sides(transmit(t, s, "secrets"), s, [2]AuthKey{secret(1), secret(2)}, a, b)
	if !errors.Is(errs[1], ErrTampered) || errs[0] == nil {
		t.Errorf("%v", errs)
	}
}

func TestDifferentParameters(t *testing.T) {
	for name, change := range map[string]func(*Protocol){
		"pulses": func(p *Protocol) { p.Pulses++ }, "ask": func(p *Protocol) { p.Ask++ }, "basis": func(p *Protocol) { p.KeyBasis = 0.6 },
		"test": func(p *Protocol) { p.TestFraction /= 2 }, "secret": func(p *Protocol) { p.Secret *= 2 }, "correct": func(p *Protocol) { p.Correct *= 2 },
	} {
		s := singles(t)
		l := transmit(t, s, "parameters")
		other := s.Protocol
		change(&other)
		a, b := pipe()
		random := Seeded(Seed("parameters"))
		done := make(chan error, 1)
		go func() {
			_, err := Alice(Party{s.Protocol, secret(1), random.Alice, nil}, l.Sender(), a)
			done <- err
		}()
		_, err := Bob(Party{other, secret(1), random.Bob, nil}, l.Receiver(), b)
		b.Close()
		if aliceErr := <-done; !errors.Is(err, ErrProtocol) || aliceErr == nil {
			t.Errorf("%s: %v and %v, want that Bob refuses", name, err, aliceErr)
		}
	}
}

// mallory changes one byte of what one side sends.
type mallory struct {
	io.ReadWriteCloser
	at      int64 // counted over everything that is sent
	flip    byte
	sent    int64
	changed bool
	stopped bool
}

// Write takes one whole message, as wire.send writes it. After a changed kind or length she sends nothing more, so that who waits
// for the bytes or the tag that they promise sees the end.
func (m *mallory) Write(b []byte) (int, error) {
	if m.stopped {
		return len(b), nil
	}
	place := m.at - m.sent
	m.sent += int64(len(b))
	if place < 0 || place >= int64(len(b)) {
		return m.ReadWriteCloser.Write(b)
	}
	changed := append([]byte(nil), b...)
	changed[place] ^= m.flip
	m.changed = true
	n, err := m.ReadWriteCloser.Write(changed)
	if place == 0 || place >= 5 && place < headerSize {
		m.stopped = true
		switch c := m.ReadWriteCloser.(type) {
		case *net.TCPConn:
			c.CloseWrite()
		case *pipeEnd:
			c.close(nil)
		}
	}
	return n, err
}

// TestManInTheMiddle changes bytes of every kind of message, one in each session, and expects that whoever receives it refuses.
// The full campaign changes each byte there is.
func TestManInTheMiddle(t *testing.T) {
	s := singles(t)
	s.Pulses = 3.2e5
	l := transmit(t, s, "mallory")
	secrets := [2]AuthKey{secret(1), secret(1)}
	a, b := pipe()
	alice, _, errs := sides(l, s, secrets, a, b)
	if err := errors.Join(errs[:]...); err != nil || alice.Result.Aborted {
		t.Fatalf("without her: %v, %+v", err, alice)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for from, length := range map[string]int64{"Alice": alice.Result.Alice.Bytes, "Bob": alice.Result.Bob.Bytes} {
		for _, at := range tamperedPlaces(length, random) {
			for _, network := range []bool{false, true} {
				if network && at%97 != 0 { // sockets are slower than pipes
					continue
				}
				m := &mallory{at: at, flip: byte(1 + random.IntN(255))}
				received := malloryBetween(t, l, s, secrets, m, from, network)
				if !m.changed || received == nil {
					t.Fatalf("byte %d of what %s sent was changed by %#x and nobody refused: %v", at, from, m.flip, received)
				}
			}
		}
	}
}

func tamperedPlaces(length int64, random *rand.Rand) (places []int64) {
	if os.Getenv("STONEVAULT_TORTURE") == "1" {
		for at := range length {
			places = append(places, at)
		}
		return places
	}
	for at := range int64(60) { // the first messages
		places = append(places, at, length-1-at) // and the last
	}
	for range 250 {
		places = append(places, random.Int64N(length))
	}
	return places
}

// malloryBetween returns the error of the side that received the changed byte.
func malloryBetween(t *testing.T, l *Link, s Setup, secrets [2]AuthKey, m *mallory, from string, network bool) error {
	var a, b io.ReadWriteCloser
	if network {
		a, b = loopback(t)
	} else {
		a, b = pipe()
	}
	if from == "Alice" {
		m.ReadWriteCloser = a
		alice, bob, errs := sides(l, s, secrets, m, b)
		if alice != nil || bob != nil {
			t.Errorf("after byte %d of Alice was changed: %v, %v", m.at, alice, bob)
		}
		return errs[1]
	}
	m.ReadWriteCloser = b
	alice, _, errs := sides(l, s, secrets, a, m)
	if alice != nil {
		t.Errorf("after byte %d of Bob was changed Alice has a result", m.at)
	}
	return errs[0]
}

// TestCutOff ends the connection after each of the first messages and some later ones.
func TestCutOff(t *testing.T) {
	s := singles(t)
	l := transmit(t, s, "cut")
	for n := range 40 {
		a, b := pipe()
		cut := &cutter{pipeEnd: a, left: n}
		alice, _, errs := sides(l, s, [2]AuthKey{secret(1), secret(1)}, cut, b)
		if alice != nil || errs[0] == nil || errs[1] == nil {
			t.Fatalf("cut off after %d messages: %v, %v", n, alice, errs)
		}
	}
}

type cutter struct {
	*pipeEnd
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if c.left == 0 {
		c.Close()
		return 0, io.ErrClosedPipe
	}
	c.left--
	return c.pipeEnd.Write(b)
}

func (p *pipeEnd) Close() error {
	p.close(nil)
	return nil
}

// TestWrongPulse has Bob claim what he never detected.
func TestWrongPulse(t *testing.T) {
	s := singles(t)
	l, err := Transmit(context.Background(), s, Seeded(Seed("wrong")))
	if err != nil {
		t.Fatal(err)
	}
	all := l.Receiver().Detections().Pulses
	for i, pulse := range all {
		if pulse > detailed && (i+1 == len(all) || all[i+1] > pulse+1) {
			for _, wrong := range [][]int64{{pulse, pulse + 1}, {all[5], all[2]}, {-1}, {s.Pulses}} {
				if _, err := l.Sender().Prepared(wrong); !errors.Is(err, ErrProtocol) {
					t.Errorf("pulses %v: %v", wrong, err)
				}
			}
			return
		}
	}
	t.Error("there is no pulse that was not detected")
}

// TestVerification has one bit of Bob's left wrong after Cascade: both sides see it and have no key.
func TestVerification(t *testing.T) {
	s := singles(t)
	l := transmit(t, s, "verification")
	atAlice, atBob := pipe()
	random := Seeded(Seed("verification"))
	done := make(chan *Ending, 1)
	go func() {
		end, _ := Alice(Party{s.Protocol, secret(1), random.Alice, nil}, l.Sender(), atAlice)
		done <- end
	}()
	p, err := newParty(Party{s.Protocol, secret(1), random.Bob, nil}, atBob, false)
	if err != nil {
		t.Fatal(err)
	}
	b := &bob{party: p, receiver: l.Receiver()}
	for _, step := range []func() error{b.sift, b.estimate, b.reconcile, func() error { b.key.Flip(4000); return nil }, b.verify} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	alice, mine := <-done, b.close(false)
	for name, end := range map[string]*Ending{"Alice": alice, "Bob": mine} {
		if end == nil || end.Result.Reason != DifferentResults || !end.Result.Aborted || end.Key != nil || end.Next != nil || end.Result.SecretBits != 0 ||
			end.Result.Compared != end.Result.Tested {
			t.Errorf("%s ends with %+v", name, end)
		}
	}
}
