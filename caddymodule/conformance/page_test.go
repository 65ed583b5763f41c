package conformance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the Caddyfile

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// Each Caddyfile in docs/providers.md is valid, alone and with each option.
func TestCaddyfilesOfTheProvidersPageAreValid(t *testing.T) {
	t.Parallel()
	adapter := caddyconfig.GetAdapter("caddyfile")
	for _, p := range provider.Presets() {
		d := p.Describe()
		texts := []string{strings.Join(d.Lines, "\n")}
		for _, o := range d.Options {
			texts = append(texts, fmt.Sprintf("verify_webhook %s {env.SECRET} {\n%s\n}", p.Name, o.Syntax))
		}
		for _, text := range texts {
			config := "hooks.example.com {\n" + text + "\n}\n"
			if _, warnings, err := adapter.Adapt([]byte(config), map[string]any{"filename": "Caddyfile"}); err != nil {
				t.Errorf("%s:\n%s\n%v %v", p.Name, text, err, warnings)
			}
		}
	}
}

func TestMisspelledProviderOptionsGetASuggestion(t *testing.T) {
	t.Parallel()
	adapter := caddyconfig.GetAdapter("caddyfile")
	_, _, err := adapter.Adapt([]byte("hooks.example.com {\nverify_webhook meta {env.SECRET} {\nverify_tokn x\n}\n}\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "verify_token") {
		t.Errorf("got %v", err)
	}
}
