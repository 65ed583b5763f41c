package provider

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const day = 24 * time.Hour

// registered are the presets, in alphabetical order.
var registered []*Preset

// Register registers presets as Caddy modules. Call it from init, like
// caddy.RegisterModule. It panics if the name of a preset is taken, if its Distinction
// has no Content, or if its schemes or settings are invalid.
func Register(presets ...Preset) {
	for _, p := range presets {
		if err := p.complete(); err != nil {
			panic(fmt.Sprintf("registering preset %q: %v", p.Name, err))
		}
		i, taken := slices.BinarySearchFunc(registered, p.Name, func(p *Preset, name string) int { return strings.Compare(p.Name, name) })
		if taken {
			panic(fmt.Sprintf("registering preset %q: the name is taken", p.Name))
		}
		caddy.RegisterModule(NewModule(&p)) // panics if a provider in code has the name
		registered = slices.Insert(registered, i, &p)
	}
}

// Presets returns every registered preset, in alphabetical order.
func Presets() []Preset {
	all := make([]Preset, len(registered))
	for i, p := range registered {
		all[i] = *p
	}
	return all
}

// presetNamed returns a registered preset, or nil.
func presetNamed(name string) *Preset {
	for _, p := range registered {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Names returns the names of all registered providers, whether presets or not.
func Names() []string {
	var names []string
	// Not GetModules, which treats a name with a dot as part of a deeper namespace.
	for _, id := range caddy.Modules() {
		if name, found := strings.CutPrefix(id, Namespace+"."); found {
			names = append(names, name)
		}
	}
	return names
}

var presetName = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*$`)

// complete sets the defaults of a preset and returns an error if it is invalid.
func (p *Preset) complete() error {
	if !presetName.MatchString(p.Name) {
		return errors.New("the name must be lower-case letters and digits, with single dots or hyphens between them")
	}
	if p.Title == "" {
		p.Title = p.Name
	}
	if p.Window == 0 {
		p.Window = 7 * day
	}
	if len(p.Variants) > 1 && !slices.Contains(p.Takes, "scheme") {
		p.Takes = append([]string{"scheme"}, p.Takes...)
	}
	if err := p.checkDistinctions(); err != nil {
		return err
	}
	for _, name := range slices.Concat(p.Takes, p.Needs) {
		if presetOptionNamed(name) == nil {
			return fmt.Errorf("unrecognized option: %s", name)
		}
	}
	if p.SecretLater && (!slices.Contains(p.Takes, "accept_handshake") || len(p.allSchemes()) == 0) {
		return errors.New("SecretLater requires accept_handshake in Takes, and a scheme")
	}
	return p.checkSchemes()
}

// checkSchemes requires exactly one of Schemes, Variants and Code, and valid schemes.
func (p *Preset) checkSchemes() error {
	if p.Code == nil && (len(p.Schemes) > 0) == (len(p.Variants) > 0) {
		return errors.New("write either Schemes, Variants or Code")
	}
	for _, v := range p.Variants {
		if v.Name == "" || len(v.Schemes) == 0 {
			return fmt.Errorf("variant %q: missing name or scheme", v.Name)
		}
	}
	for _, s := range p.allSchemes() {
		for _, family := range p.families() {
			named, _ := inFamily(s, family)
			if err := named.Check(); err != nil {
				return fmt.Errorf("scheme with %s: %w", named.Signature.Field, err)
			}
		}
	}
	return nil
}
