package result

import (
	"cmp"
	"math"
	"slices"
)

// Variation is how far the median ratio of two equal servers can be from 1 on this
// machine, as a fraction: 0.02 is ±2 %.
type Variation struct {
	CPU       float64 `json:"cpu"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50"`
}

// The names of the two equal servers in the measurements for [VariationOf].
const (
	Twin  = "A"
	Other = "B"
)

// VariationOf returns the variation of a run with the given number of rounds, based
// on measurements of one server started twice.
func VariationOf(twins []Measurement, rounds int) Variation {
	run := Run{Measurements: twins}
	var works []string
	for _, m := range twins {
		if !slices.Contains(works, m.Work) {
			works = append(works, m.Work)
		}
	}
	of := func(metric Metric) float64 {
		var ratios []float64
		for _, work := range works {
			ratios = append(ratios, run.ratios(work, Twin, work, Other, metric)...)
		}
		return variation(ratios, rounds)
	}
	return Variation{CPU: of(CPU), PerSecond: of(PerSecond), P50: of(P50)}
}

// variation returns two standard errors of the median of one ratio per round. The
// true ratio is 1, so about two thirds of the ratios are within one standard
// deviation of 1. Counting them makes the result robust against outliers.
func variation(ratios []float64, rounds int) float64 {
	var distances []float64
	for _, ratio := range ratios {
		if ratio > 0 {
			distances = append(distances, math.Abs(math.Log(ratio)))
		}
	}
	if len(distances) == 0 || rounds < 1 {
		return 0
	}
	slices.Sort(distances)
	const within = 0.683 // share of a normal distribution within one standard deviation
	deviation := distances[min(int(math.Ceil(within*float64(len(distances))))-1, len(distances)-1)]
	medianError := math.Sqrt(math.Pi/2) * deviation / math.Sqrt(float64(rounds))
	return math.Expm1(2 * medianError)
}

// Interval returns a 95 % confidence interval of the median, for sorted values of
// any distribution. With fewer than six values it returns their range, and the
// confidence is lower.
func Interval(sorted []float64) (low, high float64) {
	n := len(sorted)
	if n == 0 {
		return 0, 0
	}
	outside := 0 // number of values outside the interval on each side
	// A value is below the true median with a probability of 1/2: term is the
	// probability that k of n values are below it.
	cumulative, term := 0.0, math.Pow(0.5, float64(n))
	for k := 0; k < n/2 && cumulative+term <= 0.025; k++ {
		cumulative += term
		term *= float64(n-k) / float64(k+1)
		outside = k
	}
	return sorted[outside], sorted[n-1-outside]
}

// Judgment is the result of comparing a figure with a limit.
type Judgment int

// The judgments. Unclear means that the difference is within the variation.
const (
	Unclear Judgment = iota
	Below
	Above
)

// Judge compares the figure with the limit. It returns Unclear if the difference is
// within the variation of the machine or of the figure's own rounds.
func (s Spread) Judge(limit, machine float64) (judgment Judgment, margin float64) {
	if s.N == 0 || s.Median <= 0 {
		return Unclear, 0
	}
	margin = s.Margin(machine)
	switch {
	case s.Median > limit && s.From > limit && s.Median/limit > 1+machine:
		return Above, margin
	case s.Median <= limit && s.To <= limit && limit/s.Median >= 1+machine:
		return Below, margin
	default:
		return Unclear, margin
	}
}

// Margin returns how far the true figure can be from the median, as a fraction: the
// larger of the machine's variation and half of the interval.
func (s Spread) Margin(machine float64) float64 {
	if s.Median == 0 {
		return machine
	}
	return max(machine, (s.To-s.From)/2/math.Abs(s.Median))
}

// Change is the change of a target's figure since an earlier run. Both figures are
// ratios to the base in the same rounds.
type Change struct {
	Work, Target string
	Ratio        float64 // now to before
	Margin       float64 // a fraction
}

// Changed reports whether the change exceeds the variation of both runs.
func (c Change) Changed() bool { return math.Abs(math.Log(c.Ratio)) > math.Log1p(c.Margin) }

// Changes compares a run with an earlier one. It compares ratios to the base, which
// cancel differences in the machine's speed between the runs.
func Changes(now, before *Run, base string, metric Metric, variationOf func(Variation) float64) []Change {
	var changes []Change
	for _, target := range now.Targets {
		if target == base {
			continue
		}
		for _, work := range now.Works {
			a, b := now.Ratios(work, target, work, base, metric), before.Ratios(work, target, work, base, metric)
			if a.N == 0 || b.N == 0 || a.Median <= 0 || b.Median <= 0 {
				continue
			}
			changes = append(changes, Change{
				Work: work, Target: target, Ratio: a.Median / b.Median,
				Margin: math.Hypot(a.Margin(variationOf(now.Variation)), b.Margin(variationOf(before.Variation))),
			})
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return cmp.Compare(a.Target, b.Target) })
	return changes
}
