package verifywebhook_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryTestNamedInADocumentExists checks the test names in backquotes. If
// several packages have a test with the same name, documents write folder.TestName.
func TestEveryTestNamedInADocumentExists(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	exists := make(map[string]bool)
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "build"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(root, path)
		for _, match := range declared.FindAllStringSubmatch(string(text), -1) {
			exists[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(?:[\\w/]+\\.)?((?:Test|Fuzz|Benchmark)[A-Z]\\w+)`")
	found := 0
	eachFile(t, ".md", func(path, text string) {
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
