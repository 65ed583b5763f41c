//go:build !race

package caddymodule

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// cost is what one delivery allocates on the heap.
type cost struct{ allocations, bytes int }

// TestAllocationsOfADelivery limits what a delivery of each outcome allocates
// above a handler that does nothing. The file is not built with the race
// detector, which empties pools at random.
func TestAllocationsOfADelivery(t *testing.T) {
	const kiB, miB = 1 << 10, 1 << 20
	none := func(*deliveries) {}
	unsigned := func(d *deliveries) { clear(d.signatures) }
	forged := func(d *deliveries) { d.signatures = append(d.signatures[1:], d.signatures[0]) }
	stale := func(d *deliveries) {
		for i := range d.signatures {
			d.signatures[i] = []string{"t=1,v1=" + sign(secret, "1")}
		}
	}
	for _, c := range []struct {
		outcome Outcome
		config  string // default: github
		sizes   []int
		change  func(*deliveries)
		most    cost
	}{
		{outcome: Verified, sizes: []int{kiB, 8 * kiB, 64 * kiB, miB}, change: none, most: cost{7, 2400}},
		{outcome: Duplicate, sizes: []int{kiB, 64 * kiB, miB}, change: none, most: cost{7, 2400}},
		{outcome: MissingSignature, sizes: []int{kiB, 64 * kiB, 256 * kiB}, change: unsigned, most: cost{14, 2400}},
		{outcome: MissingSignature, sizes: []int{miB}, change: unsigned, most: cost{18, 2400}},
		{outcome: InvalidSignature, sizes: []int{kiB, 64 * kiB, miB}, change: forged, most: cost{12, 2600}},
		{outcome: Stale, config: config("stripe", ""), sizes: []int{kiB, 64 * kiB}, change: stale, most: cost{17, 2400}},
		{outcome: TooLarge, config: config("github", `"max_body":512`), sizes: []int{kiB, 64 * kiB}, change: none, most: cost{11, 2200}},
	} {
		for _, size := range c.sizes {
			t.Run(fmt.Sprintf("%s, %d KiB", c.outcome, size/kiB), func(t *testing.T) {
				h := trial(t, cmp.Or(c.config, config("github", ""))).handler
				d := newDeliveries(min(200, 24*miB/size), size)
				c.change(d)
				useUpLog(h, c.outcome)
				switch c.outcome {
				case Verified:
					growStore(t, h)
				case Duplicate:
					sendAll(d, d.sender(t, h))
				}
				got := costOf(t, h, d, c.outcome)
				t.Logf("%d allocations, %d bytes", got.allocations, got.bytes)
				if got.allocations > c.most.allocations || got.bytes > c.most.bytes {
					t.Errorf("%d allocations of %d bytes, want at most %d of %d", got.allocations, got.bytes, c.most.allocations, c.most.bytes)
				}
			})
		}
	}
}

// costOf returns what each delivery allocates above a handler that does nothing.
func costOf(t *testing.T, h caddyhttp.MiddlewareHandler, d *deliveries, want Outcome) cost {
	t.Helper()
	whole, idle := heapOf(t, h, d, want), heapOf(t, nothing{}, d, "")
	return cost{whole.allocations - idle.allocations, whole.bytes - idle.bytes}
}

// heapOf sends all deliveries and returns what each allocates. The first ones fill
// pools and do not count. The first and the last one must end in the outcome.
func heapOf(t *testing.T, h caddyhttp.MiddlewareHandler, d *deliveries, want Outcome) cost {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties pools
	send := d.sender(t, h)
	send()
	d.checkOutcome(t, want)
	const warmUp = 4
	for range warmUp - 1 {
		send()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range len(d.bodies) - warmUp {
		send()
	}
	runtime.ReadMemStats(&after)
	d.checkOutcome(t, want)
	n := uint64(len(d.bodies) - warmUp)
	return cost{int((after.Mallocs - before.Mallocs) / n), int((after.TotalAlloc - before.TotalAlloc) / n)}
}

// useUpLog lets the log suppress the lines of this outcome: it writes the first
// ones only, which would be many of the few long deliveries that are measured.
func useUpLog(h *Handler, outcome Outcome) {
	h.log.now = frozen
	for range logBurst {
		h.log.allow(string(outcome))
	}
}

// growStore sends other deliveries until the tables of the store need not grow
// during the test.
func growStore(t *testing.T, h caddyhttp.MiddlewareHandler) {
	t.Helper()
	d := newDeliveries(1<<14, 1<<7)
	sendAll(d, d.sender(t, h))
}

func sendAll(d *deliveries, send func()) {
	for range d.bodies {
		send()
	}
}
