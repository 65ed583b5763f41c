// Command promises writes the page that lists what this project promises, each
// promise with the tests behind it. It fails if a promise names no test, or a
// test that does not exist.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "promises:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("wrong number of arguments: expected the root of the repository and the file to write")
	}
	tests, err := findTests(os.DirFS(args[0]))
	if err != nil {
		return err
	}
	all, err := allPromises(os.DirFS(args[0]))
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := write(&page, all, tests); err != nil {
		return err
	}
	return os.WriteFile(args[1], page.Bytes(), 0o644)
}

// section is a group of promises, from one page of the documentation.
type section struct {
	title, page string
	promises    []promise
}

// promise is one sentence with the tests behind it. A test in a package that has
// the name in common with others is written as folder.TestName.
type promise struct {
	text  string
	tests []string
}

// allPromises returns the invariants, then the table.
func allPromises(root fs.FS) ([]section, error) {
	invariants, err := readInvariants(root)
	if err != nil {
		return nil, err
	}
	return append([]section{invariants}, table...), nil
}

var invariantRow = regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \| (.*) \|$`)

// readInvariants reads the table of invariants from the page on the architecture.
func readInvariants(root fs.FS) (section, error) {
	s := section{title: "Invariants", page: "architecture.md#invariants"}
	page, err := fs.ReadFile(root, "docs/architecture.md")
	if err != nil {
		return s, err
	}
	_, text, _ := strings.Cut(string(page), "\n## Invariants\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, row := range invariantRow.FindAllStringSubmatch(text, -1) {
		s.promises = append(s.promises, promise{row[1] + ". " + row[2], strings.Split(strings.ReplaceAll(row[3], "`", ""), ", ")})
	}
	if len(s.promises) == 0 {
		return s, errors.New("docs/architecture.md lists no invariants")
	}
	return s, nil
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`)

// findTests returns the files in which each test is, in all modules of the
// repository.
func findTests(root fs.FS) (map[string][]string, error) {
	tests := make(map[string][]string)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules" || entry.Name() == "build"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		for _, match := range testFunction.FindAllStringSubmatch(string(text), -1) {
			tests[match[1]] = append(tests[match[1]], name)
		}
		return err
	})
	return tests, err
}

// fileOf returns the file of a test.
func fileOf(tests map[string][]string, test string) (string, error) {
	folder, name, qualified := strings.Cut(test, ".")
	if !qualified {
		name = test
	}
	files := slices.DeleteFunc(slices.Clone(tests[name]), func(file string) bool { return qualified && path.Dir(file) != folder })
	switch {
	case len(files) == 0:
		return "", fmt.Errorf("there is no test %s", test)
	case len(files) > 1:
		return "", fmt.Errorf("there is more than one test %s: write folder.%[1]s with one of the folders of %s", test, strings.Join(files, ", "))
	}
	return files[0], nil
}

const head = `# Promises, and the tests behind them

<!-- Made by "go generate ./caddy" from internal/promises/table.go and the invariants in architecture.md: change those, not this. -->

Each promise of this project has at least one test. A promise without a test, or with one that does not exist, fails the build.
` + "`make test` runs all of them; `go test ./... -run NAME`" + ` runs one, in the folder of its file or above. Tests in ` + "`e2e/`" + ` and ` + "`bench/`" + ` are in Go modules of
their own: run them there.
`

// write writes the page.
func write(w *bytes.Buffer, all []section, tests map[string][]string) error {
	w.WriteString(head)
	count, used := 0, make(map[string]bool)
	for _, s := range all {
		fmt.Fprintf(w, "\n## %s\n\nFrom [%s](%s).\n\n| Promise | Tests |\n| --- | --- |\n", s.title, s.page, s.page)
		for _, p := range s.promises {
			count++
			if len(p.tests) == 0 {
				return fmt.Errorf("%s: no test is behind %q", s.title, p.text)
			}
			links := make([]string, len(p.tests))
			for i, test := range p.tests {
				file, err := fileOf(tests, test)
				if err != nil {
					return fmt.Errorf("%s: %q: %w", s.title, p.text, err)
				}
				used[test] = true
				links[i] = fmt.Sprintf("[`%s`](../%s)", test[strings.LastIndex(test, ".")+1:], file)
			}
			fmt.Fprintf(w, "| %s | %s |\n", strings.ReplaceAll(p.text, "|", `\|`), strings.Join(links, "<br>"))
		}
	}
	fmt.Fprintf(w, "\n%d promises, %d tests.\n", count, len(used))
	return nil
}
