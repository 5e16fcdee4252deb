package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"stonevault/qkd/bb84"
)

const qkdRateExample = "stonevault qkd rate --json"

type qkdRateFlags struct {
	source    string
	pulses    string
	step      float64
	json, svg bool
}

func newQKDRate(a *app) *cobra.Command {
	var f qkdRateFlags
	cmd := &cobra.Command{
		Use:   "rate [--source single|decoy] [--pulses N] [--step KM] [--json | --svg]",
		Short: "Compute how many secret bits a pulse yields at each distance",
		Long: `Computes the expected secret rate against the distance, for the ready-made setups: metro (10 km), 50km, 100km and laboratory.
A session of each sends as many pulses as make two million detections at its own distance, or --pulses; no more of them are
sent at other distances. The correction of errors is taken to disclose 1.16 times Shannon's limit. Nothing is drawn at random.`,
		Example: "  " + qkdRateExample + "\n  stonevault qkd rate --source single --pulses 1e9\n  stonevault qkd rate --svg > rate.svg",
		Args:    operands(0, 0, "nothing but flags", qkdRateExample),
		RunE:    func(*cobra.Command, []string) error { return a.qkdRate(f) },
	}
	addSource(cmd, &f.source)
	cmd.Flags().StringVar(&f.pulses, "pulses", "", "how many pulses a session has: `N`, such as 5e9")
	cmd.Flags().Float64Var(&f.step, "step", 5, "compute a point every `KM`")
	cmd.Flags().BoolVar(&f.svg, "svg", false, "print a plot")
	addJSON(cmd, &f.json)
	return cmd
}

// rateReport is what rate prints as JSON.
type rateReport struct {
	Mode   string      `json:"mode"`
	Source bb84.Source `json:"source"`
	FEC    float64     `json:"f_ec"`
	Curves []rateCurve `json:"curves"`
}

type rateCurve struct {
	Name      string       `json:"name"`
	Title     string       `json:"title"`
	Reference string       `json:"reference"`
	Distance  float64      `json:"distance_km"` // of the preset itself
	Pulses    int64        `json:"pulses"`
	PulseRate float64      `json:"pulse_rate"`
	Channel   bb84.Channel `json:"channel"`
	Points    []bb84.Rate  `json:"points"` // the last one is the first that yields nothing
}

const farthest = 1000 // km

func (a *app) qkdRate(f qkdRateFlags) error {
	if f.json && f.svg {
		return misuse(qkdRateExample, "give one of --json and --svg")
	}
	report, err := f.compute()
	if err != nil {
		return err
	}
	switch {
	case f.json:
		return writeJSON(a.stdout, report)
	case f.svg:
		_, err := io.WriteString(a.stdout, plotRates(report))
		return err
	}
	if err := writeRates(a.stdout, report); err != nil {
		return err
	}
	a.say("Computed for a simulation: no photon was sent.")
	return nil
}

func (f *qkdRateFlags) compute() (*rateReport, error) {
	source, err := parseSource(f.source)
	if err != nil {
		return nil, err
	}
	if !(f.step >= 0.1 && f.step <= farthest) {
		return nil, misuse("--step 5", "a step has 0.1 to %d km, unlike %v", farthest, f.step)
	}
	pulses := int64(0)
	if f.pulses != "" {
		if pulses, err = parsePulses(f.pulses); err != nil {
			return nil, err
		}
	}
	report := &rateReport{Mode: bb84.Simulated, Source: source, FEC: bb84.LimEfficiency}
	for _, p := range bb84.Presets() {
		s, err := p.For(source, pulses)
		if err != nil {
			return nil, err
		}
		points, err := bb84.Curve(s, source, f.step, farthest, bb84.LimEfficiency)
		if err != nil {
			return nil, err
		}
		report.Curves = append(report.Curves, rateCurve{p.Name, p.Title, p.Source, s.Channel.Distance, s.Pulses, s.PulseRate, s.Channel, points})
	}
	return report, nil
}

func writeRates(w io.Writer, r *rateReport) error {
	t := newTable(w)
	for _, c := range r.Curves {
		t.line(c.Name, c.Title, fmt.Sprintf("%s pulses", grouped(c.Pulses)), "")
		t.line("km", "bits a pulse", "bits a second", "error rate")
		for _, p := range c.Points {
			t.line(fmt.Sprintf("%g", p.Distance), fmt.Sprintf("%.3g", p.PerPulse), fmt.Sprintf("%.3g", p.PerSecond), fmt.Sprintf("%.2f%%", 100*p.QBER))
		}
		t.line("")
	}
	return t.Flush()
}
