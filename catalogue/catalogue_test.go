package catalogue

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

var presetName = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`)

func TestEveryPresetIsFullyDescribed(t *testing.T) {
	for _, p := range provider.Presets() {
		d := p.Describe()
		switch {
		case !presetName.MatchString(p.Name):
			t.Errorf("invalid preset name: %q", p.Name)
		case p.Title == "" || p.SecretHelp == "" || !strings.HasPrefix(p.Docs, "https://"):
			t.Errorf("%s: missing Title, SecretHelp or Docs", p.Name)
		case p.Window < day:
			t.Errorf("%s: the window is %s, want at least a day", p.Name, p.Window)
		case len(d.Signed) == 0:
			t.Errorf("%s: missing description of the signed content", p.Name)
		case (p.Challenge != nil || p.Handshake != nil) && p.Handshakes == "":
			t.Errorf("%s: missing description of the handshakes", p.Name)
		case len(p.Schemes) > 0 && len(p.Variants) > 0 || len(p.Schemes)+len(p.Variants) == 0 && p.Code == nil:
			t.Errorf("%s: want exactly one of Schemes, Variants and Code", p.Name)
		}
		if len(d.Options) != len(p.Takes)+len(p.Needs) {
			t.Errorf("%s: Takes %s or Needs %s contains an unknown option", p.Name, p.Takes, p.Needs)
		}
	}
}

// TestEveryPresetIsListedInProviderNames includes presets with a dot in their names.
func TestEveryPresetIsListedInProviderNames(t *testing.T) {
	names := provider.Names()
	for _, p := range provider.Presets() {
		if !slices.Contains(names, p.Name) {
			t.Errorf("%s is not in provider.Names", p.Name)
		}
	}
}

// TestSchemesThatDoNotSignTheBodyHaveAWeakness: the documentation must state that the
// body can be forged.
func TestSchemesThatDoNotSignTheBodyHaveAWeakness(t *testing.T) {
	for _, p := range provider.Presets() {
		for _, m := range slices.Concat(p.Variants, []provider.Variant{{Schemes: p.Schemes, Weakness: p.Weakness}}) {
			for _, s := range m.Schemes {
				if !s.Covers().BodySigned && m.Weakness == "" && p.Weakness == "" && !strings.Contains(s.Signed, "{query") && !strings.Contains(s.Signed, "payload}") && !strings.Contains(s.Signed, "undefined") {
					t.Errorf("%s %s signs %q but not the body: missing weakness", p.Name, m.Name, s.Signed)
				}
			}
		}
	}
}

func TestEveryPresetHasAcceptAndRejectVectors(t *testing.T) {
	for _, p := range provider.Presets() {
		raw, err := os.ReadFile(filepath.Join("testdata", "vectors", p.Name+".json"))
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if !bytes.Contains(raw, []byte(`"accept"`)) || !bytes.Contains(raw, []byte(`"reject"`)) {
			t.Errorf("%s: vectors must include an accepted and a rejected request", p.Name)
		}
	}
}

func TestAtLeast80PercentOfPresetsAreDeclarative(t *testing.T) {
	computed := 0
	for _, p := range provider.Presets() {
		if p.Code != nil || p.Values != nil {
			computed++
		}
	}
	if all := len(provider.Presets()); computed*5 > all {
		t.Errorf("%d of %d presets have code, want at most a fifth", computed, all)
	}
}
