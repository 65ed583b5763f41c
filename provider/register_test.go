package provider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// preset returns a valid preset. Each test needs another name.
func preset(name string) Preset {
	field := signature.SignatureField{Field: signature.Field{From: "header", Name: "X-Signature"}}
	return Preset{Name: name, Distinction: Distinction{Content: ContentUnique}, Schemes: []signature.Scheme{{Algorithm: signature.HMACSHA256, Signature: field}}}
}

// registering registers presets and returns the message of the panic, or "".
func registering(presets ...Preset) (message string) {
	defer func() {
		if got := recover(); got != nil {
			message = fmt.Sprint(got)
		}
	}()
	Register(presets...)
	return ""
}

func TestRegisterRejectsInvalidPresets(t *testing.T) {
	header := signature.Field{From: "header", Name: "X"}
	member := signature.Field{From: "json", Name: "a"}
	for what, c := range map[string]struct {
		change func(p *Preset)
		want   string
	}{
		"no name":               {func(p *Preset) { p.Name = "" }, "name"},
		"a name with a space":   {func(p *Preset) { p.Name = "a b" }, "name"},
		"a name in capitals":    {func(p *Preset) { p.Name = "Acme" }, "name"},
		"a placeholder as name": {func(p *Preset) { p.Name = "{env.X}" }, "name"},
		"no content":            {func(p *Preset) { p.Distinction = Distinction{} }, "unique or repeats"},
		"no content in a variant": {func(p *Preset) {
			p.Variants, p.Schemes = []Variant{{Name: "a", Schemes: p.Schemes, Distinction: &Distinction{}}}, nil
		}, "unique or repeats"},
		"an unknown content":             {func(p *Preset) { p.Content = "some" }, "unique or repeats"},
		"RepeatsWhen with a header":      {func(p *Preset) { p.RepeatsWhen = []signature.Field{header} }, "json, form or query"},
		"UniqueWhen for unique content":  {func(p *Preset) { p.UniqueWhen = []signature.Field{member} }, "unique_when"},
		"no scheme":                      {func(p *Preset) { p.Schemes = nil }, "Schemes, Variants or Code"},
		"schemes and variants":           {func(p *Preset) { p.Variants = []Variant{{Name: "a", Schemes: p.Schemes}} }, "Schemes, Variants or Code"},
		"a variant without schemes":      {func(p *Preset) { p.Variants, p.Schemes = []Variant{{Name: "a"}}, nil }, "or scheme"},
		"no algorithm":                   {func(p *Preset) { p.Schemes[0].Algorithm = "" }, "algorithm"},
		"no location of the signature":   {func(p *Preset) { p.Schemes[0].Signature = signature.SignatureField{} }, "signature"},
		"an invalid template":            {func(p *Preset) { p.Schemes[0].Signed = "{nothing}.{body}" }, "nothing"},
		"a timestamp without a location": {func(p *Preset) { p.Schemes[0].Signed = "{timestamp}.{body}" }, "timestamp"},
		"an invalid second scheme":       {func(p *Preset) { p.Schemes = append(p.Schemes, signature.Scheme{}) }, "algorithm"},
		"an unknown setting":             {func(p *Preset) { p.Takes = []string{"colour"} }, "colour"},
		"an unknown required setting":    {func(p *Preset) { p.Needs = []string{"colour"} }, "colour"},
		"the name of custom":             {func(p *Preset) { p.Name = "custom" }, "custom"},
	} {
		p := preset("test-refused")
		c.change(&p)
		if got := registering(p); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
		if presetNamed(p.Name) != nil {
			t.Fatalf("%s: the preset is registered", what)
		}
	}
}

func TestRegisterRejectsADuplicateName(t *testing.T) {
	if got := registering(preset("test-taken")); got != "" {
		t.Fatal(got)
	}
	if got := registering(preset("test-taken")); !strings.Contains(got, "taken") {
		t.Errorf("got %q", got)
	}
}

func TestRegisterSetsDefaults(t *testing.T) {
	p := preset("test-defaults")
	p.Variants = []Variant{{Name: "a", Schemes: p.Schemes}, {Name: "b", Schemes: p.Schemes}}
	p.Schemes = nil
	Register(p)
	got := presetNamed("test-defaults")
	if got.Window != 7*24*time.Hour || got.Title != "test-defaults" || len(got.Takes) != 1 || got.Takes[0] != "scheme" {
		t.Errorf("got %+v", got)
	}
	names := Presets()
	for i := 1; i < len(names); i++ {
		if names[i-1].Name >= names[i].Name {
			t.Errorf("%s comes before %s", names[i-1].Name, names[i].Name)
		}
	}
}
