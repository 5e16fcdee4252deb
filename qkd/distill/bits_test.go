package distill_test

import (
	"bytes"
	"errors"
	"testing"

	"stonevault/qkd/distill"
)

func TestBits(t *testing.T) {
	r := random(1)
	for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000} {
		b := randomBits(r, n)
		if b.Len() != n || len(b.Words()) != (n+63)/64 {
			t.Fatalf("%d bits are %d in %d words", n, b.Len(), len(b.Words()))
		}
		ones := 0
		appended := distill.NewBits(0)
		for i := range n {
			if b.At(i) != b.Words()[i/64]>>(i%64)&1 || b.At(i) != uint64(b.Bytes()[i/8]>>(i%8)&1) {
				t.Fatalf("bit %d of %d is not where it should be", i, n)
			}
			ones += int(b.At(i))
			appended.Append(b.At(i)|^uint64(1), 1)
		}
		if ones != b.Ones() || !appended.Equal(b) {
			t.Errorf("%d bits: %d ones, not %d; or one by one they are others", n, b.Ones(), ones)
		}
		again, err := distill.FromBytes(b.Bytes(), n)
		if err != nil || !again.Equal(b) {
			t.Errorf("%d bits are not what their bytes say: %v", n, err)
		}
		for range 20 {
			from := r.IntN(n + 1)
			to := from + r.IntN(n-from+1)
			part := b.Slice(from, to)
			if part.Len() != to-from || uint64(part.Ones()&1) != b.Parity(from, to) {
				t.Errorf("bits %d to %d of %d: parity %d, not %d", from, to, n, b.Parity(from, to), part.Ones()&1)
			}
			for i := range part.Len() {
				if part.At(i) != b.At(from+i) {
					t.Fatalf("bits %d to %d of %d: bit %d is another", from, to, n, i)
				}
			}
		}
		if n == 0 {
			continue
		}
		last := b.At(n - 1)
		c := b.Clone()
		c.Flip(n - 1)
		if c.Equal(b) || c.At(n-1) != last^1 || b.At(n-1) != last {
			t.Errorf("%d bits: the last one was not flipped in the copy alone", n)
		}
		c.Xor(b)
		if c.Ones() != 1 || c.At(n-1) != 1 {
			t.Errorf("%d bits: the sum of two that differ in one bit has %d ones", n, c.Ones())
		}
		c.Set(n-1, 2)
		if c.Ones() != 0 {
			t.Errorf("%d bits: the last one was not set to 0", n)
		}
		if b.Equal(b.Slice(0, n-1)) {
			t.Errorf("%d and %d bits are equal", n, n-1)
		}
	}
}

func TestAppend(t *testing.T) {
	r := random(2)
	b := distill.NewBits(0)
	var want []byte
	for range 200 {
		v, n := r.Uint64(), r.IntN(65)
		b.Append(v, n)
		for i := range n {
			want = append(want, byte(v>>i&1))
		}
	}
	if b.Len() != len(want) {
		t.Fatalf("%d bits, want %d", b.Len(), len(want))
	}
	for i, v := range want {
		if b.At(i) != uint64(v) {
			t.Fatalf("bit %d is %d", i, b.At(i))
		}
	}
}

func TestFromBytesRefuses(t *testing.T) {
	for _, c := range []struct {
		data []byte
		n    int
	}{
		{nil, 1}, {[]byte{1}, 0}, {[]byte{2}, 1}, {[]byte{0x80}, 7}, {[]byte{1, 1}, 8}, {[]byte{1}, 9}, {[]byte{1, 2}, 9}, {nil, -1},
	} {
		if _, err := distill.FromBytes(c.data, c.n); !errors.Is(err, distill.ErrBits) {
			t.Errorf("%x as %d bits: %v", c.data, c.n, err)
		}
	}
}

func TestReadBits(t *testing.T) {
	source := bytes.NewReader(bytes.Repeat([]byte{0xFF}, 24))
	b, err := distill.ReadBits(source, 65)
	if err != nil || b.Ones() != 65 || source.Len() != 8 {
		t.Errorf("65 bits: %v, %d left of 24 bytes", err, source.Len())
	}
	if _, err := distill.ReadBits(source, 65); err == nil {
		t.Error("65 bits came from 8 bytes")
	}
}

func FuzzFromBytes(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 20)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		if b, err := distill.FromBytes(data, n); err == nil && (b.Len() != n || !bytes.Equal(b.Bytes(), data)) {
			t.Fatalf("%x as %d bits is written as %x", data, n, b.Bytes())
		}
	})
}
