//go:build !race

package file

import (
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
)

// TestAllocations limits the allocations of an accepted entry.
func TestAllocations(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	s := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "queue.db"), MinFree: -1})
	for _, test := range []struct {
		name     string
		together int
		most     float64
	}{
		{"a single put with its transaction", 1, 300},
		{"one of 256 concurrent puts", 256, 110},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := testing.AllocsPerRun(20, func() {
				var puts sync.WaitGroup
				for range test.together {
					puts.Go(func() { costPut(t, s) })
				}
				runtime.Gosched()
				puts.Wait()
			}) / float64(test.together)
			t.Logf("%.0f allocations each", got)
			if got > test.most {
				t.Errorf("%.0f allocations each, at most %.0f are expected", got, test.most)
			}
		})
	}
}
