package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stonevault/qkd/bb84"
)

const qkdKeyLengthExample = `echo '{"n":10000,"k":10000,"q":0.01,"leak":938,"eps_sec":1e-10,"eps_cor":1e-15}' | stonevault qkd keylength --json`

func newQKDKeyLength(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "keylength [--json]",
		Short: "Evaluate the formulas for the length of a key, at counts of your own",
		Long: `Reads counts from standard input, as a JSON object, and prints how long a secret key may be, with the bounds that lead there.

Weak pulses with decoys (Lim et al., Phys. Rev. A 89, 022307, 2014, Eqs. 1 to 5): mu, the three mean photon numbers, the
strongest first; p, their probabilities; n_x, the sifted detections of each in the key basis; n_z and m_z, those in the other
basis and the errors among them; leak, the bits disclosed for the correction of errors; eps_sec and eps_cor.

Single photons (Tomamichel et al., Nat. Commun. 3, 634, 2012): n bits of the key, k compared bits, the rate q of errors among
them, leak, eps_sec and eps_cor.

Which of the two is meant shows by the names. Every name must be there, once, and no other.`,
		Example: "  " + qkdKeyLengthExample,
		Args:    operands(0, 0, "nothing: the counts come from standard input", qkdKeyLengthExample),
		RunE:    func(*cobra.Command, []string) error { return a.qkdKeyLength(asJSON) },
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) qkdKeyLength(asJSON bool) error {
	text, err := io.ReadAll(io.LimitReader(a.stdin, maxCounts+1))
	if err != nil {
		return fileError("read", "standard input", err)
	}
	length, err := evaluateCounts(text)
	if err != nil {
		return misuse(qkdKeyLengthExample, "%v", err)
	}
	if asJSON {
		return writeJSON(a.stdout, length)
	}
	return writeKeyLength(a.stdout, length)
}

// maxCounts bounds the counts in bytes.
const maxCounts = 64 << 10

// evaluateCounts returns a *bb84.DecoyLength or a *bb84.SingleLength.
func evaluateCounts(text []byte) (any, error) {
	fields, err := countFields(text)
	if err != nil {
		return nil, err
	}
	if _, decoy := fields["mu"]; decoy {
		var c bb84.DecoyCounts
		err := fields.read([]countField{
			{"mu", &c.Mu}, {"p", &c.P}, {"n_x", &c.NX}, {"n_z", &c.NZ}, {"m_z", &c.MZ},
			{"leak", &c.Leak}, {"eps_sec", &c.Secret}, {"eps_cor", &c.Correct},
		}, "with mu, for weak pulses")
		if err != nil {
			return nil, err
		}
		l, err := c.Evaluate()
		return &l, err
	}
	var c bb84.SingleCounts
	err = fields.read([]countField{
		{"n", &c.N}, {"k", &c.K}, {"q", &c.Q}, {"leak", &c.Leak}, {"eps_sec", &c.Secret}, {"eps_cor", &c.Correct},
	}, "without mu, for single photons")
	if err != nil {
		return nil, err
	}
	l, err := c.Evaluate()
	return &l, err
}

type countValues map[string]json.RawMessage

// countFields reads a JSON object, strictly: one object, and each name once.
func countFields(text []byte) (countValues, error) {
	if len(text) > maxCounts {
		return nil, fmt.Errorf("standard input has more than %d bytes", maxCounts)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("standard input is no JSON object")
	}
	fields := make(countValues)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("standard input is no JSON: %w", err)
		}
		name, _ := token.(string) // a key is always a string
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s is there twice", shown(name))
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("what follows %s is no JSON: %w", shown(name), err)
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("standard input is no JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return fields, nil
}

// countField is a name and the *float64 or *[3]float64 that it goes to.
type countField struct {
	name string
	to   any
}

func (v countValues) read(fields []countField, form string) error {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
		raw, there := v[f.name]
		if !there {
			return fmt.Errorf("%s is missing %s", f.name, form)
		}
		switch to := f.to.(type) {
		case *float64:
			var n *float64
			if err := json.Unmarshal(raw, &n); err != nil || n == nil {
				return fmt.Errorf("%s is a number, unlike %s", f.name, shown(string(raw)))
			}
			*to = *n
		case *[3]float64:
			var list []*float64
			if err := json.Unmarshal(raw, &list); err != nil || len(list) != 3 || slices.Contains(list, nil) {
				return fmt.Errorf("%s is a list of three numbers, unlike %s", f.name, shown(string(raw)))
			}
			for i, n := range list {
				to[i] = *n
			}
		}
	}
	for name := range v {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no %s %s; there are %s", shown(name), form, strings.Join(names, ", "))
		}
	}
	return nil
}

func writeKeyLength(w io.Writer, length any) error {
	t := newTable(w)
	switch l := length.(type) {
	case *bb84.DecoyLength:
		t.row("length", "%d bits", l.Length)
		t.row("s_x0, s_x1", "%.2f, %.2f", l.SX0, l.SX1)
		t.row("s_z0, s_z1", "%.2f, %.2f", l.SZ0, l.SZ1)
		t.row("v_z1", "%.2f", l.VZ1)
		t.row("phi_x", "%.9f", l.PhiX)
	case *bb84.SingleLength:
		t.row("length", "%d bits", l.Length)
		t.row("mu", "%.9f", l.Mu)
		t.row("phase rate", "%.9f", l.PhaseRate)
	}
	return t.Flush()
}
