package provider

import "go.uber.org/zap"

// What the tests that need the presets of package catalogue use.
var (
	APIKeys = func() (only []string) {
		for _, k := range apiKeys {
			only = append(only, k.only...)
		}
		return only
	}()
	DoubtAPIKey    = doubtAPIKey
	DoubtReference = doubtReference
)

// ProvisionLogged provisions a module that logs to logger.
func (m *Module) ProvisionLogged(logger *zap.Logger) error {
	m.logger = logger
	return m.provision()
}

// FillNeeds gives a value to every option that the preset needs.
func (m *Module) FillNeeds() {
	for _, name := range m.preset.Needs {
		switch t := presetOptionNamed(name); {
		case t.text != nil:
			*t.text(&m.PresetOptions) = "needed"
		case t.list != nil:
			*t.list(&m.PresetOptions) = []string{"needed"}
		}
	}
}

// OnlyIssued reports whether no operator can choose the secret.
func (p *Preset) OnlyIssued() bool { return p.issuesSecrets() }

// Named returns a registered preset.
func Named(name string) *Preset { return presetNamed(name) }
