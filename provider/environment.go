package provider

import (
	"fmt"
	"slices"
	"strings"
)

// environments are the environments of most providers that have several.
var environments = []string{"production", "sandbox"}

// allEnvironments returns the environments that can be configured.
func (p *Preset) allEnvironments() []string {
	if len(p.Environments) > 0 {
		return p.Environments
	}
	return environments
}

// checkEnvironment returns an error if the provider does not have the environment.
func (p *Preset) checkEnvironment(name string) error {
	known := p.allEnvironments()
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	return fmt.Errorf("unrecognized environment: write %s or %s", strings.Join(known[:len(known)-1], ", "), known[len(known)-1])
}
