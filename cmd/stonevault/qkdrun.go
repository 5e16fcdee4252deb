package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"stonevault/qkd/bb84"
)

const qkdRunExample = "stonevault qkd run --distance 50 --eve 0.2"

type qkdRunFlags struct {
	source   string
	distance float64
	eve      float64
	attack   string
	pulses   string
	seed     string
	json     bool
	eveGiven bool
}

func newQKDRun(a *app) *cobra.Command {
	var f qkdRunFlags
	cmd := &cobra.Command{
		Use:   "run [--source single|decoy] [--distance KM] [--eve F] [--attack intercept|breidbart|pns] [--pulses N] [--seed S] [--json]",
		Short: "Run one simulated BB84 session, from the pulses to the secret bits",
		Long: `Runs a BB84 session between a simulated Alice and Bob, with Eve between them if she is asked for, and prints what is left
after each step. Light, fibre, detectors and Eve are computed pulse by pulse; sifting, correction of errors, verification and
privacy amplification are the real ones. A session that is aborted yields no bit; that is a result too, and the exit code is 0.

With --seed everything is the same each time, on every platform; without, randomness comes from the operating system. The
program chooses intensities and how often each basis is used, and without --pulses so many that about two million are detected.

Eve measures pulses and sends on what she found, in one of the two bases (intercept) or between them (breidbart), or keeps a
photon of those weak pulses that have several (pns).`,
		Example: "  stonevault qkd run\n  " + qkdRunExample + "\n  stonevault qkd run --source single --eve 1 --attack breidbart --seed 7 --json",
		Args:    operands(0, 0, "nothing but flags", qkdRunExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.eveGiven = cmd.Flags().Changed("eve")
			return a.qkdRun(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	addSource(cmd, &f.source)
	flags.Float64Var(&f.distance, "distance", 10, "`KM` of fibre between Alice and Bob")
	flags.Float64Var(&f.eve, "eve", 0, "the part `F` of the pulses that Eve attacks, from 0 to 1; 1 where --attack is given alone")
	flags.StringVar(&f.attack, "attack", "", "how Eve attacks: `ATTACK` is intercept, breidbart or pns; intercept where --eve is given alone")
	flags.StringVar(&f.pulses, "pulses", "", "how many pulses Alice sends: `N`, such as 50000000 or 5e7")
	flags.StringVar(&f.seed, "seed", "", "take all randomness from `S`, a number or any text")
	addJSON(cmd, &f.json)
	complete(cmd, "attack", string(bb84.Intercept), string(bb84.Breidbart), string(bb84.Splitting))
	return cmd
}

func (a *app) qkdRun(ctx context.Context, f qkdRunFlags) error {
	setup, err := f.setup()
	if err != nil {
		return err
	}
	random := bb84.Randomness{Nature: a.rand, Alice: a.rand, Bob: a.rand}
	if f.seed != "" {
		random = bb84.Seeded(bb84.Seed(f.seed))
	}
	session, err := bb84.Simulate(ctx, setup, random, bb84.Options{Laboratory: true})
	if err != nil {
		return asMisuse(err, qkdRunExample)
	}
	r := &session.Result
	r.First = nil // the page draws them; on a terminal they are thousands of lines
	if f.json {
		return writeJSON(a.stdout, r)
	}
	if err := writeQKDRun(a.stdout, r); err != nil {
		return err
	}
	a.say("%s", qkdHonest)
	return nil
}

// asMisuse makes an error about parameters one of usage.
func asMisuse(err error, try string) error {
	if errors.Is(err, bb84.ErrParameters) {
		return misuse(try, "%v", err)
	}
	return err
}

// setup is the session that the flags ask for.
func (f *qkdRunFlags) setup() (bb84.Setup, error) {
	source, err := parseSource(f.source)
	if err != nil {
		return bb84.Setup{}, err
	}
	eve, err := f.eavesdropper()
	if err != nil {
		return bb84.Setup{}, err
	}
	pulses := int64(0)
	if f.pulses != "" {
		if pulses, err = parsePulses(f.pulses); err != nil {
			return bb84.Setup{}, err
		}
	}
	p, _ := bb84.FindPreset("metro")
	p.Setup.Channel.Distance, p.Setup.Eve = f.distance, eve
	s, err := p.For(source, pulses)
	if err != nil {
		return s, asMisuse(err, qkdRunExample)
	}
	return s, nil
}

func (f *qkdRunFlags) eavesdropper() (bb84.Eve, error) {
	e := bb84.Eve{Attack: bb84.Attack(f.attack), Fraction: f.eve}
	switch {
	case !(f.eve >= 0 && f.eve <= 1):
		return e, misuse("--eve 0.2", "Eve attacks a part from 0 to 1 of the pulses, unlike %v", f.eve)
	case f.attack == "" && f.eve > 0:
		e.Attack = bb84.Intercept
	case f.attack != "" && !f.eveGiven:
		e.Fraction = 1
	}
	return e, nil
}

// parsePulses reads a whole number that may be written with an exponent.
func parsePulses(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 1 && n <= bb84.MaxPulses {
		return n, nil
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil && x >= 1 && x <= bb84.MaxPulses && x == math.Trunc(x) {
		return int64(x), nil
	}
	return 0, misuse("--pulses 5e7", "a number of pulses is whole, from 1 to %.0e, unlike %s", float64(bb84.MaxPulses), shown(text))
}

// writeQKDRun prints what is left after each step.
func writeQKDRun(w io.Writer, r *bb84.Result) error {
	s := r.Setup
	t := newTable(w)
	of := func(n, all int64) string { return fmt.Sprintf("%.3g%%", 100*float64(n)/max(1, float64(all))) }
	t.line("SIMULATED BB84", "", fmt.Sprintf("%s, %g km of fibre", sourceWords[r.Source], s.Channel.Distance))
	t.line("pulses", grouped(r.Pulses), fmt.Sprintf("sent in %.4g s", r.Seconds))
	t.line("detected", grouped(r.Detected), of(r.Detected, r.Pulses)+" of the pulses")
	t.line("sifted", grouped(r.Sifted), of(r.Sifted, r.Detected)+" of these: Alice and Bob chose the same basis")
	t.line("compared", grouped(r.Tested), "shown to everybody, to count errors")
	t.line("error rate", fmt.Sprintf("%.3f%%", 100*r.QBER), fmt.Sprintf("over %s bits; 95%% confidence: %.3f%% to %.3f%%", grouped(r.Compared), 100*r.QBERLow, 100*r.QBERHigh))
	t.line("left for the key", grouped(r.KeySifted), "")
	if r.Parities > 0 {
		t.line("disclosed", grouped(r.LeakBits), fmt.Sprintf("to correct and verify; %.3f times Shannon's limit", r.FEC))
	}
	if e := r.Eve; e != nil {
		t.line("Eve", grouped(e.Touched), fmt.Sprintf("of the bits for the key touched; knows %s for sure, %.0f bits in all (%s)", grouped(e.Certain), e.Bits, e.Attack))
	}
	t.line("secret bits", grouped(r.SecretBits), "")
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, r.Sentence())
	return err
}

var sourceWords = map[bb84.Source]string{bb84.Single: "single photons", bb84.Decoy: "weak pulses with decoys"}

// grouped is a number with commas between thousands.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
