package catalogue

import (
	"slices"
	"testing"
)

// TestEveryPresetHasOneKind: the index of the documentation is generated from kinds.
func TestEveryPresetHasOneKind(t *testing.T) {
	count := make(map[string]int)
	for _, k := range kinds {
		if !slices.IsSorted(k.presets) {
			t.Errorf("the presets of kind %s are not in alphabetical order", k.name)
		}
		for _, name := range k.presets {
			count[name]++
		}
	}
	for _, p := range presets() {
		if count[p.Name] != 1 || p.Kind == "" {
			t.Errorf("%s: got %d kinds and Kind %q, want one", p.Name, count[p.Name], p.Kind)
		}
		delete(count, p.Name)
	}
	for name := range count {
		t.Errorf("unknown preset in kinds: %s", name)
	}
}
