// Package signing signs like providers, for tools and tests. Receiving deliveries
// does not need it.
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

// Tooling describes how a provider signs, for tools that sign or explain
// signatures. Receiving deliveries does not need it.
type Tooling struct {
	// Schemes are its schemes, one for each family of header names. Empty: the
	// signatures are made in code that the scheme type cannot describe.
	Schemes []signature.Scheme

	// Both are nil for custom.
	preset *provider.Preset
	module *provider.Module
}

// Inspect describes how a provider signs. options is its JSON as in the config, or
// nil; secrets in it are ignored.
func Inspect(name string, options json.RawMessage) (*Tooling, error) {
	if name == "custom" {
		return inspectCustom(options)
	}
	presets := provider.Presets()
	i := slices.IndexFunc(presets, func(p provider.Preset) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no preset %q: `caddy verify-webhook providers` lists them", name)
	}
	tooling := &Tooling{preset: &presets[i], module: provider.NewModule(&presets[i])}
	if err := readOptions(options, tooling.module); err != nil {
		return nil, err
	}
	var err error
	tooling.Schemes, err = tooling.module.SigningSchemes()
	return tooling, err
}

func inspectCustom(options json.RawMessage) (*Tooling, error) {
	c := new(provider.Custom)
	if err := readOptions(options, c); err != nil {
		return nil, err
	}
	if c.Signature.IsZero() {
		return nil, errors.New("custom: missing options: write them as in the JSON config")
	}
	return &Tooling{Schemes: []signature.Scheme{c.Scheme}}, nil
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

// signing returns how deliveries are made in code, nil if the schemes are enough.
func (i *Tooling) signing() *provider.Signing {
	if i.module == nil {
		return nil
	}
	return i.module.Signing()
}

// Preset returns the preset, nil for custom.
func (i *Tooling) Preset() *provider.Preset { return i.preset }

// KeyText returns the text of the key for the text of a secret. For most providers
// they are equal.
func (i *Tooling) KeyText(secret string) (string, error) {
	if i.preset == nil || i.preset.KeyText == nil {
		return secret, nil
	}
	return i.preset.KeyText(secret)
}

// Prepare computes what the provider's own code adds to the signed content. For
// most providers this is nothing.
func (i *Tooling) Prepare(r *signature.Request) error {
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
	if s.tooling.module == nil {
		return ""
	}
	return s.tooling.module.Variant()
}

// IDField returns where the delivery ID is, nil if a request contains none. scheme
// is that of the request.
func (s *Signer) IDField(scheme signature.Scheme) *signature.Field {
	if how := s.tooling.signing(); how != nil && how.ID != nil {
		return how.ID
	}
	return scheme.ID
}

// EventField returns where the event type is, nil if a request contains none.
func (s *Signer) EventField(scheme signature.Scheme) *signature.Field {
	if how := s.tooling.signing(); how != nil && how.Event != nil {
		return how.Event
	}
	return scheme.Event
}

// SignaturesInBody returns the members and fields of the body that contain signatures
// and are in no scheme.
func (i *Tooling) SignaturesInBody() []string {
	if how := i.signing(); how != nil {
		return how.InBody
	}
	return nil
}
