package bb84

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stonevault/qkd/distill"
)

func TestAlias(t *testing.T) {
	for _, weights := range [][]float64{{1}, {1, 1}, {0, 1}, {0.3, 0, 0.7}, {1e-6, 5, 2, 0.01, 9, 9, 1e-3}} {
		a := newAlias(weights)
		random := &stream{r: Seeded(Seed("alias")).Alice}
		const draws = 400000
		counts := make([]float64, len(weights))
		sum := 0.0
		for range draws {
			counts[a.draw(random.uint64(), random.uint64())]++
		}
		for _, w := range weights {
			sum += w
		}
		for i, w := range weights {
			want := w / sum * draws
			if math.Abs(counts[i]-want) > 4.5*math.Sqrt(want)+1e-9 && !(want < 1 && counts[i] <= 4) {
				t.Errorf("%v: %v draws of %d, want about %v", weights, counts[i], i, want)
			}
		}
	}
}

// TestAliasKeepsWeights adds up what each column gives, which must be the weights themselves.
func TestAliasKeepsWeights(t *testing.T) {
	s := setup(t, "50km", nil)
	rows := outcomes(&s)
	var weights []float64
	sum := 0.0
	for _, o := range rows {
		weights = append(weights, o.weight)
		sum += o.weight
	}
	if math.Abs(sum-1) > 1e-13 {
		t.Errorf("the outcomes have a probability of %v", sum)
	}
	a := newAlias(weights)
	got := make([]float64, len(weights))
	for i, keep := range a.keep {
		p := float64(keep) / (1 << 63) / 2
		got[i] += p / float64(len(weights))
		got[a.other[i]] += (1 - p) / float64(len(weights))
	}
	for i, w := range weights {
		if math.Abs(got[i]-w/sum) > 1e-15 {
			t.Errorf("outcome %d has a probability of %v, want %v", i, got[i], w)
		}
	}
}

// TestOutcomesAreADistribution checks, for every attack, that the outcomes are a distribution.
func TestOutcomesAreADistribution(t *testing.T) {
	for _, attack := range []Attack{NoAttack, Intercept, Breidbart, Splitting} {
		for _, f := range []float64{0, 0.3, 1} {
			s := setup(t, "50km", func(s *Setup) { s.Eve = Eve{attack, f}; s.Mu[0] = 5 })
			sum := 0.0
			for _, o := range outcomes(&s) {
				sum += o.weight
				if o.weight < 0 || o.alice != o.bob && o.eve == kept && !o.eveRight {
					t.Fatalf("%q: %+v", attack, o)
				}
			}
			if math.Abs(sum-1) > 1e-13 {
				t.Errorf("%q at %v: the outcomes have a probability of %v", attack, f, sum)
			}
		}
	}
}

func TestGap(t *testing.T) {
	for _, p := range []float64{0.5, 0.01, 1e-6} {
		table := &table{clicks: p}
		random := &stream{r: Seeded(Seed("gap")).Alice}
		sum, zero := 0.0, 0.0
		const draws = 100000
		for range draws {
			g := table.gap(random, math.Log1p(-p))
			sum += float64(g)
			if float64(g) < math.Floor(0.1/p) {
				zero++
			}
		}
		mean := (1 - p) / p
		if math.Abs(sum/draws-mean) > 4.5*mean/math.Sqrt(draws*(1-p)) {
			t.Errorf("p = %v: %v pulses between clicks, want about %v", p, sum/draws, mean)
		}
		short := 1 - math.Pow(1-p, math.Floor(0.1/p))
		if math.Abs(zero/draws-short) > 4.5*math.Sqrt(short/draws)+1e-9 {
			t.Errorf("p = %v: %v are short, want about %v", p, zero/draws, short)
		}
	}
}

func TestSample(t *testing.T) {
	chosen := make([]int, 10)
	for i := range 20000 {
		b := sample([32]byte{byte(i), byte(i >> 8)}, 10, 3)
		if b.Len() != 10 || b.Ones() != 3 {
			t.Fatalf("%d of %d bits were chosen", b.Ones(), b.Len())
		}
		for j := range chosen {
			chosen[j] += int(b.At(j))
		}
	}
	for j, n := range chosen {
		if math.Abs(float64(n)-6000) > 4.5*math.Sqrt(20000*0.3*0.7) {
			t.Errorf("bit %d was chosen %d times, want about 6000", j, n)
		}
	}
	for _, k := range []int{0, 10} {
		if b := sample([32]byte{}, 10, k); b.Ones() != k {
			t.Errorf("%d of 10 bits: %d", k, b.Ones())
		}
	}
}

func TestPick(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 320 {
		n := i
		if i >= 300 {
			n = 20000 + random.IntN(300)
		}
		b, mask := distill.NewBits(n), distill.NewBits(n)
		var want []uint64
		for i := range n {
			b.Set(i, random.Uint64())
			mask.Set(i, uint64(random.IntN(1+n%3)))
			if n%5 == 0 {
				mask.Set(i, 1)
			}
			if mask.At(i) == 1 {
				want = append(want, b.At(i))
			}
		}
		both := pick(mask, b, not(b))
		got, opposite := both[0], not(both[1])
		if got.Len() != len(want) || !got.Equal(opposite) || got.Len()+pick(not(mask), b)[0].Len() != n {
			t.Fatalf("%d of %d bits", got.Len(), len(want))
		}
		if hasExtract {
			setExtract(false)
			if slow := pick(mask, b)[0]; !slow.Equal(got) {
				t.Fatalf("without the instruction other bits of %d are picked", n)
			}
			setExtract(true)
		}
		for i, w := range want {
			if got.At(i) != w {
				t.Fatalf("bit %d of %d is wrong", i, len(want))
			}
		}
	}
}

// TestStreams checks that a seed gives the same numbers for ever: golden runs hang on it.
func TestStreams(t *testing.T) {
	r := Seeded(Seed("7"))
	for i, s := range []*stream{{r: r.Nature}, {r: r.Alice}, {r: r.Bob}} {
		if got, want := s.uint64(), []uint64{0xcd9f55e17e9ae10a, 0xb4ed4e0805d853d1, 0xba47de33f4acc88}[i]; got != want {
			t.Errorf("stream %d begins with %#x, want %#x", i, got, want)
		}
	}
}

// portableMath is what the simulation may use of package math: what every platform computes to the same bits.
var portableMath = []string{"Floor", "Ceil", "Sqrt", "Abs", "Frexp", "Ldexp", "IsNaN", "IsInf", "NaN", "Inf", "Ln2", "Ln10", "Sqrt2", "Float64bits"}

func TestMathIsPortable(t *testing.T) {
	for _, dir := range []string{".", "../internal/portable"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "math" && !slices.Contains(portableMath, s.Sel.Name) {
						t.Errorf("%s uses math.%s, which platforms round differently", name, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// TestNothingIsFused looks through the code for arm64, whose compiler fuses products into sums wherever the language lets it.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: run without -short")
	}
	cmd := exec.Command("go", "build", "-gcflags=-S", ".", "../internal/portable")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("FMULD")) {
		t.Fatal("the listing has no arithmetic in it")
	}
	for _, line := range regexp.MustCompile(`(?m)^.*\sFN?M(ADD|SUB)[SD]\s.*$`).FindAll(out, -1) {
		t.Errorf("fused: %s", line)
	}
}
