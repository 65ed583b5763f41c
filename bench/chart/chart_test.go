package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestTicksEncloseAllValues(t *testing.T) {
	tests := []struct {
		name      string
		low, high float64
		log       bool
		want      []float64
	}{
		{"small", 0, 0.7, false, []float64{0, 0.2, 0.4, 0.6, 0.8}},
		{"to the limit", 0, 6, false, []float64{0, 1, 2, 3, 4, 5, 6}},
		{"thousands", 0, 14200, false, []float64{0, 5000, 10000, 15000}},
		{"nothing", 0, 0, false, []float64{0, 1}},
		{"one decade", 12, 90, true, []float64{10, 20, 50, 100}},
		{"many decades", 3, 90_000, true, []float64{1, 10, 100, 1000, 10_000, 100_000}},
		{"a power of ten", 10, 10, true, []float64{10, 20}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := linearTicks(test.high)
			if test.log {
				got = logTicks(test.low, test.high)
			}
			if !slices.EqualFunc(got, test.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(1, b) }) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

func TestAxisMapsItsEndpoints(t *testing.T) {
	for _, log := range []bool{false, true} {
		x, y := newAxis([]float64{1, 64}, log, 0, 100), newAxis([]float64{1, 1000}, log, 100, 0)
		if x.at(x.low) != 0 || math.Abs(x.at(x.high)-100) > 1e-9 || y.at(y.low) != 100 || math.Abs(y.at(y.high)) > 1e-9 {
			t.Errorf("log %v: %v, %v", log, x, y)
		}
	}
	middle := newAxis([]float64{1, 100}, true, 0, 100).at(10)
	if math.Abs(middle-50) > 1e-9 {
		t.Errorf("10 between 1 and 100 is at %v", middle)
	}
}

func TestNumberFormatting(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.4: "0.4", 0.123: "0.12", 5: "5", 12.34: "12.3", 50: "50", 100: "100", 123.4: "123", 999: "999", 1000: "1,000", 123456: "123,456", 1e6: "1 million", 2.5e7: "25 million",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

// Lines often end close together, including at the bottom of the plot.
func TestLabelsDoNotOverlap(t *testing.T) {
	for _, ends := range [][]float64{{5, 5, 5, 5, 5, 5}, {0, 0, 0, 10}, {10, 9.9, 9.8, 0.1, 0}, {3}} {
		c := Chart{}
		for _, end := range ends {
			c.Lines = append(c.Lines, Line{Name: "line", Points: [][2]float64{{1, 10}, {2, end}}})
		}
		at := c.labels(newAxis(c.values(1), false, plotBottom, plotTop))
		sorted := slices.Sorted(slices.Values(at))
		for i := 1; i < len(sorted); i++ {
			if sorted[i]-sorted[i-1] < labelHeight-1e-9 {
				t.Errorf("%v: labels at %v overlap", ends, at)
			}
		}
		if sorted[len(sorted)-1] > plotBottom {
			t.Errorf("%v: a label is below the plot: %v", ends, at)
		}
	}
}

// Names come from data and must be escaped. All text must appear in the chart.
func TestChartsAreWellFormed(t *testing.T) {
	line := Chart{
		Title: "A < B & C", X: "connections", Y: "µs", LogX: true, LogY: true,
		Lines: []Line{{"file", [][2]float64{{1, 100}, {64, 2000}}}, {"memory & more", [][2]float64{{1, 90}, {64, 80}}}},
	}.SVG()
	bars := Bars{Title: "A < B & C", X: "µs", Rows: []Bar{{Name: "file", Value: 10, Low: 9, High: 12}, {Name: "memory & more", Value: 8, Color: 1}}}.SVG()
	for name, svg := range map[string]string{"lines": line, "bars": bars, "no lines": Chart{Title: "empty"}.SVG(), "no bars": Bars{Title: "empty"}.SVG()} {
		decoder := xml.NewDecoder(strings.NewReader(svg))
		var text strings.Builder
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, svg)
			}
			if data, ok := token.(xml.CharData); ok {
				text.Write(data)
			}
		}
		if strings.HasPrefix(name, "no ") {
			continue
		}
		for _, want := range []string{"A < B & C", "µs", "file", "memory & more", "prefers-color-scheme: dark"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: a coordinate is not a number\n%s", name, svg)
		}
	}
}

// A long name makes the plot narrower.
func TestNamesFitBesideThePlot(t *testing.T) {
	for _, n := range []int{0, 5, 20, 40} {
		c := Chart{Lines: []Line{{Name: strings.Repeat("µ", n)}}}
		if end := c.right() + nameGap + letterWidth*float64(n); end > width || c.right() > plotRight {
			t.Errorf("%d letters: the plot ends at %v, the name at %v", n, c.right(), end)
		}
	}
}

// TestPointsAreInsideThePlot parses the coordinates from the SVG.
func TestPointsAreInsideThePlot(t *testing.T) {
	svg := Chart{LogX: true, Lines: []Line{{"a", [][2]float64{{1, 0}, {1000, 77}}}, {"b", [][2]float64{{10, 13}, {100, 1}}}}}.SVG()
	circles := regexp.MustCompile(`cx="([\d.]+)" cy="([\d.]+)"`).FindAllStringSubmatch(svg, -1)
	if len(circles) != 4 {
		t.Fatalf("%d points", len(circles))
	}
	for _, circle := range circles {
		x, _ := strconv.ParseFloat(circle[1], 64)
		y, _ := strconv.ParseFloat(circle[2], 64)
		if x < plotLeft || x > plotRight || y < plotTop || y > plotBottom {
			t.Errorf("(%v, %v) is outside", x, y)
		}
	}
}
