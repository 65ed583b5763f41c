package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Preset is a provider as data.
type Preset struct {
	// Name is what users write, Title what people call the provider.
	Name, Title string
	// Schemes are how it signs. Where there are several, each secret belongs
	// to the first that accepts it.
	Schemes []signature.Scheme
	// Families are the prefixes that a `*` at the beginning of a scheme's
	// header names stands for, where the provider sends the same headers
	// under more than one name.
	Families []string
	// Window is how long handled deliveries are remembered by default.
	Window time.Duration
	// Handshake answers a provider's proof-of-ownership request; nil if it
	// has none that the signature covers.
	Handshake Handshake
	// Docs is the provider's page on verifying its webhooks.
	Docs string
	// SecretHelp says where the secret is found.
	SecretHelp string
	// Weakness is one sentence on what an attacker could still do.
	Weakness string
}

// Handshake looks at a verified delivery and returns the answer to send if it
// is a handshake, else nil.
type Handshake func(r *signature.Request, d *signature.Delivery) (*signature.Answer, error)

// Module is a preset as a Caddy module: the preset's scheme with the options
// and secrets of one endpoint.
type Module struct {
	Options

	preset  *Preset
	schemes *schemes
}

// CaddyModule returns the Caddy module information.
func (m *Module) CaddyModule() caddy.ModuleInfo {
	preset := m.preset
	return caddy.ModuleInfo{
		ID:  caddy.ModuleID(Namespace + "." + preset.Name),
		New: func() caddy.Module { return &Module{preset: preset} },
	}
}

// Provision implements caddy.Provisioner.
func (m *Module) Provision(ctx caddy.Context) error {
	if err := m.checkPublicURL(); err != nil {
		return fmt.Errorf("%s: %w", m.preset.Name, err)
	}
	secrets, err := m.resolve(ctx.Logger(), m.preset.Name, m.preset.Schemes[0].Algorithm.Asymmetric())
	if err != nil {
		return err
	}
	m.schemes, err = compileSchemes(m.preset.Schemes, m.preset.Families, secrets, &m.Options)
	if err != nil {
		return fmt.Errorf("%s: %w", m.preset.Name, err)
	}
	return nil
}

// OptionNames implements OptionLister.
func (m *Module) OptionNames() []string { return optionNames }

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	<name> [<secret>] {
//		secret     <secret> [<label>]
//		tolerance  <duration>
//		public_url <url>
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshalOptions(d, &m.Options, nil)
}

// unmarshalOptions reads a provider's segment: the common options, and with
// other whatever else the provider knows. other returns false for an option
// that is not its own.
func unmarshalOptions(d *caddyfile.Dispenser, o *Options, other func(d *caddyfile.Dispenser, seen map[string]bool) (bool, error)) error {
	d.Next() // the name
	if args := d.RemainingArgs(); len(args) > 1 {
		return d.Errf("one secret can follow the provider's name; more of them go into its block, each as: secret {env.NAME}")
	} else if len(args) == 1 {
		if err := o.addSecret(d, args); err != nil {
			return err
		}
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		known, err := o.unmarshalOption(d, seen)
		if !known && err == nil && other != nil {
			known, err = other(d, seen)
		}
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("unknown option %q", d.Val())
		}
	}
	return nil
}

// CheckHeaders implements Provider.
func (m *Module) CheckHeaders(r *signature.Request) error {
	r.PublicURL = m.PublicURL
	return m.schemes.checkHeaders(r)
}

// Verify implements Provider.
func (m *Module) Verify(_ context.Context, r *signature.Request) (*signature.Delivery, error) {
	r.PublicURL = m.PublicURL
	d, err := m.schemes.verify(r)
	if err != nil || m.preset.Handshake == nil {
		return d, err
	}
	d.Answer, err = m.preset.Handshake(r, d)
	return d, err
}

// Facts implements Provider.
func (m *Module) Facts() Facts {
	return Facts{
		Name:     m.preset.Name,
		Traits:   m.schemes.traits(),
		Secrets:  m.schemes.secrets(),
		Window:   m.preset.Window,
		Weakness: m.preset.Weakness,
	}
}

// Interface guards.
var (
	_ Provider              = (*Module)(nil)
	_ OptionLister          = (*Module)(nil)
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
