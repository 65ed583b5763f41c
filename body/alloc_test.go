//go:build !race

package body

import (
	"bytes"
	"io"
	"testing"
)

// With the race detector, pools drop random elements, so it must be off here.
func TestABodyInMemoryNeedsTwoAllocations(t *testing.T) {
	budget := NewBudget(plenty, 0)
	limits := Limits{MaxSize: 1 << 20, InMemory: 1 << 20}
	for _, size := range []int64{0, 1 << 10, 64 << 10, 1 << 20} {
		for _, declared := range []int64{-1, size} {
			source := bytes.NewReader(make([]byte, size))
			got := testing.AllocsPerRun(100, func() {
				source.Seek(0, io.SeekStart)
				b, err := Read(source, declared, limits, budget)
				if err != nil {
					t.Fatal(err)
				}
				b.Open().Close()
				b.Release()
			})
			if got > 2 {
				t.Errorf("%d bytes, declared %d: %v allocations", size, declared, got)
			}
		}
	}
}
