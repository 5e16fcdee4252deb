package main

import (
	"fmt"
	"image/color"
	"io"
	"os"
	"strings"

	"github.com/boombuler/barcode/qr"
)

const (
	// qrMargin is how many light modules a reader wants around the code (ISO/IEC 18004, 9.1).
	qrMargin = 4

	// Black on white, whatever the terminal's colours are.
	blackOnWhite = "\x1b[38;5;16;48;5;231m"
	plainColours = "\x1b[0m"
)

// drawQR draws text as a QR code with half blocks, two rows of modules in a line. Without colours it counts on light
// letters on a dark ground, as most terminals have them.
func drawQR(w io.Writer, text string, colours bool) error {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return fmt.Errorf("cannot draw a QR code: %w", err)
	}
	size := code.Bounds().Dx()
	inked := func(x, y int) bool {
		dark := x >= 0 && y >= 0 && x < size && y < size && code.At(x, y) == color.Black
		return dark == colours
	}
	var b strings.Builder
	for y := -qrMargin; y < size+qrMargin; y += 2 {
		if colours {
			b.WriteString(blackOnWhite)
		}
		for x := -qrMargin; x < size+qrMargin; x++ {
			top, bottom := inked(x, y), inked(x, y+1)
			switch {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		if colours {
			b.WriteString(plainColours)
		}
		b.WriteString("\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// colourful tells whether a terminal is to be given colours (no-color.org).
func colourful() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }
