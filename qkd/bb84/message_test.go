package bb84

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"stonevault/qkd/distill"
)

// readDetections reads the pulses in two pieces.
func readDetections(b []byte, pulses int64) (*Detections, error) {
	r := newDetectionReader(b, pulses)
	n := r.left
	d := &Detections{Pulses: make([]int64, n)}
	for _, some := range [][]int64{d.Pulses[:n/3], d.Pulses[n/3:]} {
		if err := r.read(some); err != nil {
			return nil, err
		}
	}
	d.Bases = r.bits(n)
	return d, r.end()
}

// TestManyDetections has distances of all sizes, short ones next to long ones.
func TestManyDetections(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		d := &Detections{Bases: distill.NewBits(n)}
		pulse := int64(-1)
		for range n {
			pulse += 1 + random.Int64N(1<<(random.IntN(1+random.IntN(20))))
			d.Pulses = append(d.Pulses, pulse)
		}
		text := d.bytes()
		got, err := readDetections(text, pulse+1)
		if err != nil || !slices.Equal(got.Pulses, d.Pulses) {
			t.Fatalf("%v came out as %v, %v", d.Pulses, got, err)
		}
		if _, err := readDetections(text, pulse); n > 0 && !errors.Is(err, ErrProtocol) {
			t.Errorf("a pulse that was not sent: %v", err)
		}
		if n > 0 {
			text[8+random.IntN(n)] = 0
			if got, err := readDetections(text, pulse+1); err == nil && !bytes.Equal(got.bytes(), text) {
				t.Errorf("%x was read as %v", text, got)
			}
		}
	}
}

func TestDetections(t *testing.T) {
	bases, _ := distill.FromBytes([]byte{5}, 4)
	d := &Detections{Pulses: []int64{0, 1, 300, 999}, Bases: bases}
	text := d.bytes()
	got, err := readDetections(text, 1000)
	if err != nil || !slices.Equal(got.Pulses, d.Pulses) || !got.Bases.Equal(bases) {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := readDetections(text, 999); !errors.Is(err, ErrProtocol) {
		t.Errorf("a pulse that was not sent: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	p := setup(t, "metro", nil).Protocol
	s := setup(t, "metro", single).Protocol
	for name, parse := range map[string]func() error{
		"no detections":        func() error { _, err := readDetections(nil, 10); return err },
		"more than bytes":      func() error { _, err := readDetections([]byte{255, 0, 0, 0, 0, 0, 0, 1}, 10); return err },
		"no distance":          func() error { _, err := readDetections([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 10); return err },
		"a long distance":      func() error { _, err := readDetections([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0x81, 0, 0}, 10); return err },
		"idle bits of bases":   func() error { _, err := readDetections([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 2}, 10); return err },
		"no bases":             func() error { _, err := readDetections([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1}, 10); return err },
		"more detections":      func() error { _, err := readDetections([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 7}, 10); return err },
		"short sifting":        func() error { _, err := parseSifting([]byte{3}, &p, 2); return err },
		"idle bits of sifting": func() error { _, err := parseSifting([]byte("000"), &p, 20); return err },
		"intensity 3":          func() error { _, err := parseSifting([]byte{3, 1, 1}, &p, 2); return err },
		"no sample":            func() error { _, err := parseSifting([]byte{3}, &s, 2); return err },
		"a short estimate":     func() error { _, err := parseEstimate(make([]byte, 24), [3]int64{}); return err },
		"too many errors": func() error {
			_, err := parseEstimate(append(make([]byte, 7), make([]byte, 60)...), [3]int64{})
			return err
		},
		"errors without bits": func() error {
			_, err := parseEstimate(append([]byte{0, 0, 0, 0, 0, 0, 0, 9}, make([]byte, 49)...), [3]int64{8})
			return err
		},
		"an unknown reason":    func() error { _, err := parseEstimate(append(make([]byte, 24), 99), [3]int64{}); return err },
		"no amplification":     func() error { _, _, _, err := parseAmplify(nil, 10); return err },
		"too long a secret":    func() error { _, _, _, err := parseAmplify([]byte{0, 0, 0, 0, 0, 0, 0, 0, 11}, 10); return err },
		"a seed that is short": func() error { _, _, _, err := parseAmplify([]byte{0, 0, 0, 0, 0, 0, 0, 0, 5, 0}, 10); return err },
		"counts":               func() error { _, err := numbers([]byte{0, 0, 0, 0, 0, 0, 0, 5}, 4); return err },
	} {
		if err := parse(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzMessages reads whatever comes as every message there is; what is accepted is written again the same.
func FuzzMessages(f *testing.F) {
	p := setup(f, "metro", nil).Protocol
	s := setup(f, "metro", single).Protocol
	f.Add((&Detections{Pulses: []int64{3, 8}, Bases: distill.NewBits(2)}).bytes())
	f.Add((&estimate{errors: [3]int64{1, 2, 3}, seed: [32]byte{7}}).append(nil))
	f.Add(appendAmplify(nil, goOn, 3, distill.NewBits(12)))
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := readDetections(b, 1000); err == nil && !bytes.Equal(d.bytes(), b) {
			t.Errorf("detections %x", b)
		}
		for _, protocol := range []*Protocol{&p, &s} {
			if m, err := parseSifting(b, protocol, 20); err == nil && !bytes.Equal(m.append(nil, protocol), b) {
				t.Errorf("sifting %x", b)
			}
		}
		if e, err := parseEstimate(b, [3]int64{5, 5, 5}); err == nil && !bytes.Equal(e.append(nil), b) {
			t.Errorf("estimate %x", b)
		}
		if reason, length, seed, err := parseAmplify(b, 10); err == nil && !bytes.Equal(appendAmplify(nil, reason, length, seed), b) {
			t.Errorf("amplification %x", b)
		}
	})
}

// FuzzWire has a stranger send whatever he likes: nothing of it is taken for a message.
func FuzzWire(f *testing.F) {
	key := secret(3)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWire(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(b), io.Discard}, &key, false)
		if k, payload, err := w.receive(helloMessage); err == nil {
			t.Errorf("%x is taken for message %d with %x", b, k, payload)
		}
	})
}

// TestTags checks that a tag depends on every bit of the messages it covers, on their order, and on the secret.
func TestTags(t *testing.T) {
	tag := func(key AuthKey, messages ...string) string {
		d := newWire(nil, &key, true).out
		var last []byte
		for i, m := range messages {
			k := questionMessage
			if i == len(messages)-1 {
				k = reconciledMessage
			}
			h := d.header(k, len(m))
			last, _ = d.pass(k, h[:], []byte(m))
		}
		return string(last)
	}
	seen := map[string]string{}
	other := secret(1)
	other[0] ^= 1
	pad := secret(1)
	pad[32] ^= 1
	for name, got := range map[string]string{
		"plain": tag(secret(1), "ab", "c"), "longer": tag(secret(1), "ab", "c\x00"), "divided otherwise": tag(secret(1), "a", "bc"),
		"in another order": tag(secret(1), "c", "ab"), "one more": tag(secret(1), "ab", "", "c"), "other hash": tag(other, "ab", "c"), "other pad": tag(pad, "ab", "c"),
		"empty": tag(secret(1), ""), "zeros": tag(secret(1), "\x00\x00"),
	} {
		if len(got) != tagSize || seen[got] != "" {
			t.Errorf("%q has the tag %x of %q", name, got, seen[got])
		}
		seen[got] = name
	}
}

// TestPadsEnd checks that no pad is used twice: after the last one nothing is sent.
func TestPadsEnd(t *testing.T) {
	key := secret(1)
	var out bytes.Buffer
	w := newWire(&out, &key, true)
	for range tagsEach {
		if err := w.send(helloMessage, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.send(helloMessage, nil); !errors.Is(err, ErrProtocol) || w.out.Tags != tagsEach {
		t.Errorf("%d tags: %v", w.out.Tags, err)
	}
}
