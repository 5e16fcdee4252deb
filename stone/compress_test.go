package stone

import (
	"bytes"
	"crypto/rand"
	"testing"
)

func TestDecompress(t *testing.T) {
	encoder, err := (Compression{}).encoder()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{100, smallBuffer, SegmentSize} {
		plain := make([]byte, n)
		frame := encoder.EncodeAll(plain, nil)
		room := make([]byte, 0, n)
		if got, err := decompress(room, frame, n); err != nil || !bytes.Equal(got, plain) || &got[0] != &room[:1][0] {
			t.Errorf("%d bytes into room for them: %v", n, err)
		}
		if got, err := decompress(nil, frame, n); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes into nothing: %v", n, err)
		}
	}
}

func TestCompressionLevels(t *testing.T) {
	plain := bytes.Repeat([]byte("gold glitters, all the same. "), SegmentSize/20)[:SegmentSize]
	for level := range MaxCompressionLevel + 1 {
		encoder, err := Compression{Level: level}.encoder()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 255, 256, 65791, 65792, SegmentSize} {
			frame := encoder.EncodeAll(plain[:n], nil)
			if got, err := decompress(nil, frame, n); err != nil || !bytes.Equal(got, plain[:n]) {
				t.Errorf("level %d, %d bytes: %v", level, n, err)
			}
		}
	}
	for _, bad := range []int{-1, MaxCompressionLevel + 1} {
		if _, err := (Compression{Level: bad}).encoder(); err == nil {
			t.Errorf("there is a level %d", bad)
		}
	}
}

// TestWorthwhile: sealer and opener agree on when a segment is compressed, to the byte.
func TestWorthwhile(t *testing.T) {
	for _, c := range []struct {
		compressed, plain int
		want              bool
	}{{0, 1, true}, {1, 1, false}, {15, 16, true}, {16, 16, false}, {15, 17, true}, {16, 17, false}, {30, 32, true}, {31, 32, false}, {983040, 1 << 20, true}, {983041, 1 << 20, false}} {
		if got := worthwhile(c.compressed, c.plain); got != c.want || got != (16*c.compressed <= 15*c.plain) {
			t.Errorf("%d for %d: %v", c.compressed, c.plain, got)
		}
	}
	random := make([]byte, SegmentSize)
	rand.Read(random)
	if compressible(random) || !compressible(make([]byte, SegmentSize)) {
		t.Error("the guess is wrong about the plainest cases")
	}
}
