package result_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
)

// TestIntervalFollowsTheBinomialDistribution checks the known order statistics for a
// confidence of 95 %: the second value of 9, the third of 12, the sixth of 20.
func TestIntervalFollowsTheBinomialDistribution(t *testing.T) {
	tests := []struct {
		n         int
		low, high float64
	}{
		{1, 1, 1},
		{2, 1, 2},
		{5, 1, 5},
		{6, 1, 6},
		{8, 1, 8},
		{9, 2, 8},
		{12, 3, 10},
		{20, 6, 15},
		{30, 10, 21},
	}
	for _, test := range tests {
		values := make([]float64, test.n)
		for i := range values {
			values[i] = float64(i + 1)
		}
		if low, high := result.Interval(values); low != test.low || high != test.high {
			t.Errorf("%d values: from %v to %v, want from %v to %v", test.n, low, high, test.low, test.high)
		}
	}
	if low, high := result.Interval(nil); low != 0 || high != 0 {
		t.Errorf("no values: from %v to %v", low, high)
	}
}

// twins returns measurements of one server started twice, with the given ratios.
func twins(ratios ...float64) []result.Measurement {
	var all []result.Measurement
	for i, ratio := range ratios {
		all = append(all,
			result.Measurement{Round: i, Work: "1 KiB", Target: result.Twin, CPU: 100 * ratio, PerSecond: 10, P50: 5},
			result.Measurement{Round: i, Work: "1 KiB", Target: result.Other, CPU: 100, PerSecond: 10, P50: 5})
	}
	return all
}

func TestVariation(t *testing.T) {
	same := result.VariationOf(twins(1, 1, 1), 5)
	if same != (result.Variation{}) {
		t.Errorf("equal figures: %+v", same)
	}
	few := result.VariationOf(twins(0.96, 1.04, 1.04, 1, 0.96, 1.04), 4).CPU
	if want := 2 * math.Sqrt(math.Pi/2) * 0.04 / 2; math.Abs(few-want) > 0.005 {
		t.Errorf("a deviation of 4 %% in 4 rounds: %v, want about %v", few, want)
	}
	if many := result.VariationOf(twins(0.96, 1.04, 1.04, 1, 0.96, 1.04), 16).CPU; math.Abs(many*2-few) > 0.005 {
		t.Errorf("four times the rounds: %v, want half of %v", many, few)
	}
	if outlier := result.VariationOf(twins(0.96, 1.04, 1.04, 1, 0.96, 3), 4).CPU; math.Abs(outlier-few) > 0.005 {
		t.Errorf("one outlier: %v, want %v", outlier, few)
	}
	if none := result.VariationOf(nil, 4); none != (result.Variation{}) {
		t.Errorf("nothing measured: %+v", none)
	}
}

func TestJudgeIsUnclearWithinTheVariation(t *testing.T) {
	tests := []struct {
		name    string
		values  []float64
		limit   float64
		machine float64
		want    result.Judgment
	}{
		{"well below", []float64{0.80, 0.81, 0.82}, 1, 0.02, result.Below},
		{"well above", []float64{1.20, 1.21, 1.22}, 1, 0.02, result.Above},
		{"at the limit", []float64{1, 1, 1}, 1, 0, result.Below},
		{"below by less than the machine varies", []float64{0.99, 0.99, 0.99}, 1, 0.02, result.Unclear},
		{"above by less than the machine varies", []float64{1.01, 1.01, 1.01}, 1, 0.02, result.Unclear},
		{"the rounds are on both sides", []float64{0.7, 0.8, 1.1}, 1, 0.02, result.Unclear},
		{"one round of nine is on the other side", []float64{0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 1.1}, 1, 0.02, result.Below},
		{"nothing measured", nil, 1, 0.02, result.Unclear},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, margin := result.SpreadOf(test.values).Judge(test.limit, test.machine); got != test.want || margin < 0 {
				t.Errorf("%v (margin %v), want %v", got, margin, test.want)
			}
		})
	}
}

// measured returns a run with the given slowdown of the machine in each round.
func measured(ours float64, speeds ...float64) *result.Run {
	run := &result.Run{Targets: []string{"bare", "ours"}, Works: []string{"1 KiB", "1 MiB"}, Variation: result.Variation{CPU: 0.02}}
	for i, speed := range speeds {
		for _, work := range run.Works {
			run.Measurements = append(run.Measurements,
				result.Measurement{Round: i, Work: work, Target: "bare", CPU: 100 * speed},
				result.Measurement{Round: i, Work: work, Target: "ours", CPU: ours * speed})
		}
	}
	return run
}

// The machine was half as fast in the earlier run.
func TestChangesCompareRatiosToTheBase(t *testing.T) {
	cpu := func(v result.Variation) float64 { return v.CPU }
	before := measured(120, 2, 2.1, 1.9)
	for now, want := range map[float64]bool{120: false, 121: false, 118: false, 132: true, 108: true} {
		t.Run(strconv.FormatFloat(now, 'f', -1, 64), func(t *testing.T) {
			changes := result.Changes(measured(now, 1, 1.1, 1), before, "bare", result.CPU, cpu)
			if len(changes) != 2 {
				t.Fatalf("%+v", changes)
			}
			for _, change := range changes {
				if change.Changed() != want || math.Abs(change.Ratio-now/120) > 1e-9 || change.Target != "ours" {
					t.Errorf("%+v, want changed: %v", change, want)
				}
			}
		})
	}
}

func TestChangesCompareOnlySharedMeasurements(t *testing.T) {
	before := measured(120, 1)
	before.Measurements = before.Measurements[:2] // only 1 KiB
	changes := result.Changes(measured(120, 1), before, "bare", result.CPU, func(result.Variation) float64 { return 0 })
	if len(changes) != 1 || changes[0].Work != "1 KiB" {
		t.Errorf("%+v", changes)
	}
}
