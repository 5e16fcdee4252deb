package distill_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"stonevault/qkd/distill"
)

// TestQuestionsRefused has questions that no honest Bob asks. None discloses anything.
func TestQuestionsRefused(t *testing.T) {
	for _, c := range []struct {
		name     string
		question []byte
	}{
		{"nothing", nil},
		{"a pass alone", []byte{0}},
		{"a pass that there is not", []byte{14, 1}},
		{"pass 255", []byte{255, 1}},
		{"position 0", []byte{0, 0}},
		{"a position twice", []byte{0, 5, 0}},
		{"past the end of the first pass", []byte{0, 0xE9, 0x07}},
		{"the whole, in a later pass", []byte{1, 0xE8, 0x07}},
		{"past the end, after another", []byte{1, 0xE0, 0x07, 9}},
		{"a distance that is not its shortest", []byte{0, 0x85, 0x00}},
		{"a distance without its end", []byte{0, 1, 0x80}},
		{"a distance of six bytes", []byte{0, 0x81, 0x80, 0x80, 0x80, 0x80, 0x01}},
		{"a distance beyond everything", []byte{0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}},
		{"what was answered before", []byte{0, 100}},
		{"what was answered before, among others", []byte{0, 99, 1, 1}},
	} {
		r := random(1)
		a, err := distill.NewAnswerer(randomBits(r, 1000), distill.Option8, randomSeed(r))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Answer([]byte{0, 100}); err != nil {
			t.Fatal(err)
		}
		if answer, err := a.Answer(c.question); !errors.Is(err, distill.ErrQuestion) || answer != nil || a.Leak() != 1 {
			t.Errorf("%s: %x, %v, %d disclosed", c.name, answer, err, a.Leak())
		}
		// Position 99 was not disclosed by the question that was refused.
		if _, err := a.Answer([]byte{0, 99}); err != nil {
			t.Errorf("%s: and then position 99: %v", c.name, err)
		}
	}
	a, err := distill.NewAnswerer(distill.NewBits(0), distill.Option8, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	for pass := range byte(14) {
		if _, err := a.Answer([]byte{pass, 1}); !errors.Is(err, distill.ErrQuestion) {
			t.Errorf("a question about no bits: %v", err)
		}
	}
}

// TestAnswer compares answers about the first pass, whose order is that of the bits, with their parities.
func TestAnswer(t *testing.T) {
	r := random(2)
	for _, n := range []int{1, 2, 63, 64, 65, 1000} {
		b := randomBits(r, n)
		a, err := distill.NewAnswerer(b, distill.Original, randomSeed(r))
		if err != nil {
			t.Fatal(err)
		}
		question := append([]byte{0}, bytes.Repeat([]byte{1}, n)...) // every position
		answer, err := a.Answer(question)
		if err != nil || len(answer) != (n+7)/8 || a.Leak() != n {
			t.Fatalf("%d positions: %d bytes, %d disclosed, %v", n, len(answer), a.Leak(), err)
		}
		for i := range n {
			if uint64(answer[i/8]>>(i%8)&1) != b.Parity(0, i+1) {
				t.Errorf("%d bits: the parity of the first %d is another", n, i+1)
			}
		}
		if n%8 != 0 && answer[len(answer)-1]>>(n%8) != 0 {
			t.Errorf("%d positions: unused bits are not zero", n)
		}
	}
}

// TestAnswersRefused has Alices that are not honest, or answer about other bits.
func TestAnswersRefused(t *testing.T) {
	r := random(3)
	alice := randomBits(r, 3000)
	bob, _ := bernoulli(r, alice, 0.05)
	for _, c := range []struct {
		name   string
		change func(answer []byte) []byte
	}{
		{"nothing", func([]byte) []byte { return nil }},
		{"a byte more", func(answer []byte) []byte { return append(answer, 0) }},
		{"a byte less", func(answer []byte) []byte { return answer[1:] }},
		{"all ones", func(answer []byte) []byte { return bytes.Repeat([]byte{0xFF}, len(answer)) }},
	} {
		seed := randomSeed(r)
		a, err := distill.NewAnswerer(alice, distill.Option8, seed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = distill.Reconcile(bob.Clone(), distill.Option8, 0.05, seed, func(question []byte) ([]byte, error) {
			answer, err := a.Answer(question)
			return c.change(bytes.Clone(answer)), err
		})
		if !errors.Is(err, distill.ErrAnswer) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestLies has answers of which some bits, or all, are made up: work ends, with an error or with other bits than
// Alice's, which tags tell apart.
func TestLies(t *testing.T) {
	r := random(4)
	refused := 0
	for i := range 300 {
		v := allVariants[i%len(allVariants)]
		n := 1 + r.IntN(2000)
		alice := randomBits(r, n)
		bob, _ := bernoulli(r, alice, 0.03)
		seed := randomSeed(r)
		a, err := distill.NewAnswerer(alice, v, seed)
		if err != nil {
			t.Fatal(err)
		}
		every := 1 << r.IntN(8)
		_, err = distill.Reconcile(bob, v, 0.03, seed, func(question []byte) ([]byte, error) {
			answer, err := a.Answer(question)
			if err != nil {
				t.Fatalf("an honest Bob was refused: %v", err)
			}
			answer = bytes.Clone(answer)
			if r.IntN(every) == 0 {
				answer[0] ^= 1
			}
			return answer, nil
		})
		switch {
		case errors.Is(err, distill.ErrAnswer):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused < 100 {
		t.Errorf("of 300 lying Alices %d were found out", refused)
	}
}

// TestOtherSeed has sides whose seeds differ.
func TestOtherSeed(t *testing.T) {
	r := random(5)
	alice := randomBits(r, 2000)
	bob, _ := bernoulli(r, alice, 0.03)
	a, err := distill.NewAnswerer(alice, distill.Option8, randomSeed(r))
	if err != nil {
		t.Fatal(err)
	}
	_, err = distill.Reconcile(bob, distill.Option8, 0.03, randomSeed(r), a.Answer)
	if err != nil && !errors.Is(err, distill.ErrAnswer) {
		t.Fatal(err)
	}
	if err == nil && bob.Equal(alice) {
		t.Error("with another order of the bits, all errors were found")
	}
}

// TestDisclosedOnce asks what every question asks for, in terms of the bits themselves, and finds that the parities
// are independent of each other: each disclosed something.
func TestDisclosedOnce(t *testing.T) {
	r := random(6)
	const n = 1000
	for _, v := range allVariants {
		alice := randomBits(r, n)
		bob, _ := bernoulli(r, alice, 0.03)
		seed := randomSeed(r)
		a, err := distill.NewAnswerer(alice, v, seed)
		if err != nil {
			t.Fatal(err)
		}
		// What a parity is the sum of: Alices who have a single 1 each say whether that bit is in it.
		single := make([]*distill.Answerer, n)
		for i := range single {
			b := distill.NewBits(n)
			b.Flip(i)
			if single[i], err = distill.NewAnswerer(b, v, seed); err != nil {
				t.Fatal(err)
			}
		}
		var rows []*distill.Bits
		report, err := distill.Reconcile(bob, v, 0.03, seed, func(question []byte) ([]byte, error) {
			first := len(rows)
			answer, err := a.Answer(question)
			for range a.Leak() - first {
				rows = append(rows, distill.NewBits(n))
			}
			for i := range single {
				sums, err := single[i].Answer(question)
				if err != nil {
					return nil, err
				}
				for k := first; k < len(rows); k++ {
					rows[k].Set(i, uint64(sums[(k-first)/8]>>((k-first)%8)))
				}
			}
			return answer, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if rank := rankOf(rows); report.Leak != len(rows) || rank != report.Leak {
			t.Errorf("%v: of %d parities %d are independent, %d are reported", v, len(rows), rank, report.Leak)
		}
	}
}

// rankOf eliminates rows with rows.
func rankOf(rows []*distill.Bits) (rank int) {
	leading := map[int]*distill.Bits{}
	for _, row := range rows {
		row = row.Clone()
		for i := range row.Len() {
			if row.At(i) == 0 {
				continue
			}
			if leading[i] == nil {
				leading[i] = row
				rank++
				break
			}
			row.Xor(leading[i])
		}
	}
	return rank
}

// FuzzQuestion asks anything twice: an answer comes at most once, has a bit for each parity that is counted, and an
// error discloses nothing.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte{0, 1}, uint16(10))
	f.Add([]byte{1, 0x80, 0x01, 5}, uint16(1000))
	f.Add([]byte{0, 0x80, 0x80, 0x80, 0x80, 0x08}, uint16(1000))
	f.Add([]byte{8, 48, 48}, uint16(0))
	f.Fuzz(func(t *testing.T, question []byte, n uint16) {
		b := randomBits(random(uint64(n)), int(n))
		a, err := distill.NewAnswerer(b, distill.Option8, [32]byte{byte(n)})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := a.Answer(question)
		if err != nil {
			if !errors.Is(err, distill.ErrQuestion) || a.Leak() != 0 {
				t.Fatalf("%x: %v, %d disclosed", question, err, a.Leak())
			}
			return
		}
		if leak := a.Leak(); leak == 0 || leak > len(question) || len(answer) != (leak+7)/8 {
			t.Fatalf("%x: %d disclosed in %d bytes", question, leak, len(answer))
		}
		leak := a.Leak()
		if _, err := a.Answer(question); !errors.Is(err, distill.ErrQuestion) || a.Leak() != leak {
			t.Fatalf("%x was answered twice, or: %v", question, err)
		}
	})
}

// FuzzAnswers lets an Alice say anything: Bob ends, asks an honest Alice nothing that she would refuse, and counts.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{}, uint16(100), uint8(4))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint16(1000), uint8(0))
	f.Add(bytes.Repeat([]byte{0xA5}, 64), uint16(300), uint8(1))
	f.Fuzz(func(t *testing.T, lies []byte, n uint16, variant uint8) {
		v := allVariants[int(variant)%len(allVariants)]
		length := int(n) % 3000
		r := random(uint64(n))
		alice := randomBits(r, length)
		var seed [32]byte
		binary.LittleEndian.PutUint16(seed[:], n)
		a, err := distill.NewAnswerer(alice, v, seed)
		if err != nil {
			t.Fatal(err)
		}
		bob, _ := bernoulli(r, alice, 0.05)
		at := 0
		report, err := distill.Reconcile(bob, v, 0.05, seed, func(question []byte) ([]byte, error) {
			answer, err := a.Answer(question)
			if err != nil {
				t.Fatalf("Bob asked %x: %v", question, err)
			}
			answer = bytes.Clone(answer)
			for i := range answer {
				if at < len(lies) {
					answer[i] ^= lies[at]
					at++
				}
			}
			return answer, nil
		})
		if err != nil && !errors.Is(err, distill.ErrAnswer) {
			t.Fatal(err)
		}
		if err == nil && report.Leak != a.Leak() {
			t.Fatalf("%d parities, %d disclosed", report.Leak, a.Leak())
		}
	})
}
