// Package result turns rounds of measurements into medians, ranges, ratios and
// tables. Ratios are computed within a round, between measurements made shortly
// after each other, so that other load on the machine affects both alike.
package result

import (
	"fmt"
	"slices"
	"strings"
)

// Measurement is the result of one target doing one kind of work in one round.
type Measurement struct {
	Round     int         `json:"round"`
	Work      string      `json:"work"`
	Target    string      `json:"target"`
	Done      int         `json:"done"`
	Failed    int         `json:"failed"`
	Statuses  map[int]int `json:"statuses"`
	PerSecond float64     `json:"per_second"`
	P50       float64     `json:"p50_us"`
	P99       float64     `json:"p99_us"`
	CPU       float64     `json:"cpu_us"` // of the server, per delivery
}

// Metric is one figure of a Measurement.
type Metric func(Measurement) float64

// CPU is the CPU time of the server in microseconds per delivery.
func CPU(m Measurement) float64 { return m.CPU }

// PerSecond is the number of responses per second.
func PerSecond(m Measurement) float64 { return m.PerSecond }

// P50 is the median latency in microseconds.
func P50(m Measurement) float64 { return m.P50 }

// P99 is the 99th percentile of latency in microseconds.
func P99(m Measurement) float64 { return m.P99 }

// Run has all measurements of one run.
type Run struct {
	About        []string          `json:"about"` // machine and versions
	Rounds       int               `json:"rounds"`
	Works        []string          `json:"works"`
	Targets      []string          `json:"targets"`
	Skipped      map[string]string `json:"skipped"` // reasons by target
	Measurements []Measurement     `json:"measurements"`
	PeakMemory   map[string]int64  `json:"peak_memory_bytes"`
	Sync         []float64         `json:"fdatasync_us"` // median time to append 4 KiB, by round
	Twins        []Measurement     `json:"twins"`        // of one server started twice; see VariationOf
	Variation    Variation         `json:"variation"`
	Backlogs     []Backlog         `json:"backlogs"`
	Drains       []Drain           `json:"drains"`
}

// Backlog is the cost of accepting and delivering while many entries are waiting.
type Backlog struct {
	Waiting   int     `json:"waiting"`
	P50       float64 `json:"p50_us"`     // of lone deliveries
	PerSecond float64 `json:"per_second"` // accepted and delivered, 32 connections
	CPU       float64 `json:"cpu_us"`     // of the server, for each of these
	Memory    float64 `json:"memory_bytes"`
	Own       float64 `json:"own_memory_bytes"` // without mapped files
	Start     float64 `json:"start_ms"`         // from the start to the first response
}

// Drain is how fast a queue delivered its backlog, compared with how fast the app
// accepted the same deliveries directly.
type Drain struct {
	Takes string  `json:"app_takes"`
	Alone float64 `json:"alone_per_second"`
	Queue float64 `json:"queue_per_second"`
	CPU   float64 `json:"cpu_us"`
}

// Spread is a median with the minimum, the maximum and a confidence interval.
type Spread struct {
	Median, Least, Most float64
	From, To            float64 // see Interval
	N                   int
}

// SpreadOf returns the spread of the values, or the zero Spread if there are none.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	middle := values[len(values)/2]
	if len(values)%2 == 0 {
		middle = (middle + values[len(values)/2-1]) / 2
	}
	from, to := Interval(values)
	return Spread{Median: middle, Least: values[0], Most: values[len(values)-1], From: from, To: to, N: len(values)}
}

// String returns the median with its range.
func (s Spread) String() string {
	if s.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Least), number(s.Most))
}

// Values returns the spread of the metric over all rounds for a target and a work.
func (r *Run) Values(work, target string, metric Metric) Spread {
	var values []float64
	for _, m := range r.Measurements {
		if m.Work == work && m.Target == target {
			values = append(values, metric(m))
		}
	}
	return SpreadOf(values)
}

// Ratios returns the metric of a target's work divided by that of another
// target's (work baseWork) in the same round.
func (r *Run) Ratios(work, target, baseWork, base string, metric Metric) Spread {
	return SpreadOf(r.ratios(work, target, baseWork, base, metric))
}

func (r *Run) ratios(work, target, baseWork, base string, metric Metric) []float64 {
	return r.pairs(work, target, baseWork, base, func(a, b Measurement) (float64, bool) {
		return metric(a) / metric(b), metric(b) > 0
	})
}

// Differences is like Ratios, but subtracts.
func (r *Run) Differences(work, target, baseWork, base string, metric Metric) Spread {
	return SpreadOf(r.pairs(work, target, baseWork, base, func(a, b Measurement) (float64, bool) {
		return metric(a) - metric(b), true
	}))
}

func (r *Run) pairs(work, target, baseWork, base string, f func(a, b Measurement) (float64, bool)) []float64 {
	var values []float64
	for _, a := range r.Measurements {
		for _, b := range r.Measurements {
			if a.Round != b.Round || a.Work != work || a.Target != target || b.Work != baseWork || b.Target != base {
				continue
			}
			if v, ok := f(a, b); ok {
				values = append(values, v)
			}
		}
	}
	return values
}

// Scaled returns the spread with its values multiplied by a factor.
func (s Spread) Scaled(by float64) Spread {
	return Spread{Median: s.Median * by, Least: s.Least * by, Most: s.Most * by, From: s.From * by, To: s.To * by, N: s.N}
}

// Table returns a Markdown table of a metric: the median and its range, preceded by
// the median ratio to base if base is a target.
func (r *Run) Table(metric Metric, base string, works []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n| --- |%s\n", strings.Join(works, " | "), strings.Repeat(" --- |", len(works)))
	for _, target := range r.Targets {
		if why, skipped := r.Skipped[target]; skipped {
			fmt.Fprintf(&b, "| %s | skipped: %s |%s\n", target, cell(why), strings.Repeat(" |", len(works)-1))
			continue
		}
		fmt.Fprintf(&b, "| %s |", target)
		for _, work := range works {
			fmt.Fprintf(&b, " %s |", r.figure(work, target, base, metric))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r *Run) figure(work, target, base string, metric Metric) string {
	v := r.Values(work, target, metric)
	if v.N == 0 {
		return "–"
	}
	text := v.String()
	ratios := r.Ratios(work, target, work, base, metric)
	if ratios.N == 0 { // base is not a target or was not measured
		return text
	}
	return fmt.Sprintf("**%.2f** · %s", ratios.Median, text)
}

// Surprises describes the unexpected responses of each target.
func (r *Run) Surprises(expected func(work, target string, status int) bool) []string {
	counts := make(map[string]int)
	for _, m := range r.Measurements {
		if m.Failed > 0 {
			counts[fmt.Sprintf("%s, %s: not answered", m.Target, m.Work)] += m.Failed
		}
		for status, n := range m.Statuses {
			if !expected(m.Work, m.Target, status) {
				counts[fmt.Sprintf("%s, %s: answered %d", m.Target, m.Work, status)] += n
			}
		}
	}
	lines := make([]string, 0, len(counts))
	for what, n := range counts {
		lines = append(lines, fmt.Sprintf("%s %d times", what, n))
	}
	slices.Sort(lines)
	return lines
}

// cell returns text in a form that fits into a table cell.
func cell(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ").Replace(text)
}

// number formats a figure with three digits or as a whole number.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
