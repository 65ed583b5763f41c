// Package signing signs as providers do, for tools and tests. Receiving
// deliveries needs none of it.
package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Inspection is how a provider signs, for tools that sign or that look for
// what is wrong with a signature. Receiving deliveries needs none.
type Inspection struct {
	// Schemes are how it signs, once for each family of header names. Empty:
	// the signatures are made by code that the scheme type cannot describe.
	Schemes []signature.Scheme

	// Both are nil for custom.
	preset *provider.Preset
	module *provider.Module
}

// Inspect returns how a provider signs. options is its JSON as in the config;
// secrets in it are ignored. It may be nil.
func Inspect(name string, options json.RawMessage) (*Inspection, error) {
	if name == "custom" {
		return inspectCustom(options)
	}
	presets := provider.Presets()
	i := slices.IndexFunc(presets, func(p provider.Preset) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no preset %q: `caddy verify-webhook providers` lists them", name)
	}
	inspection := &Inspection{preset: &presets[i], module: provider.NewModule(&presets[i])}
	if err := readOptions(options, inspection.module); err != nil {
		return nil, err
	}
	var err error
	inspection.Schemes, err = inspection.module.SigningSchemes()
	return inspection, err
}

func inspectCustom(options json.RawMessage) (*Inspection, error) {
	c := new(provider.Custom)
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

// signing returns how deliveries are made by code, nil if the schemes say it.
func (i *Inspection) signing() *provider.Signing {
	if i.module == nil {
		return nil
	}
	return i.module.Signing()
}

// Preset returns the preset, nil for custom.
func (i *Inspection) Preset() *provider.Preset { return i.preset }

// KeyText returns the text of a key to the text of a secret. Most providers
// have no difference.
func (i *Inspection) KeyText(secret string) (string, error) {
	if i.preset == nil || i.preset.KeyText == nil {
		return secret, nil
	}
	return i.preset.KeyText(secret)
}

// Prepare works out what the provider's own code adds to what is signed. For
// most there is nothing.
func (i *Inspection) Prepare(r *signature.Request) error {
	if i.preset == nil || i.preset.Values == nil {
		return nil
	}
	candidates, err := i.preset.Values(i.module, r)
	if err != nil {
		return err
	}
	if len(candidates) > 0 {
		r.Values = candidates[0]
	}
	return nil
}

// Variant returns the variant in use, empty if the provider has none.
func (s *Signer) Variant() string {
	if s.inspection.module == nil {
		return ""
	}
	return s.inspection.module.Variant()
}

// IDField returns where a request says its ID, nil if it does not. scheme is
// that of the request.
func (s *Signer) IDField(scheme signature.Scheme) *signature.Field {
	if how := s.inspection.signing(); how != nil && how.ID != nil {
		return how.ID
	}
	return scheme.ID
}

// EventField returns where a request says its event type, nil if it does not.
func (s *Signer) EventField(scheme signature.Scheme) *signature.Field {
	if how := s.inspection.signing(); how != nil && how.Event != nil {
		return how.Event
	}
	return scheme.Event
}
