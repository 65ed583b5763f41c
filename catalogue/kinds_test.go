package catalogue

import (
	"slices"
	"testing"
)

// TestEveryPresetHasOneKind: the index of the documentation is made of them.
func TestEveryPresetHasOneKind(t *testing.T) {
	count := make(map[string]int)
	for _, k := range kinds {
		if !slices.IsSorted(k.presets) {
			t.Errorf("%s is not in alphabetical order", k.name)
		}
		for _, name := range k.presets {
			count[name]++
		}
	}
	for _, p := range presets() {
		if count[p.Name] != 1 || p.Kind == "" {
			t.Errorf("%s has %d kinds, %q", p.Name, count[p.Name], p.Kind)
		}
		delete(count, p.Name)
	}
	for name := range count {
		t.Errorf("%s has a kind and is no preset", name)
	}
}
