package verifywebhook_test

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/verify-webhook/caddy-verify-webhook"
)

// example is a config in the documentation. Its language is that of the code block:
// caddyfile, json, or fragment for directives that must be inside a site.
type example struct {
	name, language, text string
}

// fromCatalogue reports whether the example belongs to a preset. The provider's secret
// format is checked, so the example is adapted but not provisioned: tests of the
// generator provision each preset with a suitable secret.
func (e example) fromCatalogue() bool { return strings.HasPrefix(e.name, "docs/providers/") }

// fence matches a code block. A fragment has the language "caddyfile fragment"; all
// other blocks are complete configs.
var fence = regexp.MustCompile("(?ms)^[ \t]*```(?:caddyfile )?(caddyfile|fragment|json)\n(.*?)^[ \t]*```")

// examples returns all configs in the documentation: those of its pages, and the
// Caddyfiles of the examples.
func examples(t *testing.T) []example {
	t.Helper()
	var all []example
	eachFile(t, "*.md", func(path, text string) {
		for i, match := range fence.FindAllStringSubmatch(text, -1) {
			all = append(all, example{path + " " + strconv.Itoa(i+1), match[1], match[2]})
		}
	})
	eachFile(t, "Caddyfile*", func(path, text string) { all = append(all, example{path, "caddyfile", text}) })
	return all
}

var (
	envPlaceholder  = regexp.MustCompile(`\{(?:env\.|\$)([A-Z0-9_]+)\}`)
	filePlaceholder = regexp.MustCompile(`\{file\.([^}]+)\}`)
)

// secretFor returns a secret that every provider accepts, a different one per name.
func secretFor(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "whsec_" + base64.StdEncoding.EncodeToString(sum[:24])
}

// ready provides the variables, files and site that an example refers to.
func ready(t *testing.T, e example) string {
	t.Helper()
	text := e.text
	if e.language == "fragment" {
		text = "hooks.example.com {\n" + text + "\nhandle {\nrespond 404\n}\n}"
	}
	for _, match := range envPlaceholder.FindAllStringSubmatch(text, -1) {
		t.Setenv(match[1], secretFor(match[1]))
	}
	dir := t.TempDir()
	return filePlaceholder.ReplaceAllStringFunc(text, func(placeholder string) string {
		name := filePlaceholder.FindStringSubmatch(placeholder)[1]
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, []byte(secretFor(name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return "{file." + path + "}"
	})
}

// TestEveryConfigInTheDocumentationWorks adapts and provisions all examples.
func TestEveryConfigInTheDocumentationWorks(t *testing.T) {
	all := examples(t)
	if len(all) < 10 {
		t.Errorf("found only %d configs", len(all))
	}
	if !slices.ContainsFunc(all, func(e example) bool { return e.language == "fragment" }) {
		t.Error("found no fragment")
	}
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", t.TempDir())
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			config := []byte(ready(t, e))
			if e.language != "json" {
				adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(config, map[string]any{"filename": "Caddyfile"})
				if err != nil {
					t.Fatalf("%v\n%s", err, e.text)
				}
				for _, w := range warnings {
					if !strings.Contains(w.Message, "not formatted") {
						t.Errorf("%s\n%s", w.Message, e.text)
					}
				}
				config = adapted
			}
			if e.fromCatalogue() {
				return
			}
			parsed := new(caddy.Config)
			if err := caddy.StrictUnmarshalJSON(config, parsed); err != nil {
				t.Fatalf("%v\n%s", err, e.text)
			}
			if err := caddy.Validate(parsed); err != nil {
				t.Fatalf("%v\n%s", err, e.text)
			}
		})
	}
}

// TestEveryDependencyIsExplainedInTheArchitecture keeps the table of dependencies
// complete.
func TestEveryDependencyIsExplainedInTheArchitecture(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{".", "e2e", "bench"} {
		mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		direct, _, _ := strings.Cut(string(mod), "// indirect")
		for _, match := range regexp.MustCompile(`(?m)^\t(\S+) v`).FindAllStringSubmatch(direct, -1) {
			name := regexp.MustCompile(`/v\d+$`).ReplaceAllString(match[1], "")
			if i := strings.LastIndex(name, "/"); !strings.Contains(string(page), name[i+1:]) && !strings.HasPrefix(name, "go.opentelemetry.io/otel") && !strings.Contains(match[0], "cel.dev") && name != "github.com/verify-webhook/caddy-verify-webhook" {
				t.Errorf("%s, required by %s/go.mod, is not in docs/architecture.md", match[1], module)
			}
		}
	}
}
