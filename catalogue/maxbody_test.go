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

// TestDocumentedDefaultBodySizesMatchTheCode: the table in docs/operating.md contains
// exactly the presets with a default for max_body.
func TestDocumentedDefaultBodySizesMatchTheCode(t *testing.T) {
	presets := make(map[string]bool)
	for _, p := range provider.Presets() {
		presets[p.Name] = true
	}
	bySize := make(map[int64][]string)
	for name, size := range maxBodies {
		if !presets[name] {
			t.Errorf("unknown preset in maxBodies: %s", name)
		}
		bySize[size] = append(bySize[size], name)
	}
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| (\\d+) (KiB|MiB) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) != len(bySize) {
		t.Errorf("docs/operating.md has %d rows for %d sizes", len(rows), len(bySize))
	}
	for size, names := range bySize {
		slices.Sort(names)
		want := fmt.Sprintf("| `%s` | %d MiB |", strings.Join(names, "`, `"), size>>20)
		if size < 1<<20 {
			want = fmt.Sprintf("| `%s` | %d KiB |", strings.Join(names, "`, `"), size>>10)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/operating.md: missing row\n%s", want)
		}
	}
}
