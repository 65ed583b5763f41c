package provider

import "go.uber.org/zap"

// Exports for the tests that import package catalogue.
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

// FillNeeds sets every option that the preset requires.
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

// OnlyIssued reports whether the provider issues every secret, so that operators
// cannot choose one.
func (p *Preset) OnlyIssued() bool { return p.issuesSecrets() }

// Named returns a registered preset.
func Named(name string) *Preset { return presetNamed(name) }
