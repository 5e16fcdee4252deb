package main

import (
	"image/color"
	"strings"
	"testing"

	"github.com/boombuler/barcode/qr"
)

// Every module of the code is where it belongs, with a light margin around.
func TestDrawQR(t *testing.T) {
	const text = "otpauth://totp/Stonevault:ann?secret=JBSWY3DPEHPK3PXP&issuer=Stonevault"
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		t.Fatal(err)
	}
	size := code.Bounds().Dx()
	for _, colours := range []bool{true, false} {
		var b strings.Builder
		if err := drawQR(&b, text, colours); err != nil {
			t.Fatal(err)
		}
		drawn := b.String()
		if strings.Contains(drawn, "\x1b") != colours {
			t.Errorf("colours %v: it has escape sequences, or not", colours)
		}
		drawn = strings.NewReplacer(blackOnWhite, "", plainColours, "").Replace(drawn)
		lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
		if want := (size + 2*qrMargin + 1) / 2; len(lines) != want {
			t.Fatalf("%d lines, want %d", len(lines), want)
		}
		for row, line := range lines {
			cells := []rune(line)
			if len(cells) != size+2*qrMargin {
				t.Fatalf("line %d has %d cells", row, len(cells))
			}
			for column, cell := range cells {
				halves := map[rune][2]bool{'█': {true, true}, '▀': {true, false}, '▄': {false, true}, ' ': {false, false}}[cell]
				for half, inked := range halves {
					x, y := column-qrMargin, 2*row+half-qrMargin
					dark := x >= 0 && y >= 0 && x < size && y < size && code.At(x, y) == color.Black
					if inked != (dark == colours) {
						t.Fatalf("colours %v: the module at %d, %d is drawn wrong", colours, x, y)
					}
				}
			}
		}
	}
}
