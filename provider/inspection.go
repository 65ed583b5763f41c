package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Inspection is how a provider signs, for tools that sign or that look for
// what is wrong with a signature. Receiving deliveries needs none.
type Inspection struct {
	// Schemes are how it signs, once for each family of header names. Empty:
	// the signatures are made by code that the scheme type cannot describe.
	Schemes []signature.Scheme

	module *Module // nil for custom
}

// Inspect returns how a provider signs. options is its JSON as in the config;
// secrets in it are ignored. It may be nil.
func Inspect(name string, options json.RawMessage) (*Inspection, error) {
	if name == "custom" {
		return inspectCustom(options)
	}
	i := slices.IndexFunc(catalogue, func(p Preset) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no preset %q: `caddy verify-webhook providers` lists them", name)
	}
	m := &Module{preset: &catalogue[i]}
	if err := readOptions(options, m); err != nil {
		return nil, err
	}
	var err error
	if m.set, err = m.PresetOptions.resolved(); err != nil {
		return nil, err
	}
	schemes, err := m.chooseVariant()
	if err != nil {
		return nil, err
	}
	families := m.preset.Families
	if len(families) == 0 {
		families = []string{""}
	}
	inspection := &Inspection{module: m}
	for _, family := range families {
		for _, s := range schemes {
			named, _ := inFamily(s, family)
			inspection.Schemes = append(inspection.Schemes, named)
		}
	}
	return inspection, nil
}

func inspectCustom(options json.RawMessage) (*Inspection, error) {
	c := new(Custom)
	if err := readOptions(options, c); err != nil {
		return nil, err
	}
	if c.Signature.IsZero() {
		return nil, errors.New("custom: its options are needed, as in the JSON config")
	}
	return &Inspection{Schemes: []signature.Scheme{c.Scheme}}, nil
}

func readOptions(options json.RawMessage, to any) error {
	if len(options) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(options, &members); err != nil {
		return fmt.Errorf("reading the provider's options: %w", err)
	}
	delete(members, "name")
	delete(members, "secrets")
	rest, err := json.Marshal(members)
	if err != nil {
		return fmt.Errorf("reading the provider's options: %w", err)
	}
	if err := caddy.StrictUnmarshalJSON(rest, to); err != nil {
		return fmt.Errorf("reading the provider's options: %w", err)
	}
	return nil
}

// KeyText returns the text of a key to the text of a secret. Most providers
// have no difference.
func (i *Inspection) KeyText(secret string) (string, error) {
	if i.module == nil || i.module.preset.KeyText == nil {
		return secret, nil
	}
	return i.module.preset.KeyText(secret)
}

// Prepare works out what the provider's own code adds to what is signed. For
// most there is nothing.
func (i *Inspection) Prepare(r *signature.Request) error {
	if i.module == nil || i.module.preset.Values == nil {
		return nil
	}
	candidates, err := i.module.preset.Values(i.module, r)
	if err != nil {
		return err
	}
	if len(candidates) > 0 {
		r.Values = candidates[0]
	}
	return nil
}
