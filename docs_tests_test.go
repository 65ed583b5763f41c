package verifywebhook_test

import (
	"regexp"
	"testing"
)

// TestEveryTestNamedInADocumentExists checks the test names in backquotes. If
// several packages have a test with the same name, documents write folder.TestName.
func TestEveryTestNamedInADocumentExists(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	exists := make(map[string]bool)
	eachFile(t, "*_test.go", func(_, text string) {
		for _, match := range declared.FindAllStringSubmatch(text, -1) {
			exists[match[1]] = true
		}
	})
	named := regexp.MustCompile("`(?:[\\w/]+\\.)?((?:Test|Fuzz|Benchmark)[A-Z]\\w+)`")
	found := 0
	eachFile(t, "*.md", func(path, text string) {
		for _, match := range named.FindAllStringSubmatch(text, -1) {
			found++
			if !exists[match[1]] {
				t.Errorf("%s names %s, which does not exist", path, match[1])
			}
		}
	})
	if found < 30 {
		t.Errorf("found only %d names", found)
	}
}
