//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
	"github.com/verify-webhook/caddy-verify-webhook/bench/target"
)

// The table silently omits goals with an unknown work or target, or with a target
// that does not do the work.
func TestEveryGoalIsMeasured(t *testing.T) {
	for _, g := range goals() {
		for _, side := range []struct{ work, target string }{{g.work, g.target}, {g.baseWork, g.base}} {
			if side.work == "" {
				side.work = g.work
			}
			i := slices.IndexFunc(works, func(w work) bool { return w.Name == side.work })
			if i < 0 || !slices.Contains(target.All, side.target) || !works[i].does(side.target) {
				t.Errorf("%s: %q does not do %q", g.name, side.target, side.work)
			}
		}
	}
}

// A short run omits only some sizes and kinds of refusals.
func TestAShortRunMeasuresEveryKindOfGoal(t *testing.T) {
	for _, g := range slices.Concat(acceptedGoals, queueGoals()) {
		i := slices.IndexFunc(works, func(w work) bool { return w.Name == g.work })
		if !works[i].short || !slices.Contains(target.Short, g.target) || !slices.Contains(target.Short, g.base) {
			t.Errorf("%s: not part of a short run", g.name)
		}
	}
}

func TestEveryEarlyRefusalHasAGoal(t *testing.T) {
	if n := len(refusalGoals()); n != 12 {
		t.Errorf("%d goals", n)
	}
	for _, kind := range []load.Kind{load.NoSignature, load.Malformed, load.Stale, load.TooLarge} {
		if !slices.Contains(early, kind) {
			t.Errorf("%s has no goal", kind)
		}
	}
}

// At 256 connections, the goals are 3 times 0.31 of the throughput of the synchronous
// verify_webhook, and a third of 6.0 times its CPU.
func TestQueueGoalsAreRelativeToTheBestPeer(t *testing.T) {
	tests := []struct {
		work    string
		metric  func(result.Measurement) float64
		divisor float64
	}{
		{lone, result.PerSecond, 0.33},
		{"1 KiB", result.PerSecond, 0.20},
		{many, result.PerSecond, 0.31},
		{lone, result.CPU, 4.5},
		{"1 KiB", result.CPU, 7.1},
		{many, result.CPU, 6.0},
	}
	probe := result.Measurement{CPU: 1, PerSecond: 2}
	for _, test := range tests {
		found := false
		for _, g := range queueGoals() {
			if g.work == test.work && g.metric.of(probe) == test.metric(probe) {
				found = true
				if g.divisor != test.divisor {
					t.Errorf("%s: relative to %v, want %v", g.name, g.divisor, test.divisor)
				}
			}
		}
		if !found {
			t.Errorf("no goal for %s", test.work)
		}
	}
}

// runWith returns a run in which the target has the given figures for the work and
// the base has 100.
func runWith(work, name, base string, figures ...float64) *result.Run {
	r := &result.Run{Variation: result.Variation{CPU: 0.02, PerSecond: 0.02, P50: 0.02}}
	for i, figure := range figures {
		r.Measurements = append(r.Measurements,
			result.Measurement{Round: i, Work: work, Target: name, CPU: figure, PerSecond: figure, P50: figure},
			result.Measurement{Round: i, Work: work, Target: base, CPU: 100, PerSecond: 100, P50: 100})
	}
	return r
}

func TestVerdicts(t *testing.T) {
	memory := acceptedGoals[0]     // at most 1.04
	throughput := acceptedGoals[5] // at least 0.95
	tests := []struct {
		name    string
		goal    goal
		figures []float64
		want    string
	}{
		{"well below an upper limit", memory, []float64{100, 100.5, 101}, "reached"},
		{"well above an upper limit", memory, []float64{114, 115, 116}, "**not reached**"},
		{"at an upper limit", memory, []float64{103, 103, 104}, "within the machine's variation of ±2.0 %"},
		{"rounds on both sides", memory, []float64{90, 100, 110}, "within the machine's variation of ±10.0 %"},
		{"well above a lower limit", throughput, []float64{99, 100, 101}, "reached"},
		{"well below a lower limit", throughput, []float64{80, 81, 82}, "**not reached**"},
		{"at a lower limit", throughput, []float64{95, 95, 96}, "within the machine's variation of ±2.0 %"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := test.goal.of(runWith(test.goal.work, test.goal.target, test.goal.base, test.figures...))
			if o.verdict != test.want {
				t.Errorf("%q, want %q", o.verdict, test.want)
			}
		})
	}
}

func TestGoalTableOmitsUnmeasuredGoals(t *testing.T) {
	table := goalTable(runWith("1 KiB", target.Memory, target.Told, 114, 115, 116))
	if want := "| CPU, accepted, memory to floor, 1 KiB | ≤ 1.04 | 1.15 (1.14–1.16) | **not reached** |\n"; !strings.HasSuffix(table, want) || strings.Count(table, "\n") != 3 {
		t.Errorf("%s", table)
	}
}

// The difference is 150 µs, and an fdatasync takes 100 µs.
func TestLoneGoalIsRelativeToDiskLatency(t *testing.T) {
	r := runWith(lone, target.File, target.Memory, 250, 250, 250)
	if o := loneOutcome(r); o.figure.N != 0 {
		t.Errorf("without a figure of the disk: %+v", o)
	}
	r.Sync = []float64{100, 100, 100}
	o := loneOutcome(r)
	if o.figure.Median != 1.5 || o.verdict != "**not reached**" {
		t.Errorf("%+v", o)
	}
}
