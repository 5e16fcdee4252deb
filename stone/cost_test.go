package stone_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// allocated is how many bytes f allocates in all, garbage included.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

const kib, mib = 1 << 10, 1 << 20

// TestCostOfStrangers measures what input without any authenticity makes an opener take: no length that
// it states is believed before it is compared with what is there.
func TestCostOfStrangers(t *testing.T) {
	alice := newIdentity(t, identity.SuiteHybrid)
	sealed := newForge(t, alice, alice).bytes()
	claim := func(n int, manifest, certificate, grants uint32) []byte {
		b := make([]byte, n)
		rand.Read(b)
		t := b[n-32:]
		binary.BigEndian.PutUint64(t, 1<<40)
		binary.BigEndian.PutUint32(t[8:], manifest)
		binary.BigEndian.PutUint32(t[12:], certificate)
		binary.BigEndian.PutUint32(t[16:], grants)
		copy(t[20:], "\x01\x01\x00\x00STONEEND")
		return b
	}
	for _, c := range []struct {
		name  string
		input []byte
		most  int
	}{
		{"1 KiB that claims 4 MiB", claim(kib, 1<<20, 1<<14, 3<<20-1<<16), 8 * kib},
		{"1 KiB that claims all it can", claim(kib, 1<<32-1, 1<<32-1, 1<<32-1), 8 * kib},
		{"64 bytes", claim(64, 0, 0, 0), 8 * kib},
		{"a manifest of 1 MiB", claim(mib, mib-32-3617-3309, 0, 0), 8 * mib},
		{"grants of 4 MiB", claim(4*mib, 0, 0, 4*mib-32-3617-3309), 8 * mib},
		{"a whole one with one bit flipped", flipped(sealed, len(sealed)-3000), 256 * kib},
	} {
		for name, open := range map[string]func() error{
			"ParseEnvelope": func() error { return second(stone.ParseEnvelope(c.input)) },
			"ReadEnvelope": func() error {
				return second(stone.ReadEnvelope(bytes.NewReader(c.input), int64(len(c.input))))
			},
			"ReadEnvelope of a sparse file": func() error {
				return second(stone.ReadEnvelope(sparse{c.input}, 1<<40+int64(len(c.input))))
			},
		} {
			var err error
			start := time.Now()
			got := allocated(func() { err = open() })
			if !errors.Is(err, stone.ErrRefused) {
				t.Errorf("%s, %s: %v", c.name, name, err)
			}
			most := c.most
			if strings.Contains(name, "sparse") {
				most = max(most, 12*mib) // an envelope of 4 MiB is there to be read
			}
			if got > most {
				t.Errorf("%s, %s: took %d KiB, more than %d", c.name, name, got/kib, most/kib)
			}
			t.Logf("%s, %s: %d KiB, %v", c.name, name, got/kib, time.Since(start).Round(10*time.Microsecond))
		}
	}
}

func second[T any](_ T, err error) error { return err }

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// sparse is a file of 1 TiB of nothing before its bytes.
type sparse struct{ end []byte }

func (s sparse) ReadAt(p []byte, at int64) (int, error) {
	const start = 1 << 40
	for i := range p {
		if p[i] = 0; at+int64(i) >= start {
			p[i] = s.end[at+int64(i)-start]
		}
	}
	return len(p), nil
}

// longest is how long a hostile stone may keep an opener.
const longest = 2 * time.Second

// TestCostOfSigners measures what a hostile signer gets out of an opener: he signs what he likes.
func TestCostOfSigners(t *testing.T) {
	member := func(name, value string) func(f *forge) { return manifestMember(name, value) }
	many := func(what string, n int) string { return strings.Repeat(what+",", n) + what }
	for _, c := range []struct {
		name   string
		change func(f *forge)
	}{
		{"grants of 1 MiB of {}", member("grants", "["+many("{}", 340_000)+"]")},
		{"grants of 1 MiB of null", member("grants", "["+many("null", 200_000)+"]")},
		{"grants of 1 MiB of []", member("grants", "["+many("[]", 340_000)+"]")},
		{"grants again and again", respelled(func(s string) string {
			return "{" + many(`"grants":[`+many("{}", 900)+"]", 360) + "," + s[1:]
		})},
		{"grants nested in case", respelled(func(s string) string {
			return "{" + many(`"GRANTS":[`+many("{}", 2900)+"]", 110) + "," + s[1:]
		})},
		{"an unknown array of 1 MiB", member("a", "["+many("1", 500_000)+"]")},
		{"an unknown object of 1 MiB", member("a", "{"+many(`"":0`, 200_000)+"}")},
		{"1 MiB of brackets", member("a", strings.Repeat("[", 500_000)+strings.Repeat("]", 500_000))},
		{"sealed of 1 MiB of <", member("sealed", quoted(strings.Repeat("<", 1_040_000)))},
		{"sealed of 1 MiB of U+2028", member("sealed", quoted(strings.Repeat("\u2028", 340_000)))},
		{"sealed of 1 MiB of escapes", member("sealed", quoted(strings.Repeat(`\n`, 500_000)))},
		{"a number of 1 MiB", member("time", "1"+strings.Repeat("0", 1_000_000))},
		{"a previous of 1 MiB", member("previous", quoted(strings.Repeat("ab", 500_000)))},
		{"a recipient of 1 MiB", onText(`"recipient":"`, `"recipient":"`+strings.Repeat("ab", 500_000))},
		{"4 MiB of passphrases", func(f *forge) {
			f.grants = nil
			for range 36_000 {
				f.grants = append(f.grants, passphraseShape())
			}
			f.onManifest = func(m *members) { m.set("grants", "[]") }
		}},
		{"1,001 grants", func(f *forge) { manyGrants(f, 1001) }},
		{"2^20 segments", member("segments", "1048576")},
	} {
		alice := person(t, "alice", identity.SuiteHybrid)
		f := newForge(t, alice, alice)
		c.change(f)
		sealed := f.bytes()
		var err error
		var got int
		took := time.Hour
		for range 3 { // others may have the machine
			start := time.Now()
			got = allocated(func() { _, err = openBytes(sealed, alice) })
			if took = min(took, time.Since(start)); took <= longest {
				break
			}
		}
		if !errors.Is(err, stone.ErrRefused) || strings.Contains(err.Error(), "trailer") {
			t.Errorf("%s: %v", c.name, err)
		}
		if got > 48*mib || took > longest {
			t.Errorf("%s: took %d MiB and %v", c.name, got/mib, took)
		}
		t.Logf("%s: %d bytes, took %d KiB and %v", c.name, len(sealed), got/kib, took.Round(time.Millisecond))
	}
}

// manyGrants makes n grants of which the first is alice's, at the cost of one.
func manyGrants(f *forge, n int) {
	first := f.grants[0]
	f.grants = nil
	for i := range n {
		g := bytes.Clone(first)
		if i > 0 {
			copy(g[1:], fmt.Sprintf("%032d", i))
		}
		f.grants = append(f.grants, g)
	}
}

func TestMostGrants(t *testing.T) {
	alice := newIdentity(t, identity.SuiteHybrid)
	f := newForge(t, alice, alice)
	manyGrants(f, stone.MaxGrants)
	sealed := f.bytes()
	if got, err := openBytes(sealed, alice); err != nil || !bytes.Equal(got, f.plain) {
		t.Fatal(err)
	}
	if _, err := specOpen(sealed, specKeys{suite: 1, seeds: alice.Seeds()}); err != nil {
		t.Error(err)
	}
}
