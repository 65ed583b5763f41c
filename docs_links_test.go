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

// TestNoHeadingSkipsALevel checks that the outline of each page is complete: readers and
// screen readers navigate by it.
func TestNoHeadingSkipsALevel(t *testing.T) {
	level := regexp.MustCompile(`(?m)^(#{1,6}) .+$`)
	for name, page := range pages(t) {
		previous := 0
		for i, match := range level.FindAllStringSubmatch(page, -1) {
			depth := len(match[1])
			switch {
			case i == 0 && depth != 1:
				t.Errorf("%s does not begin with a title: %s", name, match[0])
			case depth > previous+1:
				t.Errorf("%s: the level above is missing: %s", name, match[0])
			case i > 0 && depth == 1:
				t.Errorf("%s has a second title: %s", name, match[0])
			}
			previous = depth
		}
	}
}
