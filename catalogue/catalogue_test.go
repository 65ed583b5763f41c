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

func TestEveryPresetSaysWhatUsersNeedToKnow(t *testing.T) {
	for _, p := range provider.Presets() {
		d := p.Describe()
		switch {
		case !presetName.MatchString(p.Name):
			t.Errorf("%q is no name", p.Name)
		case p.Title == "" || p.SecretHelp == "" || !strings.HasPrefix(p.Docs, "https://"):
			t.Errorf("%s misses a title, SecretHelp or Docs", p.Name)
		case p.Window < day:
			t.Errorf("%s is remembered for %s", p.Name, p.Window)
		case len(d.Signed) == 0:
			t.Errorf("%s does not say what it signs", p.Name)
		case (p.Challenge != nil || p.Handshake != nil) && p.Handshakes == "":
			t.Errorf("%s does not say which handshakes it answers", p.Name)
		case len(p.Schemes) > 0 && len(p.Variants) > 0 || len(p.Schemes)+len(p.Variants) == 0 && p.Code == nil:
			t.Errorf("%s has not exactly one of schemes, modes and code", p.Name)
		}
		if len(d.Options) != len(p.Takes)+len(p.Needs) {
			t.Errorf("%s takes %s and %s, of which one is no option", p.Name, p.Takes, p.Needs)
		}
	}
}

// TestSchemesThatCoverNoBodySayWhatThatMeans: item 7 of what a preset owes.
// A name with a dot is a name like any other.
func TestEveryPresetIsAmongTheNamesOfProviders(t *testing.T) {
	names := provider.Names()
	for _, p := range provider.Presets() {
		if !slices.Contains(names, p.Name) {
			t.Errorf("%s is not listed", p.Name)
		}
	}
}

func TestSchemesThatCoverNoBodySayWhatThatMeans(t *testing.T) {
	for _, p := range provider.Presets() {
		for _, m := range slices.Concat(p.Variants, []provider.Variant{{Schemes: p.Schemes, Weakness: p.Weakness}}) {
			for _, s := range m.Schemes {
				if !s.Covers().BodySigned && m.Weakness == "" && p.Weakness == "" && !strings.Contains(s.Signed, "{query") && !strings.Contains(s.Signed, "payload}") && !strings.Contains(s.Signed, "undefined") {
					t.Errorf("%s %s signs %q, not the body, and has no weakness", p.Name, m.Name, s.Signed)
				}
			}
		}
	}
}

func TestEveryPresetIsProvenByVectors(t *testing.T) {
	for _, p := range provider.Presets() {
		raw, err := os.ReadFile(filepath.Join("testdata", "vectors", p.Name+".json"))
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if !bytes.Contains(raw, []byte(`"accept"`)) || !bytes.Contains(raw, []byte(`"reject"`)) {
			t.Errorf("%s has no vector that is accepted, or none that is refused", p.Name)
		}
	}
}

func TestAtLeastFourOfFivePresetsAreData(t *testing.T) {
	computed := 0
	for _, p := range provider.Presets() {
		if p.Code != nil || p.Values != nil {
			computed++
		}
	}
	if all := len(provider.Presets()); computed*5 > all {
		t.Errorf("%d of %d presets have code of their own", computed, all)
	}
}
