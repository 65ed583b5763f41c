package verifywebhook_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// checkFormatted fails if `caddy fmt` would change a Caddyfile.
func checkFormatted(t *testing.T, text string) {
	t.Helper()
	if want := caddyfile.Format([]byte(text)); !bytes.Equal(want, []byte(text)) {
		t.Errorf("not formatted: caddy fmt changes\n%s\nto\n%s", text, want)
	}
}

// dedented removes the indentation of a code block in a list of Markdown.
func dedented(text, indent string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, indent)
	}
	return strings.Join(lines, "")
}

var listIndent = regexp.MustCompile(`^ *`)

// TestEveryCaddyfileIsFormatted formats the Caddyfiles of the documentation and of
// the examples, and those that the presets print.
func TestEveryCaddyfileIsFormatted(t *testing.T) {
	for _, e := range examples(t) {
		if e.language != "json" {
			t.Run(e.name, func(t *testing.T) { checkFormatted(t, dedented(e.text, listIndent.FindString(e.text))) })
		}
	}
	for _, p := range provider.Presets() {
		d := p.Describe()
		t.Run(p.Name, func(t *testing.T) { checkFormatted(t, strings.Join(d.Lines, "\n")+"\n") })
	}
}

// ourDirective matches a line with a directive of this module.
var ourDirective = regexp.MustCompile(`(?m)^\s*(verify_webhook|webhook_(queue|sign|relay|listeners|inspector))( |$)`)

// TestEveryCaddyfileInADocumentHasItsLanguage checks the language of code blocks: the
// tests run and format only blocks with the language caddyfile.
func TestEveryCaddyfileInADocumentHasItsLanguage(t *testing.T) {
	block := regexp.MustCompile("(?ms)^[ \t]*```([^\n]*)\n(.*?)^[ \t]*```")
	eachFile(t, "*.md", func(path, text string) {
		for _, match := range block.FindAllStringSubmatch(text, -1) {
			isSyntax := strings.Contains(match[2], "<")
			if ourDirective.MatchString(match[2]) && !isSyntax && match[1] != "caddyfile" && match[1] != "caddyfile fragment" {
				t.Errorf("%s: a code block with a Caddyfile has the language %q\n%s", path, match[1], match[2])
			}
		}
	})
}

// goCaddyfiles returns the Caddyfiles in the comments and string literals of a Go
// file: indented blocks with a directive of this module. It skips syntax
// descriptions, which contain <placeholders>.
func goCaddyfiles(t *testing.T, path, source string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, comment := range file.Comments {
		texts = append(texts, comment.Text())
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING && strings.HasPrefix(literal.Value, "`") {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				texts = append(texts, text)
			}
		}
		return true
	})
	var blocks []string
	for _, text := range texts {
		for _, block := range indentedBlock.FindAllString(text, -1) {
			if ourDirective.MatchString(block) && !strings.Contains(block, "<") {
				blocks = append(blocks, dedented(block, "\t"))
			}
		}
	}
	return blocks
}

// indentedBlock matches lines that are indented with a tab.
var indentedBlock = regexp.MustCompile(`(?m)(?:^\t.*\n)(?:(?:^\t.*)?\n)*^\t.*\n`)

// TestEveryCaddyfileInCommentsAndHelpTextsWorks formats and adapts the Caddyfiles in
// Go files.
func TestEveryCaddyfileInCommentsAndHelpTextsWorks(t *testing.T) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	found := 0
	eachFile(t, "*.go", func(path, source string) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "examples/external-provider") {
			return
		}
		for _, text := range goCaddyfiles(t, path, source) {
			found++
			t.Run(path, func(t *testing.T) {
				checkFormatted(t, text)
				_, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
				if err != nil { // not a complete Caddyfile: put it in a site
					_, _, err = adapter.Adapt([]byte("hooks.example.com {\n"+text+"}\n"), map[string]any{"filename": "Caddyfile"})
				}
				if err != nil {
					t.Errorf("%v\n%s", err, text)
				}
			})
		}
	})
	if found < 5 {
		t.Errorf("found only %d Caddyfiles", found)
	}
}
