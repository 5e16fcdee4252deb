package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/audit"
)

var update = flag.Bool("update", false, "write the golden vectors and the table of the specification anew")

// sample makes an event of a row, with a value for every field.
func sample(d audit.Definition) audit.Event {
	e := audit.Event{Type: d.Type, Version: d.Version, Time: noon}
	for slot, values := range []*audit.Values{&e.Operational, &e.Actor, &e.Subject} {
		if d.Fields[slot] == nil && slot > 0 {
			continue
		}
		*values = audit.Values{}
		for i, f := range d.Fields[slot] {
			var v any
			switch {
			case f.Kind == audit.Count:
				v = int64(i)
			case f.Kind == audit.Flag:
				v = i%2 == 0
			case f.Kind == audit.PartList:
				v = []int64{0, 3, 4}
			case f.Among != nil:
				v = f.Among[len(f.Among)-1]
			default:
				v = strings.Repeat("<", min(f.Max, 40)) // which lesser JSON writers escape
			}
			(*values)[f.Name] = v
		}
	}
	return e
}

// TestTable: every row has an event that comes back as it was, the rows' names and numbers are their own,
// and the longest values of all fields fit.
func TestTable(t *testing.T) {
	names, newest := map[string]audit.Type{}, map[audit.Type]uint8{}
	for _, d := range audit.Definitions() {
		if was, ok := names[d.Name]; ok && was != d.Type {
			t.Errorf("two types are called %s", d.Name)
		}
		if names[d.Name] = d.Type; d.Version != newest[d.Type]+1 || d.Type == 0 || d.Doc == "" {
			t.Errorf("%s: type %d, version %d behind version %d", d.Name, d.Type, d.Version, newest[d.Type])
		}
		newest[d.Type] = d.Version
		if got, err := audit.ParseType(d.Name); err != nil || got != d.Type || got.String() != d.Name {
			t.Errorf("%s is %v, %v", d.Name, got, err)
		}
		e := sample(d)
		r, err := e.Commit(randomness(4))
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		got, missing, err := r.Event()
		if err != nil || len(missing) != 0 || !reflect.DeepEqual(got, e) {
			t.Errorf("%s comes back as %v, %v, %v", d.Name, got, missing, err)
		}
		// The longest values, in the characters that JSON makes six of.
		for slot, values := range []audit.Values{e.Operational, e.Actor, e.Subject} {
			for _, f := range d.Fields[slot] {
				switch {
				case f.Kind == audit.Text && f.Among == nil:
					values[f.Name] = strings.Repeat("\x01", f.Max)
				case f.Kind == audit.Count:
					values[f.Name] = int64(audit.MaxCount)
				case f.Kind == audit.PartList:
					list := make([]int64, audit.MaxParts)
					for i := range list {
						list[i] = 2*audit.MaxSize - audit.MaxParts + int64(i)
					}
					values[f.Name] = list
				}
			}
		}
		if _, err := e.Commit(randomness(4)); err != nil {
			t.Errorf("%s with the longest values: %v", d.Name, err)
		}
	}
	if got := audit.Type(9999).String(); got != "type 9999" {
		t.Error(got)
	}
	if _, err := audit.ParseType("file.eaten"); !errors.Is(err, audit.ErrEvent) {
		t.Error(err)
	}
}

// TestTableIsKept: rows that a released version wrote are never changed, or old logs could not be read.
func TestTableIsKept(t *testing.T) {
	const path = "testdata/types.json"
	now, err := json.MarshalIndent(audit.Definitions(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, append(now, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept []audit.Definition
	if err := json.Unmarshal(b, &kept); err != nil || len(kept) == 0 {
		t.Fatalf("%d rows, %v", len(kept), err)
	}
	for _, was := range kept {
		is, err := audit.Define(was.Type, was.Version)
		if err != nil {
			t.Errorf("%s is gone from the table", was.Name)
			continue
		}
		was.Doc = is.Doc // words may change
		if !reflect.DeepEqual(*is, was) {
			t.Errorf("%s was %v and is %v: give it a further version", was.Name, was.Fields, is.Fields)
		}
	}
	if len(kept) != len(audit.Definitions()) {
		t.Errorf("%s has %d rows, and the table %d: run the tests with -update", path, len(kept), len(audit.Definitions()))
	}
}

// TestSpecifiedTable keeps the specification's table and the code's the same.
func TestSpecifiedTable(t *testing.T) {
	const path, begin, end = "../docs/spec/audit.md", "<!-- types: begin -->\n", "<!-- types: end -->"
	var b strings.Builder
	b.WriteString("\n| type | name | v | operational | actor | subject |\n|---|---|---|---|---|---|\n")
	for _, d := range audit.Definitions() {
		cell := [3]string{"—", "—", "—"}
		for slot := range cell {
			var fields []string
			for _, f := range d.Fields[slot] {
				kind := string(f.Kind)
				switch {
				case f.Among != nil:
					kind = strings.Join(f.Among, " / ")
				case f.Kind == audit.Text:
					kind = fmt.Sprintf("text %d", f.Max)
				}
				fields = append(fields, fmt.Sprintf("`%s` %s", f.Name, kind))
			}
			if fields != nil {
				cell[slot] = strings.Join(fields, ", ")
			}
		}
		for slot, name := range map[int]string{1: "who acted", 2: "whose account"} {
			if len(d.Fields[slot]) == map[int]int{1: 5, 2: 2}[slot] && d.Fields[slot][1].Name == "name" {
				cell[slot] = name
			}
		}
		if len(d.Fields[2]) == 2 && d.Fields[2][1].Name == "path" {
			cell[2] = "whose file"
		}
		fmt.Fprintf(&b, "| %d | `%s`: %s | %d | %s | %s | %s |\n", d.Type, d.Name, d.Doc, d.Version, cell[0], cell[1], cell[2])
	}
	b.WriteString("\n")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	was, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has not the two marks around the table", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if was != b.String() {
		t.Errorf("the table in %s is not that of the code: run the tests with -update", path)
	}
}

func TestRefusedEvents(t *testing.T) {
	for what, change := range map[string]func(*audit.Event){
		"unknown type":         func(e *audit.Event) { e.Type = 9999 },
		"type 0":               func(e *audit.Event) { e.Type = 0 },
		"unknown version":      func(e *audit.Event) { e.Version = 99 },
		"before 1970":          func(e *audit.Event) { e.Time = time.UnixMilli(-1) },
		"no time":              func(e *audit.Event) { e.Time = time.Time{} },
		"after 9999":           func(e *audit.Event) { e.Time = time.UnixMilli(253402300800000) },
		"no operational":       func(e *audit.Event) { e.Operational = nil },
		"empty actor":          func(e *audit.Event) { e.Actor = audit.Values{} },
		"missing field":        func(e *audit.Event) { delete(e.Operational, "size") },
		"field too many":       func(e *audit.Event) { e.Operational["more"] = "" },
		"field renamed":        func(e *audit.Event) { delete(e.Operational, "size"); e.Operational["Size"] = 1 },
		"text for count":       func(e *audit.Event) { e.Operational["size"] = "1" },
		"count for text":       func(e *audit.Event) { e.Operational["file"] = 1 },
		"flag for text":        func(e *audit.Event) { e.Operational["file"] = true },
		"nil":                  func(e *audit.Event) { e.Operational["file"] = nil },
		"other Go type":        func(e *audit.Event) { e.Operational["size"] = uint8(1) },
		"a float":              func(e *audit.Event) { e.Operational["size"] = 1.0 },
		"negative":             func(e *audit.Event) { e.Operational["size"] = -1 },
		"above 2^53-1":         func(e *audit.Event) { e.Operational["size"] = int64(audit.MaxCount + 1) },
		"text too long":        func(e *audit.Event) { e.Subject["path"] = strings.Repeat("x", 4097) },
		"not UTF-8":            func(e *audit.Event) { e.Subject["path"] = "\xff" },
		"not among":            func(e *audit.Event) { e.Operational["by"] = "magic" },
		"list for text":        func(e *audit.Event) { e.Operational["file"] = []int64{1} },
		"nested":               func(e *audit.Event) { e.Operational["file"] = map[string]any{} },
		"subject without slot": func(e *audit.Event) { *e = stopped(1); e.Subject = audit.Values{} },
	} {
		e := put(1)
		e.Operational, e.Actor, e.Subject = maps.Clone(e.Operational), maps.Clone(e.Actor), maps.Clone(e.Subject)
		if change(&e); !fails(e) {
			t.Errorf("%s: accepted", what)
		}
	}
	for what, list := range map[string][]int64{
		"empty": {}, "descending": {2, 1}, "twice": {1, 1}, "negative": {-1}, "too large": {2 * audit.MaxSize}, "too long": make([]int64, audit.MaxParts+1),
	} {
		e := erasure(nil, list...)
		if !fails(e) {
			t.Errorf("%s list: accepted", what)
		}
	}
	if _, err := put(1).Commit(bytes.NewReader(make([]byte, 95))); err == nil || errors.Is(err, audit.ErrEvent) {
		t.Errorf("without randomness: %v", err)
	}
}

func fails(e audit.Event) bool {
	_, err := e.Commit(randomness(5))
	return errors.Is(err, audit.ErrEvent)
}

// erasure is an event that authorises parts to be gone.
func erasure(actor audit.Values, parts ...int64) audit.Event {
	return audit.Event{
		Type: audit.PersonErased, Time: noon, Actor: actor,
		Operational: audit.Values{"parts": parts, "piece": 1, "pieces": 1},
	}
}

// TestWithheld: what is missing is named, and nothing else can be read.
func TestWithheld(t *testing.T) {
	r, err := put(1).Commit(randomness(6))
	if err != nil {
		t.Fatal(err)
	}
	for mask := range 8 {
		part := r
		var want []audit.Slot
		for slot := range part.Openings {
			if mask>>slot&1 == 0 {
				part.Openings[slot] = nil
				if mask&1 == 1 || slot == 0 { // without the operational part nobody knows of the others
					want = append(want, audit.Slot(slot))
				}
			}
		}
		e, missing, err := part.Event()
		if err != nil || !slices.Equal(missing, want) || (e.Actor == nil) != (mask&2 == 0) || (e.Subject == nil) != (mask&4 == 0) {
			t.Errorf("openings %03b: %v missing, %v", mask, missing, err)
		}
	}
	r, err = stopped(1).Commit(randomness(6))
	if err != nil || r.Openings[audit.Actor] != nil || r.Openings[audit.Subject] != nil {
		t.Fatal("an empty slot has an opening")
	}
	if r.Leaf.Commitments[audit.Actor] == (audit.Hash{}) || r.Leaf.Commitments[audit.Actor] == r.Leaf.Commitments[audit.Subject] {
		t.Error("an empty slot is not random")
	}
	if _, missing, err := r.Event(); err != nil || len(missing) != 0 {
		t.Errorf("empty slots are missing: %v, %v", missing, err)
	}
}

// TestCommitments: an opening fits its own slot of its own leaf, and nothing else does.
func TestCommitments(t *testing.T) {
	a, err := put(1).Commit(randomness(7))
	if err != nil {
		t.Fatal(err)
	}
	same, err := put(1).Commit(randomness(8))
	if err != nil {
		t.Fatal(err)
	}
	for slot := range a.Openings {
		if a.Leaf.Commitments[slot] == same.Leaf.Commitments[slot] {
			t.Errorf("%s: two commitments to one thing are alike", audit.Slot(slot))
		}
	}
	refused := func(what string, r audit.Record) {
		t.Helper()
		if _, _, err := r.Event(); !errors.Is(err, audit.ErrOpening) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r := a
	r.Openings[audit.Actor], r.Openings[audit.Subject] = r.Openings[audit.Subject], r.Openings[audit.Actor]
	refused("slots swapped", r)
	r = a
	r.Leaf.Time = r.Leaf.Time.Add(time.Millisecond)
	refused("other time", r)
	r = a
	r.Leaf.Type = audit.FileDeleted
	refused("other type", r)
	r = a
	r.Leaf.Version++
	refused("other version", r)
	r = a
	r.Openings[audit.Actor] = same.Openings[audit.Actor]
	refused("other salt", r)
	for slot, o := range a.Openings {
		for i := range o {
			r = a
			r.Openings[slot] = bytes.Clone(o)
			r.Openings[slot][i] ^= 1
			refused(fmt.Sprintf("%s, byte %d", audit.Slot(slot), i), r)
		}
		for _, n := range []int{0, 1, 31, 32, len(o) - 1} {
			r = a
			r.Openings[slot] = bytes.Clone(o[:n])
			refused(fmt.Sprintf("%s, %d bytes", audit.Slot(slot), n), r)
		}
	}
	for _, shown := range []string{fmt.Sprint(a.Openings), fmt.Sprintf("%#v", a.Openings), fmt.Sprintf("%v %s", a, a.Openings[1])} {
		if strings.Contains(shown, "192.0.2.1") || !strings.Contains(shown, "[redacted]") {
			t.Errorf("an opening shows itself: %.100s", shown)
		}
	}
}

func TestLeaves(t *testing.T) {
	r, err := put(1).Commit(randomness(9))
	if err != nil {
		t.Fatal(err)
	}
	b := r.Leaf.Bytes()
	if got, err := audit.ParseLeaf(b); err != nil || got != r.Leaf || len(b) != audit.LeafSize {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte { c := bytes.Clone(b); c[at] = to; return c }
	for what, wrong := range map[string][]byte{
		"nothing": nil, "a byte less": b[1:], "a byte more": append(bytes.Clone(b), 0), "version 0": change(0, 0), "version 2": change(0, 2),
		"type 0": append([]byte{1, 0, 0}, b[3:]...), "type version 0": change(3, 0), "time too late": change(4, 1),
	} {
		if _, err := audit.ParseLeaf(wrong); !errors.Is(err, audit.ErrLeaf) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A type of a later version can be verified, and not read.
	r.Leaf.Type = 9999
	later, err := audit.ParseLeaf(r.Leaf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (audit.Record{Leaf: later}).Event(); !errors.Is(err, audit.ErrEvent) {
		t.Error(err)
	}
}

func TestPartNumbers(t *testing.T) {
	for number := range int64(100) {
		if index, slot := audit.Part(number); audit.PartNumber(index, slot) != number || slot != audit.Actor && slot != audit.Subject {
			t.Errorf("%d is %s of %d", number, slot, index)
		}
	}
	if audit.PartNumber(audit.MaxSize-1, audit.Subject) > math.MaxInt64/2 {
		t.Error("numbers overflow")
	}
}

// FuzzRecord: a record that is read is one that Commit could have made.
func FuzzRecord(f *testing.F) {
	for _, e := range []audit.Event{put(1), stopped(2), erasure(nil, 1, 2)} {
		r, err := e.Commit(randomness(10))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Leaf.Bytes(), []byte(r.Openings[0]), []byte(r.Openings[1]), []byte(r.Openings[2]))
	}
	f.Fuzz(func(t *testing.T, leaf, operational, actor, subject []byte) {
		l, err := audit.ParseLeaf(leaf)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Bytes(), leaf) {
			t.Fatalf("%x is written %x", leaf, l.Bytes())
		}
		r := audit.Record{Leaf: l}
		for slot, o := range [][]byte{operational, actor, subject} {
			if len(o) > audit.SaltSize {
				r.Openings[slot] = o
				r.Leaf.Commitments[slot] = audit.Commitment(audit.Slot(slot), leaf, o) // so that what it hides is reached
			}
		}
		e, missing, err := r.Event()
		if err != nil || len(missing) > 0 {
			return
		}
		again, err := e.Commit(randomness(11))
		if err != nil {
			t.Fatalf("%v can't be written: %v", e, err)
		}
		for slot, o := range r.Openings {
			if o != nil && !bytes.Equal(again.Openings[slot][audit.SaltSize:], o[audit.SaltSize:]) {
				t.Fatalf("%q is written %q", o[audit.SaltSize:], again.Openings[slot][audit.SaltSize:])
			}
		}
	})
}
