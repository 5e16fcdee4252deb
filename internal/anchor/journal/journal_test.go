package journal

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The specification's table of states is this one.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("../../../docs/spec/anchor.md")
	if err != nil {
		t.Fatal(err)
	}
	for s := Planned; s <= Abandoned; s++ {
		var next []string
		for n := Planned; n <= Abandoned; n++ {
			if s.MayBecome(n) {
				next = append(next, n.String())
			}
		}
		ends := fmt.Sprintf(" | %s |", strings.Replace(strings.Join(next, ", "), "sent, mined, final", "mined in another block, sent, final", 1))
		if s != Mined {
			ends = fmt.Sprintf(" | %s |", strings.Join(next, ", "))
		}
		if s.Settled() {
			ends = " | |"
		}
		found := false
		for line := range strings.Lines(string(text)) {
			found = found || strings.HasPrefix(line, fmt.Sprintf("| %s | ", s)) && strings.HasSuffix(line, ends+"\n")
		}
		if !found {
			t.Errorf("docs/spec/anchor.md does not say that %v ends in %q", s, ends)
		}
		if s.Settled() != (len(next) == 0) {
			t.Errorf("%v may become %v", s, next)
		}
	}
}

func TestStateNames(t *testing.T) {
	for s := Planned; s <= Abandoned; s++ {
		if got, err := ParseState(s.String()); err != nil || got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	for _, name := range []string{"", "State(0)", "Planned", "planned "} {
		if s, err := ParseState(name); err == nil {
			t.Errorf("%q is %v", name, s)
		}
	}
	if got := State(0).String() + State(200).String(); got != "State(0)State(200)" {
		t.Error(got)
	}
}
