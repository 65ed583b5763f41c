// Package chart draws line and bar charts as SVG. The colors follow the reader's
// light or dark mode, and each line is labeled at its end.
package chart

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Line is a named sequence of points (x, y), sorted by x.
type Line struct {
	Name   string
	Points [][2]float64
}

// Chart is a line chart.
type Chart struct {
	Title string
	X, Y  string // axis labels, including the unit
	LogX  bool   // values must be positive
	LogY  bool
	Lines []Line // the colors repeat after 6
}

// Sizes in pixels. Line names are to the right of the plot.
const (
	width, height         = 760, 400
	plotLeft, plotRight   = 64, 560 // longer names move the right edge
	nameGap, letterWidth  = 12, 7.2
	plotTop, plotBottom   = 64, 340
	labelHeight           = 17
	maxTicks              = 8
	barHeight, barGap     = 20, 8
	barsLeft, barsRight   = 240, 640
	barsTop, barsMargin   = 56, 24
	pointRadius, fontSize = 3, 13
)

const colors = 6

// style has the colors of both modes. The background is drawn because an SVG in an
// <img> cannot inherit the background color of its page.
const style = `
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.quiet { fill: #59636e }
.back { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.axis { stroke: #818b98; stroke-width: 1 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.range { stroke: #1f2328; stroke-width: 1 }
.c0 { color: #0969da } .c1 { color: #bc4c00 } .c2 { color: #1a7f37 } .c3 { color: #8250df } .c4 { color: #59636e } .c5 { color: #bf3989 }
.ink { fill: currentColor } .pen { stroke: currentColor }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.quiet { fill: #9198a1 }
.back { fill: #0d1117 }
.grid { stroke: #2f353d }
.axis { stroke: #656c76 }
.range { stroke: #f0f6fc }
.c0 { color: #4493f8 } .c1 { color: #db6d28 } .c2 { color: #3fb950 } .c3 { color: #ab7df8 } .c4 { color: #9198a1 } .c5 { color: #db61a2 }
}
`

// SVG returns the chart as an SVG document.
func (c Chart) SVG() string {
	right := c.right()
	x, y := newAxis(c.values(0), c.LogX, plotLeft, right), newAxis(c.values(1), c.LogY, plotBottom, plotTop)
	var d drawing
	d.begin(height, c.Title)
	d.text(16, 48, "start", "quiet", c.Y)
	for _, v := range y.ticks {
		at := y.at(v)
		d.printf(`<line class="grid" x1="%d" y1="%.1f" x2="%.1f" y2="%.1f"/>`, plotLeft, at, right, at)
		d.text(plotLeft-8, at+4, "end", "quiet", Number(v))
	}
	d.printf(`<line class="axis" x1="%d" y1="%d" x2="%.1f" y2="%d"/>`, plotLeft, plotBottom, right, plotBottom)
	for _, v := range x.ticks {
		at := x.at(v)
		d.printf(`<line class="axis" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, at, plotBottom, at, plotBottom+5)
		d.text(at, plotBottom+20, "middle", "quiet", Number(v))
	}
	d.text((plotLeft+right)/2, plotBottom+44, "middle", "quiet", c.X)
	for i, line := range c.Lines {
		d.line(i%colors, line, x, y)
	}
	for i, at := range c.labels(y) {
		d.printf(`<g class="c%d">`, i%colors)
		d.text(right+nameGap, at+4, "start", "ink", c.Lines[i].Name)
		d.printf(`</g>`)
	}
	return d.end()
}

// right returns the right edge of the plot, leaving space for the longest name.
func (c Chart) right() float64 {
	longest := 0
	for _, line := range c.Lines {
		longest = max(longest, len([]rune(line.Name)))
	}
	return min(plotRight, width-2*nameGap-letterWidth*float64(longest))
}

// values returns all x (0) or y (1) values of the chart.
func (c Chart) values(of int) []float64 {
	var values []float64
	for _, line := range c.Lines {
		for _, point := range line.Points {
			values = append(values, point[of])
		}
	}
	return values
}

// labels returns the vertical position of each line's name: the end of the line,
// adjusted so that names do not overlap.
func (c Chart) labels(y axis) []float64 {
	at := make([]float64, len(c.Lines))
	order := make([]int, len(c.Lines))
	for i, line := range c.Lines {
		order[i] = i
		if n := len(line.Points); n > 0 {
			at[i] = y.at(line.Points[n-1][1])
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(1, at[a]-at[b])) })
	for i := 1; i < len(order); i++ {
		at[order[i]] = max(at[order[i]], at[order[i-1]]+labelHeight)
	}
	// The last labels may now be below the plot: move them, and those above, up.
	limit := float64(plotBottom)
	for _, i := range slices.Backward(order) {
		at[i] = min(at[i], limit)
		limit = at[i] - labelHeight
	}
	return at
}

// axis maps values to pixels.
type axis struct {
	log        bool
	low, high  float64
	start, end float64
	ticks      []float64
}

// newAxis returns an axis that covers all values. A linear axis starts at 0. If a
// logarithmic axis has few distinct values, they are its ticks.
func newAxis(values []float64, log bool, start, end float64) axis {
	a := axis{log: log, start: start, end: end, low: 0, high: 1}
	if len(values) == 0 {
		return a
	}
	a.high = slices.Max(values)
	if !log {
		a.ticks = linearTicks(a.high)
		a.high = a.ticks[len(a.ticks)-1]
		return a
	}
	a.low = slices.Min(values)
	different := slices.Compact(slices.Sorted(slices.Values(values)))
	if horizontal := start < end; horizontal && len(different) <= maxTicks {
		a.ticks = different
		return a
	}
	a.ticks = logTicks(a.low, a.high)
	a.low, a.high = a.ticks[0], a.ticks[len(a.ticks)-1]
	return a
}

func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log(low), math.Log(high), math.Log(v)
	}
	if high == low {
		return a.start
	}
	return a.start + (v-low)/(high-low)*(a.end-a.start)
}

// linearTicks returns multiples of 1, 2 or 5 times a power of ten, from 0 to the
// first one that is at least high. It returns at most 7 ticks.
func linearTicks(high float64) []float64 {
	if high <= 0 {
		return []float64{0, 1}
	}
	power := math.Pow(10, math.Floor(math.Log10(high))-1)
	for _, factor := range []float64{1, 2, 5, 10, 20, 50} {
		step := factor * power
		if n := math.Ceil(high/step - 1e-9); n <= 6 {
			ticks := make([]float64, 0, 7)
			for i := range int(n) + 1 {
				ticks = append(ticks, float64(i)*step)
			}
			return ticks
		}
	}
	return []float64{0, high}
}

// logTicks returns powers of ten, the first at most low and the last at least high.
// For fewer than three decades it also returns 2 and 5 times these.
func logTicks(low, high float64) []float64 {
	first, last := math.Floor(math.Log10(low)+1e-9), math.Ceil(math.Log10(high)-1e-9)
	factors := []float64{1}
	if last-first < 3 {
		factors = []float64{1, 2, 5}
	}
	var all []float64
	for exponent := first; exponent <= max(last, first+1); exponent++ {
		for _, factor := range factors {
			all = append(all, factor*math.Pow(10, exponent))
		}
	}
	from, to := 0, len(all)-1
	for from+1 < len(all) && all[from+1] <= low*(1+1e-9) {
		from++
	}
	for to-1 > from && all[to-1] >= high*(1-1e-9) {
		to--
	}
	return all[from : to+1]
}

// drawing is an SVG document under construction.
type drawing struct{ strings.Builder }

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *drawing) begin(height int, title string) {
	d.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, width, height, width, height)
	d.printf(`<title>%s</title>`, escape(title))
	d.printf(`<style>%s</style>`, style)
	d.printf(`<rect class="back" width="%d" height="%d" rx="6"/>`, width, height)
	d.text(16, 26, "start", "title", title)
}

func (d *drawing) end() string {
	d.printf(`</svg>`)
	return d.String()
}

func (d *drawing) text(x, y float64, anchor, class, text string) {
	d.printf(`<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, escape(text))
}

func (d *drawing) line(color int, line Line, x, y axis) {
	points := make([]string, 0, len(line.Points))
	for _, point := range line.Points {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x.at(point[0]), y.at(point[1])))
	}
	d.printf(`<g class="c%d"><polyline class="line pen" points="%s"/>`, color, strings.Join(points, " "))
	for _, point := range line.Points {
		d.printf(`<circle class="ink" cx="%.1f" cy="%.1f" r="%d"><title>%s: %s at %s</title></circle>`, x.at(point[0]), y.at(point[1]), pointRadius,
			escape(line.Name), Number(point[1]), Number(point[0]))
	}
	d.printf(`</g>`)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // writing to a Builder cannot fail
	return b.String()
}

// Number formats a figure for readers: rounded, with thousands separators, and with
// millions in words.
func Number(v float64) string {
	switch {
	case math.Abs(v) >= 1e6:
		return trim(v/1e6, 2) + " million"
	case math.Abs(v) >= 1000:
		whole := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		return whole[:len(whole)-3] + "," + whole[len(whole)-3:]
	case math.Abs(v) >= 100:
		return trim(v, 0)
	case math.Abs(v) >= 10:
		return trim(v, 1)
	default:
		return trim(v, 2)
	}
}

// trim formats v with the given number of decimals and removes trailing zeros.
func trim(v float64, decimals int) string {
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
