package packaging

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryFileHasUnixLineEndings checks that Git never converts a text file, also on
// Windows, and that none was committed with other line endings.
func TestEveryFileHasUnixLineEndings(t *testing.T) {
	out, err := command(t.Context(), nil, "git", "ls-files", "--eol")
	if err != nil {
		t.Fatal(out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < 100 {
		t.Fatalf("found only %d files", len(lines))
	}
	for _, line := range lines {
		facts, name, _ := strings.Cut(line, "\t")
		inIndex := strings.Fields(facts)[0]
		if !slices.Contains([]string{"i/lf", "i/none", "i/-text"}, inIndex) || !strings.Contains(facts, "attr/text=auto eol=lf") {
			t.Errorf("%s: %s", name, facts)
		}
	}
}

// TestEveryPageAndExampleIsListed checks the indexes: a reader who opens a folder on
// GitHub finds everything in it.
func TestEveryPageAndExampleIsListed(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	listedIn := func(page string) map[string]bool {
		listed := make(map[string]bool)
		for _, match := range links.FindAllStringSubmatch(read(t, page), -1) {
			listed[path.Join(path.Dir(page), match[1])] = true
		}
		return listed
	}
	readme, docs, examples := listedIn("README.md"), listedIn("docs/README.md"), listedIn("examples/README.md")
	for _, page := range tracked(t, "docs/*.md") {
		if path.Dir(page) == "docs" && page != "docs/README.md" && (!docs[page] || !readme[page]) {
			t.Errorf("%s: linked from docs/README.md %t, from README.md %t", page, docs[page], readme[page])
		}
	}
	folders, err := filepath.Glob(filepath.Join(checkout, "examples", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		name := "examples/" + filepath.Base(folder)
		if info, err := os.Stat(folder); err == nil && info.IsDir() && !examples[name] {
			t.Errorf("examples/README.md does not list %s", name)
		}
	}
}

// TestTheChangelogHasOneHeadingForEachGroup checks the form of Keep a Changelog, which
// a merge can break without a conflict.
func TestTheChangelogHasOneHeadingForEachGroup(t *testing.T) {
	kinds := []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
	seen := make(map[string]bool)
	version, kind, previous := "", "", ""
	for line := range strings.SplitSeq(read(t, "CHANGELOG.md"), "\n") {
		group := ""
		switch {
		case strings.HasPrefix(line, "## "):
			version, kind = line, ""
			group = line
		case strings.HasPrefix(line, "### "):
			if kind = line; !slices.Contains(kinds, strings.TrimPrefix(line, "### ")) {
				t.Errorf("%s: %s is not one of %v", version, line, kinds)
			}
			group = version + kind
		case strings.HasPrefix(line, "**"):
			group = version + kind + line
		case strings.HasPrefix(line, "- ") && kind == "":
			t.Errorf("%s: a change outside Added, Changed …: %s", version, line)
		}
		if group == "" {
			previous = line
			continue
		}
		if seen[group] {
			t.Errorf("%s: the heading %s appears twice", version, line)
		}
		if previous != "" {
			t.Errorf("%s: no blank line before %s", version, line)
		}
		seen[group], previous = true, line
	}
}

// TestTheReadmeSaysWhetherAVersionIsReleased keeps the install instructions true before
// the first release and after it.
func TestTheReadmeSaysWhetherAVersionIsReleased(t *testing.T) {
	released := regexp.MustCompile(`(?m)^## \[?\d+\.\d+\.\d+`).MatchString(read(t, "CHANGELOG.md"))
	if says := strings.Contains(read(t, "README.md"), "No version is released yet"); says == released {
		t.Errorf("CHANGELOG.md has a released version: %t; README.md says that no version is released yet: %t", released, says)
	}
}

// TestEveryDownloadContainsTheLicenses checks archives, packages and image. The licenses
// of linked modules require their text next to the program.
func TestEveryDownloadContainsTheLicenses(t *testing.T) {
	config := read(t, ".goreleaser.yaml")
	archives, packages, _ := strings.Cut(config, "\nnfpms:\n")
	for what, text := range map[string]string{"archives": archives, "packages": packages, "image": read(t, "Dockerfile")} {
		for _, file := range []string{"LICENSE", "THIRD_PARTY_LICENSES"} {
			if !regexp.MustCompile(`[ :]` + file + `\b`).MatchString(text) {
				t.Errorf("the %s do not contain %s", what, file)
			}
		}
	}
	ignored := strings.Fields(read(t, ".dockerignore"))
	if slices.Contains(ignored, "LICENSE") || slices.Contains(ignored, "THIRD_PARTY_LICENSES") {
		t.Error(".dockerignore excludes the licenses from the image")
	}
}
