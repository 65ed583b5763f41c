package verifywebhook_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eachFile calls f for every file of the repository, in all its modules, whose name
// matches the pattern.
func eachFile(t *testing.T, pattern string, f func(path, text string)) {
	t.Helper()
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if matches, err := filepath.Match(pattern, name); !matches {
			return err
		}
		text, err := fs.ReadFile(root, path)
		if err == nil {
			f(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
