package catalogue

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestDefaultSizesOfBodiesAreThoseOfTheDocumentation: every preset with its own
// default of max_body is in the table of docs/operating.md, and no other.
func TestDefaultSizesOfBodiesAreThoseOfTheDocumentation(t *testing.T) {
	presets := make(map[string]bool)
	for _, p := range provider.Presets() {
		presets[p.Name] = true
	}
	bySize := make(map[int64][]string)
	for name, size := range maxBodies {
		if !presets[name] {
			t.Errorf("%s is no preset", name)
		}
		bySize[size] = append(bySize[size], name)
	}
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| (\\d+) (KiB|MiB) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) != len(bySize) {
		t.Errorf("%d rows for %d sizes", len(rows), len(bySize))
	}
	for size, names := range bySize {
		slices.Sort(names)
		want := fmt.Sprintf("| `%s` | %d MiB |", strings.Join(names, "`, `"), size>>20)
		if size < 1<<20 {
			want = fmt.Sprintf("| `%s` | %d KiB |", strings.Join(names, "`, `"), size>>10)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/operating.md does not have the row\n%s", want)
		}
	}
}
