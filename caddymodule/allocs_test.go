//go:build !race

package caddymodule

import (
	"runtime/debug"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// The race detector and the garbage collector drop pooled objects at random, so
// this test runs without both.
func TestHandlerMakesTwelveAllocations(t *testing.T) {
	allocations := func(h caddyhttp.MiddlewareHandler) float64 {
		const warmUp, runs = 1 << 14, 1000
		send := newDeliveries(warmUp+runs+1).sender(t, h) // AllocsPerRun calls it once before it counts
		for range warmUp {
			send() // let the store's tables grow
		}
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		return testing.AllocsPerRun(runs, send)
	}
	whole, nothing := allocations(trial(t, config("github", "")).handler), allocations(nothing{})
	if got := whole - nothing; got > 12 {
		t.Errorf("%v allocations more than a handler that does nothing", got)
	}
}
