package distill_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"stonevault/internal/vectors"
	"stonevault/qkd/distill"
)

// The golden vectors are made once, with
//
//	go test ./qkd/distill -update
//
// and must come out as their file says for ever after: two that reconcile may be of different versions.
const vectorsPath = "testdata/vectors.json"

var update = flag.Bool("update", false, "make the golden vectors again")

type vectorFile struct {
	Format     string            `json:"format"`
	Shuffles   []shuffleVector   `json:"shuffles"`
	Reconciles []reconcileVector `json:"reconciliations"`
	Tags       []tagVector       `json:"tags"`
	Amplifies  []amplifyVector   `json:"amplifications"`
}

// shuffleVector is what is answered about every position of a pass.
type shuffleVector struct {
	Seed   vectors.Hex `json:"seed"`
	Pass   int         `json:"pass"`
	N      int         `json:"n"`
	Bits   vectors.Hex `json:"bits"`
	Answer vectors.Hex `json:"answer"` // about positions 1 to n−1
}

// reconcileVector is a whole reconciliation. The transcript is the SHA-256 of all questions and answers, each after its
// length as 4 bytes, big-endian.
type reconcileVector struct {
	Variant    string      `json:"variant"`
	QBER       float64     `json:"qber"`
	Seed       vectors.Hex `json:"seed"`
	N          int         `json:"n"`
	Alice      vectors.Hex `json:"alice"`
	Bob        vectors.Hex `json:"bob"`
	Leak       int         `json:"leak"`
	Corrected  int         `json:"corrected"`
	Rounds     int         `json:"rounds"`
	Transcript vectors.Hex `json:"transcript"`
	Same       bool        `json:"same"` // whether Bob's bits are Alice's in the end
}

type tagVector struct {
	N    int         `json:"n"`
	Bits vectors.Hex `json:"bits"`
	Key  vectors.Hex `json:"key"`
	T    int         `json:"t"`
	Tag  vectors.Hex `json:"tag"`
}

type amplifyVector struct {
	N      int         `json:"n"`
	Length int         `json:"length"`
	Bits   vectors.Hex `json:"bits"`
	Seed   vectors.Hex `json:"seed"`
	Out    vectors.Hex `json:"out"`
}

func parse(t *testing.T, data []byte, n int) *distill.Bits {
	t.Helper()
	b, err := distill.FromBytes(data, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v *shuffleVector) run(t *testing.T) {
	t.Helper()
	a, err := distill.NewAnswerer(parse(t, v.Bits, v.N), distill.Option3, [32]byte(v.Seed))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.Answer(append([]byte{byte(v.Pass)}, bytes.Repeat([]byte{1}, v.N-1)...))
	if err != nil {
		t.Fatal(err)
	}
	v.Answer = bytes.Clone(answer)
}

func (v *reconcileVector) run(t *testing.T) {
	t.Helper()
	variant, err := distill.ParseVariant(v.Variant)
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := parse(t, v.Alice, v.N), parse(t, v.Bob, v.N)
	a, err := distill.NewAnswerer(alice, variant, [32]byte(v.Seed))
	if err != nil {
		t.Fatal(err)
	}
	transcript := sha256.New()
	write := func(message []byte) {
		n := len(message)
		transcript.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		transcript.Write(message)
	}
	report, err := distill.Reconcile(bob, variant, v.QBER, [32]byte(v.Seed), func(question []byte) ([]byte, error) {
		answer, err := a.Answer(question)
		write(question)
		write(answer)
		return answer, err
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Leak, v.Corrected, v.Rounds = report.Leak, report.Corrected, report.Rounds
	v.Transcript, v.Same = transcript.Sum(nil), bob.Equal(alice)
}

func (v *tagVector) run(t *testing.T) {
	t.Helper()
	v.Tag = distill.Tag(parse(t, v.Bits, v.N), [16]byte(v.Key), v.T)
}

func (v *amplifyVector) run(t *testing.T) {
	t.Helper()
	out, err := distill.Amplify(parse(t, v.Bits, v.N), parse(t, v.Seed, distill.SeedBits(v.N, v.Length)), v.Length)
	if err != nil {
		t.Fatal(err)
	}
	v.Out = out.Bytes()
}

// run works everything out from what is given.
func (f *vectorFile) run(t *testing.T) {
	t.Helper()
	for i := range f.Shuffles {
		f.Shuffles[i].run(t)
	}
	for i := range f.Reconciles {
		f.Reconciles[i].run(t)
	}
	for i := range f.Tags {
		f.Tags[i].run(t)
	}
	for i := range f.Amplifies {
		f.Amplifies[i].run(t)
	}
}

// newVectors has what is given of the vectors.
func newVectors() (f vectorFile) {
	f.Format = "stonevault distillation vectors, version 1"
	r := random(2026)
	for _, n := range []int{2, 100, 255, 256, 257, 448, 1000, 1280, 4133} {
		for _, pass := range []int{1, 15} {
			seed := randomSeed(r)
			f.Shuffles = append(f.Shuffles, shuffleVector{Seed: seed[:], Pass: pass, N: n, Bits: randomBits(r, n).Bytes()})
		}
	}
	for _, v := range allVariants {
		for _, c := range []struct {
			n          int
			rate, qber float64
		}{{100, 0.05, 0.05}, {1024, 0.1, 0.1}, {2000, 0.03, 0.02}, {2500, 0.01, 0}} {
			alice := randomBits(r, c.n)
			bob, _ := bernoulli(r, alice, c.rate)
			seed := randomSeed(r)
			f.Reconciles = append(f.Reconciles, reconcileVector{Variant: v.String(), QBER: c.qber, Seed: seed[:], N: c.n, Alice: alice.Bytes(), Bob: bob.Bytes()})
		}
	}
	for _, c := range [][2]int{{0, 8}, {1, 128}, {64, 57}, {128, 57}, {129, 63}, {1000, 64}, {1100, 57}} {
		f.Tags = append(f.Tags, tagVector{N: c[0], Bits: randomBits(r, c[0]).Bytes(), Key: randomBits(r, 128).Bytes(), T: c[1]})
	}
	for _, c := range [][2]int{{1, 1}, {65, 63}, {300, 128}, {1000, 256}, {2001, 1000}, {3000, 3000}} {
		n, length := c[0], c[1]
		f.Amplifies = append(f.Amplifies, amplifyVector{N: n, Length: length, Bits: randomBits(r, n).Bytes(), Seed: randomBits(r, n+length-1).Bytes()})
	}
	return f
}

func TestVectors(t *testing.T) {
	if *update {
		f := newVectors()
		f.run(t)
		data, err := json.MarshalIndent(f, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsPath, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(kept, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Shuffles) == 0 || len(f.Reconciles) == 0 || len(f.Tags) == 0 || len(f.Amplifies) == 0 {
		t.Fatal("there are no vectors of some kind")
	}
	f.run(t)
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want, got := bytes.Split(kept, []byte("\n")), bytes.Split(append(data, '\n'), []byte("\n"))
	for i := range want {
		if i >= len(got) || !bytes.Equal(want[i], got[i]) {
			t.Fatalf("%s:%d: now it is %.200s", vectorsPath, i+1, got[min(i, len(got)-1)])
		}
	}
}
