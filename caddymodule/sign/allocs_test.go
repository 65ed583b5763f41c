//go:build !race

package sign

import "testing"

// Memory does not grow with the body: an HMAC reads it as a stream. The race
// detector makes pools forget at random, so it cannot be on here.
func TestAnHMACCostsFewAllocationsWhateverTheSize(t *testing.T) {
	const most = 24
	for _, size := range []int{100, 1 << 10, 1 << 20} {
		if got := testing.AllocsPerRun(100, signer(t, size, first)); got > most {
			t.Errorf("a body of %d bytes costs %v allocations, want at most %d", size, got, most)
		}
	}
}
