package result

import (
	"cmp"
	"math"
	"slices"
)

// Variation is how far the median of a run's ratios can be from 1 on this machine
// although nothing differs, as a fraction: 0.02 is ±2 %.
type Variation struct {
	CPU       float64 `json:"cpu"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50"`
}

// The names of two servers that are the same, in the measurements of [VariationOf].
const (
	Twin  = "A"
	Other = "B"
)

// VariationOf returns the variation of a run of so many rounds, from measurements
// of one server started twice.
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

// variation returns two standard errors of the median of so many ratios. The true
// ratio is 1, so two thirds of the ratios are within one standard deviation of 1;
// counting them in this way gives no weight to a single outlier.
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
	const within = 0.683 // of a normal distribution are within one standard deviation
	deviation := distances[min(int(math.Ceil(within*float64(len(distances))))-1, len(distances)-1)]
	medianError := math.Sqrt(math.Pi/2) * deviation / math.Sqrt(float64(rounds))
	return math.Expm1(2 * medianError)
}

// Interval returns values between which the true median of the sorted values is
// with a probability of 95 %, whatever their distribution. With fewer than six
// values it is their range, and the probability is less.
func Interval(sorted []float64) (low, high float64) {
	n := len(sorted)
	if n == 0 {
		return 0, 0
	}
	outside := 0 // how many values on each side are outside of the interval
	// A value is below the true median as often as a coin shows heads: term is the
	// probability of k heads in n throws.
	cumulative, term := 0.0, math.Pow(0.5, float64(n))
	for k := 0; k < n/2 && cumulative+term <= 0.025; k++ {
		cumulative += term
		term *= float64(n-k) / float64(k+1)
		outside = k
	}
	return sorted[outside], sorted[n-1-outside]
}

// Judgment is what can be said of a figure and a limit.
type Judgment int

// The judgments. Unclear means that the limit is within the variation.
const (
	Unclear Judgment = iota
	Below
	Above
)

// Judge compares the figure with the limit, and returns Unclear where the limit is
// closer than the variation of the machine or of the figure's own rounds.
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

// Margin returns how far the true figure can be from the median, as a fraction:
// the greater one of the machine's variation and half of the interval.
func (s Spread) Margin(machine float64) float64 {
	if s.Median == 0 {
		return machine
	}
	return max(machine, (s.To-s.From)/2/math.Abs(s.Median))
}

// Change is how one figure of a target, divided by that of the base in the same
// rounds, differs from an earlier run.
type Change struct {
	Work, Target string
	Ratio        float64 // now to before
	Margin       float64 // a fraction
}

// Changed reports whether the figures differ by more than both runs vary.
func (c Change) Changed() bool { return math.Abs(math.Log(c.Ratio)) > math.Log1p(c.Margin) }

// Changes compares a run with an earlier one. Ratios to the base take out what
// differs between the machine now and then.
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
