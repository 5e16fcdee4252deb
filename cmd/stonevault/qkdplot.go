package main

import (
	"fmt"
	"math"
	"strings"

	"stonevault/qkd/bb84"
)

// The plot's area within the picture, in pixels.
const (
	plotLeft, plotRight = 90.0, 700.0
	plotTop, plotBottom = 60.0, 400.0
)

// plotColours are those of Okabe and Ito, which colour-blind people tell apart; the dashes do too.
var plotColours = []struct{ colour, dashes string }{{"#0072b2", "none"}, {"#d55e00", "8 3"}, {"#009e73", "2 3"}, {"#cc79a7", "9 3 2 3"}}

// plotRates draws secret bits a pulse, on a logarithmic scale, against the distance.
func plotRates(r *rateReport) string {
	reach, lowest, highest := 0.0, 0, -20
	for _, c := range r.Curves {
		for _, p := range c.Points {
			reach = max(reach, p.Distance)
			if p.Length > 0 {
				e := decade(p.PerPulse)
				lowest, highest = min(lowest, e), max(highest, e+1)
			}
		}
	}
	highest = max(highest, lowest+1)
	reach = max(20, 20*math.Ceil(reach/20))
	x := func(km float64) float64 { return plotLeft + (plotRight-plotLeft)*km/reach }
	y := func(rate float64) float64 {
		return plotBottom - (plotBottom-plotTop)*(math.Log10(rate)-float64(lowest))/float64(highest-lowest)
	}
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	text := func(x, y float64, anchor, s string) {
		say(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, s)
	}
	say(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 470" width="720" height="470" font-family="sans-serif" font-size="13" role="img">`)
	say(`<title>Secret bits a pulse against distance, simulated: %s</title>`, sourceWords[r.Source])
	say(`<rect width="720" height="470" fill="#ffffff"/>`)
	say(`<text x="%.1f" y="24" font-size="16" fill="#222222">Secret bits a pulse against distance (simulated, %s)</text>`, plotLeft, sourceWords[r.Source])
	say(`<g stroke="#dddddd" fill="none">`)
	for e := lowest; e <= highest; e++ {
		say(`<path d="M%.1f %.1fH%.1f"/>`, plotLeft, y(math.Pow10(e)), plotRight)
	}
	for km := 0.0; km <= reach; km += 20 {
		say(`<path d="M%.1f %.1fV%.1f"/>`, x(km), plotTop, plotBottom)
	}
	say(`</g>`)
	say(`<g fill="#222222">`)
	for e := lowest; e <= highest; e++ {
		say(`<text x="%.1f" y="%.1f" text-anchor="end">10<tspan dy="-5" font-size="10">%d</tspan></text>`, plotLeft-8, y(math.Pow10(e))+5, e)
	}
	for km := 0.0; km <= reach; km += 20 {
		text(x(km), plotBottom+20, "middle", fmt.Sprintf("%g", km))
	}
	text((plotLeft+plotRight)/2, plotBottom+44, "middle", "kilometres of fibre")
	say(`</g>`)
	for i, c := range r.Curves {
		look := plotColours[i%len(plotColours)]
		plotCurve(&b, c, look.colour, look.dashes, x, y)
		at := plotTop + 20 + 18*float64(i)
		say(`<path d="M%.1f %.1fh34" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`, plotRight-250, at-4, look.colour, look.dashes)
		say(`<text x="%.1f" y="%.1f" fill="#222222">%s, %.1e pulses</text>`, plotRight-208, at, c.Name, float64(c.Pulses))
	}
	say(`</svg>`)
	return b.String()
}

// plotCurve draws one setup; a dot marks its own distance.
func plotCurve(b *strings.Builder, c rateCurve, colour, dashes string, x, y func(float64) float64) {
	var path []string
	var own *bb84.Rate
	for i, p := range c.Points {
		if p.Length == 0 {
			break
		}
		path = append(path, fmt.Sprintf("%.1f %.1f", x(p.Distance), y(p.PerPulse)))
		if p.Distance == c.Distance {
			own = &c.Points[i]
		}
	}
	if len(path) == 0 {
		return
	}
	fmt.Fprintf(b, "<path d=\"M%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\"/>\n", strings.Join(path, "L"), colour, dashes)
	if own != nil {
		fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", x(own.Distance), y(own.PerPulse), colour)
	}
}

// decade is the power of ten below a rate.
func decade(rate float64) int { return int(math.Floor(math.Log10(rate))) }
