package provider

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var presetName = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`)

func TestEveryPresetSaysWhatUsersNeedToKnow(t *testing.T) {
	for _, p := range Presets() {
		d := p.Describe()
		switch {
		case !presetName.MatchString(p.Name):
			t.Errorf("%q is no name", p.Name)
		case p.Title == "" || p.SecretHelp == "" || !strings.HasPrefix(p.Docs, "https://"):
			t.Errorf("%s lacks a title, where its secret is found, or its documentation", p.Name)
		case p.Window < day:
			t.Errorf("%s is remembered for %s", p.Name, p.Window)
		case len(d.Signed) == 0:
			t.Errorf("%s does not say what it signs", p.Name)
		case (p.Challenge != nil || p.Handshake != nil) && p.Handshakes == "":
			t.Errorf("%s does not say which handshakes it answers", p.Name)
		case len(p.Schemes) > 0 && len(p.Variants) > 0 || len(p.Schemes)+len(p.Variants) == 0 && p.Code == nil:
			t.Errorf("%s has not exactly one of schemes, modes and code", p.Name)
		}
		for _, name := range slices.Concat(p.Takes, p.Needs) {
			if presetOptionNamed(name) == nil {
				t.Errorf("%s takes %s, which is no option", p.Name, name)
			}
		}
	}
}

// TestSchemesThatCoverNoBodySayWhatThatMeans: item 7 of what a preset owes.
func TestSchemesThatCoverNoBodySayWhatThatMeans(t *testing.T) {
	for _, p := range Presets() {
		for _, m := range slices.Concat(p.Variants, []Variant{{Schemes: p.Schemes, Weakness: p.Weakness}}) {
			for _, s := range m.Schemes {
				if !s.Covers().BodySigned && m.Weakness == "" && p.Weakness == "" && !strings.Contains(s.Signed, "{query") && !strings.Contains(s.Signed, "payload}") && !strings.Contains(s.Signed, "undefined") {
					t.Errorf("%s %s signs %q, not the body, and has no weakness", p.Name, m.Name, s.Signed)
				}
			}
		}
	}
}

func TestEveryPresetIsProvenByVectors(t *testing.T) {
	for _, p := range Presets() {
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
	coded := 0
	for _, p := range Presets() {
		if p.Code != nil || p.Values != nil {
			coded++
		}
	}
	if all := len(Presets()); coded*5 > all {
		t.Errorf("%d of %d presets have code of their own", coded, all)
	}
}

func TestThePageOnProvidersIsFresh(t *testing.T) {
	have, err := os.ReadFile("../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := Markdown(&want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Error("docs/providers.md is stale: run go generate ./provider")
	}
}
