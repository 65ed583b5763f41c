//go:build linux

package target

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// handlers matches the handlers in front of reverse_proxy and their global option.
var handlers = regexp.MustCompile(`(?m)^(\t+)(?:floor.*|verify_webhook \w[^\n]*\{\n(?s:.*?)\n\t\t\}|verify_webhook \{\n(?s:.*?)\n\t\})\n`)

// A comparison of targets must measure only their handlers.
func TestCaddyfilesDifferOnlyInTheHandler(t *testing.T) {
	caddyfile := func(values map[string]string) string {
		s := starting{Env: Env{Upstream: "127.0.0.1:2"}, dir: t.TempDir(), address: "127.0.0.1:1"}
		if err := s.render("caddy.tmpl", "Caddyfile", values); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(s.dir, "Caddyfile"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	bare := caddyfile(map[string]string{})
	for name, values := range map[string]map[string]string{
		"floor":                       {"Floor": "floor"},
		"floor with identity headers": {"Floor": "floor identity"},
		"verify_webhook":              {"Store": "memory"},
	} {
		whole := caddyfile(values)
		if whole == bare {
			t.Errorf("%s: there is no handler in\n%s", name, whole)
		}
		if without := handlers.ReplaceAllString(whole, ""); without != bare {
			t.Errorf("%s without its handler is\n%s\nbut bare Caddy has\n%s", name, without, bare)
		}
	}
}
