package result_test

import (
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/bench/result"
)

func TestSpreadIsMedianAndRange(t *testing.T) {
	tests := []struct {
		values []float64
		want   result.Spread
	}{
		{nil, result.Spread{}},
		{[]float64{3}, result.Spread{Median: 3, Least: 3, Most: 3, From: 3, To: 3, N: 1}},
		{[]float64{5, 1, 2}, result.Spread{Median: 2, Least: 1, Most: 5, From: 1, To: 5, N: 3}},
		{[]float64{4, 1, 2, 3}, result.Spread{Median: 2.5, Least: 1, Most: 4, From: 1, To: 4, N: 4}},
	}
	for _, test := range tests {
		if got := result.SpreadOf(test.values); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.values, got, test.want)
		}
	}
}

// The machine is half as fast in the second round.
func TestRatiosAreComputedWithinARound(t *testing.T) {
	run := sample()
	if got := run.Ratios("1 KiB", "ours", "1 KiB", "bare", result.CPU); got != (result.Spread{Median: 0.75, Least: 0.5, Most: 1, From: 0.5, To: 1, N: 2}) {
		t.Errorf("%+v", got)
	}
	if got := run.Differences("1 KiB", "ours", "1 KiB", "bare", result.CPU); got.Least != -100 || got.Most != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTableListsSkippedTargetsWithReasons(t *testing.T) {
	run := sample()
	run.Targets = append(run.Targets, "nginx")
	run.Skipped = map[string]string{"nginx": "not\ninstalled"}
	table := run.Table(result.CPU, "bare", []string{"1 KiB", "1 MiB"})
	for _, line := range []string{
		"| bare | **1.00** · 150 (100–200) | – |",
		"| ours | **0.75** · 100 (100–100) | – |",
		"| nginx | skipped: not installed | |",
	} {
		if !strings.Contains(table, line+"\n") {
			t.Errorf("no line %q in\n%s", line, table)
		}
	}
}

func TestUnexpectedResponsesAreReported(t *testing.T) {
	run := sample()
	run.Measurements[0].Statuses = map[int]int{200: 7, 503: 2}
	run.Measurements[0].Failed = 1
	got := run.Surprises(func(_, _ string, status int) bool { return status == 200 })
	if want := "bare, 1 KiB: answered 503 2 times, bare, 1 KiB: not answered 1 times"; strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}
}

func sample() result.Run {
	return result.Run{Targets: []string{"bare", "ours"}, Measurements: []result.Measurement{
		{Round: 1, Work: "1 KiB", Target: "bare", CPU: 100},
		{Round: 1, Work: "1 KiB", Target: "ours", CPU: 100},
		{Round: 2, Work: "1 KiB", Target: "bare", CPU: 200},
		{Round: 2, Work: "1 KiB", Target: "ours", CPU: 100},
	}}
}
