package bb84

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden runs anew")

func simulate(t testing.TB, s Setup, seed string) *Session {
	t.Helper()
	session, err := Simulate(context.Background(), s, Seeded(Seed(seed)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// singles is a small session of single photons that ends with a key.
func singles(t testing.TB) Setup {
	return setup(t, "metro", func(s *Setup) {
		single(s)
		s.Channel.AfterPulse = 0
		s.Pulses, s.Ask = 4e5, 1
	})
}

// goldenRuns are sessions that must come out the same, to the byte, on every platform.
var goldenRuns = []struct {
	name   string
	change func(*testing.T) Setup
}{
	{"metro", func(t *testing.T) Setup { return setup(t, "metro", func(s *Setup) { s.Pulses = 3e7 }) }},
	{"50km", func(t *testing.T) Setup { return setup(t, "50km", func(s *Setup) { s.Pulses = 3e8 }) }},
	{"100km", func(t *testing.T) Setup { return setup(t, "100km", func(s *Setup) { s.Pulses = 2e9 }) }},
	{"laboratory", func(t *testing.T) Setup { return setup(t, "laboratory", func(s *Setup) { s.Pulses = 5e7 }) }},
	{"single", func(t *testing.T) Setup { return singles(t) }},
	{"single-biased", func(t *testing.T) Setup { s := singles(t); s.KeyBasis = 0.7; return s }},
	{"intercept", func(t *testing.T) Setup { s := singles(t); s.Eve = Eve{Intercept, 1}; return s }},
	{"breidbart", func(t *testing.T) Setup { s := singles(t); s.Eve = Eve{Breidbart, 0.1}; return s }},
	{"splitting", func(t *testing.T) Setup {
		return setup(t, "50km", func(s *Setup) { s.Pulses, s.Eve = 5e7, Eve{Splitting, 1} })
	}},
	{"darkness", func(t *testing.T) Setup {
		return setup(t, "metro", func(s *Setup) { s.Channel.Efficiency, s.Pulses = 0, 1e7 })
	}},
	{"nothing", func(t *testing.T) Setup {
		return setup(t, "metro", func(s *Setup) { s.Channel.Efficiency, s.Channel.Dark, s.Pulses = 0, 0, 1e15 })
	}},
}

func TestGoldenRuns(t *testing.T) {
	for _, run := range goldenRuns {
		t.Run(run.name, func(t *testing.T) {
			session := simulate(t, run.change(t), "golden "+run.name)
			got := goldenText(t, session)
			path := filepath.Join("testdata", "golden", run.name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the run is not that of %s; this is it:\n%s", path, got)
			}
		})
	}
}

// goldenText is a session's result, and a digest of its key: such keys are for tests alone.
func goldenText(t *testing.T, s *Session) []byte {
	t.Helper()
	golden := struct {
		Key    string `json:"key_sha256,omitempty"`
		Result Result `json:"result"`
	}{Result: s.Result}
	if s.Alice.Key != nil {
		sum := sha256.Sum256(append(s.Alice.Next[:], s.Alice.Key.Bytes()...))
		golden.Key = hex.EncodeToString(sum[:])
	}
	text, err := json.MarshalIndent(golden, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// TestEndings checks what holds of every session, whatever came of it.
func TestEndings(t *testing.T) {
	for _, run := range goldenRuns {
		t.Run(run.name, func(t *testing.T) {
			s := simulate(t, run.change(t), "another "+run.name)
			r := &s.Result
			alice, bob := s.Alice.Result, s.Bob.Result
			for i := range alice.Steps { // each side counts what it has seen by then
				alice.Steps[i].Messages, alice.Steps[i].Bytes = 0, 0
				bob.Steps[i].Messages, bob.Steps[i].Bytes = 0, 0
			}
			if !reflect.DeepEqual(alice, bob) {
				t.Errorf("Alice says\n%+v\nand Bob\n%+v", alice, bob)
			}
			if r.Mode != "simulated" {
				t.Errorf("the mode is %q", r.Mode)
			}
			if r.Tested+r.KeySifted != r.Sifted || r.Sifted > r.Detected || r.Detected > r.Pulses || total(r.KeyByIntensity) != r.KeySifted || total(r.TestByIntensity) != r.Tested {
				t.Errorf("the counts do not fit each other: %+v", r)
			}
			if !(r.QBERLow <= r.QBER && r.QBER <= r.QBERHigh) {
				t.Errorf("a rate of %v between %v and %v", r.QBER, r.QBERLow, r.QBERHigh)
			}
			if r.Alice.Tags > tagsEach || r.Bob.Tags > tagsEach {
				t.Errorf("%d and %d tags", r.Alice.Tags, r.Bob.Tags)
			}
			if r.Aborted != (r.Reason != goOn) || r.Aborted != (s.Alice.Key == nil) || r.Aborted != (s.Bob.Key == nil) || r.Aborted != (s.Alice.Next == nil) {
				t.Errorf("aborted is %v, the reason %q, the key %v", r.Aborted, r.Reason, s.Alice.Key)
			}
			if r.Aborted {
				if r.SecretBits != 0 || r.KeyBits != 0 || r.Compared != r.Sifted {
					t.Errorf("aborted with %d secret bits; %d of %d were compared", r.SecretBits, r.Compared, r.Sifted)
				}
				return
			}
			if int64(s.Alice.Key.Len()) != r.KeyBits || r.KeyBits+r.AuthBits != r.SecretBits || r.AuthBits != 8*AuthSize || r.KeyBits < s.Result.Setup.Ask {
				t.Errorf("%d secret bits: %d for authentication, %d for a key that has %d", r.SecretBits, r.AuthBits, r.KeyBits, s.Alice.Key.Len())
			}
			if ones := s.Alice.Key.Ones(); float64(ones) < 0.4*float64(r.KeyBits)-20 || float64(ones) > 0.6*float64(r.KeyBits)+20 {
				t.Errorf("%d of %d bits of the key are 1", ones, r.KeyBits)
			}
			if r.FEC < 0.9 || r.FEC > 1.3 || r.LeakBits <= r.Parities || r.LeakBits > r.Parities+40 {
				t.Errorf("%d parities, a leak of %d, an efficiency of %v", r.Parities, r.LeakBits, r.FEC)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Setup)
		want   Reason
	}{
		{"fine", func(*Setup) {}, goOn},
		{"Eve", func(s *Setup) { s.Eve = Eve{Intercept, 0.5} }, TooManyErrors},
		{"noise", func(s *Setup) { s.Channel.Misalignment = 0.12 }, TooManyErrors},
		{"short", func(s *Setup) { s.Pulses = 5e4 }, TooShort},
		{"asked too much", func(s *Setup) { s.Ask = 8000 }, TooShort},
		{"almost enough before the correction of errors", func(s *Setup) { s.Ask = 1800 }, TooShort},
		{"nothing", func(s *Setup) { s.Pulses = 1 }, TooFew},
	} {
		s := singles(t)
		c.change(&s)
		r := simulate(t, s, c.name).Result
		if r.Reason != c.want || !strings.Contains(r.Sentence(), map[bool]string{true: "Aborted", false: "secret bits:"}[r.Aborted]) {
			t.Errorf("%s: %q (%s), want %q; %d bits", c.name, r.Reason, r.Sentence(), c.want, r.SecretBits)
		}
	}
}

// TestFirstPulses checks that pulses whose bits went into a key show none, except in the laboratory.
func TestFirstPulses(t *testing.T) {
	s := singles(t)
	s.Channel.Distance, s.Channel.Efficiency = 0, 0.5
	s.Eve = Eve{Intercept, 0.02}
	for _, laboratory := range []bool{false, true} {
		session, err := Simulate(context.Background(), s, Seeded(Seed("first")), Options{Laboratory: laboratory})
		if err != nil || session.Result.Aborted || len(session.Result.First) != detailed {
			t.Fatalf("%v, %v", err, session)
		}
		uses := map[string]int{}
		for _, p := range session.Result.First {
			uses[p.Use]++
			hidden := p.Use == "key" && !laboratory
			if (p.AliceBit == nil) != hidden || (p.BobBit == nil) != (hidden || !p.Detected) || hidden && p.EveBit != nil {
				t.Errorf("laboratory %v: %+v", laboratory, p)
			}
			if p.Detected != (p.Use != "lost") || (p.AliceBasis != p.BobBasis) != (p.Use == "discarded") && p.Detected {
				t.Errorf("used as %s: %+v", p.Use, p)
			}
		}
		if uses["lost"] == 0 || uses["discarded"] == 0 || uses["test"] == 0 || uses["key"] == 0 {
			t.Errorf("pulses were used as %v", uses)
		}
	}
}

// TestEveKnows checks what Eve is said to know against what each attack gives.
func TestEveKnows(t *testing.T) {
	for _, c := range []struct {
		attack         Attack
		certain, right float64 // of the bits that she touched
		bits           float64
	}{
		{Intercept, 0.5, 0.75, 0.5},
		{Breidbart, 0, right, 0.39912396},
	} {
		s := singles(t)
		s.Pulses, s.Eve = 4e6, Eve{c.attack, 0.6}
		r := simulate(t, s, "eve").Result
		k := r.Eve
		if n := float64(k.Touched); !near(n/float64(r.KeySifted), 0.6) || !near(float64(k.Certain)/n, c.certain) || !near(float64(k.Right)/n, c.right) || !near(k.Bits/n, c.bits) {
			t.Errorf("%s: of %d bits %+v", c.attack, r.KeySifted, *k)
		}
	}
	s := setup(t, "100km", func(s *Setup) { s.Pulses, s.Eve = 1e9, Eve{Splitting, 1} })
	r := simulate(t, s, "eve").Result
	if k := r.Eve; k.Touched < r.KeySifted*9/10 || k.Certain != k.Touched || k.Right != k.Touched || k.Bits != float64(k.Touched) || !r.Aborted {
		t.Errorf("of %d bits %+v", r.KeySifted, *k)
	}
}

func near(got, want float64) bool { return got > want-0.01 && got < want+0.01 }

// TestClock checks that steps take what the caller's clock says.
func TestClock(t *testing.T) {
	at := time.Unix(0, 0)
	clock := func() time.Time { at = at.Add(time.Second); return at }
	session, err := Simulate(context.Background(), singles(t), Seeded(Seed("clock")), Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range session.Result.Steps {
		names = append(names, s.Name)
		if s.Elapsed != time.Second {
			t.Errorf("%s took %v", s.Name, s.Elapsed)
		}
	}
	if want := "detected sifted estimated reconciled verified amplified"; strings.Join(names, " ") != want {
		t.Errorf("the steps are %v, want %s", names, want)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Simulate(ctx, setup(t, "metro", nil), Seeded(Seed("")), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}

// TestNoRandomness checks that a source that fails ends a session, whichever it is.
func TestNoRandomness(t *testing.T) {
	broken := iotestReader{}
	for i, r := range []Randomness{Seeded(Seed("a")), Seeded(Seed("a")), Seeded(Seed("a"))} {
		switch i {
		case 0:
			r.Nature = broken
		case 1:
			r.Alice = broken
		case 2:
			r.Nature = io.LimitReader(r.Nature, 10000)
		}
		if _, err := Simulate(context.Background(), singles(t), r, Options{}); err == nil {
			t.Errorf("case %d went on without randomness", i)
		}
	}
}

type iotestReader struct{}

func (iotestReader) Read([]byte) (int, error) { return 0, errors.New("no randomness") }
