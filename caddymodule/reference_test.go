package caddymodule

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// TestReferenceDocumentsEveryOptionAndOutcome keeps docs/caddyfile.md complete.
func TestReferenceDocumentsEveryOptionAndOutcome(t *testing.T) {
	raw, err := os.ReadFile("../docs/caddyfile.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, option := range slices.Concat(handlerOptions, replayOptions, new(provider.Custom).OptionNames()) {
		if option != "replay" && !strings.Contains(page, "| `"+option+" ") && !strings.Contains(page, "| `"+option+"`") {
			t.Errorf("no row for the option %s", option)
		}
	}
	for _, o := range Outcomes {
		if !strings.Contains(page, "`"+string(o)+"`") {
			t.Errorf("no row for the outcome %s", o)
		}
	}
}
