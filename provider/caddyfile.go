package provider

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/internal/option"
)

// UnmarshalJSON implements json.Unmarshaler. It rejects unknown members and suggests
// the closest known one.
func (m *Module) UnmarshalJSON(raw []byte) error {
	type plain Module
	return option.StrictJSON(raw, (*plain)(m))
}

// OptionNames implements OptionLister.
func (m *Module) OptionNames() []string {
	names := append([]string{}, optionNames...)
	return append(append(names, m.preset.Takes...), m.preset.Needs...)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. The syntax is documented at
// [Module].
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshalOptions(d, &m.Options, m.OptionNames(), func(r *option.Reader) bool {
		t := presetOptionNamed(r.Name())
		if t == nil || (!slices.Contains(m.preset.Takes, t.name) && !slices.Contains(m.preset.Needs, t.name)) {
			return false
		}
		t.read(r, &m.PresetOptions)
		return true
	})
}

// UnmarshalOptions reads a provider's Caddyfile segment, for providers in code: the
// secret, the options of every provider, and the provider's own options, which names
// lists. It calls other for those, with d at the option; other returns false for an
// unknown option. Both can be nil.
func UnmarshalOptions(d *caddyfile.Dispenser, o *Options, known []string, other func(d *caddyfile.Dispenser) (bool, error)) error {
	return unmarshalOptions(d, o, slices.Concat(optionNames, known), func(r *option.Reader) bool {
		if other == nil {
			return false
		}
		found, err := other(d)
		r.Keep(err)
		return found || err != nil
	})
}

// unmarshalOptions reads a provider's segment: the options of every provider, and the
// provider's own with other, which returns false for an unknown option.
func unmarshalOptions(d *caddyfile.Dispenser, o *Options, known []string, other func(*option.Reader) bool) error {
	d.Next() // the name
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Err("too many arguments: expected at most one secret after the provider's name; write others in its block, each as: secret {env.NAME}")
	} else if len(args) == 1 {
		if err := o.addSecret(d, args); err != nil {
			return err
		}
	}
	return option.Block(d, func(r *option.Reader) {
		if !o.readOption(r, d) && !other(r) {
			r.Unknown(known...)
		}
	})
}
