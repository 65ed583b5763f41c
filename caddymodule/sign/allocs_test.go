//go:build !race

package sign

import "testing"

// Memory does not grow with the body, because an HMAC reads it as a stream.
// With the race detector, pools drop random elements, so it must be off here.
func TestAllocationsOfAnHMACDoNotDependOnTheSize(t *testing.T) {
	const most = 24
	for _, size := range []int{100, 1 << 10, 1 << 20} {
		if got := testing.AllocsPerRun(100, signer(t, size, first)); got > most {
			t.Errorf("a body of %d bytes needs %v allocations, want at most %d", size, got, most)
		}
	}
}
