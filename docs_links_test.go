package verifywebhook_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	anchorTag = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	linkText  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// pages returns the Markdown pages of the repository by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	eachFile(t, "*.md", func(name, text string) { all[name] = codeBlock.ReplaceAllString(text, "") })
	return all
}

// anchors returns the fragments with which GitHub links to the headings of a page.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(page, -1) {
		text := linkText.ReplaceAllString(match[1], "$1")
		slug := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, text)
		found[slug] = true
	}
	for _, match := range anchorTag.FindAllStringSubmatch(page, -1) {
		found[match[1]] = true
	}
	return found
}

// TestEveryLinkInTheDocumentationHasATarget checks links to files and headings, not to
// web pages.
func TestEveryLinkInTheDocumentationHasATarget(t *testing.T) {
	all := pages(t)
	count := 0
	for name, page := range all {
		for _, match := range link.FindAllStringSubmatch(page, -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			count++
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, match[1])
				continue
			}
			if linked, isPage := all[file]; fragment != "" && isPage && !anchors(linked)[fragment] {
				t.Errorf("%s links to %s, which has no such heading", name, match[1])
			}
		}
	}
	if count < 100 {
		t.Errorf("found only %d links", count)
	}
}
