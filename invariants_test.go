package verifywebhook_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const invariants = 15

var (
	invariantTest   = regexp.MustCompile(`(?m)^func (TestInvariant(\d+)\w*)\(t \*testing\.T\)`)
	listedInvariant = regexp.MustCompile(`(?m)^(\d+)\. .*\n +Tests?: (.*)$`)
)

// invariantTests returns the invariant's number for each test that is named after an
// invariant, in all modules of this repository.
func invariantTests(t *testing.T) map[string]string {
	t.Helper()
	tests := make(map[string]string)
	eachFile(t, "*_test.go", func(_, text string) {
		for _, match := range invariantTest.FindAllStringSubmatch(text, -1) {
			tests[match[1]] = strings.TrimLeft(match[2], "0")
		}
	})
	return tests
}

// TestEveryInvariantHasTests checks docs/architecture.md: it lists each invariant with
// existing tests that are named after the invariant.
func TestEveryInvariantHasTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Invariants\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := listedInvariant.FindAllStringSubmatch(section, -1)
	if len(listed) != invariants {
		t.Fatalf("the page lists %d invariants; want %d", len(listed), invariants)
	}
	tests := invariantTests(t)
	for i, item := range listed {
		number := strconv.Itoa(i + 1)
		if item[1] != number {
			t.Errorf("item %s has the number %s", number, item[1])
		}
		for name := range strings.SplitSeq(item[2], ", ") {
			if tests[strings.Trim(name, "`")] != number {
				t.Errorf("invariant %s: no test %s is named after it", number, name)
			}
		}
	}
	for name, number := range tests {
		if n, err := strconv.Atoi(number); err != nil || n > invariants {
			t.Errorf("%s: the page does not list invariant %s", name, number)
		}
	}
}
