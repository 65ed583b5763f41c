//go:build !race

package caddymodule

import "testing"

// The race detector makes pools forget at random, so it cannot be on here.
func TestTheHandlerCostsTwelveAllocations(t *testing.T) {
	whole, nothing := testing.Benchmark(BenchmarkHandler), testing.Benchmark(BenchmarkNothing)
	if whole.N == 0 || nothing.N == 0 {
		t.Fatal("a benchmark has failed")
	}
	if got := whole.AllocsPerOp() - nothing.AllocsPerOp(); got > 12 {
		t.Errorf("%d allocations above a handler that does nothing", got)
	}
}
