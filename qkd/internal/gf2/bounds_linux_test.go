package gf2

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// fenced returns random words between two pages that may not be touched, right before the second one or behind the first.
func fenced(t *testing.T, r *rand.Rand, n int, atEnd bool) []uint64 {
	t.Helper()
	page := syscall.Getpagesize()
	inside := (8*n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, inside+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	for _, fence := range [][]byte{mem[:page], mem[page+inside:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	at := page
	if atEnd {
		at += inside - 8*n
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&mem[at])), n)
	copy(words, randomWords(r, n))
	return words
}

// TestBounds has the kernels work on vectors that end where memory ends, and compares them with the Go code.
func TestBounds(t *testing.T) {
	r := random(8)
	goCode := kernel{}
	check := func(k kernel, what string, got, want []uint64) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s of %d words", k.name, what, len(want))
		}
	}
	for _, k := range kernels() {
		for _, atEnd := range []bool{false, true} {
			words := func(n int) []uint64 { return fenced(t, r, n, atEnd) }
			for _, n := range []int{4, 8, 12, 60, 64} {
				for _, count := range []int{1, 2, 3, 5} {
					s, x, out, want := words(n+count-1), words(n), words(2*count), make([]Element, count)
					k.correlateWords(unsafe.Slice((*Element)(unsafe.Pointer(&out[0])), count), s, x)
					goCode.correlateWords(want, s, x)
					check(k, "correlate", out, unsafe.Slice(&want[0].Lo, 2*count))
				}
				a, b, sum := words(n), words(n), words(n)
				a1, b1, sum1 := slices.Clone(a), slices.Clone(b), slices.Clone(sum)
				k.multiplyAdd(sum, a, b)
				goCode.multiplyAdd(sum1, a, b)
				check(k, "multiplyAdd", sum, sum1)
				for _, w := range []uint64{0, 1, r.Uint64()} {
					k.butterfly(a, b, w)
					goCode.butterfly(a1, b1, w)
					check(k, "butterfly", slices.Concat(a, b), slices.Concat(a1, b1))
					k.butterflyBack(a, b, w+2)
					goCode.butterflyBack(a1, b1, w+2)
					check(k, "butterflyBack", slices.Concat(a, b), slices.Concat(a1, b1))
				}
				k.addWords(sum, a, b)
				goCode.addWords(sum1, a, b)
				check(k, "addWords", sum, sum1)
			}
			// The last two levels, with their twists at the end of the table.
			f, w := words(8), words(4)
			f1 := slices.Clone(f)
			k.evaluateAt(f, w, 0)
			goCode.evaluateAt(f1, w, 0)
			check(k, "evaluateAt", f, f1)
			k.interpolate(f, w, 0)
			goCode.interpolate(f1, w, 0)
			check(k, "interpolate", f, f1)
			for _, n := range []int{2, 4, 62, 64, 66, 72, 130} {
				key, message := Element{r.Uint64(), r.Uint64()}, words(n)
				if got, want := k.evaluate(key, message), goCode.evaluate(key, message); got != want {
					t.Errorf("%s: hash of %d words = %x, want %x", k.name, n, got, want)
				}
			}
		}
	}
}
